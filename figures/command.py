"""Run `python -m figures plot` and `tables`: make figures and tables, list them, measure their cost."""

import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from figures.registry import FIGURES
from figures.render import METADATA, OUT, TABLES_OUT, figure_files, table_files, write
from figures.study_data import read_study
from qtheory.claims import CLAIMS
from qtheory.command.names import did_you_mean
from qtrain.errors import UserError

COSTS = "figure_costs.json"
"""File in the data folder with processor seconds by figure."""


def plot_command(names: Sequence[str], only: str | None, out: Path | None, data: Path, *, every: bool) -> None:
    """See `figures.cli.plot`."""
    if bool(names) == every:
        raise UserError(f"name figures or pass --all; there are {', '.join(FIGURES)}")
    for name in names:
        if name not in FIGURES:
            raise UserError(f"unknown figure {name!r}; {did_you_mean(name, FIGURES)}")
    kinds = METADATA if only is None else (only,)
    _write(figure_files(FIGURES if every else names, data, kinds), out or OUT)


def tables_command(out: Path | None, data: Path) -> None:
    """See `figures.cli.tables`."""
    _write(table_files(data), out or TABLES_OUT)


def cost_command(data: Path) -> None:
    """Make every figure, from its data files to its three files, and write the processor seconds of each."""
    seconds = {}
    for name in FIGURES:
        sys.stderr.write(f"{name}\n")
        start = time.process_time()
        figure_files([name], data)
        seconds[name] = round(time.process_time() - start, 1)
    about = {
        "command": "python -m figures plot --costs",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "seconds": seconds,
    }
    _write({COSTS: f"{json.dumps(about, indent=1)}\n".encode()}, data)


def list_command(data: Path) -> None:
    """Print each figure with its claims, its data files, the commands that make them, and its cost."""
    lines, seconds = [], _known_costs(data)
    for name, entry in FIGURES.items():
        claims = ", ".join(claim.label for claim in CLAIMS.values() if claim.figure == name)
        lines += [name, f"  shows  {entry.shows}", *([f"  claims {claims}"] if claims else [])]
        lines += ["  data   computed on the spot"] * (not entry.studies)
        lines += [
            f"  data   {data / study}.json, made by `python -m figures run {study}`: {_study_cost(study, data)}"
            for study in entry.studies
        ]
        took = f"{seconds[name]:.1f} processor seconds" if name in seconds else "not measured yet"
        lines += [f"  cost   {took}, its data files given" if entry.studies else f"  cost   {took}"]
    sys.stdout.write("\n".join(lines) + "\n")


def _write(files: dict[str, bytes], folder: Path) -> None:
    write(files, folder)
    sys.stdout.write("".join(f"{folder / name}\n" for name in files))


def _known_costs(data: Path) -> dict[str, float]:
    """Measured processor seconds by figure; empty if the file is missing or malformed."""
    try:
        known = json.loads((data / COSTS).read_text(encoding="utf-8"))["seconds"]
        return {str(name): float(value) for name, value in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _study_cost(study: str, data: Path) -> str:
    """Number of runs and hours that a data file took, from its own rows."""
    if not (data / f"{study}.json").exists():
        return "not made yet"
    rows = read_study(study, data).rows
    return f"{len(rows)} runs, {sum(row.seconds for row in rows) / 3600:.1f} hours of one core"
