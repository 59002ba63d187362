"""Figure `label_noise`: equilibrium of the contamination on flipped labels, and the trajectories towards it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.optimize import brentq

from figures.names import power
from figures.plots.palette import line_style
from figures.study_data import DATA
from qtheory.escape import contamination_time, equilibrium, sigmoid_time
from qtheory.models import NoisyLabels, Sigmoid

FLIPS = (0.05, 0.1, 0.2, 0.4)
FLIP, START = 0.2, 1e-4
"""e and n at the start of the trajectories."""
Q = (0.25, 0.5, 0.75, 1.0)
GREYS = ("#b8b8b8", "#858585", "#4f4f4f", "#111111")


@dataclass(frozen=True)
class LabelNoise:
    """Equilibria and trajectories of the sigmoid.

    Attributes:
        q: (m,) orders.
        rests: (len(FLIPS), m) contamination at rest.
        zeros: (len(FLIPS), len(Q)) the same, as zeros of the noisy loss's gradient.
        n: (k, len(Q)) contaminations from START to near the rest.
        time: (k, len(Q)) times at which they are reached.
        law: (k, len(Q)) times by the sigmoid's law, (n0^-(1-q) - n^-(1-q))/((1-q) e).
        paper: (k, len(Q)) times by Prop C.2, n^(q+1)/((q+1) e).
        falling: (k, 2) time and n at q = 0.
    """

    q: np.ndarray
    rests: np.ndarray
    zeros: np.ndarray
    n: np.ndarray
    time: np.ndarray
    law: np.ndarray
    paper: np.ndarray
    falling: np.ndarray


def compute(folder: Path = DATA) -> LabelNoise:
    """Quadratures and closed forms; nothing is read."""
    del folder
    q = np.linspace(0.1, 1, 46)
    n = np.stack([np.geomspace(1.002 * START, 0.995 * equilibrium(FLIP, order), 120) for order in Q], axis=-1)
    orders = np.array(Q)
    rate = np.where(orders < 1, 1 - orders, 1.0)
    law = np.where(orders < 1, (START**-rate - n**-rate) / rate, np.log(n / START)) / FLIP
    lower = np.geomspace(START / 30, START / 1.02, 60)
    return LabelNoise(
        q,
        np.array([[equilibrium(e, float(order)) for order in q] for e in FLIPS]),
        np.array([[_rest(e, order) for order in Q] for e in FLIPS]),
        n,
        np.array(
            [[contamination_time(START, float(end), FLIP, order) for end in n[:, i]] for i, order in enumerate(Q)]
        ).T,
        law,
        n ** (1 + orders) / (1 + orders) / FLIP,
        # At q = 0 the factor on the gradient is 1 - 2 e at every n: n falls as a sigmoid's P would rise.
        np.stack([sigmoid_time(lower, START, 0.0) / (1 - 2 * FLIP), lower], axis=-1),
    )


def _rest(flip_rate: float, q: float) -> float:
    noisy = NoisyLabels(Sigmoid(), flip_rate)
    logit: Any = brentq(lambda x: float(noisy.gradient(np.array([x]), q)[0]), 0.0, 30.0, xtol=1e-12)
    return float(1 / (1 + np.exp(logit)))


def plot(data: LabelNoise) -> Figure:
    """Rests on the left, trajectories on the right, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.9), width_ratios=(2, 3))
    for index, e in enumerate(FLIPS):
        left.plot(data.q, data.rests[index], color=GREYS[index], label=f"e = {e:g}")
        left.plot(data.q, (e / (1 - e)) ** (1 / data.q), color=GREYS[index], linestyle=":", linewidth=1)
        left.plot(Q, data.zeros[index], "o", color=GREYS[index], fillstyle="none")
    left.set_yscale("log")
    left.set_ylim(1e-6, 1)
    left.set_xlabel("q")
    left.set_ylabel("contamination at rest, n*")
    left.set_title("a  where the noise stays")
    left.legend(loc="lower right")
    right.plot(*data.falling.T, color=line_style("garl", 0.0)["color"], label="q = 0")
    for index, q in enumerate(Q):
        color = line_style("garl", q)["color"]
        right.plot(data.time[:, index], data.n[:, index], color=color, label=f"q = {q:g}")
        right.plot(data.law[:, index], data.n[:, index], color=color, linestyle=":", linewidth=1)
        right.plot(data.paper[:, index], data.n[:, index], color=color, linestyle="--", linewidth=0.7)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("time, in units of 1/learning rate")
    right.set_ylabel("contamination n = 1 - P")
    right.set_title(f"b  the sigmoid from n = {power(START)}, e = {FLIP:g}")
    handles, labels = right.get_legend_handles_labels()
    handles += [Line2D([], [], color="#444444", linestyle=style, linewidth=1) for style in (":", "--")]
    labels += ["the sigmoid's law", "Prop C.2's"]
    figure.legend(handles, labels, loc="outside lower center", ncols=7, columnspacing=1.2)
    return figure


def caption(data: LabelNoise) -> str:
    """Describe the panels and state the results."""
    gap = float(np.abs(data.zeros / np.array([[equilibrium(e, q) for q in Q] for e in FLIPS]) - 1).max())
    rests = {q: equilibrium(FLIP, q) for q in (0.25, 1.0)}
    return (
        f"Labels flipped at the rate e, gradient flow on l_q (Prop C.2). a: the contamination n = 1 - P rests at "
        f"r/(1+r), r = (e/(1-e))^(1/q) (dotted: r); circles are zeros of the gradient, within {gap:.0e}. "
        f"At e = {FLIP:g} it rests at {rests[1.0]:.2g} for q = 1 and {rests[0.25]:.2g} for q = 0.25. "
        f"b: n against time for the sigmoid, by quadrature of dn/dt; at q = 0 it falls. Dotted: the sigmoid's law "
        f"(n0^-(1-q) - n^-(1-q))/((1-q) e). Dashed: n^(q+1)/((q+1) e), which needs a score that keeps its length up "
        f"to P = 1 and is orders of magnitude too short here."
    )
