"""Figure `trajectories`: P against time for each q and for SFT-then-RLVR, and the effect of q near the optimum."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import power
from figures.plots.palette import line_style
from figures.study_data import DATA
from qtheory.escape import family, sigmoid_time
from qtheory.flow import follow

P0, SWITCH, END = 1e-3, 0.05, 0.99
Q = (0.0, 0.25, 0.5, 0.75, 1.0)
RATIO = 4.0
"""eps0/eps1 of the times near the optimum."""
OTHERS = {"arms": "s", "chain": "x"}
"""Further families, and their markers."""


@dataclass(frozen=True)
class Trajectories:
    """Paths of the sigmoid and ratios of times.

    Attributes:
        p: (n,) success probabilities from P0 to END.
        time: (n, Q) times at which each q reaches them.
        stepwise: (n,) times of the schedule q = 1 -> 0 with the step at SWITCH.
        eps: (m,) eps0.
        excess: (m, Q-1) T_q/T_1 - 1 from 1 - eps0 to 1 - eps0/RATIO on the sigmoid.
        others: The same ratio by family, by the path solver.
    """

    p: np.ndarray
    time: np.ndarray
    stepwise: np.ndarray
    eps: np.ndarray
    excess: np.ndarray
    others: Mapping[str, np.ndarray]


def compute(folder: Path = DATA) -> Trajectories:
    """Closed forms of the sigmoid, and paths of two other families; nothing is read."""
    del folder
    odds = np.linspace(math.log(P0 / (1 - P0)), math.log(END / (1 - END)), 400)
    p = 1 / (1 + np.exp(-odds[1:]))
    late = p > SWITCH
    stepwise = sigmoid_time(P0, np.minimum(p, SWITCH), 1.0)
    stepwise[late] += sigmoid_time(SWITCH, p[late], 0.0)
    eps = np.geomspace(1e-4, 0.3, 8)
    near = sigmoid_time(1 - eps[:, None], 1 - eps[:, None] / RATIO, Q)
    return Trajectories(
        p,
        sigmoid_time(P0, p[:, None], Q),
        stepwise,
        eps,
        near[:, :-1] / near[:, -1:] - 1,
        {name: _excess(name, eps) for name in OTHERS},
    )


def _excess(name: str, eps: np.ndarray) -> np.ndarray:
    """T_q/T_1 - 1 of a family, (m, Q-1)."""
    member = family(name)
    ends = np.unique(np.concatenate([eps, eps / RATIO]))[::-1]
    path = follow(
        member.model.score,
        lambda at: float(member.model.log_p(at)),
        member.start(math.log(0.3)),
        np.log1p(-ends),
        Q,
        rtol=1e-11,
    )
    times = np.exp(path.log_time)
    first, last = (np.searchsorted(-ends, -at) for at in (eps, eps / RATIO))
    spans = times[last] - times[first]
    return spans[:, :-1] / spans[:, -1:] - 1


def plot(data: Trajectories) -> Figure:
    """Trajectories on the left, ratios near the optimum on the right, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.9), width_ratios=(3, 2))
    for index, q in enumerate(Q):
        left.plot(data.time[:, index], data.p, color=line_style("garl", q)["color"], label=f"q = {q:g}")
    left.plot(data.stepwise, data.p, color="#222222", linestyle="--", label=f"q = 1, from P = {SWITCH:g} on q = 0")
    left.set_xscale("log")
    left.set_xlim(0.1, 2 * data.time.max())
    left.set_xlabel("time, in units of 1/learning rate")
    left.set_ylabel("success probability P")
    left.set_title(f"a  the sigmoid from p0 = {power(P0)}")
    for index, q in enumerate(Q[:-1]):
        color = line_style("garl", q)["color"]
        right.plot(data.eps, data.excess[:, index], color=color)
        for name, sign in OTHERS.items():
            label = name if index == 0 else None
            right.plot(data.eps, data.others[name][:, index], sign, color=color, fillstyle="none", label=label)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("distance to the optimum at the start, eps0")
    right.set_ylabel("T_q / T_1 - 1")
    right.set_title(f"b  from 1 - eps0 to 1 - eps0/{RATIO:g}")
    right.legend(loc="upper left")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, columnspacing=1.2)
    return figure


def caption(data: Trajectories) -> str:
    """Describe the panels and state the results."""
    half = [float(sigmoid_time(P0, 0.5, q)) for q in (0.0, 1.0)]
    stepwise = float(sigmoid_time(P0, SWITCH, 1.0) + sigmoid_time(SWITCH, 0.5, 0.0))
    slope = np.diff(np.log(data.excess[:2, 0]))[0] / np.diff(np.log(data.eps[:2]))[0]
    return (
        f"a: P against time under gradient flow on l_q, in closed form for the sigmoid (App C.1). To P = 0.5 it takes "
        f"{half[0]:.0f} at q = 0 and {half[1]:.1f} at q = 1; SFT up to P = {SWITCH:g} and then RLVR, the stepwise "
        f"schedule q = 1 -> 0, takes {stepwise:.1f}, the sum of its stages (v2). "
        f"b: near the optimum the times differ by O(eps0) only (Prop C.1): lines are the sigmoid, signs two other "
        f"families; the slope at q = 0 is {slope:.3f} at eps0 = {power(data.eps[0])}."
    )
