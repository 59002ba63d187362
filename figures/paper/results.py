"""Collect the results of a table's runs beside the paper's numbers: the rows of table.json."""

from pathlib import Path
from typing import Any

from figures.paper.run import TEST, folder_of
from figures.paper.tables import Entry, Kind, Table
from qtrain.runs.folder import CONFIG, EVALS, METRICS, RESULT, environment, read_json, read_jsonl, write_json

RISEN = 0.1
"""A curve of Figure 3 counts as risen from this max c_m/M^q on; the paper does not state its threshold."""


def write_table(table: Table, out: Path, path: Path) -> list[dict[str, Any]]:
    """Gather a table's rows from the run folders below `out`, finished or not, and write them.

    Args:
        table: The table.
        out: Folder of the run folders.
        path: File to write: `title`, `unit`, `provenance`, `rows`.

    Returns:
        The rows: `cell`, `data`, `start`, `method`, `paper` (the reported scores), `paper_collapsed`, `here` (our
        scores; null if the cell has not run), `samples` (our samples per prompt), `best_step`, `diverged_step`,
        `collapsed` (whether maj@k fell to 0 at the last evaluation), and for a figure `curve`.
    """
    rows = [_row(entry, table.kind, folder_of(entry.cell, out)) for entry in table.entries]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"title": table.title, "unit": "percent", "provenance": environment(), "rows": rows})
    return rows


def _row(entry: Entry, kind: Kind, folder: Path) -> dict[str, Any]:
    cell = entry.cell
    reported = {"p_at_1": entry.p_at_1, "p_at_k": entry.p_at_16, "maj_at_k": entry.maj_at_16}
    paper: dict[str, Any] = {name: value for name, value in reported.items() if value is not None}
    if entry.remark:
        paper["curve"] = entry.remark
    row = {
        "cell": cell.name,
        "data": cell.data,
        "start": cell.start,
        "method": cell.label,
        "paper": paper,
        "paper_collapsed": entry.collapsed,
        "here": None,
        "samples": None,
        "best_step": None,
        "diverged_step": None,
        "collapsed": None,
    }
    if (folder / TEST).exists():
        test = read_json(folder / TEST, "a cell's folder")
        samples = row["samples"] = test["config"]["eval"]["samples"]
        names = {"p_at_1": "p_at_1", "p_at_k": f"p_at_{samples}", "maj_at_k": f"maj_at_{samples}"}
        if test["scores"] is not None:
            row["here"] = {ours: round(100 * test["scores"][name], 2) for ours, name in names.items()}
    if (folder / RESULT).exists():
        result = read_json(folder / RESULT, "a finished run")
        row |= {"best_step": result["best_step"], "diverged_step": result["diverged_step"]}
        samples = row["samples"] = read_json(folder / CONFIG, "a run folder")["eval"]["samples"]
        evals = [(record["step"], record[f"maj_at_{samples}"]) for record in read_jsonl(folder / EVALS)]
        row["collapsed"] = evals[-1][1] == 0 < max(value for _, value in evals)
        if kind == "validation curve":
            row["curve"] = {"step": [s for s, _ in evals], "maj_at_k": [round(100 * value, 2) for _, value in evals]}
        if kind == "training curve":
            logged = [(record["step"], record["max_c"]) for record in read_jsonl(folder / METRICS)]
            row["curve"] = {"step": [s for s, _ in logged], "max_c": [value for _, value in logged]}
    return row


def curve_in_words(row: dict[str, Any]) -> str:
    """A short description of a figure's row; "" if the cell has not run."""
    curve = row.get("curve")
    if curve is None or not curve["step"]:
        return ""
    if "max_c" in curve:
        risen = [step for step, value in zip(curve["step"], curve["max_c"], strict=True) if value > RISEN]
        top = max(curve["max_c"])
        return f"above {RISEN:g} from step {risen[0]}, at most {top:.2g}" if risen else f"at most {top:.2g}"
    values = curve["maj_at_k"]
    best = max(values)
    return f"peaks at step {curve['step'][values.index(best)]} ({best:.1f}), ends at {values[-1]:.1f}"
