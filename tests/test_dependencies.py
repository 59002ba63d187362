"""What pyproject.toml declares is what is imported, and without an extra its commands say which to install."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from qtheory.command.extras import install_hint, missing_extra_in_one_line

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IN_PYDANTIC = {"pydantic_core"}
"""A package that a declared one is made of."""
OPTIONAL = {"vllm", "wandb", "trackio", "tensorboard"}
"""Engines and trackers, imported by name if a configuration asks for them."""


def declared(*extras: str) -> set[str]:
    """The modules of the base install and these extras, by their distributions' names."""
    requirements = list(PROJECT["dependencies"])
    for extra in extras:
        requirements += PROJECT["optional-dependencies"][extra]
    names = {re.match(r"[\w.-]+", requirement)[0] for requirement in requirements}  # type: ignore[index]
    return {name.lower().replace("-", "_") for name in names} - {"qcontinuum"}


def imported(*paths: str) -> set[str]:
    """The third-party modules that the files under these paths import, at their top or inside a function."""
    modules = set()
    for path in paths:
        root = ROOT / path
        for file in [root] if root.is_file() else root.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    modules.add((node.module or "").split(".")[0])
    return modules - set(sys.stdlib_module_names) - {"qtheory", "qtrain", "figures"} - IN_PYDANTIC


def test_each_package_declares_exactly_what_it_imports() -> None:
    base = imported("qtheory/estimators", "qtheory/tsallis.py", "qtheory/_arrays.py", "qtheory/_numbers.py")
    assert base == declared()
    assert imported("qtheory") == declared("theory")
    assert imported("qtrain") | base == declared("train")
    assert imported("figures") <= declared("theory", "train")


def without(*modules: str) -> str:
    """The beginning of a program that runs as if these modules were not installed."""
    return f"""
import importlib.abc, importlib.util, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {modules!r} else find_spec(name, package)
sys.meta_path.insert(0, Missing())
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)


def test_estimators_run_on_the_base_install() -> None:
    extras = sorted(declared("theory", "train") - declared())
    lines = "import numpy as np, qtheory.estimators as e, qtheory.tsallis as t\n"
    lines += "print(e.get('garl').function(np.log([[.1, .2]]), q=.75), t.log_q(.5, 1.))"
    done = run(without(*extras) + lines)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("program", "missing", "hint"),
    [
        ("qtheory", "rich", "rich is not installed: pip install 'qcontinuum[theory]'"),
        ("qtheory", "scipy", "scipy is not installed: pip install 'qcontinuum[theory]'"),
        ("qtrain", "cyclopts", "cyclopts is not installed: pip install 'qcontinuum[train]'"),
        ("qtrain", "torch", "torch is not installed: pip install 'qcontinuum[train]'"),
        ("figures", "transformers", "transformers is not installed: pip install 'qcontinuum[figures]'"),
    ],
)
def test_a_command_without_its_extra_says_which_to_install(program: str, missing: str, hint: str) -> None:
    words = {
        "qtheory": ["verify", "Prop A.1", "--quick"],
        "qtrain": ["train", "qtrain/configs/cold_start.toml", "--out", "never"],
        "figures": ["run", "baseline", "--seeds", "1"],
    }[program]
    done = run(without(missing) + f"sys.argv = {[program, *words]!r}\nfrom {program}.__main__ import main\nmain()")
    assert (done.returncode, done.stderr) == (2, f"{program}: {hint}\n")


@pytest.mark.parametrize("room", ["exact", "escape", "flow", "models", "claims", "montecarlo"])
def test_a_room_of_the_theory_without_its_extra_says_which_to_install(room: str) -> None:
    done = run(without("sympy") + f"import qtheory.{room}")
    assert done.stderr.endswith("ModuleNotFoundError: sympy is not installed: pip install 'qcontinuum[theory]'\n")


def test_other_missing_modules_keep_their_traceback() -> None:
    assert install_hint("json", "qtrain") is None
    with pytest.raises(ModuleNotFoundError, match="mine"), missing_extra_in_one_line("qtrain"):
        raise ModuleNotFoundError("No module named 'mine'", name="mine")
