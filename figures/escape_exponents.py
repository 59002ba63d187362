"""Figure `escape_exponents`: the transformer's escape steps against p0, and the score norm behind the slopes."""

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.errors import DataError
from figures.escape_law import BANDWIDTH, ESCAPED, Norm, constant_norm, predicted_updates, smoothed_norm
from figures.names import listed, power
from figures.palette import line_style
from figures.slopes import Slope, common_slope
from figures.study_data import DATA, Row, ScoreNorm, Study, read_study

FEWEST_UPDATES = 5
"""Shorter escapes are not fitted: updates are whole, and one is then a fifth of what is measured."""

SEED_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
"""One sign per base."""


@dataclass(frozen=True)
class Exponent:
    """Escapes at one q.

    Attributes:
        q: In [0, 1].
        estimator: As results name it.
        lr: The learning rate.
        escaped: Runs that escaped.
        runs: How many there were.
        used: The escaped runs of at least FEWEST_UPDATES updates, which are fitted.
        fit: Of log T on log p0, T the updates before the escape; None where too few were used.
        predicted: The slope fitted in the same way to the updates that the measured ||s||^2 predicts at the same p0.
        constant: The slope that a constant ||s||^2 would give at the same p0; tends to -(1-q) as p0 -> 0.
        ratio: Geometric mean of measured over predicted updates.
        per_nat: Slope of T on log(1/p0) in updates per nat, q = 1 only.
        predicted_per_nat: The same of the predicted updates, q = 1 only.
    """

    q: float
    estimator: str
    lr: float
    escaped: tuple[Row, ...]
    runs: int
    used: tuple[Row, ...]
    fit: Slope | None
    predicted: Slope | None
    constant: Slope | None
    ratio: float
    per_nat: Slope | None
    predicted_per_nat: Slope | None


@dataclass(frozen=True)
class EscapeExponents:
    """Everything in the figure: exponents by q, ||s||^2 as measured and smoothed by base."""

    exponents: tuple[Exponent, ...]
    measured: dict[int, ScoreNorm]
    norms: dict[int, Norm]

    def norm_near(self, p: float) -> float:
        """Smoothed ||s||^2 at P = p, geometric mean over bases."""
        values = [float(norm(np.array([math.log(p)]))[0]) for norm in self.norms.values()]
        return float(np.exp(np.mean(np.log(values))))


def compute(folder: Path = DATA) -> EscapeExponents:
    """Fits of the measured escape steps, and of those that the measured ||s||^2 predicts.

    Args:
        folder: Where the data file lies.

    Raises:
        DataError: It is missing or holds something else, or ||s||^2 was not measured on some base.
    """
    study = read_study("escape_exponents", folder)
    measured = {row.seed: row.score_norm for row in study.rows if row.score_norm is not None}
    missing = set(study.seeds) - set(measured)
    if missing:
        raise DataError(f"escape_exponents: ||s||^2 was not measured on base {min(missing)}; run the study again")
    norms = {seed: smoothed_norm(one.log_p, one.norm_sq) for seed, one in measured.items()}
    return EscapeExponents(tuple(_exponents(study, norms)), measured, norms)


def _exponents(study: Study, norms: dict[int, Norm]) -> list[Exponent]:
    found = []
    for estimator, all_rows in study.by_estimator.items():
        # The run that measures ||s||^2 has a learning rate of its own.
        rows = [row for row in all_rows if row.score_norm is None]
        q = rows[0].q
        if q is None:
            raise DataError(f"escape_exponents: {estimator} has no q; the study runs the continuum only")
        escaped = tuple(row for row in rows if row.escape_step is not None and row.p0 < ESCAPED)
        used = tuple(row for row in escaped if updates(row) >= FEWEST_UPDATES)
        seeds, x = [row.seed for row in used], [math.log(row.p0) for row in used]
        measured = [float(updates(row)) for row in used]
        predicted = [predicted_updates(row.p0, q, row.lr, norms[row.seed]) for row in used]
        constant = [predicted_updates(row.p0, q, row.lr, constant_norm) for row in used]
        logs = [np.log(values).tolist() for values in (measured, predicted, constant)]
        fit, predicted_fit, constant_fit = (common_slope(seeds, x, one) for one in logs)
        nats = [-one for one in x]
        found.append(
            Exponent(
                q,
                estimator,
                rows[0].lr,
                escaped,
                len(rows),
                used,
                fit,
                predicted_fit,
                constant_fit,
                float(np.exp(np.mean(np.log(measured) - np.log(predicted)))) if used else math.nan,
                common_slope(seeds, nats, measured) if q == 1 else None,
                common_slope(seeds, nats, predicted) if q == 1 else None,
            )
        )
    return found


