"""Run `python -m figures bench`: check the options, measure, write results and page, print the tables."""

import shutil
from pathlib import Path

from rich.markdown import Markdown
from rich.table import Table

from figures.bench.case import Case, Options, check_device, missing
from figures.bench.page import PAGE, render, tables
from figures.bench.record import RESULTS, read_results, section, write_results
from figures.bench.run import run_cases
from figures.bench.store import Store
from figures.bench.suites import SUITES
from figures.bench.workload import Shape
from qtheory.command.console import TextConsole
from qtheory.command.names import did_you_mean
from qtrain.errors import UserError
from qtrain.files import writing
from qtrain.progress import ProgressDisplay, console

DOCS = Path("docs")
ON_A_GPU = ("update", "step")
LEAST_VOCABULARY = 8


def list_command() -> None:
    """Print the benchmarks by name."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, suite in SUITES.items():
        count = len(suite.cases(Options(), Path()))
        table.add_row(name, suite.what, f"{count} processes" if count > 1 else "1 process")
    TextConsole().print(table)


def bench_command(
    names: tuple[str, ...],
    shapes: list[str] | None,
    vocabularies: list[int] | None,
    out: Path,
    page: Path | None,
    *,
    quick: bool,
    device: str,
    threads: int,
) -> int:
    """See `figures.cli.bench`. Returns the exit status: 1 if a process failed."""
    options = _options(shapes or [], vocabularies or [], quick=quick, device=device, threads=threads)
    chosen = _chosen(names, options)
    check_device(options.device)
    cases = {name: SUITES[name].cases(options, out / "gradients") for name in chosen}
    peers = sorted({case.peer for suite_cases in cases.values() for case in suite_cases if case.peer})
    absent = {peer: line for peer in peers if (line := missing(peer)) is not None}
    for line in absent.values():
        console.print(line, highlight=False, soft_wrap=True)
    store = Store(out)
    try:
        status, sections = _measure(cases, absent, options, store)
    finally:
        store.close()
    shutil.rmtree(out / "gradients", ignore_errors=True)
    # The docs show complete results only: no peer left out, no failure, no options that select a part.
    complete = options.whole and not absent and status == 0 and DOCS.is_dir()
    folder = page or (DOCS if complete else out)
    merged = read_results(folder) | sections
    write_results(folder, merged)
    with writing(folder / PAGE):
        (folder / PAGE).write_text(render(merged), encoding="utf-8")
    TextConsole().print(Markdown(tables(sections)))
    TextConsole().print(f"{folder / RESULTS} and {folder / PAGE}", highlight=False, soft_wrap=True)
    return status


def _options(shapes: list[str], vocabularies: list[int], *, quick: bool, device: str, threads: int) -> Options:
    if threads < 1:
        raise UserError(f"--threads {threads}: at least 1 is needed")
    for size in vocabularies:
        if size < LEAST_VOCABULARY:
            raise UserError(f"--vocabularies {size}: at least {LEAST_VOCABULARY} tokens are needed")
    return Options(quick, tuple(Shape.parse(shape) for shape in shapes), tuple(vocabularies), device, threads)


def _chosen(names: tuple[str, ...], options: Options) -> list[str]:
    on_gpu = options.device == "cuda"
    # Steps at Qwen3-0.6B's shape would take hours on a CPU; with --quick they are tiny and only test the harness.
    every = ON_A_GPU if on_gpu else tuple(name for name in SUITES if name != "step" or options.quick)
    for name in names:
        if name not in SUITES:
            raise UserError(f"bench {name!r}: no such benchmark; {did_you_mean(name, SUITES)}")
        if name not in every:
            if on_gpu:
                raise UserError(f"bench {name} --device cuda: it is measured on the CPU alone; leave --device out")
            raise UserError(f"bench {name}: it is for a GPU; give --device cuda, or --quick to try it at toy size")
    return [name for name in every if not names or name in names]


def _measure(
    cases: dict[str, list[Case]], absent: dict[str, str], options: Options, store: Store
) -> tuple[int, dict[str, dict]]:
    run = {name: [case for case in suite_cases if case.peer not in absent] for name, suite_cases in cases.items()}
    sections, failed = {}, 0
    with ProgressDisplay("bench", total=sum(map(len, run.values()))) as board:
        for name, suite_cases in run.items():
            results = run_cases(suite_cases, store, board, options.threads)
            failed += sum(
                "failed" in turn for contest in results.values() for turns in contest.values() for turn in turns
            )
            left_out = [line for peer, line in absent.items() if any(case.peer == peer for case in cases[name])]
            rows = SUITES[name].rows(suite_cases, results)
            key = name if options.device == "cpu" else f"{name}_{options.device}"
            sections[key] = section(suite_cases, results, rows, options, left_out)
    return (1 if failed else 0), sections
