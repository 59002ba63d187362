"""Compute escape exponents d log T / d log p0 from times; for the exact flow they tend to -(1-q) (Thm 5.2)."""

import numpy as np
from numpy.typing import ArrayLike

from qtheory._arrays import refuse, shown
from qtheory._numbers import numbers


def local_exponents(log_p0: ArrayLike, log_time: ArrayLike) -> np.ndarray:
    """Slopes of log T between neighbouring starts.

    T has a constant part besides its leading one, so they tend to -(1-q) only as p0^(1-q) tends to 0: near q = 1 use
    `increment_exponents`.

    Args:
        log_p0: (K,) log p0 in nats, increasing, K at least 2.
        log_time: (K, ...) log T.

    Returns:
        (K-1, ...) slopes.

    Raises:
        TypeError: An argument holds no numbers.
        ValueError: Shapes that differ, too few starts, starts that do not increase, or a value that is not finite.
    """
    x, y = _starts(log_p0, log_time, 2)
    return np.diff(y, axis=0) / _column(np.diff(x), y)


def increment_exponents(log_p0: ArrayLike, log_time: ArrayLike) -> np.ndarray:
    """Slopes of log(T(p0) - T(r p0)), in which the constant part of T cancels.

    The difference is the time from p0 to r p0, a constant times p0^-(1-q) (1 + O(p0)), at q = 1 too, where T is a
    logarithm.

    Args:
        log_p0: (K,) log p0 in nats, increasing in equal steps log r, K at least 3.
        log_time: (K, ...) log T for one delta, falling along the first axis.

    Returns:
        (K-2, ...) slopes.

    Raises:
        TypeError: An argument holds no numbers.
        ValueError: Shapes that differ, too few starts, starts not equally spaced, times that do not fall, or a value
            that is not finite.
    """
    x, y = _starts(log_p0, log_time, 3)
    if not np.allclose(np.diff(x), (x[-1] - x[0]) / (len(x) - 1), rtol=1e-9, atol=0):
        raise ValueError(
            f"log_p0 is {shown(x.tolist())}: increments need starts in equal steps of log p0, as geomspace gives them"
        )
    if not (np.diff(y, axis=0) < 0).all():
        raise ValueError("log_time does not fall as log_p0 rises: pass times to one delta, in the starts' order")
    increments = y[:-1] + np.log(-np.expm1(np.diff(y, axis=0)))
    return np.diff(increments, axis=0) / _column(np.diff(x)[:-1], y)


def _starts(log_p0: ArrayLike, log_time: ArrayLike, least: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = numbers("log_p0", log_p0), numbers("log_time", log_time)
    if x.ndim != 1 or y.shape[:1] != x.shape or x.size < least:
        raise ValueError(f"log_p0 has shape {x.shape} and log_time {y.shape}: pass (K,) and (K, ...), K >= {least}")
    for name, values in (("log_p0", x), ("log_time", y)):
        refuse(np, name, values, ~np.isfinite(values), "it must be finite")
    if not (np.diff(x) > 0).all():
        raise ValueError(f"log_p0 is {shown(x.tolist())}: it must increase")
    return x, y


def _column(steps: np.ndarray, like: np.ndarray) -> np.ndarray:
    return steps.reshape(-1, *[1] * (like.ndim - 1))
