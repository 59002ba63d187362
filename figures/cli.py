"""The command `python -m figures`."""

import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from figures.costs import NAME as COSTS
from figures.costs import costs, known_costs
from figures.errors import DataError
from figures.registry import FIGURES
from figures.render import METADATA, OUT, TABLES_OUT, figure_files, table_files, write
from figures.study_data import DATA, read_study
from qtheory.claims import CLAIMS
from qtheory.command.console import TextConsole
from qtheory.command.options import AS_TYPED
from qtheory.command.run import run_app

app = App(
    name="python -m figures",
    help="Make the project's figures, and the tables of its docs, from the data files of the studies.",
    version_flags=[],
    suppress_keyboard_interrupt=False,
    console=TextConsole(),
    default_parameter=AS_TYPED,
)

Flag = Parameter(negative=())


def main(words: Sequence[str] | None = None) -> None:
    """Run the command. Bad input ends in one line and exit status 2, Ctrl-C in 130."""
    kept = "files are written whole or not at all"
    if status := run_app("figures", app, words, refused=(DataError, CycloptsError), interrupted=kept):
        sys.exit(status)


@app.default
def make(
    *names: str,
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
    listing: Annotated[bool, Parameter(name="--list", negative=())] = False,
    tables: Annotated[bool, Flag] = False,
    measure: Annotated[bool, Parameter(name="--costs", negative=())] = False,
    only: Literal["svg", "pdf", "png"] | None = None,
    out: Path | None = None,
    data: Path = DATA,
) -> None:
    """Make figures as SVG, PDF and PNG.

    Args:
        names: Figures to make.
        every: Make all figures.
        listing: Only say what there is: each figure, its data, the command that makes the data, and its cost.
        tables: Write what the docs include, tables and captions, instead of figures.
        measure: Make every figure only to measure what it costs, and write figure_costs.json beside the data files.
        only: One kind of file instead of all three.
        out: Folder to write to; by default figures/out, for tables docs/tables.
        data: Where the data files of the studies lie.
    """
    if listing:
        sys.stdout.write(_listing(data))
        return
    if measure:
        if names or every or tables:
            raise DataError("--costs measures all figures: leave out the names, --all and --tables")
        write({COSTS: costs(FIGURES, data, _say)}, data)
        sys.stdout.write(f"{data / COSTS}\n")
        return
    if tables:
        if names or every:
            raise DataError("--tables writes all tables: leave out the names and --all")
        files, folder = table_files(data), out or TABLES_OUT
    else:
        if bool(names) == every:
            raise DataError(f"name figures or pass --all; there are {', '.join(FIGURES)}")
        for name in names:
            _check(name, FIGURES)
        kinds = METADATA if only is None else (only,)
        files, folder = figure_files(FIGURES if every else names, data, kinds), out or OUT
    write(files, folder)
    sys.stdout.write("".join(f"{folder / name}\n" for name in files))


def _check(name: str, known: Iterable[str]) -> None:
    if name not in (valid := list(known)):
        near = difflib.get_close_matches(name, valid, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(valid)}"
        raise DataError(f"unknown figure {name!r}; {hint}")


def _listing(data: Path) -> str:
    lines, seconds = [], known_costs(data)
    for name, entry in FIGURES.items():
        claims = ", ".join(claim.label for claim in CLAIMS.values() if claim.figure == name)
        lines += [name, f"  shows  {entry.shows}", *([f"  claims {claims}"] if claims else [])]
        lines += ["  data   computed on the spot"] * (not entry.studies)
        lines += [
            f"  data   {data / study}.json, made by `qtrain study {study}`: {_cost(study, data)}"
            for study in entry.studies
        ]
        took = f"{seconds[name]:.1f} processor seconds" if name in seconds else "not measured yet"
        lines += [f"  cost   {took}, its data files given" if entry.studies else f"  cost   {took}"]
    return "\n".join(lines) + "\n"


def _cost(study: str, data: Path) -> str:
    """What making a data file took, as it says itself."""
    if not (data / f"{study}.json").exists():
        return "not made yet"
    rows = read_study(study, data).rows
    return f"{len(rows)} runs, {sum(row.seconds for row in rows) / 3600:.1f} hours of one core"


def _say(name: str) -> None:
    sys.stderr.write(f"{name}\n")
