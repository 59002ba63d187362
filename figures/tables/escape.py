"""Table `escape_exponents`: exponents measured, predicted and ideal, and the escape steps behind them."""

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
        folder: Where the data file lies.

    Raises:
        UserError: It is missing or holds something else.
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
                f"{one.q:g}",
                f"{len(one.used)} of {one.runs}",
                interval(one.fit),
                value(one.predicted),
                value(one.constant),
                f"{one.q - 1:g}",
                "" if math.isnan(one.ratio) else f"{one.ratio:.2f}",
            ]
            for one in data.exponents
        ],
    )
    steps = table(
        ["q", "p0 wanted", *(f"base {seed}: p0, steps" for seed in study.seeds)],
        [line for one in data.exponents for line in _runs(one, study.by_estimator[one.estimator], study.seeds)],
    )
    parts = [exponents]
    parts += [_logarithm(one) for one in data.exponents if one.per_nat and one.predicted_per_nat]
    parts += [
        f"Escape steps (updates before the escape, plus 1); fewer than {FEWEST_UPDATES} updates are not fitted:",
        steps,
        provenance(study),
    ]
    return "\n\n".join(parts)


def _runs(one: Exponent, rows: list, seeds: list[int]) -> list[list[str]]:
    cells = {
        (row.p0_wanted, row.seed): f"{power(row.p0)}, {'never' if row.escape_step is None else row.escape_step}"
        for row in rows
        if row.score_norm is None
    }
    wanted = sorted({p0 for p0, _ in cells}, reverse=True)
    return [[f"{one.q:g}", power(p0), *(cells.get((p0, seed), "not run") for seed in seeds)] for p0 in wanted]


def _logarithm(one: Exponent) -> str:
    return (
        f"At q = {one.q:g} theory expects a logarithm, not a power: fitted linearly, the updates grow by "
        f"{interval(one.per_nat)} for each nat of log(1/p0); "
        f"the measured score norm predicts {value(one.predicted_per_nat)}."
    )


def value(slope: Slope | None) -> str:
    """A slope with two decimals."""
    return "too few runs" if slope is None else f"{slope.value:.2f}"


def interval(slope: Slope | None) -> str:
    """A slope with its interval, where there is one."""
    if slope is None or math.isnan(slope.low):
        return value(slope)
    return f"{slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}]"
