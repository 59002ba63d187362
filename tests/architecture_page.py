"""Write the finder and the file tree of docs/architecture.md: `python tests/architecture_page.py`."""

import ast
import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cyclopts import App

from figures.claims import TRANSFORMER
from figures.cli import app as evidence
from figures.registry import FIGURES
from qtheory.claims import CLAIMS
from qtheory.cli import app as theory
from qtheory.estimators import ESTIMATORS
from qtrain.cli import app as product
from qtrain.rollout import transformers, vllm
from qtrain.tasks import TASKS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
WIDTH = 30
OTHERS = """\
Makefile                      setup, demo, test and its groups, coverage, bench, reliability, lint, figures, docs.
docs/                         Getting started, your model, training, theory, estimators, evidence, API (`make docs`).
tests/                        The laws over the registry, independent references, the commands as a user runs them.
"""


def finder() -> str:
    """A table from the name of each claim, estimator, task, engine, command and figure to its file."""
    rows: list[tuple[str, str, list[str]]] = []
    for label, claim in CLAIMS.items():
        files = [_file(claim.check)]
        if label in TRANSFORMER:
            files.append(_file(TRANSFORMER[label]))
        rows.append(("claim", label, files))
    rows += [("estimator", f"`{name}`", [_file(spec.function)]) for name, spec in ESTIMATORS.items()]
    rows += [("task", f"`{name}`", _task_files(name, entry.build, entry.config)) for name, entry in TASKS.items()]
    rows += [("engine", "`transformers`", [_file(transformers)]), ("engine", "`vllm`", [_file(vllm)])]
    for program, app in (("qtrain", product), ("qtheory", theory), ("python -m figures", evidence)):
        rows += [("command", f"`{program} {name}`", [_file(command)]) for name, command in _commands(app)]
    rows += [("figure", f"`{name}`", [_file(entry.plot)]) for name, entry in FIGURES.items()]
    lines = ["| kind | name | file |", "|---|---|---|"]
    lines += [f"| {kind} | {name} | {', '.join(f'`{file}`' for file in files)} |" for kind, name, files in rows]
    return "\n".join(lines) + "\n"


def _task_files(name: str, *objects: str) -> list[str]:
    """The file of a data set's own format if there is one, and those of the task and its configuration."""
    files = [f"qtrain/tasks/{name}.py", *(path.partition(":")[0].replace(".", "/") + ".py" for path in objects)]
    return [file for file in dict.fromkeys(files) if (ROOT / file).exists()]


def _commands(app: App, prefix: str = "") -> Iterable[tuple[str, Callable[..., Any]]]:
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        if command.default_command is None:
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", _implementation(command.default_command)


def _implementation(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a command line's function imports and calls, or the function itself."""
    source = inspect.unwrap(command)
    imports = re.findall(r"from ([\w.]+) import (\w+_command)\b", inspect.getsource(source))
    if not imports:
        return source
    module, name = imports[0]
    return getattr(__import__(module, fromlist=[name]), name)


def _file(code: Any) -> str:
    path = inspect.getsourcefile(inspect.unwrap(code) if callable(code) else code)
    assert path is not None
    return Path(path).resolve().relative_to(ROOT).as_posix()


def tree() -> str:
    """One line a file, folders by their package's sentence."""
    lines = []
    for top in ("qtheory", "qtrain", "figures"):
        lines.append(_line(f"{top}/", ROOT / top / "__init__.py"))
        lines += _files(ROOT / top, "  ") + _folders(ROOT / top, "  ")
        if top == "qtrain":
            configs = ", ".join(sorted(path.stem for path in (ROOT / top / "configs").glob("*.toml")))
            lines.append(f"{'  configs/':<{WIDTH}}Shipped configurations: {configs}.")
    return "\n".join(lines) + "\n" + OTHERS


def _folders(folder: Path, indent: str) -> list[str]:
    lines = []
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        lines.append(_line(f"{indent}{inner.name}/", inner / "__init__.py"))
        lines += _files(inner, indent + "  ") + _folders(inner, indent + "  ")
    return lines


def _files(folder: Path, indent: str) -> list[str]:
    return [_line(indent + path.name, path) for path in sorted(folder.glob("*.py")) if not path.name.startswith("__")]


def _line(name: str, path: Path) -> str:
    sentence = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    return f"{name:<{WIDTH}}{' '.join(sentence.split())}"


def generated(page: str) -> str:
    """The page with its finder and its tree replaced."""
    for name, content in (("finder", finder()), ("tree", f"```text\n{tree()}```\n")):
        start, stop = f"<!-- {name}: python tests/architecture_page.py -->\n", f"<!-- end of {name} -->\n"
        before, after = page.split(start)
        page = f"{before}{start}{content}{stop}{after.split(stop)[1]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
