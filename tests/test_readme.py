"""The README: its tree is the folders', its Python runs, its commands exist, its links lead somewhere."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from readme_tree import ROOT, with_tree

from figures.cli import app as evidence
from qtheory.cli import app as theory
from qtrain.cli import app

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tree_is_up_to_date() -> None:
    assert with_tree(README) == README, "run python tests/readme_tree.py"


def test_python_blocks_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        names: dict[str, object] = {}
        exec(block, names)
        coefficients = names["coef"]
        assert isinstance(coefficients, tuple)
        assert all(np.isfinite(part).all() for part in coefficients)


def test_the_numbers_beside_trl_are_the_benchmarks() -> None:
    section = json.loads((ROOT / "docs" / "benchmarks.json").read_text(encoding="utf-8"))["sections"]["update"]
    shape = {"prompt": 1500, "completion": 200, "samples": 32, "vocabulary": 32_000}
    at = {row["name"]: row for row in section["rows"] if shape.items() <= row.items()}

    def figures(name: str) -> tuple[str, str]:
        seconds = at[name]["seconds"]
        return f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}", f"{at[name]['bytes'] / 1e9:.2f}"

    ours, shipped, patched, plain = map(
        figures, ("qtrain", "TRL as shipped", "TRL, best settings, patched", "plain, 8 rows")
    )
    wanted = (
        f"{ours[0]} s and {ours[1]} GB on two CPU threads, where TRL {section['libraries']['trl']['trl']} takes "
        f"{shipped[0]} s and {shipped[1]} GB as shipped ({patched[0]} s and {patched[1]} GB with its head patched), "
        f"and whole rows {plain[0]} s and {plain[1]} GB"
    )
    assert wanted in " ".join(README.split())


@pytest.mark.parametrize("line", re.findall(r"^\$ (.*)$", README, re.MULTILINE))
def test_commands_exist(line: str) -> None:
    words = line.split("#")[0].split()
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "qtrain":
        app.parse_args(words[1:], exit_on_error=False, print_error=False)
        assert all((ROOT / word).exists() for word in words if word.endswith(".toml") and word != "mine.toml")
    elif words[0] == "qtheory":
        theory.parse_args(words[1:], exit_on_error=False, print_error=False)
    else:
        assert words[:3] == ["python", "-m", "figures"]
        evidence.parse_args(words[3:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(target: str) -> None:
    assert target.startswith("https://") or Path(ROOT / target).exists()
