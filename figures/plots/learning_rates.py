"""Figure `learning_rates`: each estimator over three decades of learning rates, and at its best rate."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.names import listed, mean, power, short_name
from figures.plots.palette import line_style
from figures.study_data import DATA, Row, only, read_study
from qtrain.errors import UserError

BELOW = -0.08
"""Height of the marks of diverged runs, which have no p@1."""


@dataclass(frozen=True)
class Scan:
    """One estimator.

    Attributes:
        estimator: As results name it.
        q: Its q, None for an estimator without one.
        scan: Learning rate to p@1 at the end on the scan's base, None if it diverged; ascending rates.
        best: The best rate, which was run on every base.
        confirmed: p@1 at the best rate, one per base, None if it diverged.
        runs: The runs at the best rate.
    """

    estimator: str
    q: float | None
    scan: dict[float, float | None]
    best: float
    confirmed: tuple[float | None, ...]
    runs: tuple[Row, ...]

    @property
    def at_edge(self) -> bool:
        """Whether the best rate is the first or last of the scan, so that a better one may lie beyond."""
        return self.best in (min(self.scan), max(self.scan))


@dataclass(frozen=True)
class LearningRates:
    """All estimators, and the setting."""

    scans: tuple[Scan, ...]
    scan_seed: int
    p0: float
    steps: int


def compute(folder: Path = DATA) -> LearningRates:
    """The scan, and the confirmed best rates.

    Args:
        folder: Folder of the data files.

    Raises:
        UserError: A data file is missing or malformed.
    """
    scan, best = read_study("learning_rates", folder), read_study("best_learning_rates", folder)
    confirmed = best.by_estimator
    scans = []
    for estimator, rows in scan.by_estimator.items():
        if estimator not in confirmed:
            raise UserError(
                f"best_learning_rates: no run of {estimator}; run `python -m figures run best_learning_rates` again"
            )
        runs = confirmed[estimator]
        scans.append(
            Scan(
                estimator,
                rows[0].q,
                {row.lr: row.p_at_1 for row in sorted(rows, key=lambda row: row.lr)},
                only((row.lr for row in runs), f"the best learning rate of {estimator}"),
                tuple(row.p_at_1 for row in runs),
                tuple(runs),
            )
        )
    return LearningRates(
        tuple(scans),
        int(only((row.seed for row in scan.rows), "the scan's base")),
        float(np.exp(np.mean([np.log(row.p0) for row in scan.rows]))),
        max(row.steps for row in scan.rows),
    )


def plot(data: LearningRates) -> Figure:
    """The scan beside the confirmed best rates, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.75), width_ratios=(3, 2), sharey=True)
    _draw_scan(left, data)
    _draw_best(right, data)
    left.set_ylim(BELOW - 0.04, 1.04)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _draw_scan(axes: Axes, data: LearningRates) -> None:
    for scan in data.scans:
        style = line_style(scan.estimator, scan.q)
        rates = list(scan.scan)
        axes.plot(
            rates,
            [np.nan if p is None else p for p in scan.scan.values()],
            label=short_name(scan.estimator, scan.q),
            **style,
        )
        diverged = [rate for rate, p in scan.scan.items() if p is None]
        axes.plot(diverged, [BELOW] * len(diverged), "X", color=style["color"], markersize=6, markeredgecolor="white")
    if any(p is None for scan in data.scans for p in scan.scan.values()):
        axes.plot([], [], "X", color="#777777", markersize=6, markeredgecolor="white", label="diverged")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate (SGD)")
    axes.set_ylabel(f"success after {data.steps} steps, p@1")
    axes.set_title(f"a  scan, base {data.scan_seed}")


def _draw_best(axes: Axes, data: LearningRates) -> None:
    for place, scan in enumerate(data.scans):
        style = line_style(scan.estimator, scan.q)
        known = [p for p in scan.confirmed if p is not None]
        gone = len(scan.confirmed) - len(known)
        axes.plot(
            np.full(len(known), place),
            known,
            marker=style["marker"],
            color=style["color"],
            linestyle="",
            markersize=4.5,
        )
        if known:
            axes.hlines(float(np.mean(known)), place - 0.3, place + 0.3, color=style["color"], linewidth=1.6)
        if gone:
            axes.plot(np.full(gone, place), np.full(gone, BELOW), "X", color=style["color"], markersize=6)
    axes.set_xticks(
        range(len(data.scans)),
        [
            f"{short_name(scan.estimator, scan.q)}\n{power(scan.best)}{'*' if scan.at_edge else ''}"
            for scan in data.scans
        ],
    )
    axes.tick_params(axis="x", labelsize=6.5)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("estimator, its best rate")
    axes.set_title(f"b  best rate, {max(len(scan.confirmed) for scan in data.scans)} bases")


def caption(data: LearningRates) -> str:
    """Describe the panels and state the results."""
    bests = listed(
        [f"{short_name(scan.estimator, scan.q)} {_mean_text(scan)} at {power(scan.best)}" for scan in data.scans]
    )
    edge = [short_name(scan.estimator, scan.q) for scan in data.scans if scan.at_edge]
    gone = sum(p is None for scan in data.scans for p in scan.scan.values())
    total = sum(len(scan.scan) for scan in data.scans)
    return (
        f"a: p@1 after {data.steps} SGD steps on the cold start (p0 {power(data.p0)}) against the learning rate: the "
        f"same number of rates over three decades for every estimator, half a decade apart, on base {data.scan_seed} "
        f"({gone} of {total} runs diverged). "
        f"b: the best rate of each on every base, bars are means. Mean p@1 at the best rate: {bests}. "
        f"Best at an edge of its window (*), so that a better one may lie beyond: {listed(edge)}."
    )


def _mean_text(scan: Scan) -> str:
    value = mean(scan.confirmed)
    if value is not None:
        return f"{value:.2f}"
    return f"({sum(p is None for p in scan.confirmed)} of {len(scan.confirmed)} diverged)"
