"""Measure a checkout: files and lines, modules per folder, import arrows, and the rooms of a training step.

`python tests/house.py [CHECKOUT]` prints one table. The step is that of `qtrain train`, in a process of its own with
the packages of the checkout.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

PACKAGES = ("qtheory", "qtrain", "figures")
EVIDENCE = ("figures", "qtrain/bench", "qtrain/studies", "qtrain/reproduce", "qtrain/gpu_check")
"""Folders of evidence, in this layout and in that of version 6b15098."""

OVERRIDES = (
    "estimator=garl:q=.75", "pretrain.steps=2", "pretrain.p0=none", "rollout.prompts=2", "rollout.samples=2",
    "train.steps=1", "eval.prompts=2",
)  # fmt: skip

TRACE = """
import json, pathlib, sys
root, out = map(pathlib.Path, sys.argv[1:3])
sys.path.insert(0, str(root))
files, inside = {}, 0
packages = tuple(f"{root / package}/" for package in ("qtheory", "qtrain"))

def profile(frame, event, _):
    global inside
    code = frame.f_code
    name = code.co_filename
    step = code.co_name == "_step" and name.endswith(("qtrain/trainer.py", "qtrain/train.py"))
    if event == "call":
        inside += step
        if inside and name.startswith(packages):
            files[name] = True
    elif event == "return":
        inside -= step

from qtrain.cli import main
sys.setprofile(profile)
try:
    main(["train", f"{root}/qtrain/configs/cold_start.toml", *sys.argv[3:], "--out", str(out / "run")])
except SystemExit as error:
    assert not error.code, error.code
finally:
    sys.setprofile(None)
print("\\n" + json.dumps([str(pathlib.Path(name).relative_to(root)) for name in files]))
"""


def sources(root: Path, top: str) -> list[Path]:
    """The Python files of a package that are part of the repository."""
    return sorted(path for path in (root / top).rglob("*.py") if "__pycache__" not in path.parts)


def is_evidence(path: str) -> bool:
    """Whether a file belongs to a folder of evidence."""
    return any(path == f"{folder}.py" or path.startswith(f"{folder}/") for folder in EVIDENCE)


def count(root: Path) -> dict[str, Any]:
    """Files, lines, median file, modules per folder and import arrows between rooms of a checkout."""
    lines = {path.relative_to(root).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
             for top in (*PACKAGES, "tests") for path in sources(root, top)}  # fmt: skip
    kinds: dict[str, list[int]] = {"product": [], "evidence": [], "tests": []}
    for path, number in lines.items():
        kind = "tests" if path.startswith("tests/") else "evidence" if is_evidence(path) else "product"
        kinds[kind].append(number)
    table: dict[str, Any] = {}
    for kind, numbers in kinds.items():
        table[kind] = f"{len(numbers)} files, {sum(numbers):,} lines, median {sorted(numbers)[len(numbers) // 2]}"
    for top in ("qtrain", "qtheory"):
        folders = Counter(Path(path).parent.as_posix() for path in lines if path.startswith(f"{top}/"))
        table[f"{top}: modules per folder"] = ", ".join(
            f"{Path(folder).name}/ {number}" for folder, number in sorted(folders.items())
        )
        table[f"{top}: entries of its listing"] = sum(
            1
            for path in (root / top).iterdir()
            if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.*")) and path.name != "__pycache__")
        )
    table["qtrain: rooms"], table["qtrain: import arrows between rooms"] = arrows(root)
    readme = (root / "README.md").read_bytes()
    table["README.md"] = f"{len(readme.splitlines())} lines, {len(readme):,} bytes"
    return table


def arrows(root: Path) -> tuple[int, int]:
    """The rooms of qtrain (its folders and its loose modules) and how many pairs of them are joined by an import."""
    rooms, pairs = set(), set()
    for path in sources(root, "qtrain"):
        name = path.relative_to(root).with_suffix("").parts
        here = name[1]
        rooms.add(here)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
                if node.module == "qtrain":
                    modules = [f"qtrain.{alias.name}" for alias in node.names]
            for module in modules:
                parts = module.split(".")
                if parts[0] == "qtrain" and len(parts) > 1 and parts[1] != here:
                    pairs.add((here, parts[1]))
    return len(rooms), len(pairs)


def walk(root: Path) -> dict[str, Any]:
    """The number of files that one training step enters, and their rooms in the order of the first entry."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", TRACE, str(root), folder, *OVERRIDES],
            capture_output=True, text=True, check=False, cwd=folder,
            env=os.environ | {"XDG_CACHE_HOME": folder},
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    files = json.loads(done.stdout.splitlines()[-1])
    rooms = [Path(file).parent.as_posix() if Path(file).parent.name != "qtrain" else file for file in files]
    return {
        "a step: files": len(files),
        "a step: rooms": f"{len(set(rooms))}: {', '.join(dict.fromkeys(rooms))}",
    }


if __name__ == "__main__":
    checkout = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1]).resolve()
    for key, value in (count(checkout) | walk(checkout)).items():
        print(f"{key:<38} {value}")  # noqa: T201
