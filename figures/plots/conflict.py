"""Figure `conflict`: two examples on shared parameters, for which Thm 5.1 and 5.2 no longer hold."""

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import power
from figures.study_data import DATA
from qtheory.flow import escape, velocity
from qtheory.models import AngledSigmoids

DELTA = 0.5
Q = np.linspace(0, 1, 11)
EASIER, HARDER = 0.05, 1e-3
EASY = 0.3
CONFLICTS = (0.0, -0.5, -0.9, -0.95)
"""Cosines between the scores of the two examples in panels b and c."""
ALIGNED = (0.0, 0.5, 1.0)
"""Cosines in panel a."""
LONGEST = 1e6
GREYS = ("#b8b8b8", "#858585", "#4f4f4f", "#111111")
MARKERS = ("o", "s", "^", "D")


@dataclass(frozen=True)
class Conflict:
    """Escape times of pairs.

    Attributes:
        p0: (K,) starts of the hard example beside an easy one.
        beside: (len(ALIGNED), K) times of the hard example at q = 0.
        easier: (len(CONFLICTS), Q) times of the easier of two conflicting examples.
        harder: (len(CONFLICTS), Q) times of the harder example; inf beyond LONGEST.
    """

    p0: np.ndarray
    beside: np.ndarray
    easier: np.ndarray
    harder: np.ndarray


def compute(folder: Path = DATA) -> Conflict:
    """Direct solutions of the pairs' flows; nothing is read."""
    del folder
    p0 = np.geomspace(1e-12, 1e-4, 5)
    beside = [[_times(cosine, start, EASY, 0.0, 1e30)[0] for start in p0] for cosine in ALIGNED]
    times = np.array([[_times(cosine, HARDER, EASIER, q, LONGEST) for q in Q] for cosine in CONFLICTS])
    return Conflict(p0, np.array(beside), times[..., 1], times[..., 0])


def exponents(data: Conflict) -> np.ndarray:
    """(len(ALIGNED),) slopes of log T_0 in log p0 beside an easy example, between the lowest two starts."""
    return np.diff(np.log(data.beside[:, :2]), axis=1)[:, 0] / np.diff(np.log(data.p0[:2]))


def _times(cosine: float, first: float, second: float, q: float, horizon: float) -> np.ndarray:
    pair = AngledSigmoids(np.array([[1.0, cosine], [cosine, 1.0]]), np.log([first, second]))
    flow = velocity(pair.score, pair.log_p, q)
    return escape(flow, pair.score, pair.log_p, np.zeros(2), math.log(DELTA), horizon, rtol=1e-8, atol=1e-8).time


def plot(data: Conflict) -> Figure:
    """The aligned pair, then both examples of the conflicting one, 7 in wide."""
    figure, (aligned, easier, harder) = plt.subplots(1, 3, figsize=(7, 2.8))
    for index, (cosine, slope) in enumerate(zip(ALIGNED, exponents(data), strict=True)):
        label = f"cos {cosine:g}: {slope:.2f}"
        aligned.plot(data.p0, data.beside[index], color=GREYS[index + 1], marker=MARKERS[index], label=label)
    aligned.set_xscale("log")
    aligned.set_xlabel("hard example's p0")
    aligned.set_ylabel(f"its time until P = {DELTA:g}, q = 0")
    aligned.set_title(f"a  beside an easy one (p0 = {EASY:g})")
    aligned.legend(title="slope", title_fontsize=7)
    easier.set_ylabel(f"time until P = {DELTA:g}")
    for axes, times, p0, name in (
        (easier, data.easier, EASIER, "b  the easier of two"),
        (harder, data.harder, HARDER, "c  the harder of two"),
    ):
        for index, cosine in enumerate(CONFLICTS):
            shown = np.isfinite(times[index])
            axes.plot(
                Q[shown], times[index][shown], color=GREYS[index], marker=MARKERS[index], label=f"cos = {cosine:g}"
            )
        axes.set_xlabel("q")
        axes.set_title(f"{name}, p0 = {power(p0)}")
    for axes in (aligned, easier, harder):
        axes.set_yscale("log")
    easier.legend(loc="upper left")
    return figure


def caption(data: Conflict) -> str:
    """Describe the panels and state the results."""
    slow, fast = data.easier[-1, -1], data.easier[-1, 0]
    stuck = Q[~np.isfinite(data.harder[-1])]
    best = Q[int(np.argmin(data.easier[-1]))]
    slopes = ", ".join(
        f"{value:.2f} at cosine {cosine:g}" for cosine, value in zip(ALIGNED, exponents(data), strict=True)
    )
    return (
        f"Two examples of equal weight on shared parameters, direct solutions of the flow on their mean l_q: the "
        f"conditions of Thm 5.1 and 5.2. a: an easy example whose score points the same way lends a hard one its "
        f"speed, so that Omega(1/p0) fails: the exponents at q = 0 are {slopes}. "
        f"b, c: conflicting scores. The order of Thm 5.2 is lost for the easier example: at cosine "
        f"{CONFLICTS[-1]:g} it takes {slow:.0f} at q = 1 and {fast:.0f} at q = 0, and least at q = {best:.1f}. "
        f"The harder one is the faster the larger q; at cosine {CONFLICTS[-1]:g} and up to q = {stuck.max():.1f} it "
        f"is not out by time {LONGEST:.0e}."
    )
