"""The command line of `qtheory`. Commands import what they need themselves, so that `--help` is quick."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from qtheory.command.console import TextConsole
from qtheory.command.options import AS_TYPED
from qtheory.command.run import importing, refuse, run_app

PROGRAM = "qtheory"

app = App(
    name=PROGRAM,
    help="The theory of the Tsallis loss continuum: claims and their checks, escape times.",
    version=lambda: version("qcontinuum"),
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
    console=TextConsole(),
    default_parameter=AS_TYPED,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Bad input ends with one line and exit status 2, Ctrl-C with 130."""
    sys.exit(
        run_app(PROGRAM, app, arguments, refused=(CycloptsError,), interrupted="files are written whole or not at all")
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
        from qtheory.claims import CLAIMS
        from qtheory.claims.command import verify_command

    return verify_command(PROGRAM, CLAIMS, labels, quick=quick, json=json, page=page)


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
        from qtheory.command.files import check_path, write_outputs
        from qtheory.escape.output import escape_csv, escape_json, escape_table
        from qtheory.escape.table import escape_rows, exponent_rows

    outputs = [("--json", json, escape_json), ("--csv", csv, escape_csv)]
    try:
        for option, path, _ in outputs:
            if path is not None:
                check_path(option, path)
        rows = (exponent_rows if exponents else escape_rows)(task, p0, q, delta)
    except (ValueError, RuntimeError) as error:  # a RuntimeError: the path solver failed
        refuse(PROGRAM, str(error))
    failure = write_outputs([(option, path, text(rows)) for option, path, text in outputs if path is not None])
    TextConsole().print(escape_table(rows))
    if failure is not None:
        refuse(PROGRAM, failure)
