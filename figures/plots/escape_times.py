"""Figure `escape_times`: T_q against p0 on the model families, and how fast their exponents settle."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.plots.curves import bold, write_along
from figures.plots.palette import line_style
from figures.study_data import DATA
from qtheory.escape import FAMILIES, family, increment_exponents, log_family_times, log_sigmoid_time

DELTA = 0.5
Q = (0.0, 0.25, 0.5, 0.75, 1.0)
LAWS = {
    0.0: "$1/p_0$",
    0.25: "$p_0^{-0.75}$",
    0.5: "$p_0^{-0.5}$",
    0.75: "$p_0^{-0.25}$",
    1.0: "$\\log\\,1/p_0$",
}
"""What is written on the lines of panel a."""
MARKERS = {"sigmoid": "o", "arms": "s", "latent-sigmoid": "^", "latent-softmax": "v", "fixed": "D", "chain": "x"}


@dataclass(frozen=True)
class EscapeTimes:
    """Times and exponents.

    Attributes:
        p0: (K,) starts.
        closed: (K, Q) T_q of the sigmoid in closed form.
        solved: T_q by the path solver, (K, Q) by family.
        exponents: (K-2, Q) of increments, by family; row i is of the starts i to i + 2.
    """

    p0: np.ndarray
    closed: np.ndarray
    solved: Mapping[str, np.ndarray]
    exponents: Mapping[str, np.ndarray]


def compute(folder: Path = DATA) -> EscapeTimes:
    """Times of all families at p0 = 1e-12 ... 1e-2; nothing is read."""
    del folder
    p0 = np.geomspace(1e-12, 1e-2, 11)
    log_p0 = np.log(p0)
    logs = {name: log_family_times(family(name), log_p0, DELTA, Q, rtol=1e-9) for name in FAMILIES}
    return EscapeTimes(
        p0,
        np.exp(log_sigmoid_time(log_p0[:, None], DELTA, Q)),
        {name: np.exp(times) for name, times in logs.items()},
        {name: increment_exponents(log_p0, times) for name, times in logs.items()},
    )


def deepest(data: EscapeTimes) -> float:
    """The largest distance of an exponent to -(1-q) over all families and q, from the lowest three starts."""
    return max(float(np.abs(exponents[0] - (np.array(Q) - 1)).max()) for exponents in data.exponents.values())


def plot(data: EscapeTimes) -> Figure:
    """Times on the left, their exponents on the right, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2))
    _draw_times(left, data)
    _draw_exponents(right, data)
    signs = [
        Line2D([], [], color="#444444", linestyle="", marker=sign, fillstyle="none", label=name)
        for name, sign in MARKERS.items()
    ]
    figure.legend(handles=signs, loc="outside lower center", ncols=6, columnspacing=1.2)
    figure.draw_without_rendering()
    for index, q in enumerate(Q):
        # The axis has warm starts on its left.
        x, y = data.p0[[4, 1]], data.closed[[4, 1], index]
        write_along(left, x, y, f"q = {q:g}:  {LAWS[q]}", color=line_style("garl", q)["color"])
    return figure


def _draw_times(axes: Axes, data: EscapeTimes) -> None:
    for index, q in enumerate(Q):
        color = line_style("garl", q)["color"]
        axes.plot(data.p0, data.closed[:, index], color=color)
        for name, times in data.solved.items():
            style = {"color": color, "fillstyle": "none", "linestyle": "", "clip_on": False}
            axes.plot(data.p0[::5], times[::5, index], MARKERS[name], **style)
        end = float(data.closed[0, index])
        axes.text(data.p0[0] / 3, end, bold(end), color=color, va="center")
    axes.set_yscale("log")
    axes.set_ylabel(f"time $T_q$ until P = {DELTA:g}")
    axes.set_yticks([1, 1e4, 1e8, 1e12])
    axes.set_title("a  escape times")
    _show_starts(axes)


def _show_starts(axes: Axes) -> None:
    axes.set(xscale="log", xlim=(3e-2, 1e-12), xlabel="P at the start, $p_0$: rarer $\\rightarrow$")
    axes.set_xticks([1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12])
    axes.minorticks_off()


def _draw_exponents(axes: Axes, data: EscapeTimes) -> None:
    middle = data.p0[1:-1]
    for index, q in enumerate(Q):
        color = line_style("garl", q)["color"]
        axes.axhline(q - 1, color=color, linewidth=0.8)
        for name, exponents in data.exponents.items():
            axes.plot(middle, exponents[:, index], MARKERS[name], color=color, fillstyle="none", linestyle="")
        axes.text(5e-13, q - 1, f"{q - 1:g}".replace("-", "−"), color=color, va="center")
    axes.set_ylabel("exponent of $p_0$ in $T_q$")
    axes.set_title("b  the exponent is −(1−q) in every family")
    _show_starts(axes)


def caption(data: EscapeTimes) -> str:
    """What is shown and what came out."""
    span = math.log10(data.p0[-1] / data.p0[0])
    worst = max(float(np.abs(one[:5, :-1] - (np.array(Q[:-1]) - 1)).max()) for one in data.exponents.values())
    gap = float(np.abs(data.solved["sigmoid"] / data.closed - 1).max())
    return (
        f"Escape times of one example under gradient flow on l_q, over {span:.0f} decades of p0 (Eq 6, Thm 5.1 and "
        f"5.2, App C.1). a: lines are the sigmoid's closed form, signs the path solver on six model families, one "
        f"solve for all q; on the sigmoid the two differ by at most {gap:.0e}. "
        f"b: the exponent is the slope of log(T_q(p0) - T_q(10 p0)) in log p0, lines are -(1-q). "
        f"Up to p0 = {data.p0[6]:.0e} and below q = 1 all are within {worst:.0e} of -(1-q). Without "
        f"latents the distance falls like p0; at q = 1 it falls only like a power of 1/log(1/p0) where rationales "
        f"compete, to {deepest(data):.0e} at p0 = {data.p0[0]:.0e}."
    )
