"""Consoles on which text is text: markup and emoji codes of rich in paths, names and records mean nothing.

The one place where consoles are made (a test of the architecture sees to it).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


class TextConsole(Console):
    """A console that prints strings as they are, in tables and their titles too.

    Args:
        stderr: Print to standard error instead of standard output.
        soft_wrap: Leave long lines to the terminal.
    """

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)

    def on_broken_pipe(self) -> None:
        """Called inside rich's handler; `qtheory.command.run` ends the command."""
        raise


@contextmanager
def status() -> Iterator[Callable[[str], None]]:
    """A line on standard error that says what is going on, where that is a terminal.

    Yields:
        Changes the line.
    """
    console = TextConsole(stderr=True)
    # The default spinner's dots are no ASCII, and rich would not replace them.
    spinner = "dots" if console.encoding.startswith("utf") else "line"
    with console.status(Text(), spinner=spinner) as shown:
        yield lambda text: shown.update(Text(text))
