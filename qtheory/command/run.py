"""Run a command line: bad input, interrupts and closed streams end it with one line and an exit status."""

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
"""Exit statuses for bad input, and for a closed standard output (128 plus SIGPIPE's number)."""


@contextmanager
def importing(program: str) -> Iterator[None]:
    """Let an interrupt end the process at once while a command imports its modules: no work has begun yet.

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
    arguments: Sequence[str] | None,
    *,
    refused: tuple[type[Exception], ...],
    interrupted: str,
) -> int:
    """Run a command line. An error prints one line and ends the process by SystemExit.

    Args:
        program: The command's name, which opens every error line.
        app: The cyclopts app.
        arguments: The command line without the program; None takes that of the process.
        refused: Exceptions for bad input, whose message is printed.
        interrupted: Message after an interrupt on what is left and how to resume, unless the KeyboardInterrupt has one.

    Returns:
        The exit status that the command returned, 0 if it returned none.
    """
    try:
        handle_interrupts(signal.default_int_handler)
        _escape_unencodable()
        if any("\0" in argument for argument in arguments or ()):
            refuse(program, "a null byte: no name and no value has one")
        status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except refused as error:
        refuse(program, f"{error}{_valid_options(error)}")
    except BrokenPipeError:
        # The reader, for example `| head`, has closed the pipe.
        sys.exit(CLOSED)
    except OSError as error:
        # Errors that no command can foresee: a name too long for the file system, a failing disk.
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
        _redirect_closed_streams()
    return status if isinstance(status, int) else 0


def refuse(program: str, message: str) -> NoReturn:
    """End the process with one line about bad input."""
    _say(program, message)
    sys.exit(REFUSED)


def _valid_options(error: Exception) -> str:
    """All valid options, to append to cyclopts' message if it suggests no similar option; otherwise ""."""
    arguments = getattr(error, "argument_collection", None)
    if arguments is None or "Did you mean" in str(error):
        return ""
    names = [argument.name for argument in arguments if argument.parse and argument.name.startswith("--")]
    return f" Valid are: {', '.join(names)}"


def _say(program: str, message: str) -> None:
    """Write one line: line breaks become spaces, and control characters are escaped."""
    text = " ".join(line.strip() for line in message.splitlines() if line.strip())
    text = re.sub("[\x00-\x1f\x7f-\x9f]", lambda match: f"\\x{ord(match[0]):02x}", text)
    with suppress(OSError):
        sys.stderr.write(f"{program}: {text}\n")
        sys.stderr.flush()


def _escape_unencodable() -> None:
    """Escape characters that the terminal's encoding lacks, and write to the null device if a stream is closed."""
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _redirect_closed_streams() -> None:
    """Redirect closed streams to the null device, as Python would print an error at shutdown otherwise."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


def _is_about_memory(error: Exception) -> bool:
    """Whether the error is about memory: MemoryError, or torch's error, which is a RuntimeError on a CPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _short(what: object) -> str:
    text = " ".join(str(what).split())
    return text if len(text) <= 200 else f"{text[:200]}..."
