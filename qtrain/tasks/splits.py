"""Split records into training and held-out ones, halve the held-out ones, and draw sub-samples."""

import zlib
from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np

from qtrain.errors import UserError

HELD_OUT_SHARE = 8
"""One in this number of pages of a single file (of records, if it has no pages) is held out, chosen by a hash."""

Half = Literal["validation", "test"]

T = TypeVar("T")


def is_held_out(page: str) -> bool:
    """True if a page of a single file is held out. A hash of its name decides, independently of other pages."""
    return zlib.crc32(page.encode()) % HELD_OUT_SHARE == 0


def half_of(page: str) -> Half:
    """The half of the held-out records that a page is in, by bits of the hash that `is_held_out` does not read."""
    return "test" if zlib.crc32(page.encode()) // HELD_OUT_SHARE % 2 else "validation"


def sub_sample(items: Sequence[T], size: int | None, rng: np.random.Generator, setting: str) -> list[T]:
    """Draw `size` items uniformly without replacement, and keep their order.

    Args:
        items: The items.
        size: Number of items to draw; None takes all.
        rng: Source of randomness.
        setting: The setting that `size` comes from, for the error message.

    Raises:
        UserError: There are fewer than `size` items.
    """
    if size is None:
        return list(items)
    if size > len(items):
        raise UserError(f"{setting}={size}: there are {len(items)} after the filters; lower it or leave it out")
    return [items[index] for index in sorted(rng.choice(len(items), size=size, replace=False))]
