"""Figure `warm_start`: GARL with and without its baseline in warm start, and the variance with each baseline."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.names import listed, power, split
from figures.plots.palette import line_style
from figures.study_data import DATA, Row, read_study

BASELINES = {"leave-one-out": "#222222", "none": "#c2571a", "norm-weighted": "#3b6fb6"}
"""Baselines and their colours."""


@dataclass(frozen=True)
class Group:
    """The runs at one q and learning rate with one baseline; one entry per base.

    Attributes:
        end: p@1 at the end, 0 if the run diverged.
        fall: The largest fall of p@1 below the run's own best so far, at any evaluation.
    """

    q: float
    lr: float
    baseline: str
    end: np.ndarray
    fall: np.ndarray


@dataclass(frozen=True)
class Gains:
    """Measurements along the runs at one q: P, the best multiplier, and variances relative to no baseline."""

    q: float
    p: np.ndarray
    multiplier: np.ndarray
    loo: np.ndarray
    weighted: np.ndarray


@dataclass(frozen=True)
class WarmStart:
    """Everything in the figure."""

    groups: tuple[Group, ...]
    gains: tuple[Gains, ...]
    bases: int


def compute(folder: Path = DATA) -> WarmStart:
    """Ends, dips and variances of the study `baseline`.

    Args:
        folder: Folder of the data file.

    Raises:
        UserError: The data file is missing or malformed.
    """
    study = read_study("baseline", folder)
    keys = sorted({(row.q or 0.0, row.lr) for row in study.rows})
    groups = []
    for q, lr in keys:
        for baseline in BASELINES:
            rows = [row for row in study.rows if (row.q, row.lr, _baseline(row)) == (q, lr, baseline)]
            groups.append(Group(q, lr, baseline, np.array([row.p_at_1 or 0.0 for row in rows]), _falls(rows)))
    gains = [_gains(q, study.rows) for q in sorted({q for q, _ in keys})]
    return WarmStart(tuple(groups), tuple(gains), len(study.seeds))


def _baseline(row: Row) -> str:
    name, parameters = split(row.estimator)
    if name == "garl_weighted":
        return "norm-weighted"
    return "none" if "baseline=none" in parameters else "leave-one-out"


def _falls(rows: list[Row]) -> np.ndarray:
    """The largest fall of each run; a diverged run falls to 0 at its end."""
    falls = []
    for row in rows:
        p = np.array([*row.curve.p_at_1, *([0.0] if row.p_at_1 is None else [])])
        falls.append(float(np.max(np.maximum.accumulate(p) - p)))
    return np.array(falls)


def _gains(q: float, rows: list[Row]) -> Gains:
    """Measurements with a positive variance."""
    measured = [row.baseline_gain for row in rows if row.q == q and row.baseline_gain is not None]
    names = ("p", "best_multiplier", "variance_none", "variance_loo", "variance_weighted")
    p, multiplier, none, loo, weighted = (
        np.array([value for gain in measured for value in getattr(gain, name)]) for name in names
    )
    positive = none > 0
    return Gains(
        q,
        p[positive],
        multiplier[positive],
        (loo / np.where(positive, none, 1))[positive],
        (weighted / np.where(positive, none, 1))[positive],
    )


def plot(data: WarmStart) -> Figure:
    """Success on the left; variance and best multiplier against failure on the right; 7 in wide."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(7, 2.7), width_ratios=(1.5, 1, 1))
    _draw_success(left, data)
    for gains in data.gains:
        style = line_style("garl", gains.q)
        failure = 1 - gains.p
        middle.plot(failure, gains.loo, linestyle="", color=style["color"], marker="o")
        middle.plot(failure, gains.weighted, linestyle="", color=style["color"], marker="s", markerfacecolor="none")
        positive = gains.multiplier > 0
        right.plot(
            failure[positive],
            gains.multiplier[positive],
            linestyle="",
            color=style["color"],
            marker="o",
            label=f"q = {gains.q:g}",
        )
    for axes, label, title in (
        (middle, "variance over that without", "b  what the baseline does"),
        (right, "best multiplier", "c  its best multiplier"),
    ):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.axhline(1, color="#444444", linewidth=0.8, linestyle="--")
        axes.set_xlabel("1 − P")
        axes.invert_xaxis()
        axes.set_ylabel(label)
        axes.set_title(title)
    handles = [
        Line2D([], [], color=color, marker="o", linestyle="", label=f"baseline: {name}")
        for name, color in BASELINES.items()
    ]
    handles += [
        Line2D([], [], color=line_style("garl", gains.q)["color"], marker="o", linestyle="", label=f"q = {gains.q:g}")
        for gains in data.gains
    ]
    handles.append(
        Line2D(
            [],
            [],
            color="#777777",
            marker="s",
            markerfacecolor="none",
            linestyle="",
            label="hollow: a fall, b norm-weighted",
        )
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=4, columnspacing=1.2, handletextpad=0.3)
    return figure


def _draw_success(axes: Axes, data: WarmStart) -> None:
    keys = sorted({(group.q, group.lr) for group in data.groups})
    for group in data.groups:
        place = keys.index((group.q, group.lr)) + 0.25 * (list(BASELINES).index(group.baseline) - 1)
        at = place + np.linspace(-0.05, 0.05, len(group.end))
        color = BASELINES[group.baseline]
        axes.plot(at, group.end, marker="o", linestyle="", color=color)
        axes.plot(at, group.fall, marker="s", linestyle="", color=color, markerfacecolor="none")
    axes.set_xticks(range(len(keys)), [f"q = {q:g}\nlr {power(lr)}" for q, lr in keys])
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("p@1 at the end; largest fall")
    axes.set_title("a  warm start under Adam")


def caption(data: WarmStart) -> str:
    """Describe the panels and state the results."""
    ends = [
        f"q = {group.q:g}, lr {power(group.lr)}, {group.baseline}: {group.end.mean():.2f} ({group.fall.max():.2f})"
        for group in data.groups
    ]
    late = [(gains.q, gains.loo[gains.p > 0.9], gains.weighted[gains.p > 0.9]) for gains in data.gains]
    ratios = listed(
        [
            f"{power(float(np.median(loo)))} times at q = {q:g} with the leave-one-out baseline and "
            f"{power(float(np.median(weighted)))} times with the norm-weighted one"
            for q, loo, weighted in late
        ]
    )
    return (
        f"a: p@1 at the end, and its largest fall below the run's own best so far (hollow), one sign a base, "
        f"{data.bases} bases, by the baseline of the rationales' coefficients. Mean end (largest fall): "
        f"{'; '.join(ends)}. "
        f"b: the variance of a pool's gradient with a baseline over that without any, along the runs with the "
        f"leave-one-out baseline; where P is above 0.9 its median is {ratios}. c: the multiplier of the leave-one-out "
        f"baseline that would minimise the variance, where positive. A measurement is of 8 prompts with two pools "
        f"each, so that the signs scatter."
    )
