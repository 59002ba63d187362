"""Splits: which records of one file are held out, the halves of what is held out, and sub-samples by seed."""

import zlib
from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np

from qtrain.errors import UserError

HELD_OUT_SHARE = 8
"""Of a single file one page (or record, where the data set has no pages) in so many is held out, by a hash."""

Half = Literal["validation", "test"]

T = TypeVar("T")


def is_held_out(page: str) -> bool:
    """Whether a page of a single file is held out, by a hash of its name: the same whatever else the file holds."""
    return zlib.crc32(page.encode()) % HELD_OUT_SHARE == 0


def half_of(page: str) -> Half:
    """Which half of the held-out records a page is in, by bits of the hash that `is_held_out` does not read."""
    return "test" if zlib.crc32(page.encode()) // HELD_OUT_SHARE % 2 else "validation"


def sub_sample(items: Sequence[T], size: int | None, rng: np.random.Generator, what: str) -> list[T]:
    """Draw `size` items without replacement, uniformly, and leave them in their order.

    Args:
        items: What to draw from.
        size: How many; None takes them all.
        rng: Source of randomness.
        what: The setting that gave `size`, for the error line.

    Raises:
        UserError: There are fewer than `size`.
    """
    if size is None:
        return list(items)
    if size > len(items):
        raise UserError(f"{what}={size}: there are {len(items)} after the filters; lower it or leave it out")
    return [items[index] for index in sorted(rng.choice(len(items), size=size, replace=False))]
