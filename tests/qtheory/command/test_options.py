"""Every option that takes whole numbers, of every command: out of range, or no whole number, is one line."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args, get_type_hints

import pytest
from cyclopts import App

from figures import cli as evidence
from qtheory import cli as theory
from qtheory.command.options import LARGEST, whole_number
from qtheory.command.run import run_app
from qtrain import cli as trainer

NEEDED = {
    "train": "config",
    "evaluate": "run",
    "measure": "config",
    "export": "run out",
    "compare": "config --estimator grpo --out out",
    "run": "study",
    "report": "run --output page",
    "check": "finqa --path file",
    "show": "finqa",
}
"""What else a command must be given."""


def takes_int(hint: Any) -> bool:
    """Whether a type is int, or holds it somewhere."""
    return hint is int or any(takes_int(inner) for inner in get_args(hint))


def options(app: App, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every option with an integer, and the words of its command."""
    for name in app:
        if name.startswith("-"):
            continue
        inner = app[name]
        if inner.default_command is None:
            yield from options(inner, *path, name)
        elif inner.default_command is not None:
            hints = get_type_hints(inner.default_command, include_extras=True)
            for parameter in inspect.signature(inner.default_command).parameters:
                if takes_int(hints[parameter]):
                    option = f"--{parameter.replace('_', '-')}"
                    yield (*path, name, *NEEDED.get(name, "").split()), option


CASES = [
    pytest.param(program.main, program.PROGRAM, words, option, id=" ".join((program.PROGRAM, *words[:2], option)))
    for program in (trainer, theory, evidence)
    for words, option in options(program.app)
]


def test_there_are_such_options() -> None:
    assert {"--seed", "--seeds", "--jobs", "--threads", "--vocabularies", "--n"} <= {case.values[3] for case in CASES}


@pytest.mark.parametrize(("main", "program", "words", "option"), CASES)
@pytest.mark.parametrize(
    "value", ["-1", "99999999999999999999", "9" * 5000, "-" + "9" * 5000, "1.5", "1e3", "", "many"]
)
def test_a_number_that_cannot_be(
    main: Callable[[list[str]], None],
    program: str,
    words: tuple[str, ...],
    option: str,
    value: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*words, f"{option}={value}"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert re.match(rf"{program}: {option} \S*: (at least|at most|a whole number between) \d", error)
    assert error.count("\n") == 1
    assert len(error) < 200


@pytest.mark.parametrize(
    ("words", "read"),
    [("--n 1", 1), ("--n 9", 9), ("", None), ("--n 0", "--n 0: at least 1 is"), ("--n 10", "--n 10: at most 9 is")],
)
def test_bounds(words: str, read: int | str | None, capsys: pytest.CaptureFixture[str]) -> None:
    app = App()

    @app.default
    def command(*, n: Annotated[int | None, whole_number(1, 9)] = None) -> None:
        assert n == read

    if isinstance(read, str):
        with pytest.raises(SystemExit):
            run_app("some", app, words.split(), refused=(Exception,), interrupted="")
        assert read in capsys.readouterr().err
    else:
        assert run_app("some", app, words.split(), refused=(), interrupted="") == 0


def test_several_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    app, read = App(), list[int]()

    @app.default
    def command(*, n: Annotated[list[int], whole_number(2)]) -> None:
        read.extend(n)

    assert run_app("some", app, ["--n", "2", "--n", str(LARGEST)], refused=(), interrupted="") == 0
    assert read == [2, LARGEST]
    with pytest.raises(SystemExit):
        run_app("some", app, ["--n", "2", "--n", "1"], refused=(Exception,), interrupted="")
    assert "some: --n 1: at least 2 is needed" in capsys.readouterr().err
