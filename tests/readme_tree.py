"""The README's file tree, made from the first sentence of every file: `python tests/readme_tree.py` writes it anew."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START, STOP = "<!-- tree: python tests/readme_tree.py -->\n", "<!-- end of tree -->\n"
WIDTH = 30
REST = """\
Makefile                      setup, demo, test and its groups, coverage, bench, reliability, lint, figures, docs.
docs/                         Getting started, your model, training, theory, estimators, evidence, API (`make docs`).
tests/                        The laws over the registry, independent references, the commands as a user runs them.
"""


def tree() -> str:
    """One line a file, folders by their package's sentence."""
    lines = []
    for top in ("qtheory", "qtrain", "figures", "qcommand"):
        lines.append(_line(f"{top}/", ROOT / top / "__init__.py"))
        lines += _files(ROOT / top, "  ") + _folders(ROOT / top, "  ")
        if top == "qtrain":
            configs = ", ".join(sorted(path.stem for path in (ROOT / top / "configs").glob("*.toml")))
            lines.append(f"{'  configs/':<{WIDTH}}Shipped configurations: {configs}.")
    return "\n".join(lines) + "\n" + REST


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


def with_tree(readme: str) -> str:
    """The README with its tree replaced."""
    before, rest = readme.split(START)
    return f"{before}{START}```text\n{tree()}```\n{STOP}{rest.split(STOP)[1]}"


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_tree(path.read_text(encoding="utf-8")), encoding="utf-8")
