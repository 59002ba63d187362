"""Table `escape_exponents`: measured, predicted and ideal exponents, and the measured escape steps."""

import math
from pathlib import Path

from figures.markdown import provenance, table
from figures.names import power
from figures.plots.escape_exponents import FEWEST_UPDATES, Exponent, compute
from figures.plots.slopes import Slope
from figures.study_data import DATA, read_study


def escape_table(folder: Path = DATA) -> str:
    """Both tables.

    Args:
        folder: Folder of the data file.

    Raises:
        UserError: The data file is missing or malformed.
    """
    study = read_study("escape_exponents", folder)
    data = compute(folder)
    exponents = table(
        [
            "q",
            "runs fitted",
            "exponent, 95% interval",
            "predicted from the measured score norm",
            "constant score norm, same p0",
            "theory, q - 1",
            "measured / predicted updates",
        ],
        [
            [
                f"{exponent.q:g}",
                f"{len(exponent.used)} of {exponent.runs}",
                interval(exponent.fit),
                value(exponent.predicted),
                value(exponent.constant),
                f"{exponent.q - 1:g}",
                "" if math.isnan(exponent.ratio) else f"{exponent.ratio:.2f}",
            ]
            for exponent in data.exponents
        ],
    )
    steps = table(
        ["q", "p0 wanted", *(f"base {seed}: p0, steps" for seed in study.seeds)],
        [
            line
            for exponent in data.exponents
            for line in _runs(exponent, study.by_estimator[exponent.estimator], study.seeds)
        ],
    )
    parts = [exponents]
    parts += [_logarithm(exponent) for exponent in data.exponents if exponent.per_nat and exponent.predicted_per_nat]
    parts += [
        f"Escape steps (updates before the escape, plus 1); fewer than {FEWEST_UPDATES} updates are not fitted:",
        steps,
        provenance(study),
    ]
    return "\n\n".join(parts)


def _runs(exponent: Exponent, rows: list, seeds: list[int]) -> list[list[str]]:
    cells = {
        (row.p0_wanted, row.seed): f"{power(row.p0)}, {'never' if row.escape_step is None else row.escape_step}"
        for row in rows
        if row.score_norm is None
    }
    wanted = sorted({p0 for p0, _ in cells}, reverse=True)
    return [[f"{exponent.q:g}", power(p0), *(cells.get((p0, seed), "not run") for seed in seeds)] for p0 in wanted]


def _logarithm(exponent: Exponent) -> str:
    return (
        f"At q = {exponent.q:g} theory expects a logarithm, not a power: fitted linearly, the updates grow by "
        f"{interval(exponent.per_nat)} for each nat of log(1/p0); "
        f"the measured score norm predicts {value(exponent.predicted_per_nat)}."
    )


def value(slope: Slope | None) -> str:
    """A slope with two decimals."""
    return "too few runs" if slope is None else f"{slope.value:.2f}"


def interval(slope: Slope | None) -> str:
    """A slope with its interval if there is one."""
    if slope is None or math.isnan(slope.low):
        return value(slope)
    return f"{slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}]"
