"""Ctrl-C and a polite kill (SIGTERM) during training: the first waits for the end of the step, the second does not."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """An interrupt whose text says what became of the run."""


class Interrupts:
    """Holds a first interrupt back until `check`, unless `at_once` is open.

    Attributes:
        held: Whether one is waiting.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.held = False
        self._tell, self._at_once = tell, False

    def check(self) -> None:
        """Raise what was held back.

        Raises:
            KeyboardInterrupt: There was an interrupt.
        """
        if self.held:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within, an interrupt is raised where it comes: nothing would be lost."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal.

        Raises:
            KeyboardInterrupt: It is the second, or `at_once` is open.
        """
        del number, frame
        if self.held or self._at_once:
            self.held = True
            raise KeyboardInterrupt
        self.held = True
        self._tell(
            "interrupted: the step is finished first, then a checkpoint written; interrupt again to stop at once"
        )


@contextmanager
def held_interrupts(tell: Callable[[str], None]) -> Iterator[Interrupts]:
    """Hold interrupts back within. Outside the main thread, which alone gets signals, this does nothing.

    Args:
        tell: Gets a line for the user at the first interrupt.
    """
    interrupts = Interrupts(tell)
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.signal(number, interrupts.handle) for number in _SIGNALS}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
