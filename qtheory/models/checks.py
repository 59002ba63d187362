"""Check the arguments of tasks and models; bad input gets a one-line error."""

import math
from typing import Any

import numpy as np

from qtheory._arrays import refuse, shown
from qtheory._numbers import count


def float_array(name: str, value: Any, axes: tuple[str, ...]) -> np.ndarray:
    """Check for a float64 array with the given axes, none of them empty.

    Args:
        name: The argument's name, for messages.
        value: The argument.
        axes: Names of the axes, for messages.

    Returns:
        A read-only copy.

    Raises:
        TypeError: The value is not a numpy array of float64.
        ValueError: The number of axes differs or one is empty.
    """
    if not isinstance(value, np.ndarray | np.float64):
        raise TypeError(f"{name} is {shown(value)}, a {type(value).__name__}: pass a numpy array of float64")
    if value.dtype != np.float64:
        raise TypeError(f"{name} has dtype {value.dtype}: pass float64")
    if value.ndim != len(axes) or 0 in value.shape:
        raise ValueError(f"{name} has shape {value.shape}: ({', '.join(axes)}) is needed, with no empty axis")
    copy = np.array(value)
    copy.setflags(write=False)
    return copy


def log_distribution(name: str, value: Any) -> np.ndarray:
    """`float_array` (Z,) for finite log-probabilities that sum to 1 within 1e-12."""
    log_prior = float_array(name, value, ("Z",))
    refuse(np, name, log_prior, ~np.isfinite(log_prior), "leave rationales of probability 0 out")
    top = log_prior.max()
    total = top + np.log(np.exp(log_prior - top).sum())
    if not abs(total) <= 1e-12:
        raise ValueError(f"{name} sums to 1 + {math.expm1(min(total, 700)):.3g}: subtract {total:.17g} to normalise it")
    return log_prior


def log_weights(name: str, value: Any) -> np.ndarray:
    """`float_array` (Z,) for log-likelihoods, at most 0; -inf stands for an impossible answer."""
    log_w = float_array(name, value, ("Z",))
    refuse(np, name, log_w, ~(log_w <= 0), "a log-probability must be at most 0")
    return log_w


def parameters(value: Any, dimension: int) -> np.ndarray:
    """Check parameters theta (..., d).

    Args:
        value: The argument.
        dimension: The model's d.

    Returns:
        The array.

    Raises:
        TypeError: The value is not a numpy array of float64.
        ValueError: The last axis is not d long, or a parameter is infinite or NaN.
    """
    if not isinstance(value, np.ndarray) or value.dtype != np.float64:
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"theta is of {kind}: pass a numpy array of float64")
    if value.ndim == 0 or value.shape[-1] != dimension:
        raise ValueError(f"theta has shape {value.shape}: the last axis must hold the model's {dimension} parameters")
    # Called at every step of a flow: the message is computed only if something is wrong.
    if not (finite := np.isfinite(value)).all():
        refuse(np, "theta", value, ~finite, "a parameter must be finite")
    return value


def log_success(value: Any) -> np.ndarray:
    """Check log p0, numbers or a float64 array (...), negative and finite: neither a certain nor an impossible start.

    Args:
        value: The argument.

    Returns:
        The array.

    Raises:
        TypeError: The value is not a number and not an array of float64.
        ValueError: At or above 0, -inf or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.ndarray):
        raise TypeError(f"log_p0 is {shown(value)}: pass a number or a numpy array of float64")
    if isinstance(value, np.ndarray) and value.dtype != np.float64:
        raise TypeError(f"log_p0 has dtype {value.dtype}: pass float64")
    log_p0 = np.asarray(value, dtype=np.float64)
    refuse(np, "log_p0", log_p0, ~((log_p0 < 0) & (log_p0 > -np.inf)), "log p0 must be negative and finite")
    return log_p0


def index(name: str, value: Any, size: int) -> int:
    """`count` for a position below a size."""
    position = count(name, value, 0)
    if position >= size:
        raise ValueError(f"{name} is {position}: valid are 0 to {size - 1}")
    return position
