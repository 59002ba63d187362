"""Text is text: what looks like rich's markup or emoji codes is printed as it is, on every console there is."""

import ast
import io
from pathlib import Path

import pytest
from rich.table import Table

from figures.cli import app as figures
from qtheory.cli import app as theory
from qtheory.command.console import TextConsole, status
from qtrain.cli import app as trainer
from qtrain.progress import ProgressDisplay, ProgressUpdate

ROOT = Path(__file__).parents[3]
HOSTILE = "[/b] [red]x[/red] :smile: \\[ [link=http://a]y[/link] 'z' 1e-3"
SOURCES = [path for package in ("qtheory", "qtrain", "figures") for path in (ROOT / package).rglob("*.py")]
CONSOLE = ROOT / "qtheory" / "command" / "console.py"


def faults(source: str) -> list[str]:
    """Where a file makes a console of its own, or has rich read markup."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            for alias in node.names:
                whole = f"{module}.{alias.name}" if module else alias.name
                forbidden = (
                    "console",
                    "print",
                    "get_console",
                    "inspect",
                    "status",
                    "markup",
                    "prompt",
                    "emoji",
                    "live",
                )
                if whole.startswith("rich.") and whole.split(".")[1] in forbidden:
                    found.append(whole)
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            plain = any(one.arg == "markup" and getattr(one.value, "value", 1) is False for one in node.keywords)
            if name in {"from_markup", "track"} or (name == "TextColumn" and not plain):
                found.append(name)
    return found


def test_consoles_are_made_in_one_place() -> None:
    assert {
        str(path): found for path in SOURCES if path != CONSOLE and (found := faults(path.read_text("utf-8")))
    } == {}


@pytest.mark.parametrize(
    "source",
    [
        "from rich.console import Console",
        "import rich.console",
        "from rich import print",
        "from rich.status import Status",
        "from rich.text import Text\nText.from_markup('a')",
        "from rich.progress import track\ntrack([1])",
        "from rich.progress import TextColumn\nTextColumn('a')",
        "from rich.progress import TextColumn\nTextColumn('a', markup=True)",
    ],
)
def test_a_new_one_would_be_seen(source: str) -> None:
    assert faults(source) != []
    assert faults("from rich.table import Table\nTextColumn('a', markup=False)") == []


def test_lines_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    console = TextConsole()
    console.print(HOSTILE)
    console.out(HOSTILE)
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE)
    console.print(table, width=200)
    console.rule(HOSTILE, align="left")
    assert capsys.readouterr().out.count(HOSTILE) == 7


class Terminal(io.StringIO):
    """Takes what a terminal is shown."""

    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error from now on, as a wide terminal."""
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    for name, value in {"COLUMNS": "200", "TERM": "xterm", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    return shown


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    monkeypatch.setattr("qtrain.progress.console", TextConsole(stderr=True))
    with ProgressDisplay(f"title {HOSTILE}", total=1) as board:
        board.show(ProgressUpdate(f"label {HOSTILE}", 1, 2, f"note {HOSTILE}"))
    for word in ("title", "label", "note"):
        assert f"{word} {HOSTILE}" in shown.getvalue()


def test_status(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    with status() as show:
        show(HOSTILE)
    assert HOSTILE in shown.getvalue()


def test_the_status_line_is_ascii_where_the_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    monkeypatch.setattr(Terminal, "encoding", "ascii")
    with status() as show:
        show("going on")
    assert shown.getvalue().isascii()


@pytest.mark.parametrize("name", ["[a", "[1]", "[red]x[/red]", "{a}", '{"a": 1}'])
def test_a_word_that_looks_like_json_is_a_word(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (run,) = trainer.parse_args(["report", name, "-o", "page.html"], exit_on_error=False, print_error=False)[1].args
    assert run == Path(name)
    words = trainer.parse_args(["train", name, name], exit_on_error=False, print_error=False)[1].args
    assert words == (Path(name), name)
    words = trainer.parse_args(["data", "check", "finqa", "--path", name], exit_on_error=False, print_error=False)[1]
    assert words.kwargs["path"] == Path(name)
    words = trainer.parse_args(
        ["compare", "x", "--estimator", name, "--out", "o"], exit_on_error=False, print_error=False
    )
    assert words[1].kwargs["estimator"] == [name]
    assert theory.parse_args(["verify", name], exit_on_error=False, print_error=False)[1].args == (name,)
    assert figures.parse_args(["plot", name], exit_on_error=False, print_error=False)[1].args == (name,)
