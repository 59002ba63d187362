"""Figure `escape_exponents`: the transformer's escape steps against p0, and the score norm that predicts the slopes."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.names import listed, power
from figures.plots.palette import line_style
from figures.plots.slopes import Slope, common_slope
from figures.study_data import DATA, Row, ScoreNorm, Study, read_study
from qtheory.escape.measured import Norm, constant_norm, interpolated_norm, measured_time
from qtrain.errors import UserError
from qtrain.runs.folder import ESCAPED

FEWEST_UPDATES = 5
"""Shorter escapes are not fitted: updates are whole numbers, and an update would be over a fifth of the time."""

Start = tuple[int, float]
"""Start of a run: base and requested p0."""

SEED_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
"""One marker per base."""


@dataclass(frozen=True)
class Exponent:
    """Escapes at one q.

    Attributes:
        q: In [0, 1].
        estimator: As results name it.
        lr: The learning rate.
        escaped: Runs that escaped.
        runs: Number of runs.
        used: The escaped runs of at least FEWEST_UPDATES updates, which are fitted.
        predicted_updates: Per used run, the updates predicted from the ||s||^2 measured from its start.
        fit: Fit of log T on log p0, T the updates before the escape; None if too few runs were used.
        predicted: The same fit to the predicted updates.
        constant: The slope that a constant ||s||^2 would give at the same p0; tends to -(1-q) as p0 -> 0.
        ratio: Geometric mean of measured over predicted updates.
        per_nat: Slope of T on log(1/p0) in updates per nat, q = 1 only.
        predicted_per_nat: The same slope of the predicted updates, q = 1 only.
    """

    q: float
    estimator: str
    lr: float
    escaped: tuple[Row, ...]
    runs: int
    used: tuple[Row, ...]
    predicted_updates: tuple[float, ...]
    fit: Slope | None
    predicted: Slope | None
    constant: Slope | None
    ratio: float
    per_nat: Slope | None
    predicted_per_nat: Slope | None


@dataclass(frozen=True)
class EscapeExponents:
    """Everything in the figure: exponents by q, and ||s||^2 measured on the path from each start."""

    exponents: tuple[Exponent, ...]
    measured: dict[Start, ScoreNorm]

    @property
    def seeds(self) -> list[int]:
        """The bases."""
        return sorted({seed for seed, _ in self.measured})


def compute(folder: Path = DATA) -> EscapeExponents:
    """Fit the measured escape steps, and the steps predicted from the measured ||s||^2.

    Args:
        folder: Folder of the data file.

    Raises:
        UserError: The data file is missing or malformed, or ||s||^2 was not measured on some base.
    """
    study = read_study("escape_exponents", folder)
    measured = {start(row): row.score_norm for row in study.rows if row.score_norm is not None}
    missing = {start(row) for row in study.rows} - set(measured)
    if missing:
        seed, p0 = min(missing)
        raise UserError(
            f"escape_exponents: ||s||^2 was not measured from p0 {p0:g} on base {seed}; run the study again"
        )
    try:
        norms = {at: interpolated_norm(norm.log_p, norm.norm_sq) for at, norm in measured.items()}
    except ValueError as error:
        raise UserError(f"escape_exponents: {error}") from None
    return EscapeExponents(tuple(_exponents(study, norms)), measured)


def start(row: Row) -> Start:
    """Start of a run: its base and requested p0.

    Raises:
        UserError: The run's p0 was not set.
    """
    if row.p0_wanted is None:
        raise UserError(f"escape_exponents: {row.estimator} on base {row.seed} has no wanted p0; run the study")
    return row.seed, row.p0_wanted


def _exponents(study: Study, norms: dict[Start, Norm]) -> list[Exponent]:
    exponents = []
    for estimator, all_rows in study.by_estimator.items():
        # The run that measures ||s||^2 has a different learning rate.
        rows = [row for row in all_rows if row.score_norm is None]
        q = rows[0].q
        if q is None:
            raise UserError(f"escape_exponents: {estimator} has no q; the study runs the continuum only")
        escaped = tuple(row for row in rows if row.escape_step is not None and row.p0 < ESCAPED)
        used = tuple(row for row in escaped if updates(row) >= FEWEST_UPDATES)
        seeds, x = [row.seed for row in used], [math.log(row.p0) for row in used]
        measured = [float(updates(row)) for row in used]
        predicted = [measured_time(row.p0, ESCAPED, q, norms[start(row)]) / row.lr for row in used]
        constant = [measured_time(row.p0, ESCAPED, q, constant_norm) / row.lr for row in used]
        logs = [np.log(values).tolist() for values in (measured, predicted, constant)]
        fit, predicted_fit, constant_fit = (common_slope(seeds, x, values) for values in logs)
        nats = [-log_p0 for log_p0 in x]
        exponents.append(
            Exponent(
                q,
                estimator,
                rows[0].lr,
                escaped,
                len(rows),
                used,
                tuple(predicted),
                fit,
                predicted_fit,
                constant_fit,
                float(np.exp(np.mean(np.log(measured) - np.log(predicted)))) if used else math.nan,
                common_slope(seeds, nats, measured) if q == 1 else None,
                common_slope(seeds, nats, predicted) if q == 1 else None,
            )
        )
    return exponents


def updates(row: Row) -> int:
    """Updates before the escape, one less than the escape step: a step draws its batch before it updates.

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
    for exponent in data.exponents:
        color = line_style(exponent.estimator, exponent.q)["color"]
        for row in exponent.escaped:
            axes.plot(row.p0, updates(row), marker=_marker(data, row.seed), color=color, linestyle="", markersize=3)
        if exponent.fit is None:
            continue
        p0 = np.geomspace(min(row.p0 for row in exponent.used), max(row.p0 for row in exponent.used), 40)
        level = np.mean(list(exponent.fit.intercepts.values()))
        label = f"q = {exponent.q:g}: {exponent.fit.value:.2f}"
        axes.plot(p0, np.exp(level + exponent.fit.value * np.log(p0)), color=color, label=label)
        _draw_prediction(axes, exponent, color)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axhline(FEWEST_UPDATES, color="#999999", linewidth=0.6, linestyle=":")
    axes.set_xlabel("P at the start, p0")
    axes.set_ylabel(f"updates until P > {ESCAPED:g}")
    axes.set_title("a  escape times and fitted exponents")


