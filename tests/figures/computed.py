"""A figure's data as a class attribute of its tests: computed when the first test of a process asks for it."""

from collections.abc import Callable
from functools import cache
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Computed(Generic[T]):
    """Stands for what a function gives. Collecting the tests computes nothing."""

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute = cache(compute)

    def __get__(self, instance: object, owner: type) -> T:
        # pytest looks at every attribute of the class while it collects.
        found: Any = self if instance is None else self._compute()
        return found
