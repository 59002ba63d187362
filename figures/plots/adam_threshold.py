"""Figure `adam_threshold`: steps to escape under Adam against p0 for three epsilons, and the q that a budget needs."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import power
from figures.plots.curves import Q
from figures.plots.palette import line_style
from figures.study_data import DATA
from qtheory.claims.support.adam_iterations import LEVEL, sigmoid_steps
from qtheory.escape.adam import adam_time, critical_q
from qtheory.flow import Adam

LR = 0.1
EPS = (1e-30, 1e-12, 1e-8)
LIMIT = 20_000
BUDGETS = (300, 1000, 10_000)
GREYS = ("#222222", "#7a7a7a", "#b0b0b0")
TRIED = np.linspace(0, 1, 51)


@dataclass(frozen=True)
class AdamThreshold:
    """Steps by the law and by iterating Adam.

    Attributes:
        p0: (n,) starts of the law.
        law: (eps, Q, n) steps by the law.
        tried: (m,) starts of the iterations.
        steps: (eps, Q, m) steps with the default betas, inf beyond LIMIT.
        critical: (budgets, n) the smallest q that escapes, by the law at the largest epsilon, NaN if no q escapes.
        smallest: (m,) the same by iteration, for the budget of 1000 steps, in steps of 0.02.
    """

    p0: np.ndarray
    law: np.ndarray
    tried: np.ndarray
    steps: np.ndarray
    critical: np.ndarray
    smallest: np.ndarray


def compute(folder: Path = DATA) -> AdamThreshold:
    """The law of QC-6, and iterations on the scalar sigmoid; no data are read."""
    del folder
    p0, tried = np.geomspace(1e-18, 1e-2, 129), np.geomspace(1e-18, 1e-2, 17)
    eps, q = np.array(EPS)[:, None, None], np.array(Q)[:, None]
    adam = Adam(LR, epsilon=1.0)
    passed = np.isfinite(sigmoid_steps(tried[:, None], TRIED, EPS[-1], adam, BUDGETS[1]))
    return AdamThreshold(
        p0,
        adam_time(np.log(p0), LEVEL, q, LR, eps),
        tried,
        sigmoid_steps(tried, q, eps, adam, LIMIT),
        critical_q(np.log(p0), np.array(BUDGETS)[:, None], LEVEL, LR, EPS[-1]),
        TRIED[np.argmax(passed, axis=1)],
    )


def plot(data: AdamThreshold) -> Figure:
    """Three panels of steps and one of the critical q, 7 in wide."""
    figure, panels = plt.subplots(1, 4, figsize=(7, 2.6), width_ratios=(1, 1, 1, 1.25))
    for index, (axes, eps) in enumerate(zip(panels, EPS, strict=False)):
        for row, q in enumerate(Q):
            style = line_style("garl", q)
            axes.plot(data.p0, data.law[index, row], color=style["color"])
            axes.plot(data.tried, data.steps[index, row], style["marker"], color=style["color"], label=f"q = {q:g}")
        axes.set(yscale="log", ylim=(15, 1e5), title=f"{'abc'[index]}  eps = {power(eps)}")
        axes.tick_params(labelleft=axes is panels[0])
    panels[0].set_ylabel(f"steps to P = {LEVEL:g}")
    for budget, line, grey in zip(BUDGETS, data.critical, GREYS, strict=True):
        panels[3].plot(data.p0, line, color=grey, label=f"{budget} steps")
    panels[3].plot(data.tried, data.smallest, "o", color=GREYS[1])
    panels[3].set(ylabel="smallest q that escapes", title=f"d  eps = {power(EPS[-1])}", ylim=(-0.03, 1.03))
    panels[3].legend(loc="upper right")
    for axes in panels:
        axes.set(xscale="log", xlabel="$p_0$", xticks=[1e-18, 1e-12, 1e-6])
        axes.minorticks_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def caption(data: AdamThreshold) -> str:
    """Describe the panels and state the results."""
    lowest = data.steps[0, :, 0]
    slow = data.law > 2 * data.law[:1]
    every = (len(data.p0) - 1) // (len(data.tried) - 1)
    shown = slow[..., ::every] & np.isfinite(data.steps)
    ratio = (data.steps / data.law[..., ::every])[shown]
    return (
        f"Full-gradient Adam at rate {LR:g} on the scalar sigmoid, steps to P = {LEVEL:g} (QC-6). Lines: the law, "
        f"log(delta/p0)/lr + (eps/lr) T_q, T_q at a constant score; markers: iterations with the default betas, up to "
        f"{LIMIT} steps. a: epsilon does not count, and from p0 = {power(float(data.tried[0]))} q = 0 takes "
        f"{lowest[0]:.0f} steps, q = 1 {lowest[-1]:.0f}: the second moment's memory shortens the climb at low q below "
        f"the law, which has none. b, c: where the law's second part is the larger, measured over law is "
        f"{ratio.min():.2f} to {ratio.max():.2f} ({shown.sum()} runs). d: the smallest q that escapes within a "
        f"budget, by the law (lines, which end where q = 1 does not either) and by iteration to {TRIED[1]:g} "
        f"({BUDGETS[1]} steps, markers)."
    )
