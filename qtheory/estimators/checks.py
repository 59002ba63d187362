"""What the estimators accept, with one-line refusals."""

import math
import operator
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from qtheory._arrays import Array, Namespace, device, float_array, q_array, refuse, shown
from qtheory._numbers import count, numbers


def pool_array(name: str, value: Array) -> tuple[Namespace, Array]:
    """Check the shape and type of an array over pools.

    Args:
        name: The argument's name, for messages.
        value: (..., M), M samples of each pool on the last axis.

    Returns:
        The namespace and the array.

    Raises:
        TypeError: No array of float32 or float64.
        ValueError: 0-d, M = 0, or a tensor that requires grad.
    """
    xp, value = float_array(name, value)
    if value.ndim == 0:
        raise ValueError(f"{name} is the 0-d {float(value)}: the last axis must hold the M samples of a pool")
    if value.shape[-1] == 0:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, so M = 0: a pool needs at least one sample")
    return xp, value


def beside(log_w: Array, name: str, value: Array) -> tuple[Namespace, Array]:
    """`pool_array` for a second array, which must be of log_w's library; TypeError where it is not."""
    xp, value = pool_array(name, value)
    if xp is not array_namespace(log_w):
        kinds = type(value).__name__, type(log_w).__name__
        raise TypeError(f"{name} is of type {kinds[0]} and log_w of type {kinds[1]}: pass both in one library")
    return xp, value


def log_weights(log_w: Array) -> tuple[Namespace, Array]:
    """`pool_array` for log w = log p(y*|x, z_m) in nats, at most 0, -inf for an impossible answer."""
    xp, log_w = pool_array("log_w", log_w)
    refuse(xp, "log_w", log_w, ~(log_w <= 0), "a log-probability must be at most 0")
    return xp, log_w


def rewards(reward: Array, *, non_negative: bool = False, binary: bool = False) -> tuple[Namespace, Array]:
    """`pool_array` for finite rewards, on request non-negative ones, or 0 and 1 alone."""
    xp, reward = pool_array("reward", reward)
    refuse(xp, "reward", reward, ~(xp.abs(reward) < math.inf), "a reward must be finite")
    if non_negative:
        refuse(xp, "reward", reward, reward < 0, "this estimator needs rewards of at least 0")
    if binary:
        refuse(xp, "reward", reward, (reward != 0) & (reward != 1), "this estimator needs rewards of 0 or 1")
    return xp, reward


def q_per_pool(xp: Namespace, q: Array | float, log_w: Array) -> Array:
    """Check q and shape it against the samples.

    Args:
        xp: The namespace of log_w.
        q: A number, or an array that broadcasts to log_w.shape[:-1]: one q a pool.
        log_w: (..., M).

    Returns:
        q in the dtype and on the device of log_w, broadcastable to (..., M).

    Raises:
        TypeError: q is neither a number nor a float array.
        ValueError: q outside [0, 1] or NaN, or of a shape that does not fit.
    """
    per_pool = q_array(xp, q, log_w)
    _one_a_pool("q", "q", tuple(per_pool.shape), log_w)
    return per_pool[..., None]


def length_per_pool(xp: Namespace, answer_length: Any, log_w: Array) -> Array:
    """Check the gold answers' lengths and shape them against the samples.

    Args:
        xp: The namespace of log_w.
        answer_length: A number, or an array of numbers that broadcasts to log_w.shape[:-1]: one length a pool.
        log_w: (..., M).

    Returns:
        Lengths in the dtype and on the device of log_w, broadcastable to (..., M).

    Raises:
        TypeError: They are neither a number nor an array of numbers.
        ValueError: One is below 1, infinite or NaN, or the shape does not fit.
    """
    lengths = numbers("answer_length", answer_length)
    rule = "an answer must have at least one token, and finitely many"
    refuse(np, "answer_length", lengths, ~((lengths >= 1) & (lengths < math.inf)), rule)
    _one_a_pool("answer_length", "length", lengths.shape, log_w)
    return xp.asarray(lengths[..., None], dtype=log_w.dtype, device=device(log_w))


def _one_a_pool(name: str, noun: str, shape: tuple[int, ...], log_w: Array) -> None:
    batch = tuple(log_w.shape[:-1])
    try:
        fits = np.broadcast_shapes(shape, batch) == batch
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name} has shape {shape}: one {noun} a pool is needed, so at most {batch}")


def set_size(k: Any, samples: int) -> int:
    """Check the size k of the sets of samples that an estimator is about.

    Args:
        k: What was passed.
        samples: M.

    Returns:
        k.

    Raises:
        TypeError: k is no integer.
        ValueError: k < 1 or k > M.
    """
    size = count("k", k, 1)
    if size > samples:
        raise ValueError(f"k is {size}: a pool of M = {samples} holds no set of {size} samples; pass at most {samples}")
    return size


def draws(k: Any, samples: int) -> int:
    """Check the number of draws K; None stands for K = M.

    Args:
        k: What was passed.
        samples: M.

    Returns:
        K.

    Raises:
        TypeError: K is no integer.
        ValueError: K < 1.
    """
    if k is None:
        return samples
    try:
        count = operator.index(k)
    except TypeError:
        count = None
    if count is None or isinstance(k, bool):
        raise TypeError(f"k is {shown(k)}: the number of draws must be an integer, or None for M")
    if count < 1:
        raise ValueError(f"k is {count}: at least one draw is needed")
    return count


def generator(rng: Any) -> np.random.Generator:
    """Check that randomness comes from an explicit generator.

    Args:
        rng: What was passed.

    Returns:
        It.

    Raises:
        TypeError: It is no numpy.random.Generator.
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {shown(rng)}: pass a numpy.random.Generator, for example numpy.random.default_rng(0)")
    return rng
