"""The command `qtheory`. The claims are imported inside the command, so that `--help` is quick."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import App, CycloptsError, Parameter

from qtheory.command.console import TextConsole, status
from qtheory.command.options import AS_TYPED
from qtheory.command.run import importing, refuse, run_app

PROGRAM = "qtheory"
T = TypeVar("T")

app = App(
    name=PROGRAM,
    help="The theory of the Tsallis loss continuum: claims, escape times, and how exact the exact moments are.",
    version=lambda: version("qcontinuum"),
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
    console=TextConsole(),
    default_parameter=AS_TYPED,
)


def main(words: Sequence[str] | None = None) -> None:
    """Run a command. Bad input ends in one line and exit status 2, Ctrl-C in 130."""
    sys.exit(
        run_app(PROGRAM, app, words, refused=(CycloptsError,), interrupted="files are written whole or not at all")
    )


Flag = Annotated[bool, Parameter(negative=())]
Output = Annotated[Path | None, Parameter(negative=())]
Numbers = Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative=())]


@app.command
def verify(
    *labels: str,
    quick: Flag = False,
    json: Output = None,
    page: Output = None,
) -> int:
    """Check claims against their recorded verdicts and print one table.

    The exit status is 1 if a check contradicts its verdict.

    Args:
        labels: The claims' labels, quoted, for example "Prop 4.1" "Eq 1-3"; by default all claims.
        quick: Check fewer and smaller cases where a claim's check takes long: under a minute for all claims.
        json: A JSON file to write as well: one record a claim.
        page: A Markdown file to write as well: each claim with its evidence, as the docs show it.
    """
    with importing(PROGRAM):
        from qtheory._files import check_path
        from qtheory.claims import CLAIMS, get
        from qtheory.claims import verify as run
        from qtheory.claims.page import claims_page
        from qtheory.claims.record import records
        from qtheory.claims.table import claims_table
        from qtheory.claims.testbed import MissingData

    outputs = [("--json", json, records), ("--page", page, claims_page)]
    try:
        claims = [get(label) for label in dict.fromkeys(labels)] or list(CLAIMS.values())
        for option, path, _ in outputs:
            if path is not None:
                check_path(option, path)
    except ValueError as error:
        # A shell hands an unquoted label over in pieces, whose nearest labels would only mislead.
        whole = " ".join(labels)
        refuse(PROGRAM, f"the label {whole!r} needs quotes" if whole in CLAIMS and len(labels) > 1 else str(error))
    done = []
    try:
        with status() as show:
            for claim in claims:
                show(f"{len(done) + 1} of {len(claims)}: {claim.label}")
                done.append(run(claim, quick=quick))
    except MissingData as error:
        refuse(PROGRAM, str(error))
    # Written first: the table's reader may leave before its end.
    failure = _write([(option, path, text(done)) for option, path, text in outputs if path is not None])
    console = TextConsole()
    console.print(claims_table(done, detail=bool(labels)))
    if failure is not None:
        refuse(PROGRAM, failure)
    contradicted = [one.claim.label for one in done if not one.agrees]
    if contradicted:
        console.print(f"{len(contradicted)} of {len(done)} claims contradicted: {', '.join(contradicted)}")
        return 1
    console.print(f"{len(done)} of {len(done)} claims as recorded")
    return 0


@app.command
def escape(
    *,
    task: str = "sigmoid",
    p0: Numbers = (1e-12,),
    q: Numbers = (0.0, 0.25, 0.5, 0.75, 1.0),
    delta: float = 0.5,
    exponents: Flag = False,
    json: Output = None,
    csv: Output = None,
) -> None:
    """Print escape times T_q(p0, delta) of gradient flow, in units of one over the learning rate.

    Args:
        task: The model family: sigmoid, arms, latent-sigmoid, latent-softmax, fixed or chain.
        p0: Success probabilities at the start.
        q: Orders in [0, 1].
        delta: The P at which the escape is over.
        exponents: Print escape exponents between neighbouring p0 instead; three or more in equal ratios.
        json: A JSON file to write as well: one object a row.
        csv: A CSV file to write as well.
    """
    with importing(PROGRAM):
        from qtheory._files import check_path
        from qtheory.escape.output import escape_csv, escape_json, escape_table
        from qtheory.escape.table import escape_rows, exponent_rows

    outputs = [("--json", json, escape_json), ("--csv", csv, escape_csv)]
    try:
        for option, path, _ in outputs:
            if path is not None:
                check_path(option, path)
        rows = (exponent_rows if exponents else escape_rows)(task, p0, q, delta)
    except (ValueError, RuntimeError) as error:  # the second where the path solver gives up
        refuse(PROGRAM, str(error))
    failure = _write([(option, path, text(rows)) for option, path, text in outputs if path is not None])
    TextConsole().print(escape_table(rows))
    if failure is not None:
        refuse(PROGRAM, failure)


@app.command
def accuracy(*, quick: Flag = False, json: Output = None) -> int:
    """Compare the exact moments with 50-digit references and print the largest errors, in about a minute.

    The exit status is 1 if one is larger than the documentation of `qtheory.exact.moments` promises.

    Args:
        quick: A smaller grid, in seconds.
        json: A JSON file to write as well.
    """
    with importing(PROGRAM):
        from qtheory.bench import accuracy, accuracy_json, accuracy_table

    return 0 if _measure(lambda progress: accuracy(quick, progress), accuracy_table, accuracy_json, json).kept else 1


@app.command
def bench(*, quick: Flag = False, json: Output = None) -> None:
    """Time the exact moments on one core, and what simulation would take for the same accuracy.

    Args:
        quick: Fewer repeats on a smaller grid, in seconds.
        json: A JSON file to write as well.
    """
    with importing(PROGRAM):
        from qtheory.bench import bench, bench_json, bench_table

    _measure(lambda progress: bench(quick, progress), bench_table, bench_json, json)


def _measure(run: Callable[..., T], table: Callable[[T], Any], text: Callable[[T], str], output: Path | None) -> T:
    """Run under a progress line, write the file, print the table; the file's path is checked first."""
    from qtheory._files import check_path

    try:
        if output is not None:
            check_path("--json", output)
        with status() as show:
            result = run(show)
    except ValueError as error:
        refuse(PROGRAM, str(error))
    failure = _write([("--json", output, text(result))] if output is not None else [])
    TextConsole().print(table(result))
    if failure is not None:
        refuse(PROGRAM, failure)
    return result


def _write(files: list[tuple[str, Path, str]]) -> str | None:
    """Write files given as (option, path, text), and say of the first failure what it was."""
    from qtheory._files import write_text

    for option, path, text in files:
        try:
            write_text(option, path, text)
        except ValueError as error:
            return str(error)
    return None
