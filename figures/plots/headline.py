"""Figure `headline`: what q does to the time of escape, Omega(1/p0) against Theta(log 1/p0), and to the bias."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.names import power
from figures.plots.bias import three
from figures.plots.curves import bold, write_along
from figures.plots.palette import line_style
from figures.study_data import DATA
from qtheory.escape import FAMILIES, family, log_family_times, log_sigmoid_time
from qtheory.exact import moments

DELTA = 0.5
Q = (0.0, 0.5, 1.0)
"""The values of q in the panels of times."""
LAWS = ("$\\Omega(1/p_0)$", "$\\Omega(1/\\sqrt{p_0})$", "$\\Theta(\\log\\,1/p_0)$")
COLDEST = 1e-12
SUCCESSES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
BIASED = (0.25, 0.5, 0.75, 1.0)
"""The values of q in the panel of biases; q = 0 has none."""


@dataclass(frozen=True)
class Headline:
    """Times and biases.

    Attributes:
        p0: (n,) starts, warmest first.
        time: (Q, n) the sigmoid's T_q in closed form.
        starts: (m,) starts of the families.
        families: (m,) T_1 by family, by the path solver.
        draws: (P, q, k) M P/q at SUCCESSES and BIASED.
        bias: (P, q, k) the plug-in's ||bias||/||grad l_q||.
    """

    p0: np.ndarray
    time: np.ndarray
    starts: np.ndarray
    families: Mapping[str, np.ndarray]
    draws: np.ndarray
    bias: np.ndarray


def compute(folder: Path = DATA) -> Headline:
    """Closed forms, paths and exact moments; nothing is read."""
    del folder
    p0, starts = np.geomspace(0.1, COLDEST, 111), np.geomspace(1e-2, COLDEST, 6)
    families = {
        name: np.exp(log_family_times(family(name), np.log(starts), DELTA, (1.0,), rtol=1e-9)[:, 0])
        for name in FAMILIES
    }
    orders, wanted = np.array(BIASED), np.geomspace(1e-2, 1e4, 25)
    sizes = [np.maximum(np.rint(wanted * orders[:, None] / p), 1).astype(int) for p in SUCCESSES]
    biases = []
    for p, size in zip(SUCCESSES, sizes, strict=True):
        task = three(p)
        length = np.exp((1 - orders) * task.log_p) * np.linalg.norm(task.score)
        bias = np.linalg.norm(moments(task, orders[:, None], size).bias, axis=-1)
        biases.append(bias / length[:, None])
    return Headline(
        p0,
        np.exp(log_sigmoid_time(np.log(p0)[:, None], DELTA, Q)).T,
        starts,
        families,
        np.array([size * p / orders[:, None] for p, size in zip(SUCCESSES, sizes, strict=True)]),
        np.array(biases),
    )


def slopes(data: Headline) -> dict[str, float]:
    """What T_1 grows by for each e-fold of 1/p0 between the coldest two starts, by family."""
    step = np.log(data.starts[-2] / data.starts[-1])
    return {name: float((time[-1] - time[-2]) / step) for name, time in data.families.items()}


def coefficients(data: Headline) -> tuple[float, float]:
    """The least and the largest of the relative bias times M P/q, where that is 10 or more."""
    products = (data.bias * data.draws)[data.draws >= 10]
    return float(products.min()), float(products.max())


def plot(data: Headline) -> Figure:
    """Three panels, 7 in wide."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(7, 2.8), width_ratios=(1.15, 1, 1))
    _draw_times(left, data)
    _draw_logarithm(middle, data)
    _draw_bias(right, data)
    # A line's angle on the page is known once the panels have their places.
    figure.draw_without_rendering()
    for q, law, time in zip(Q, LAWS, data.time, strict=True):
        color = line_style("garl", q)["color"]
        write_along(left, data.p0[50:80], time[50:80], f"q = {q:g}:  {law}", color=color, fontsize=8)
    x = np.array([20.0, 2000.0])
    write_along(right, x, 1 / x, "$q\\,/\\,(M P)$", color="#222222", fontsize=8)
    return figure


