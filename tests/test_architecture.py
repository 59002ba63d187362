"""Rules of the architecture that import-linter, whose contracts name modules, would let a new module slip past."""

import ast
import re
from pathlib import Path

import pytest
from architecture_page import PAGE, finder, generated

ROOT = Path(__file__).resolve().parents[1]
SHARED = ("qtheory.estimators", "qtheory.tsallis", "qtheory.command")


def imported(path: Path) -> list[str]:
    """Every module that a file imports, at its top or inside a function."""
    modules = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules.append(node.module or "")
    return modules


@pytest.mark.parametrize("path", sorted((ROOT / "qtrain").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_qtrain_imports_of_qtheory_the_estimators_and_the_q_logarithm_alone(path: Path) -> None:
    theory = [module for module in imported(path) if module.split(".")[0] == "qtheory"]
    assert all(module in SHARED or module.startswith(("qtheory.estimators.", "qtheory.command.")) for module in theory)


@pytest.mark.parametrize("package", ["qtheory", "qtrain", "figures"])
def test_every_file_opens_with_what_it_is_for(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), path


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert generated(page) == page, "run python tests/architecture_page.py"


def test_every_file_of_the_finder_exists() -> None:
    files = re.findall(r"`([\w/]+\.py)`", finder())
    assert len(files) > 80
    assert all((ROOT / file).is_file() for file in files)
