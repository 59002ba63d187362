"""What `qtrain reproduce` does: read and check everything, then list, estimate or run."""

import math
from collections.abc import Sequence
from pathlib import Path

from qtrain.errors import UserError, did_you_mean
from qtrain.files import writing
from qtrain.reproduce.cells import check_overrides, choose
from qtrain.reproduce.cost import Assumptions, cost
from qtrain.reproduce.lengths import Lengths, lengths
from qtrain.reproduce.results import write_table
from qtrain.reproduce.run import run_cells
from qtrain.reproduce.shape import shape_of
from qtrain.reproduce.show import show_cells, show_costs, show_results
from qtrain.reproduce.tables import TABLES

RUN = "run"


def reproduce_command(
    name: str,
    words: Sequence[str],
    *,
    list_cells: bool,
    dry_run: bool,
    only: Sequence[str] | None,
    data: Path | None,
    out: Path,
    rationale_tokens: float | None,
) -> None:
    """See `qtrain.cli.reproduce`.

    Raises:
        UserError: Something is unknown, missing or contradictory.
    """
    if name not in TABLES:
        raise UserError(f"unknown table {name!r}; {did_you_mean(name, TABLES)}")
    table = TABLES[name]
    # --only takes all words behind it, and no cell is called `run` or key=value.
    behind = [word for word in only or () if word == RUN or "=" in word]
    words = [*words, *behind]
    overrides = [word for word in words if word != RUN]
    for word in overrides:
        if "=" not in word:
            raise UserError(f"{word!r}: neither key=value nor what to do; {did_you_mean(word, [RUN])}")
    if list_cells + dry_run + (RUN in words) != 1:
        raise UserError("say one of: --list, --dry-run, run")
    if rationale_tokens is not None and not (dry_run and 1 <= rationale_tokens < math.inf):
        raise UserError(f"--rationale-tokens {rationale_tokens:g}: at least 1, and only with --dry-run")
    check_overrides(overrides)
    cells = choose(table.cells, [word for word in only or () if word not in behind])
    for folder in sorted({cell.data for cell in cells}) if data is not None else ():
        if data is not None and not (data / folder).is_dir():
            raise UserError(f"--data {data}: has no folder {folder} with the official files; put it there")
    if list_cells:
        show_cells(name, table, cells)
        return
    if dry_run:
        assumed = Assumptions(rationale_tokens=rationale_tokens)
        configs = {cell: cell.config(overrides, data) for cell in cells}
        shape = shape_of(configs[cells[0]])
        means: dict[tuple[str, str], Lengths] = {}
        for cell, config in configs.items():
            if (cell.data, cell.start) not in means:
                means[cell.data, cell.start] = lengths(cell, config)
        costs = [(c, cost(c, config, shape, means[c.data, c.start], assumed)) for c, config in configs.items()]
        show_costs(table, costs, means, shape, assumed)
        return
    path = out / name / "table.json"

    def write() -> None:
        with writing(path):
            write_table(table, out, path)

    run_cells(cells, overrides, data, out, title=name, test=table.kind == "table", done=write)
    with writing(path):
        show_results(table, write_table(table, out, path))
