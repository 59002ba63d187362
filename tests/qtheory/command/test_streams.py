"""Standard streams that are closed, full, or of another encoding: no traceback, and what can be written is written."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qtheory.cli import main
from qtheory.command.run import run_app

ROOT = Path(__file__).parents[3]


def start(words: str, **streams: object) -> "subprocess.Popen[str]":
    """Begin a command of the theory, which imports no torch."""
    command = [sys.executable, "-m", *words.split()]
    # Buffered, as for users: what a buffer holds is written once more at Python's end.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **streams)  # pyright: ignore


@pytest.mark.parametrize("words", ["qtheory escape", "qtheory --help", "qtheory --version", "figures plot --list"])
def test_a_reader_that_left(words: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(words, stdout=writer)
    os.close(writer)
    _, error = process.communicate()
    assert (process.returncode, error) == (141, "")


def test_no_standard_output_at_all() -> None:
    process = start("qtheory escape", preexec_fn=lambda: os.close(1))
    _, error = process.communicate()
    assert (process.returncode, error) == (0, "")


def test_a_full_disk_behind_standard_output() -> None:
    with Path("/dev/full").open("w") as full:
        process = start("qtheory escape", stdout=full)
        _, error = process.communicate()
    assert process.returncode == 2
    assert error == "qtheory: standard output, or a file: No space left on device; choose another path\n"


def test_files_are_written_though_the_reader_left(tmp_path: Path) -> None:
    """The table comes after them."""
    reader, writer = os.pipe()
    os.close(reader)
    process = start(f"qtheory escape --json {tmp_path / 'rows.json'}", stdout=writer)
    os.close(writer)
    process.communicate()
    assert json.loads((tmp_path / "rows.json").read_text())


class Terminal(io.TextIOWrapper):
    """A stream in memory of some encoding, strict as Python's own standard output."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)

    @property
    def text(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_another_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, error = Terminal(encoding), Terminal(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", error)
    with pytest.raises(SystemExit) as stop:
        main(["verify", "Prop 4.1", "--quick"])
    assert stop.value.code == 0
    assert ("≤" if encoding == "utf-8" else r"\u2264") in out.text
    assert out.text.endswith("1 of 1 claims as recorded\n")
    with pytest.raises(SystemExit) as stop:
        main(["verify", "--json", "ré\udcff/😀.json"])
    assert stop.value.code == 2
    shown = {"ascii": r"r\xe9\udcff/\U0001f600", "latin-1": r"ré\udcff/\U0001f600", "utf-8": r"ré\udcff/😀"}
    assert f"qtheory: --json {shown[encoding]}.json: no folder" in error.text
    assert error.text.count("\n") == 1


def test_an_error_line_is_one_line_of_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    def app(*_: object, **__: object) -> None:
        raise KeyError("a  [b]:smile:\n\n  c\x1b[31m\x9b\x00")

    class Refused(KeyError):
        def __str__(self) -> str:
            return str(self.args[0])

    def refusing(*_: object, **__: object) -> None:
        raise Refused("a  [b]:smile:\n\n  c\x1b[31m\x9b\x00")

    with pytest.raises(SystemExit) as stop:
        run_app("some", refusing, None, refused=(Refused,), interrupted="")
    assert stop.value.code == 2
    assert capsys.readouterr().err == "some: a  [b]:smile: c\\x1b[31m\\x9b\\x00\n"
    # What is nobody's bad input is a fault of the program, and is shown whole.
    with pytest.raises(KeyError):
        run_app("some", app, None, refused=(Refused,), interrupted="")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError("Unable to allocate 9 GiB"), "out of memory: Unable to allocate 9 GiB; ask for fewer"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9"), "out of memory: DefaultCPUAllocator"),
        (OSError(36, "File name too long", "x" * 500), f"{'x' * 200}...: File name too long; choose another path"),
    ],
)
def test_what_a_machine_refuses(error: Exception, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    def app(*_: object, **__: object) -> None:
        raise error

    with pytest.raises(SystemExit) as stop:
        run_app("some", app, None, refused=(), interrupted="")
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"some: {line}")
    assert said.count("\n") == 1


def test_a_null_byte_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["verify", "--json", "a\0b"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "qtheory: a null byte: no name and no value has one\n"
