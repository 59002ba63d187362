"""Check the arguments of the exact moments: tasks, forms, counts and their common shape."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from qtheory._arrays import refuse, shown
from qtheory._numbers import together
from qtheory.command.names import did_you_mean
from qtheory.models.finite import FiniteTask


def known_form(form: str, forms: Sequence[str]) -> None:
    """Check a form's name.

    Args:
        form: The argument.
        forms: The valid names.

    Raises:
        ValueError: The form is unknown; the message suggests the nearest.
    """
    if form not in forms:
        raise ValueError(f"unknown form {shown(form)}; {did_you_mean(str(form), forms)}")


def counts(name: str, value: Any) -> np.ndarray:
    """Check an integer or an array of integers, of at least 1.

    Raises:
        TypeError: The value is neither.
        ValueError: An entry is below 1.
    """
    try:
        array = np.asarray(value)
    except ValueError:  # a ragged list
        array = None
    if array is None or array.dtype.kind not in "iu":
        raise TypeError(f"{name} is {shown(value)}: pass an integer or an array of integers of at least 1")
    refuse(np, name, array, array < 1, "at least one draw is needed")
    return array


def cells(**arrays: np.ndarray) -> tuple[tuple[int, ...], list[np.ndarray]]:
    """Broadcast named arrays and flatten them into cells.

    Returns:
        The common shape, and each array flattened, (C,).

    Raises:
        ValueError: The arrays do not broadcast.
    """
    broadcast = together(**arrays)
    return broadcast[0].shape, [array.ravel() for array in broadcast]


def finite_task(name: str, value: Any) -> FiniteTask:
    """Check for a finite task; TypeError otherwise."""
    if not isinstance(value, FiniteTask):
        raise TypeError(f"{name} is {shown(value)}, a {type(value).__name__}: pass a qtheory.models.FiniteTask")
    return value
