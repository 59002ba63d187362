"""Figure `poisson`: bias, noise and escape of the plug-in on 0/1 weights as functions of M P, for all M and P."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import listed
from figures.plots.curves import REFERENCE, Q
from figures.plots.palette import line_style
from figures.study_data import DATA
from qtheory.escape import hard_time, poisson_time
from qtheory.exact import moments, poisson_limit
from qtheory.models import FixedAnswers, bernoulli

SIZES = (8, 64, 4096)
MARKS = ("o", "^", "s")
HELD = np.geomspace(0.02, 25, 8)
"""M P of the marks; those of P above .3 are left out."""
END = 10.0
"""M P at the end of the escapes."""


@dataclass(frozen=True)
class Poisson:
    """The limit as curves and finite M as marks.

    Attributes:
        held: (n,) M P.
        bias: (Q, n) relative bias in the limit.
        noise: (Q, n) relative standard deviation, successes sharing one score.
        time: (Q, m) escape time to END over M^(1-q), from the first m, below END.
        finite: (M, 3, Q, len(HELD)) the three at SIZES, NaN where P is above .3, times to END/M.
    """

    held: np.ndarray
    bias: np.ndarray
    noise: np.ndarray
    time: np.ndarray
    finite: np.ndarray


def compute(folder: Path = DATA) -> Poisson:
    """Sums over the Poisson law, exact moments and escape times; no data are read."""
    del folder
    held, orders = np.geomspace(0.01, 30, 61), np.array(Q)[:, None]
    limit = poisson_limit(held, orders)
    finite = np.array([_finite(size) for size in SIZES])
    return Poisson(held, limit.bias, np.sqrt(limit.variance), poisson_time(held[held < END], END, orders), finite)


def _finite(size: int) -> np.ndarray:
    values = np.full((3, len(Q), len(HELD)), np.nan)
    for column, p in enumerate((HELD / size).tolist()):
        if p > 0.3:
            continue
        law = bernoulli(np.log(p))
        task = FixedAnswers(law.log_w).task(law.log_prior)
        found = moments(task, np.array(Q), size)
        length = np.array([np.linalg.norm(task.gradient(q)) for q in Q])
        values[0, :, column] = np.linalg.norm(found.bias, axis=-1) / length
        # At ||s|| = (1-P) the plug-in's own variance is that of (K/M)^(1-q) s.
        values[1, :, column] = np.sqrt(found.variance) / length
        if END / size <= 0.3 and HELD[column] < END:
            values[2, :, column] = hard_time(p, END / size, np.array(Q), size) / size ** (1 - np.array(Q))
    return values


def plot(data: Poisson) -> Figure:
    """Three panels, 7 in wide."""
    figure, panels = plt.subplots(1, 3, figsize=(7, 2.7))
    curves = (data.bias, data.noise, data.time)
    for panel, (axes, values) in enumerate(zip(panels, curves, strict=True)):
        for row, q in enumerate(Q):
            color = line_style("garl", q)["color"]
            axes.plot(
                data.held[: values.shape[1]], values[row], color=color, label=f"q = {q:g}" if panel == 0 else None
            )
            for mark, finite in zip(MARKS, data.finite, strict=True):
                axes.plot(HELD, finite[panel, row], mark, color=color, fillstyle="none", markersize=3.5)
        axes.axvline(1, **REFERENCE)
        axes.set(xscale="log", xlabel="M P" if panel < 2 else "M P at the start")
    panels[0].set_title("a  relative bias")
    for size, mark in zip(SIZES, MARKS, strict=True):
        panels[0].plot([], [], mark, color="#555555", fillstyle="none", label=f"M = {size}")
    panels[1].set(yscale="log", ylim=(0.01, 20))
    panels[1].set_title("b  deviation over gradient")
    panels[2].set(yscale="log")
    panels[2].set_title(r"c  escape time over $M^{1-q}$")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, columnspacing=1.0)
    return figure


def caption(data: Poisson) -> str:
    """What is shown and what came out."""
    limit = poisson_limit(HELD, np.array(Q)[:, None])
    gaps = [float(np.nanmax(np.abs(finite[0] - limit.bias))) for finite in data.finite]
    one = np.array([float(poisson_limit(1.0, q).bias) for q in Q])
    return (
        "The plug-in on 0/1 weights as P -> 0 at a fixed number of successes M P (lines, QC-10), and exact moments and "
        f"mean-field times at M = {listed([str(size) for size in SIZES])} where P is at most 0.3 (marks). a: the share "
        f"of the gradient that the mean lacks; at M P = 1 {listed([f'{value:.2f}' for value in one])} at q = "
        f"{listed([f'{q:g}' for q in Q])}. The marks are within {listed([f'{gap:.1g}' for gap in gaps])} of the lines. "
        f"b: standard deviation over the gradient, where successes share one score. c: time of the sigmoid to M P = "
        f"{END:g}, in units of M^(1-q) over the learning rate: from M P << 1 it is nearly the same at every q (QC-1)."
    )
