"""Ctrl-C and a polite kill, from a command's first moment on: nothing that takes time to import is imported here."""

import os
import signal
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130
"""The exit status of what Ctrl-C ended: 128 and the signal's number."""


def leave_at_once(program: str) -> None:
    """Let an interrupt end the process in one line, as long as modules are imported.

    A KeyboardInterrupt could come up inside the import system, whose callbacks print it and go on.

    Args:
        program: The command's name, which opens the line.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        try:
            os.write(2, f"{program}: interrupted while it started or ended\n".encode())
        finally:
            os._exit(INTERRUPTED)

    handle_interrupts(leave)


def handle_interrupts(handler: Callable[[int, FrameType | None], object]) -> None:
    """Have Ctrl-C and a polite kill call this, except where a shell had them ignored, as of its background jobs."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
