"""Handle Ctrl-C and SIGTERM during training: the first waits for the end of the step, the second stops at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """An interrupt whose text describes how the run can be continued."""


class Interrupts:
    """Delay the first interrupt until `check`, except inside `at_once`.

    Args:
        tell: Called with a line for the user at the first interrupt.

    Attributes:
        held: Whether an interrupt is waiting.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.held = False
        self._tell, self._at_once = tell, False

    def check(self) -> None:
        """Raise a delayed interrupt.

        Raises:
            KeyboardInterrupt: An interrupt was delayed.
        """
        if self.held:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside this context an interrupt is raised immediately, because no work would be lost."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: It is the second, or occurs inside `at_once`.
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
    """Delay interrupts inside this context. It has no effect outside the main thread, which receives all signals.

    Args:
        tell: Called with a line for the user at the first interrupt.
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
