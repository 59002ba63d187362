"""Figure `escort`: the losses' minimisers over categorical models, and the gain of reporting them."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import listed, power
from figures.plots.curves import REFERENCE
from figures.study_data import DATA
from qtheory import tsallis
from qtheory.claims.paper.cor_b_3 import expected_score
from qtheory.claims.paper.thm_3_1 import LABELS, minimiser

SEARCHED = (0.15, 0.3, 0.5, 0.75, 1.0)
"""Values of q at which the minimiser is searched for."""
CLAIMED = 1e-5
"""Tolerance of the search in the check of Thm 3.1; smaller distances depend on the machine."""
SHADES = ("#1f3b73", "#3f78b5", "#79b0d6", "#b3b3b3")
"""Colours of answers from frequent to rare; the palette's colours are reserved for q."""


@dataclass(frozen=True)
class Escort:
    """Minimisers and the gain of reporting them.

    Attributes:
        a: (J,) the data's distribution, in descending order.
        q: (n,) from 0 to 1.
        escorts: (n, J) escort distributions.
        searched: (F, J) minimisers from a search over logits, at SEARCHED.
        gains: (n,) expected score log_q of the escort less that of a.
    """

    a: np.ndarray
    q: np.ndarray
    escorts: np.ndarray
    searched: np.ndarray
    gains: np.ndarray


def compute(folder: Path = DATA) -> Escort:
    """Escort distributions and searches; no data are read."""
    del folder
    a = np.sort(LABELS)[::-1]
    q = np.linspace(0, 1, 201)
    escorts = np.asarray(tsallis.escort(np.tile(a, (len(q), 1)), q))
    gains = [float(expected_score(t, a, at) - expected_score(a, a, at)) for t, at in zip(escorts, q, strict=True)]
    return Escort(a, q, escorts, np.array([minimiser(a, at) for at in SEARCHED]), np.array(gains))


def plot(data: Escort) -> Figure:
    """Two panels, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6))
    for j, (share, shade) in enumerate(zip(data.a, SHADES, strict=True)):
        left.plot(data.q, data.escorts[:, j], color=shade, label=f"a = {share:g}")
        left.plot(SEARCHED, data.searched[:, j], "o", color=shade, markersize=4, markerfacecolor="white")
    left.set(xlabel="q", ylabel="probability at the minimum", xlim=(0, 1.02), ylim=(-0.02, 1.02))
    left.set_title("a  minimisers of the expected loss")
    left.legend(loc="upper right", title="share in the data", title_fontsize=7)
    right.plot(data.q, data.gains, color=SHADES[0])
    right.axhline(0, **REFERENCE)
    right.set(xlabel="q", ylabel="score gained on reporting a", xlim=(0, 1.02))
    right.set_title(r"b  gain of the escort under the score $\log_q$")
    return figure


def caption(data: Escort) -> str:
    """Describe the panels and state the results."""
    worst = float(np.abs(data.searched / np.array([tsallis.escort(data.a, q) for q in SEARCHED]) - 1).max())
    shares = listed([f"{share:g}" for share in data.a])
    return (
        f"a: lines, the escort distributions t_j ~ a_j^(1/q) of labels with shares {shares}; circles, the minimisers "
        f"of sum_j a_j (-log_q t_j) that a search over logits finds (relative distance at most "
        f"{power(max(worst, CLAIMED))}). At "
        "q = 1 the minimum is at the data's distribution, as q falls it sharpens to the mode. "
        f"b: what a forecaster with beliefs a gains in expected score log_q by reporting the escort: "
        f"{power(float(data.gains[0]))} at q = 0 and 0 at q = 1 alone."
    )
