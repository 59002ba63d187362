"""Ctrl-C at every moment: one line and status 130, in the midst of imports too, and never where a shell ignores it."""

import os
import signal
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import pytest

from qtheory.command.interrupts import handle_interrupts, leave_at_once
from qtheory.command.run import importing, run_app

ROOT = Path(__file__).parents[3]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]

INTERRUPT = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
"""A module that sends Ctrl-C while it is imported, and whose importer sees a KeyboardInterrupt as any other error."""


@pytest.fixture(autouse=True)
def handlers():
    """Put them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def start(program: str, *words: str, before: Path, ignored: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a console script as pip writes it, with a folder of modules before all others.

    Args:
        program: The script's name.
        words: Its command line.
        before: That folder.
        ignored: Whether the shell that starts it ignores Ctrl-C.
    """
    module, function = SCRIPTS[program].split(":")
    script = f"import re, sys\nfrom {module} import {function}\nsys.exit({function}())"
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(before), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=heed,
    )


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("cyclopts", "qtrain --help"),
        ("torch", "qtrain export run out"),
        ("pydantic", "qtrain report run -o page.html"),
        ("cyclopts", "qtheory --help"),
        ("sympy", "qtheory verify"),
        ("numpy", "qtheory escape"),
    ],
)
def test_while_modules_are_imported(module: str, words: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(INTERRUPT)
    done = start(*words.split(), before=tmp_path)
    program = words.split()[0]
    assert (done.returncode, done.stderr) == (130, f"{program}: interrupted while it started or ended\n")


def test_a_background_job_goes_on(tmp_path: Path) -> None:
    # What ends it is the broken module.
    (tmp_path / "cyclopts.py").write_text(INTERRUPT)
    done = start("qtheory", "--help", before=tmp_path, ignored=True)
    assert done.returncode == 1
    assert "ImportError: cannot import name" in done.stderr


def test_figures_too(tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text(INTERRUPT)
    done = subprocess.run(
        [sys.executable, "-m", "figures", "plot", "--list"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stderr) == (130, "figures: interrupted while it started or ended\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_midst_of_a_command(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    def app(*_: object, **__: object) -> None:
        with importing("some"):
            pass
        os.kill(os.getpid(), number)

    with pytest.raises(SystemExit) as stop:
        run_app("some", app, None, refused=(), interrupted="go on")
    assert stop.value.code == 130
    assert capsys.readouterr().err == "some: interrupted; go on\n"


def test_a_command_may_say_what_it_left(capsys: pytest.CaptureFixture[str]) -> None:
    def app(*_: object, **__: object) -> None:
        raise KeyboardInterrupt("step 3 is kept")

    with pytest.raises(SystemExit) as stop:
        run_app("some", app, None, refused=(), interrupted="go on")
    assert stop.value.code == 130
    assert capsys.readouterr().err == "some: interrupted; step 3 is kept\n"


def test_what_a_shell_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_at_once("some")
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    handle_interrupts(signal.default_int_handler)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
