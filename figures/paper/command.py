"""Run `python -m figures paper`: check everything, then list the cells of a table or run them."""

from collections.abc import Sequence
from pathlib import Path

from figures.paper.cells import check_overrides, choose
from figures.paper.results import write_table
from figures.paper.run import run_cells
from figures.paper.show import show_cells, show_results
from figures.paper.tables import TABLES
from qtheory.command.names import did_you_mean
from qtrain.errors import UserError
from qtrain.files import writing


def paper_command(
    name: str, overrides: Sequence[str], *, listing: bool, only: Sequence[str] | None, data: Path | None, out: Path
) -> None:
    """See `figures.cli.paper`.

    Raises:
        UserError: Something is unknown, missing or contradictory.
    """
    if name not in TABLES:
        raise UserError(f"unknown table {name!r}; {did_you_mean(name, TABLES)}")
    table = TABLES[name]
    # --only consumes all arguments after it, including overrides; no cell name contains "=".
    trailing = [argument for argument in only or () if "=" in argument]
    overrides = [*overrides, *trailing]
    for argument in overrides:
        if "=" not in argument:
            raise UserError(f"{argument!r}: write key=value, for example train.steps=50, or name cells with --only")
    check_overrides(overrides)
    cells = choose(table.cells, [argument for argument in only or () if argument not in trailing])
    for folder in sorted({cell.data for cell in cells}) if data is not None else ():
        if data is not None and not (data / folder).is_dir():
            raise UserError(f"--data {data}: has no folder {folder} with the official files; put it there")
    if listing:
        show_cells(name, table, {cell: cell.config(overrides, data) for cell in cells})
        return
    path = out / name / "table.json"

    def write() -> None:
        with writing(path):
            write_table(table, out, path)

    run_cells(cells, overrides, data, out, title=name, test=table.kind == "table", done=write)
    with writing(path):
        show_results(table, write_table(table, out, path))
