"""Print the cells of a table, and results beside the paper's."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import table as rich_table
from rich.box import SIMPLE_HEAD

from figures.paper.cells import Cell
from figures.paper.results import curve_in_words
from figures.paper.tables import Entry, Table, home
from qtheory.command.console import TextConsole
from qtrain.config import Config

out_console = TextConsole(soft_wrap=True)

SCORES = {"p_at_1": "p@1", "p_at_k": "p@16", "maj_at_k": "m@16"}


def show_cells(name: str, table: Table, cells: Mapping[Cell, Config]) -> None:
    """Print one line per cell: name, configuration, estimator, the paper's numbers, and its run folder."""
    out_console.print(table.title)
    for entry in table.entries:
        cell = entry.cell
        if cell in cells:
            estimator = "no training" if cell.estimator is None else cells[cell].estimator
            where = "" if home(cell) == name else f"  (run folder in {home(cell)})"
            config = f"{cell.data}_{cell.start}.toml"
            out_console.print(f"{cell.name:<24} {config:<19} {estimator!s:<26} paper: {_reported(entry)}{where}")
    out_console.print("configurations: figures/paper/configs; [ours] marks there what the paper does not state")


def show_results(table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Print results beside the paper's numbers."""
    rows = list(rows)
    if table.kind != "table":
        lines = _table(["cell", "here", "paper"], table.title, right=False)
        for row in rows:
            lines.add_row(row["cell"], curve_in_words(row) or "not run", row["paper"]["curve"])
        TextConsole().print(lines)
        return
    names = [name for name in SCORES if any(name in row["paper"] for row in rows)]
    head = ["cell", *(SCORES[name] for name in names), *(f"paper {SCORES[name]}" for name in names), "best step"]
    lines = _table(head, table.title)
    for row in rows:
        here = [_cell((row["here"] or {}).get(name), collapsed=bool(row["collapsed"])) for name in names]
        paper = [_cell(row["paper"].get(name), collapsed=row["paper_collapsed"]) for name in names]
        lines.add_row(row["cell"], *here, *paper, _state(row))
    TextConsole().print(lines)
    out_console.print("percent; * the peak before a collapse to zero. One run a cell: no interval is known.")
    others = {row["samples"] for row in rows} - {None, 16}
    if others:
        out_console.print(f"16 stands for {', '.join(map(str, sorted(others)))} samples here.")


def _state(row: dict[str, Any]) -> str:
    if row["diverged_step"] is not None:
        return f"diverged at {row['diverged_step']}"
    if row["best_step"] is not None:
        return str(row["best_step"])
    return "-" if row["here"] else "not run"


def _cell(value: float | None, *, collapsed: bool) -> str:
    return "" if value is None else f"{value:.1f}{'*' if collapsed else ''}"


def _reported(entry: Entry) -> str:
    if entry.remark:
        return entry.remark
    values = zip(("p@1", "p@16", "m@16"), (entry.p_at_1, entry.p_at_16, entry.maj_at_16), strict=True)
    return ", ".join(f"{name} {value:g}{'*' * entry.collapsed}" for name, value in values if value is not None)


def _table(head: Sequence[str], title: str, *, right: bool = True) -> rich_table.Table:
    table = rich_table.Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in head:
        table.add_column(name, justify="right" if right and name != "cell" else "left", no_wrap=name == "cell")
    return table
