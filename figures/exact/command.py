"""Run `python -m figures accuracy` and `speed`: measure under a progress line, write a file, print a table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from figures.exact.errors import accuracy, accuracy_json, accuracy_table
from figures.exact.speed import speed, speed_json, speed_table
from qtheory.command.console import TextConsole, status
from qtheory.command.files import check_path, write_outputs
from qtrain.errors import UserError

T = TypeVar("T")


def accuracy_command(json: Path | None, *, quick: bool) -> int:
    """See `figures.cli.accuracy`. Returns the exit status: 1 if an error is larger than promised."""
    result = _measure(lambda progress: accuracy(quick, progress), accuracy_table, accuracy_json, json)
    return 0 if result.within_bounds else 1


def speed_command(json: Path | None, *, quick: bool) -> None:
    """See `figures.cli.speed`."""
    _measure(lambda progress: speed(quick, progress), speed_table, speed_json, json)


def _measure(run: Callable[..., T], table: Callable[[T], Any], text: Callable[[T], str], output: Path | None) -> T:
    try:
        if output is not None:
            check_path("--json", output)
    except ValueError as error:
        raise UserError(str(error)) from None
    with status() as show:
        result = run(show)
    failure = write_outputs([("--json", output, text(result))] if output is not None else [])
    TextConsole().print(table(result))
    if failure is not None:
        raise UserError(failure)
    return result
