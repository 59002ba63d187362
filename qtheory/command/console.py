"""Consoles that print text literally: rich's markup and emoji codes in paths, names and records have no effect.

All consoles are made here; a test of the architecture checks it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


class TextConsole(Console):
    """A console that prints strings as they are, in tables and their titles too.

    Args:
        stderr: Print to standard error instead of standard output.
        soft_wrap: Let the terminal wrap long lines.
    """

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)

    def on_broken_pipe(self) -> None:
        """Re-raise the error that rich is handling; `qtheory.command.run` ends the command."""
        raise


@contextmanager
def status() -> Iterator[Callable[[str], None]]:
    """A progress line on standard error, shown if that is a terminal.

    Yields:
        A function that changes the text of the line.
    """
    console = TextConsole(stderr=True)
    # The default spinner is not ASCII, and rich does not replace it where the encoding lacks it.
    spinner = "dots" if console.encoding.startswith("utf") else "line"
    with console.status(Text(), spinner=spinner) as shown:
        yield lambda text: shown.update(Text(text))
