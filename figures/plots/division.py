"""Figure `division`: how a budget of draws is best divided among prompts, and what that gains over equal numbers."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.names import listed
from figures.plots.curves import REFERENCE
from figures.plots.palette import line_style
from figures.study_data import DATA
from qtheory.claims.own.qc_5 import MIXED
from qtheory.claims.own.qc_11 import EACH, over_equal
from qtheory.estimators import allocate

Q = (0.0, 0.5, 1.0)
SPREAD = 3.0
"""rho of panel a."""
SPREADS = np.geomspace(1, 30, 9)
"""rho of panel b."""
FINE = np.geomspace(1e-4, 0.9, 120)
WORDS = {0.0: (0.93, 115, "q = 0", "right"), 0.5: (0.014, 125, "q = 0.5", "right"), 1.0: (1.6e-4, 320, "q = 1", "left")}
"""Places and alignments of what is written beside the lines of panel a."""


@dataclass(frozen=True)
class Division:
    """Draws and what they gain.

    Attributes:
        fine: (Q, n) draws of prompts at FINE, EACH on average.
        draws: (Q, N) draws of the prompts MIXED.
        gain: (Q, rho) weighted progress over that of equal numbers, at SPREADS.
    """

    fine: np.ndarray
    draws: np.ndarray
    gain: np.ndarray


def compute(folder: Path = DATA) -> Division:
    """Greedy divisions and binomial sums; no data are read."""
    del folder
    return Division(
        np.array([allocate(np.log(FINE), EACH * len(FINE), q, SPREAD) for q in Q]),
        np.array([allocate(np.log(MIXED), EACH * len(MIXED), q, SPREAD) for q in Q]),
        over_equal(MIXED, EACH * len(MIXED), SPREADS.tolist(), Q),
    )


def plot(data: Division) -> Figure:
    """Two panels, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8), width_ratios=(1.3, 1))
    _draw_division(left, data)
    for q, gain in zip(Q, data.gain, strict=True):
        style = line_style("garl", q)
        right.plot(SPREADS, gain, **style)
        right.text(SPREADS[-1] * 1.08, gain[-1], f"q = {q:g}", color=style["color"], va="center")
    right.axhline(1, **REFERENCE)
    right.text(1, 1.02, "equal numbers", color="#666666", va="bottom")
    right.set(xscale="log", xlim=(0.9, 60), ylim=(0.9, None), xlabel="spread of the scores, $\\rho$")
    right.set_xticks([1, 3, 10, 30], ["1", "3", "10", "30"])
    right.minorticks_off()
    right.set_ylabel("progress, × that of equal numbers")
    right.set_title("b  the same draws, more progress")
    return figure


def _draw_division(axes: Axes, data: Division) -> None:
    for q, draws in zip(Q, data.fine, strict=True):
        axes.plot(FINE, draws, color=line_style("garl", q)["color"], drawstyle="steps-mid")
        x, y, words, side = WORDS[q]
        axes.text(x, y, words, color=line_style("garl", q)["color"], ha=side)
    axes.text(1.1e-4, 0.15, "no draw where q < 1", color="#444444")
    axes.axhline(EACH, **REFERENCE)
    axes.text(1.1e-3, EACH * 1.12, f"equal: {EACH}", color="#666666")
    axes.set_yscale("symlog", linthresh=1, linscale=0.6)
    axes.set(xscale="log", ylim=(-0.1, 700), xlabel="success probability P of the prompt", ylabel="draws it gets, M")
    axes.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    axes.minorticks_off()
    axes.set_title("a  where the draws should go")


def caption(data: Division) -> str:
    """What is shown and what came out."""
    shares = listed([f"{row[:4].sum()} at q = {q:g}" for q, row in zip(Q, data.draws, strict=True)])
    gains = listed([f"{row.min():.2f} to {row.max():.2f} at q = {q:g}" for q, row in zip(Q, data.gain, strict=True)])
    return (
        "The division of draws among prompts that makes sum_i P_i^-q E[K_i/(K_i + rho)] largest, each draw given to "
        "where it adds most (QC-11): w in {0, 1}, P known. "
        f"a: draws by P at rho = {SPREAD:g}, {EACH} a prompt on average. With {len(MIXED)} prompts spread evenly in "
        f"log P over the same range, of all {EACH * len(MIXED)} draws the four hardest get {shares}. "
        f"b: the weighted progress of those {len(MIXED)} prompts over that of equal numbers: {gains}."
    )
