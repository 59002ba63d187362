"""How a command ends: one line on standard error and an exit status for bad input, interrupts and closed streams."""

import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from qtheory.command.extras import missing_extra_in_one_line
from qtheory.command.interrupts import INTERRUPTED, handle_interrupts, leave_at_once

REFUSED, CLOSED = 2, 141
"""Exit statuses: bad input, and a reader of standard output that left (128 and the signal's number)."""


@contextmanager
def importing(program: str) -> Iterator[None]:
    """Let an interrupt end the process at once while a command imports what it needs, as nothing is begun yet.

    Args:
        program: The command's name.
    """
    leave_at_once(program)
    try:
        with missing_extra_in_one_line(program):
            yield
    finally:
        handle_interrupts(signal.default_int_handler)


def run_app(
    program: str,
    app: Callable[..., Any],
    words: Sequence[str] | None,
    *,
    refused: tuple[type[Exception], ...],
    interrupted: str,
) -> int:
    """Run a command line. What cannot be done is said in one line, and ends the process by SystemExit.

    Args:
        program: The command's name, which opens every such line.
        app: The cyclopts app.
        words: The command line without the program; None takes that of the process.
        refused: Exceptions about bad input, whose message is for the user.
        interrupted: What an interrupt leaves and how to go on, where the KeyboardInterrupt itself does not say.

    Returns:
        The exit status that the command returned, 0 where it returned none.
    """
    try:
        handle_interrupts(signal.default_int_handler)
        _take_any_text()
        if any("\0" in word for word in words or ()):
            refuse(program, "a null byte: no name and no value has one")
        status = app(words, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except refused as error:
        refuse(program, f"{error}{_valid_options(error)}")
    except BrokenPipeError:
        # `| head` has what it wanted.
        sys.exit(CLOSED)
    except OSError as error:
        # What no command could foresee: a name too long for the file system, a disk that fails.
        reason = error.strerror or str(error)
        where = "standard output, or a file" if error.filename is None else _short(error.filename)
        refuse(program, f"{where}: {reason}; choose another path")
    except (MemoryError, RuntimeError) as error:
        if not _is_about_memory(error):
            raise
        refuse(program, f"out of memory: {_short(error)}; ask for fewer or smaller things at a time")
    except KeyboardInterrupt as interrupt:
        _say(program, f"interrupted; {str(interrupt) or interrupted}")
        sys.exit(INTERRUPTED)
    finally:
        _let_go_of_closed_streams()
    return status if isinstance(status, int) else 0


def refuse(program: str, message: str) -> NoReturn:
    """End the process over bad input, in one line."""
    _say(program, message)
    sys.exit(REFUSED)


def _valid_options(error: Exception) -> str:
    """The end of cyclopts' line about an unknown option where it found none that is near."""
    arguments = getattr(error, "argument_collection", None)
    if arguments is None or "Did you mean" in str(error):
        return ""
    return f" Valid are: {', '.join(one.name for one in arguments if one.parse and one.name.startswith('--'))}"


def _say(program: str, message: str) -> None:
    """Write one line: breaks become spaces, and what could change the terminal's state is shown by its code."""
    text = " ".join(line.strip() for line in message.splitlines() if line.strip())
    text = re.sub("[\x00-\x1f\x7f-\x9f]", lambda one: f"\\x{ord(one[0]):02x}", text)
    with suppress(OSError):
        sys.stderr.write(f"{program}: {text}\n")
        sys.stderr.flush()


def _take_any_text() -> None:
    """Write what the terminal's encoding lacks by its code, and nothing where standard output was closed."""
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _let_go_of_closed_streams() -> None:
    """Write nothing more to a stream that takes nothing, or Python would complain of it at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


def _is_about_memory(error: Exception) -> bool:
    """Whether memory ran out, by Python's own exception or torch's, which is a RuntimeError on a CPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _short(what: object) -> str:
    text = " ".join(str(what).split())
    return text if len(text) <= 200 else f"{text[:200]}..."