def _draw_times(axes: Axes, data: Headline) -> None:
    for q, time in zip(Q, data.time, strict=True):
        color = line_style("garl", q)["color"]
        axes.plot(data.p0, time, color=color, linewidth=2)
        axes.plot(data.p0[-1], time[-1], "o", color=color, markersize=3.5, clip_on=False)
        axes.text(COLDEST / 2.5, time[-1], bold(float(time[-1])), color=color, va="center", fontsize=9)
    _show_starts(axes)
    axes.set(yscale="log", ylim=(0.5, 1e13), ylabel=f"time to reach P = {DELTA:g}")
    axes.set_yticks([1, 1e4, 1e8, 1e12])
    axes.minorticks_off()
    axes.set_title("a  cold start: $1/p_0$ or $\\log 1/p_0$")


def _show_starts(axes: Axes) -> None:
    axes.set(xscale="log", xlim=(0.2, COLDEST), xlabel="success at the start, $p_0$:  rarer $\\rightarrow$")
    axes.set_xticks([1e-1, 1e-4, 1e-8, 1e-12])
    axes.minorticks_off()


def _draw_logarithm(axes: Axes, data: Headline) -> None:
    colors = [line_style("garl", q)["color"] for q in Q]
    for times in data.families.values():
        axes.plot(data.starts, times, color=colors[-1], marker="o", markersize=2.5)
    for color, time in zip(colors, data.time[:2], strict=False):
        axes.plot(data.p0, time, color=color, linewidth=2)
    top = 1.15 * max(float(times.max()) for times in data.families.values())
    axes.text(1e-3, 0.98 * top, "q = 0 and 0.5:\nfar off this axis", color=colors[1], va="top")
    axes.text(
        1.5e-12, 0.25 * top, f"q = 1 in\n{len(data.families)} model families", color=colors[-1], ha="right", va="top"
    )
    _show_starts(axes)
    axes.set(ylim=(0, top), ylabel="the same time, linear axis")
    axes.set_title("b  q = 1: straight in $\\log 1/p_0$")


def _draw_bias(axes: Axes, data: Headline) -> None:
    law = np.array([1, 1e4])
    axes.axvspan(1e-2, 1, color="#eeeeee", linewidth=0)
    axes.plot(law, 1 / law, color="#222222", linewidth=1, zorder=3)
    for index, q in enumerate(BIASED):
        color = line_style("garl", q)["color"]
        draws, bias = data.draws[:, index].T, data.bias[:, index].T
        axes.plot(draws, bias, color=color, marker="o", linestyle="", markersize=2.2)
    axes.text(0.1, 3e-3, "too few\ndraws", color="#555555", ha="center", va="center")
    axes.text(1e4, 2.5, "q = 0.25 to 1,\nP = $10^{-2}$ to $10^{-6}$", color="#555555", ha="right", va="center")
    axes.set(xscale="log", yscale="log", xlim=(1e-2, 1e4), ylim=(5e-5, 8))
    axes.set(xlabel="draws $M$, in units of $q/P$", ylabel="bias, share of the gradient")
    axes.minorticks_off()
    axes.set_title("c  bias $\\sim q/(M P^{q+1})$")


def caption(data: Headline) -> str:
    """What is shown and what came out."""
    ends = [power(float(time[-1])) for time in data.time]
    rates = slopes(data).values()
    least, most = coefficients(data)
    return (
        f"The continuum in three pictures. a: time of gradient flow on l_q from p0 to P = {DELTA:g} on the sigmoid "
        f"(closed form, App C.1); at p0 = {COLDEST:g} it is {ends[0]} at q = 0, {ends[1]} at q = 0.5 and {ends[2]} at "
        "q = 1 (Thm 5.1, 5.2). "
        f"b: the same on a linear axis; T_1 of {len(data.families)} model families (path solver) grows by "
        f"{min(rates):.2g} to {max(rates):.2g} for each e-fold of 1/p0. "
        f"c: bias of the plug-in over the length of the gradient, exact moments, P = {SUCCESSES[0]:g} to "
        f"{SUCCESSES[-1]:g} and q = {BIASED[0]:g} to {BIASED[-1]:g}, three rationales with weights 1, 1/2 and 0. From "
        f"M P/q = 10 on it is {least:.2g} to {most:.2g} times q/(M P), that is O(q/(M P^(q+1))) of grad P (Thm 6.1); "
        "below 1 the bias is the gradient itself (QC-1)."
    )
