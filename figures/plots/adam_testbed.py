"""Figure `adam_testbed`: Adam's epsilon on the transformer, and runs with weights relative to the batch's largest."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.claims.testbed import AdamRuns, MissingEvidence, adam_runs
from figures.names import listed, power
from figures.plots.palette import line_style
from figures.study_data import DATA, Row, read_study
from qtrain.errors import UserError
from qtrain.runs.folder import ESCAPED

EPS_MARKERS = ("o", "s", "^", "D", "v")
"""One marker per epsilon, smallest first."""

CASE_STYLES = (("#222222", "o"), ("#c2571a", "s"), ("#3b6fb6", "^"))
"""Colour and marker of each line of panels b to d."""

PLAIN, COMMON, NO_EPS = "weights as they are", "relative to the batch's largest", "epsilon almost 0"


@dataclass(frozen=True)
class Ends:
    """One line of a panel: p@1 at the end by q, with mean, lowest and highest base."""

    name: str
    q: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class AdamTestbed:
    """The runs of panel a, and the lines of panels b to d by title."""

    runs: AdamRuns
    cases: dict[str, tuple[Ends, ...]]


def compute(folder: Path = DATA) -> AdamTestbed:
    """Escapes with the law's prediction, and success at the end with and without a common scale.

    Args:
        folder: Folder of the data files.

    Raises:
        UserError: A data file is missing or malformed.
    """
    read_study("adam_epsilon", folder)
    common = read_study("common_factor", folder).rows
    sgd = [row for row in common if row.optimizer == "sgd"]
    conflict = [row for row in common if row.variant == "mixed"]
    tiny = [row for row in common if row.optimizer == "adamw" and row.variant != "mixed"]
    relative = [row for row in conflict if row.relative_weights]
    cases = {
        "b  SGD, all alike": (
            _ends(PLAIN, read_study("cold_start", folder).rows),
            _ends(COMMON, sgd),
        ),
        "c  Adam, tiny p0": (
            _ends(PLAIN, [row for row in tiny if not row.relative_weights]),
            _ends(COMMON, [row for row in tiny if row.relative_weights]),
        ),
        "d  Adam, conflict": (
            _ends(PLAIN, read_study("adam_conflict", folder).rows),
            _ends(COMMON, relative),
            _ends(NO_EPS, [row for row in conflict if not row.relative_weights]),
        ),
    }
    try:
        return AdamTestbed(adam_runs(folder), cases)
    except MissingEvidence as error:
        raise UserError(str(error)) from None


def _ends(name: str, rows: list[Row]) -> Ends:
    """Ends of the GARL and RB-RLOO runs; a diverged run counts as p@1 = 0."""
    runs = [row for row in rows if row.q is not None and not row.estimator.startswith("paft")]
    q = sorted({row.q for row in runs if row.q is not None})
    values = [[row.p_at_1 or 0.0 for row in runs if row.q == order] for order in q]
    return Ends(name, np.array(q), *(np.array([f(ends) for ends in values]) for f in (np.mean, np.min, np.max)))


def plot(data: AdamTestbed) -> Figure:
    """The law on the left, three cases on the right, 7 in wide."""
    figure, (left, *others) = plt.subplots(1, 4, figsize=(7, 2.8), width_ratios=(1.7, 1, 1, 1))
    _draw_law(left, data.runs)
    for axes, (title, lines) in zip(others, data.cases.items(), strict=True):
        _draw_ends(axes, title, lines)
        axes.tick_params(labelleft=axes is others[0])
    others[0].set_ylabel("p@1 at the end")
    eps = np.unique(data.runs.eps)[1:]
    handles = [
        *(
            Line2D(
                [], [], color="#444444", marker=EPS_MARKERS[index], linestyle="", label=f"a: eps {power(float(value))}"
            )
            for index, value in enumerate(eps)
        ),
        *(
            Line2D([], [], color=line_style("garl", float(q))["color"], label=f"a: q = {q:g}")
            for q in np.unique(data.runs.q)
        ),
        *(
            Line2D([], [], color=color, marker=marker, label=f"b to d: {name}")
            for name, (color, marker) in zip((PLAIN, COMMON, NO_EPS), CASE_STYLES, strict=True)
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, columnspacing=1.2, handlelength=1.4)
    return figure


def _draw_law(axes: Axes, runs: AdamRuns) -> None:
    smallest = runs.eps.min()
    shown = runs.eps > smallest
    predicted = runs.law + runs.floor
    for index, eps in enumerate(np.unique(runs.eps[shown])):
        for q in np.unique(runs.q):
            at = shown & (runs.eps == eps) & (runs.q == q)
            style = line_style("garl", float(q))["color"]
            axes.plot(predicted[at], runs.updates[at], EPS_MARKERS[index], color=style, linestyle="")
            stuck = at & np.isnan(runs.updates)
            axes.plot(
                predicted[stuck],
                np.full(stuck.sum(), runs.budget),
                EPS_MARKERS[index],
                color=style,
                linestyle="",
                markerfacecolor="none",
            )
    ends = [predicted[shown].min() * 0.8, runs.budget]
    axes.plot(ends, ends, color="#444444", linewidth=0.8, linestyle="--")
    axes.axhline(runs.budget, color="#999999", linewidth=0.6, linestyle=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("updates by the law")
    axes.set_ylabel(f"updates until P > {ESCAPED:g}")
    axes.set_title("a  escapes under Adam")


def _draw_ends(axes: Axes, title: str, lines: tuple[Ends, ...]) -> None:
    for line, (color, marker) in zip(lines, CASE_STYLES, strict=False):
        axes.errorbar(
            line.q,
            line.mean,
            yerr=np.maximum(
                (line.mean - line.low, line.high - line.mean), 0
            ),  # rounding can make a difference of equal values negative
            color=color,
            marker=marker,
            capsize=2,
            elinewidth=0.7,
        )
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("q")
    axes.set_title(title)


def caption(data: AdamTestbed) -> str:
    """Describe the panels and state the results."""
    runs = data.runs
    predicted, missed = runs.law + runs.floor, np.isnan(runs.updates)
    slow = (runs.law > runs.floor) & ~missed
    ratio = runs.updates[slow] / predicted[slow]
    smallest = runs.eps == runs.eps.min()
    starts = listed([power(p0) for p0 in sorted({float(f"{p0:.0e}") for p0 in runs.p0})])
    sentences = [
        f"a: Adam on prompts all alike, p0 near {starts}: updates until a batch's mean P exceeds {ESCAPED:g} against "
        f"the law, (eps/lr) times the flow's time with the measured ||s||² plus what the same run needs at eps "
        f"{power(float(runs.eps.min()))}, where every q takes {runs.updates[smallest].min():.0f} to "
        f"{runs.updates[smallest].max():.0f}. Where the law's first part is the larger one, measured over predicted is "
        f"{ratio.min():.2f} to {ratio.max():.2f} ({slow.sum()} runs). Hollow: not within {runs.budget} updates "
        f"({missed.sum()} runs; the law says {power(float(predicted[missed].min()))} or more)."
    ]
    for title, lines in data.cases.items():
        ends = "; ".join(f"{line.name}: {_by_q(line)}" for line in lines)
        sentences.append(f"{title[0]}: {title[3:]}, p@1 at the end, mean, lowest and highest base. {ends}.")
    return " ".join(sentences)


def _by_q(line: Ends) -> str:
    return listed([f"{value:.2f} (q = {q:g})" for q, value in zip(line.q, line.mean, strict=True)])
