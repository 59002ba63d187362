"""What `qtrain reproduce` prints: the cells of a table, their estimated cost, and results beside the paper's."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich import table as rich_table
from rich.box import SIMPLE_HEAD

from qtheory.command.console import TextConsole
from qtrain.reproduce.cells import Cell
from qtrain.reproduce.cost import MACHINES, Assumptions, Cost
from qtrain.reproduce.lengths import Lengths
from qtrain.reproduce.results import curve_in_words
from qtrain.reproduce.shape import Shape
from qtrain.reproduce.tables import Entry, Table, home

out_console = TextConsole(soft_wrap=True)

SCORES = {"p_at_1": "p@1", "p_at_k": "p@16", "maj_at_k": "m@16"}

GIB = 2**30


def show_cells(name: str, table: Table, cells: Sequence[Cell]) -> None:
    """One line a cell: name, configuration, estimator, the paper's numbers, and whose folder it runs in."""
    out_console.print(table.title)
    for entry in table.entries:
        cell = entry.cell
        if cell in cells:
            estimator = "no training" if cell.estimator is None else cell.config().estimator
            where = "" if home(cell) == name else f"  (run folder in {home(cell)})"
            config = f"{cell.data}_{cell.start}.toml"
            out_console.print(f"{cell.name:<24} {config:<19} {estimator!s:<26} paper: {_reported(entry)}{where}")
    out_console.print("configurations: qtrain/configs/paper; [ours] marks there what the paper does not state")


def show_costs(
    table: Table,
    costs: Sequence[tuple[Cell, Cost]],
    means: dict[tuple[str, str], Lengths],
    shape: Shape,
    assumed: Assumptions,
) -> None:
    """A row a cell, their sum, and everything that was assumed."""
    units = {"sample": "M", "train": "M", "total": "G", "update": "GiB", "KV": "GiB", "peak": "GiB"}
    units |= {machine.name: "h" for machine in MACHINES}
    lines = _table(["cell", *(f"{name}\n{unit}" for name, unit in units.items())], "dry run: " + table.title)
    for cell, one in costs:
        step = (one.sampled_step, one.trained_step)
        lines.add_row(
            cell.name,
            *("-" if cell.estimator is None else f"{tokens / 1e6:.2f}" for tokens in step),
            f"{one.tokens / 1e9:.2f}",
            *(f"{value / GIB:.1f}" for value in (one.activations + one.logits, one.group_cache, one.peak)),
            *(f"{hours:.1f}" for hours in one.hours.values()),
        )
    totals = [f"{sum(one.hours[machine.name] for _, one in costs):.0f}" for machine in MACHINES]
    lines.add_row("all", "", "", f"{sum(one.tokens for _, one in costs) / 1e9:.1f}", "", "", "", *totals)
    TextConsole().print(lines)
    rationales = "each spends its whole budget, so that this is the most it can be; --rationale-tokens N takes N"
    if assumed.rationale_tokens is not None:
        rationales = f"{assumed.rationale_tokens:g} in the mean"
    prompts = ", ".join(f"{data} {start} {mean.prompt:.0f}" for (data, start), mean in means.items())
    how = "measured" if all(mean.measured for mean in means.values()) else "assumed"
    for line in (
        "An estimate by the formulas of qtrain/reproduce/cost.py, not a measurement.",
        "sample, train: tokens of a step, sampled and trained on. total: all of them, evaluations included. update:",
        "activations and logits of a micro-batch. KV: cache of one prompt's rows. peak: the most at one time, with",
        "weights, gradients, Adam's moments and the engine. hours: of one GPU, for training, validation and test.",
        f"model: {shape.parameters:,} parameters; KV cache {shape.cache_bytes():,} bytes a token in bfloat16",
        f"tokens of a rationale: {rationales}",
        f"tokens of a prompt, mean, {how}: {prompts}",
        f"{assumed.mfu:.0%} of the peak FLOP/s to train and score, {assumed.mbu:.0%} of the bandwidth to sample:",
        *(f"  {m.name}: {m.flops / 1e12:g} TFLOP/s dense bfloat16, {m.bandwidth / 1e12:g} TB/s" for m in MACHINES),
    ):
        out_console.print(line)


def show_results(table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Results beside the paper's numbers."""
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
    if entry.said:
        return entry.said
    values = zip(("p@1", "p@16", "m@16"), (entry.p_at_1, entry.p_at_16, entry.maj_at_16), strict=True)
    return ", ".join(f"{name} {value:g}{'*' * entry.collapsed}" for name, value in values if value is not None)


def _table(head: Sequence[str], title: str, *, right: bool = True) -> rich_table.Table:
    table = rich_table.Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in head:
        table.add_column(name, justify="right" if right and name != "cell" else "left", no_wrap=name == "cell")
    return table