def updates(row: Row) -> int:
    """Updates before the escape, one less than the escape step, whose own update comes after its batch is drawn.

    Raises:
        ValueError: The run did not escape.
    """
    if row.escape_step is None:
        raise ValueError(f"{row.estimator} on base {row.seed} from p0 {row.p0:g} did not escape: leave it out")
    return row.escape_step - 1


def plot(data: EscapeExponents) -> Figure:
    """Escape steps on the left, ||s||^2 on the right, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.1), width_ratios=(3, 2))
    _draw_escapes(left, data)
    _draw_norm(right, data)
    handles, labels = left.get_legend_handles_labels()
    handles.append(Line2D([], [], color="#444444", linestyle="--", linewidth=1))
    figure.legend(
        handles, [*labels, "predicted from ||s||²"], loc="outside lower center", ncols=len(handles), columnspacing=1.2
    )
    return figure


def _draw_escapes(axes: Axes, data: EscapeExponents) -> None:
    for one in data.exponents:
        color = line_style(one.estimator, one.q)["color"]
        for row in one.escaped:
            axes.plot(row.p0, updates(row), marker=_marker(data, row.seed), color=color, linestyle="", markersize=3)
        if one.fit is None:
            continue
        p0 = np.geomspace(min(row.p0 for row in one.used), max(row.p0 for row in one.used), 40)
        level = np.mean(list(one.fit.intercepts.values()))
        label = f"q = {one.q:g}: {one.fit.value:.2f}"
        axes.plot(p0, np.exp(level + one.fit.value * np.log(p0)), color=color, label=label)
        seeds = list(one.fit.intercepts)
        logs = [[math.log(predicted_updates(at, one.q, one.lr, data.norms[seed])) for at in p0] for seed in seeds]
        axes.plot(p0, np.exp(np.mean(logs, axis=0)), color=color, linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axhline(FEWEST_UPDATES, color="#999999", linewidth=0.6, linestyle=":")
    axes.set_xlabel("P at the start, p0")
    axes.set_ylabel(f"updates until P > {ESCAPED:g}")
    axes.set_title("a  escape times and fitted exponents")


def _draw_norm(axes: Axes, data: EscapeExponents) -> None:
    for seed, one in data.measured.items():
        log_p, norm_sq = np.array(one.log_p), np.array(one.norm_sq)
        axes.plot(
            np.exp(log_p), norm_sq, marker=_marker(data, seed), color="#888888", linestyle="", markersize=2.6, alpha=0.7
        )
        grid = np.linspace(log_p.min(), log_p.max(), 200)
        axes.plot(np.exp(grid), data.norms[seed](grid), color="#222222", linewidth=1)
        axes.plot([], [], marker=_marker(data, seed), color="#888888", linestyle="", label=f"base {seed}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("P along the path")
    axes.set_title("b  ||s||² along the path")
    axes.legend()


def _marker(data: EscapeExponents, seed: int) -> str:
    return SEED_MARKERS[sorted(data.measured).index(seed) % len(SEED_MARKERS)]


def caption(data: EscapeExponents) -> str:
    """What is shown and what came out."""
    slopes = listed(
        [
            f"q = {one.q:g}: {_slope(one.fit)} (theory {one.q - 1:g}, "
            f"predicted {_slope(one.predicted, interval=False)})"
            for one in data.exponents
        ]
    )
    low = max(math.exp(min(one.log_p)) for one in data.measured.values())
    return (
        f"a: SGD updates until a batch's mean P exceeds {ESCAPED:g}, against the measured p0; one sign per base. "
        f"Solid: least squares of log T on log p0, one intercept per base and one exponent, over runs of at least "
        f"{FEWEST_UPDATES} updates (dotted), since updates are whole. Dashed: (1/lr) times the integral of "
        f"e^(-(1-q) L)/||s||² over L = log P, with the ||s||² of panel b. "
        f"Exponents with 95% intervals: {slopes}. "
        f"b: ||s||² estimated along a slow run at q = 1 of each base, and its local-linear smoothing (Gaussian "
        f"kernel, {BANDWIDTH:g} nat): {power(data.norm_near(low))} at P = {power(low)}, "
        f"{power(data.norm_near(ESCAPED))} at P = {ESCAPED:g}, geometric means over bases."
    )


def _slope(slope: Slope | None, *, interval: bool = True) -> str:
    if slope is None:
        return "too few runs"
    known = interval and not math.isnan(slope.low)
    return f"{slope.value:.2f}" + (f" [{slope.low:.2f}, {slope.high:.2f}]" if known else "")
