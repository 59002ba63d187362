"""Handle Ctrl-C and SIGTERM from the start of a command; this module imports nothing slow."""

import os
import signal
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 plus the signal's number."""


def leave_at_once(program: str) -> None:
    """Let an interrupt end the process with one line while modules are imported.

    A KeyboardInterrupt could be raised inside the import system, whose callbacks print it and continue.

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
    """Install a handler of SIGINT and SIGTERM, unless they are ignored, as a shell does for background jobs."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
