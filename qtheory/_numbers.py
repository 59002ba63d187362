"""Check arguments that are numbers, arrays of numbers or functions; bad input gets a one-line error."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from qtheory._arrays import is_number, refuse, shown

_NUMBERS = "a number or an array of numbers"


def numbers(name: str, value: Any, advice: str = _NUMBERS) -> np.ndarray:
    """Check for a real number or an array of numbers: anything that numpy reads as integers or floats.

    Args:
        name: The argument's name, for messages.
        value: The argument.
        advice: Kind of value to pass instead, as the end of the message.

    Returns:
        A float64 array.

    Raises:
        TypeError: The value is neither, for example text, a boolean, None, a ragged list or a tensor on a GPU.
        ValueError: The value is a tensor that requires grad.
    """
    if getattr(value, "requires_grad", False):
        raise ValueError(f"{name} requires grad: pass {name}.detach()")
    try:
        array = np.asarray(float(value) if is_number(value) else value)
    except (TypeError, ValueError, OverflowError):
        array = None
    if array is None or array.dtype.kind not in "iuf":
        raise TypeError(f"{name} is {shown(value)}, a {type(value).__name__}: pass {advice}")
    return array.astype(np.float64)


def number(name: str, value: Any) -> float:
    """`numbers` for a single number.

    Raises:
        TypeError: The value is not a number.
        ValueError: The value is an array with axes, or a tensor that requires grad.
    """
    return single(name, numbers(name, value, "a number"))


def single(name: str, array: np.ndarray) -> float:
    """The number in a checked 0-d array; ValueError if the array has axes."""
    if array.ndim:
        raise ValueError(f"{name} has shape {array.shape}: pass a single number")
    return float(array)


def order(q: Any) -> np.ndarray:
    """The order q as a float64 array in [0, 1]; TypeError or ValueError otherwise."""
    array = numbers("q", q, "a number or an array of numbers in [0, 1]")
    refuse(np, "q", array, ~((array >= 0) & (array <= 1)), "q must lie in [0, 1]")
    return array


def positive(name: str, value: Any) -> np.ndarray:
    """A float64 array of positive, finite numbers; TypeError or ValueError otherwise."""
    array = numbers(name, value)
    refuse(np, name, array, ~((array > 0) & (array < math.inf)), "it must be positive and finite")
    return array


def non_negative(name: str, value: Any) -> np.ndarray:
    """A float64 array of non-negative, finite numbers; TypeError or ValueError otherwise."""
    array = numbers(name, value)
    refuse(np, name, array, ~((array >= 0) & (array < math.inf)), "it must be non-negative and finite")
    return array


def fraction(name: str, value: Any) -> float:
    """A number in [0, 1), as a decay or a momentum; TypeError or ValueError otherwise."""
    share = number(name, value)
    if not 0 <= share < 1:
        raise ValueError(f"{name} is {share}: it must lie in [0, 1)")
    return share


def vector(name: str, value: Any) -> np.ndarray:
    """A float64 array (N,) of finite numbers, N at least 1; TypeError or ValueError otherwise."""
    array = numbers(name, value, "an array of numbers")
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}: pass one axis of at least one number")
    refuse(np, name, array, ~np.isfinite(array), "it must be finite")
    return array


def count(name: str, value: Any, least: int) -> int:
    """Check an integer with a lower bound.

    Args:
        name: The argument's name, for messages.
        value: The argument.
        least: The smallest valid value.

    Returns:
        The integer.

    Raises:
        TypeError: The value is not an integer.
        ValueError: The value is below `least`.
    """
    try:
        integer = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        integer = None
    if integer is None:
        raise TypeError(f"{name} is {shown(value)}: pass an integer of at least {least}")
    if integer < least:
        raise ValueError(f"{name} is {integer}: it must be at least {least}")
    return integer


def flag(name: str, value: Any) -> bool:
    """A boolean of Python or numpy; TypeError otherwise, as any non-empty text would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {shown(value)}, a {type(value).__name__}: pass True or False")
    return bool(value)


def function(name: str, value: Any, signature: str) -> Callable[..., Any]:
    """Check for a callable.

    Args:
        name: The argument's name, for messages.
        value: The argument.
        signature: The expected arguments and result, as the end of the message.

    Returns:
        The function.

    Raises:
        TypeError: The value is not callable.
    """
    if not callable(value):
        raise TypeError(f"{name} is {shown(value)}, a {type(value).__name__}: pass a function {signature}")
    return value


def together(**arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Broadcast named arrays to their common shape.

    Raises:
        ValueError: The arrays do not broadcast.
    """
    try:
        return np.broadcast_arrays(*arrays.values())
    except ValueError:
        *names, last = arrays
        *shapes, final = (str(array.shape) for array in arrays.values())
        raise ValueError(
            f"{', '.join(names)} and {last} have shapes {', '.join(shapes)} and {final}: they must broadcast"
        ) from None
