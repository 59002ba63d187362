"""The command line of `python -m figures`. Modules that need torch or matplotlib are imported inside the commands."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from qtheory.command.console import TextConsole
from qtheory.command.options import AS_TYPED, whole_number
from qtheory.command.run import importing, run_app
from qtrain.errors import UserError

PROGRAM = "figures"
DATA = Path(__file__).parent / "data"

app = App(
    name="python -m figures",
    help="The evidence: studies, benchmarks, the paper's tables, and every figure and table of the docs.",
    version_flags=[],
    suppress_keyboard_interrupt=False,
    console=TextConsole(),
    default_parameter=AS_TYPED,
)

Flag = Parameter(negative=())
Several = Parameter(consume_multiple=True, negative=())
MaybeCount = Annotated[int | None, whole_number(1)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Bad input ends with one line and exit status 2, Ctrl-C with 130."""
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    status = run_app(
        PROGRAM,
        app,
        arguments,
        refused=(UserError, CycloptsError),
        interrupted="files are written whole or not at all, and finished runs are kept: the same command goes on",
    )
    if status:
        sys.exit(status)


@app.command
def run(
    study: str,
    /,
    *,
    seeds: Annotated[int, whole_number(1, 10**4)] = 3,
    runs: Path | None = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    jobs: MaybeCount = None,
) -> None:
    """Run a study, one of the project's own experiments, and write the data file that figures are made from.

    Args:
        study: cold_start, adam_conflict, adam_alike, learning_rates, best_learning_rates, escape_exponents,
            adam_epsilon, common_factor, baseline, max_coefficient or warm_paft.
        seeds: Bases and training seeds 0 to N - 1.
        runs: Folder of the run folders, finished ones are kept; by default runs/studies/STUDY.
        output: The data file; by default figures/data/STUDY.json.
        jobs: Runs at a time. By default one a GPU; without GPUs one a core, or a single one of a wide model.
    """
    with importing(PROGRAM):
        from figures.studies.study import study_command

    study_command(study, seeds, runs, output, jobs)


@app.command
def bench(
    *names: str,
    quick: Annotated[bool, Flag] = False,
    listing: Annotated[bool, Parameter(name="--list", negative=())] = False,
    shapes: Annotated[list[str] | None, Several] = None,
    vocabularies: Annotated[list[int] | None, Several, whole_number(8, 2**24)] = None,
    device: Literal["cpu", "cuda"] = "cpu",
    threads: Annotated[int, whole_number(1, 1024)] = 2,
    out: Path = Path("runs/bench"),
    page: Path | None = None,
) -> int:
    """Measure speed and memory beside other trainers, and write benchmarks.json and the page made from it.

    Args:
        names: Benchmarks, see --list; by default all.
        quick: Toy sizes, in a few minutes.
        listing: Print the benchmarks and stop.
        shapes: Shapes for `update`: prompt tokens x completion tokens, for example 512x128.
        vocabularies: Vocabulary sizes for `update`, for example 32000 151936.
        device: Device of the measured processes; cuda measures `update` and `step` alone.
        threads: Threads of every measured process.
        out: Folder where finished processes are kept; the same command goes on from there.
        page: Folder of the results and their page; by default docs for the whole measurement, else OUT.
    """
    with importing(PROGRAM):
        from figures.bench.command import bench_command, list_command

    if listing:
        list_command()
        return 0
    return bench_command(names, shapes, vocabularies, out, page, quick=quick, device=device, threads=threads)


@app.command
def paper(
    table: str,
    /,
    *overrides: str,
    listing: Annotated[bool, Parameter(name="--list", negative=())] = False,
    only: Annotated[list[str] | None, Several] = None,
    data: Path | None = None,
    out: Path = Path("runs/paper"),
) -> None:
    """Run the cells of one of the paper's tables or figures that have not run yet, and show them beside the paper's.

    Args:
        table: table1, table2, table3, fig3 or fig4.
        overrides: key=value for all cells, for example train.steps=50.
        listing: Print the cells, their configurations and the paper's numbers, and run nothing.
        only: Names of cells.
        data: A folder that holds finqa, hotpotqa and musique with the official files; by default the hub's copies.
        out: Run folders are OUT/TABLE/CELL, results OUT/TABLE/table.json.
    """
    with importing(PROGRAM):
        from figures.paper.command import paper_command

    paper_command(table, overrides, listing=listing, only=only, data=data, out=out)


@app.command
def plot(
    *names: str,
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
    listing: Annotated[bool, Parameter(name="--list", negative=())] = False,
    measure: Annotated[bool, Parameter(name="--costs", negative=())] = False,
    only: Literal["svg", "pdf", "png"] | None = None,
    out: Path | None = None,
    data: Path = DATA,
) -> None:
    """Make figures as SVG, PDF and PNG.

    Args:
        names: Figures to make.
        every: Make all figures.
        listing: Print each figure, its data, the command that makes the data, and its cost, and make none.
        measure: Make every figure only to measure what it costs, and write figure_costs.json beside the data files.
        only: One kind of file instead of all three.
        out: Folder to write to; by default figures/out.
        data: Folder of the studies' data files.
    """
    with importing(PROGRAM):
        from figures.command import cost_command, list_command, plot_command

    if listing:
        list_command(data)
    elif measure:
        if names or every:
            raise UserError("--costs measures all figures: leave out the names and --all")
        cost_command(data)
    else:
        plot_command(names, only, out, data, every=every)


@app.command
def tables(*, out: Path | None = None, data: Path = DATA) -> None:
    """Write what the docs include: tables, and figures with their captions.

    Args:
        out: Folder to write to; by default docs/tables.
        data: Folder of the studies' data files.
    """
    with importing(PROGRAM):
        from figures.command import tables_command

    tables_command(out, data)


@app.command
def claims(
    *labels: str,
    quick: Annotated[bool, Flag] = False,
    json: Path | None = None,
    page: Path | None = None,
) -> int:
    """Check claims as `qtheory verify` does, with the trained transformer's runs as further evidence.

    Args:
        labels: The claims' labels, quoted, for example "QC-4"; by default all claims.
        quick: Check fewer and smaller cases, and leave the transformer's runs out.
        json: A JSON file to write as well: one record a claim.
        page: A Markdown file to write as well, as docs/claims.md.
    """
    with importing(PROGRAM):
        from figures.claims import CLAIMS
        from qtheory.claims.command import verify_command

    return verify_command(PROGRAM, CLAIMS, labels, quick=quick, json=json, page=page)


@app.command
def accuracy(*, quick: Annotated[bool, Flag] = False, json: Path | None = None) -> int:
    """Compare the exact moments with 50-digit references and print the largest errors, in about a minute.

    The exit status is 1 if one is larger than the documentation of `qtheory.exact.moments` promises.

    Args:
        quick: A smaller grid, in seconds.
        json: A JSON file to write as well.
    """
    with importing(PROGRAM):
        from figures.exact.command import accuracy_command

    return accuracy_command(json, quick=quick)


@app.command
def speed(*, quick: Annotated[bool, Flag] = False, json: Path | None = None) -> None:
    """Time the exact moments on one core, and estimate what simulation would take for the same accuracy.

    Args:
        quick: Fewer repeats on a smaller grid, in seconds.
        json: A JSON file to write as well.
    """
    with importing(PROGRAM):
        from figures.exact.command import speed_command

    speed_command(json, quick=quick)
