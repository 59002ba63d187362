"""What the exact moments accept: forms, q and counts, with one-line refusals."""

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from qtheory._arrays import refuse


def known_form(form: str, forms: Sequence[str]) -> None:
    """Check a form's name.

    Args:
        form: What was passed.
        forms: The valid names.

    Raises:
        ValueError: It is none of them; the nearest is given.
    """
    if form not in forms:
        near = difflib.get_close_matches(str(form), forms, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"valid are: {', '.join(forms)}"
        raise ValueError(f"unknown form {form!r}; {hint}")


def numbers(name: str, value: Any, advice: str) -> np.ndarray:
    """Check a real number or an array of them.

    Args:
        name: The argument's name, for messages.
        value: What was passed.
        advice: What to pass instead, as the end of the message.

    Returns:
        A float64 array.

    Raises:
        TypeError: It is neither.
    """
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        array = None
    if array is None or isinstance(value, (bool, str)):
        raise TypeError(f"{name} is {value!r:.60}: pass {advice}")
    return array


def orders(q: Any) -> np.ndarray:
    """Check q, a number or an array of numbers in [0, 1].

    Raises:
        TypeError: It is neither.
        ValueError: It is outside [0, 1] or NaN.
    """
    value = numbers("q", q, "a number or an array of numbers in [0, 1]")
    refuse(np, "q", value, ~((value >= 0) & (value <= 1)), "q must lie in [0, 1]")
    return value


def counts(name: str, value: Any) -> np.ndarray:
    """Check an integer or an array of integers, of at least 1.

    Raises:
        TypeError: It is neither.
        ValueError: One is below 1.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} is {value!r:.60}: pass an integer or an array of integers of at least 1")
    refuse(np, name, array, array < 1, "at least one draw is needed")
    return array


def broadcast(**arrays: np.ndarray) -> tuple[tuple[int, ...], list[np.ndarray]]:
    """Broadcast named arrays and lay them out as cells.

    Returns:
        The common shape, and each array flat, (C,).

    Raises:
        ValueError: They do not broadcast.
    """
    try:
        together = np.broadcast_arrays(*arrays.values())
    except ValueError:
        *names, last = arrays
        *shapes, final = (str(array.shape) for array in arrays.values())
        raise ValueError(
            f"{', '.join(names)} and {last} have shapes {', '.join(shapes)} and {final}: they must broadcast"
        ) from None
    return together[0].shape, [array.ravel() for array in together]