def _draw_prediction(axes: Axes, exponent: Exponent, color: Any) -> None:
    """Geometric means over bases at each p0."""
    starts = sorted({row.p0_wanted for row in exponent.used if row.p0_wanted is not None})
    pairs = list(zip(exponent.used, exponent.predicted_updates, strict=True))
    at = [[(row.p0, value) for row, value in pairs if row.p0_wanted == p0] for p0 in starts]
    means = np.array([np.exp(np.mean(np.log(updates_at), axis=0)) for updates_at in at])
    axes.plot(means[:, 0], means[:, 1], color=color, linestyle="--", linewidth=1)


def _draw_norm(axes: Axes, data: EscapeExponents) -> None:
    for (seed, _), norm in data.measured.items():
        order = np.argsort(norm.log_p)
        log_p, norm_sq = np.array(norm.log_p)[order], np.array(norm.norm_sq)[order]
        axes.plot(np.exp(log_p), norm_sq, color="#888888", linewidth=0.7)
        axes.plot(np.exp(norm.log_p[0]), norm.norm_sq[0], marker=_marker(data, seed), color="#222222", markersize=3)
    for seed in data.seeds:
        axes.plot([], [], marker=_marker(data, seed), color="#222222", linestyle="", label=f"start, base {seed}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("P along the path")
    axes.set_title("b  ||s||² along the paths")
    lowest = min(min(norm.norm_sq) for norm in data.measured.values())
    axes.set_ylim(bottom=lowest / 2)  # room for the legend below the starts
    axes.legend(loc="lower left", ncols=len(data.seeds), columnspacing=1, handletextpad=0.2)


def _marker(data: EscapeExponents, seed: int) -> str:
    return SEED_MARKERS[data.seeds.index(seed) % len(SEED_MARKERS)]


def caption(data: EscapeExponents) -> str:
    """Describe the panels and state the results."""
    slopes = listed(
        [
            f"q = {exponent.q:g}: {_slope(exponent.fit)} (theory {exponent.q - 1:g}, "
            f"predicted {_slope(exponent.predicted, interval=False)})"
            for exponent in data.exponents
        ]
    )
    norms = [value for norm in data.measured.values() for value in norm.norm_sq]
    first = [norm.norm_sq[0] for norm in data.measured.values()]
    return (
        f"a: SGD updates until a batch's mean P exceeds {ESCAPED:g}, against the measured p0; one sign per base. "
        f"Solid: least squares of log T on log p0, one intercept per base and one exponent, over runs of at least "
        f"{FEWEST_UPDATES} updates (dotted), since updates are whole. Dashed: (1/lr) times the integral of "
        f"e^(-(1-q) L)/||s||² over L = log P, with the ||s||² of panel b. "
        f"Exponents with 95% intervals: {slopes}. "
        f"b: ||s||² estimated along a slow run at q = 1 from every p0 and base, one line each, interpolated in "
        f"log P: from {power(min(first))} to {power(max(first))} at the starts, {power(min(norms))} to "
        f"{power(max(norms))} over all paths."
    )


def _slope(slope: Slope | None, *, interval: bool = True) -> str:
    if slope is None:
        return "too few runs"
    known = interval and not math.isnan(slope.low)
    return f"{slope.value:.2f}" + (f" [{slope.low:.2f}, {slope.high:.2f}]" if known else "")
