"""Figure `bias`: the plug-in's exact bias against M, and both its orders in P."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.names import listed, power
from figures.plots.curves import REFERENCE, Q, curve, write_along
from figures.plots.palette import line_style
from figures.study_data import DATA
from qtheory.exact import moments
from qtheory.models import FiniteTask

ORDER = 0.5
"""The q of panel a."""
SUCCESSES = (1e-1, 1e-3, 1e-5)
SAMPLES = 10**9
"""The M of panels b and c."""
SHOWN = Q[1:]
"""At q = 0 there is no bias."""
FITTED = 1e3
"""The M P from which the exponents are fitted."""
SHADES = ("#fdae6b", "#e6550d", "#8c2d04")
"""By P, as the colours of the palette tell q."""


@dataclass(frozen=True)
class Bias:
    """Biases of the plug-in, relative to the true gradient in panel a and as they are in panels b and c.

    Attributes:
        size: (n,) M.
        relative: (P, n) ||bias||/||grad l_q|| for SUCCESSES.
        leading: (P, n) their leading terms.
        p: (m,) success probabilities.
        bounded: (Q, m) ||bias|| times M with scores of one size, at SHOWN.
        steep: (Q, m) the same with scores ~ 1/P.
    """

    size: np.ndarray
    relative: np.ndarray
    leading: np.ndarray
    p: np.ndarray
    bounded: np.ndarray
    steep: np.ndarray


def three(p: float, steepness: float = 0.0) -> FiniteTask:
    """Three rationales with weights 1, 1/2 and 0; one parameter with scores ~ P^-steepness."""
    prior = np.array([0.5, 1.0, 0.0]) * p
    prior[-1] = 1 - prior.sum()
    scores = np.array([[1.0], [-0.5], [0.0]]) * p**-steepness
    return FiniteTask(np.log(prior), np.array([0.0, np.log(0.5), -np.inf]), scores, np.zeros_like(scores))


def compute(folder: Path = DATA) -> Bias:
    """Exact moments; no data are read."""
    del folder
    size = np.unique(np.round(np.geomspace(1, 1e8, 81)).astype(int))
    tasks = [three(p) for p in SUCCESSES]
    length = [float(np.linalg.norm(task.gradient(ORDER))) for task in tasks]
    p = np.geomspace(1e-8, 0.3, 60)
    grid = np.array(SHOWN)
    bounded, steep = (
        SAMPLES * np.stack([np.abs(moments(three(at, power_), grid, SAMPLES).bias[:, 0]) for at in p], axis=-1)
        for power_ in (0.0, 1.0)
    )
    return Bias(
        size,
        np.stack([np.abs(moments(task, ORDER, size).bias[:, 0]) / n for task, n in zip(tasks, length, strict=True)]),
        np.stack([_leading(task, ORDER) / size / n for task, n in zip(tasks, length, strict=True)]),
        p,
        bounded,
        steep,
    )


def _leading(task: FiniteTask, q: float) -> float:
    """M times the leading term's length: (q/P^q) |Cov_post(w, f) + (1-q)/2 (E_post w - P) E_post f|."""
    w, f, post, p = np.exp(task.log_w), task.prior_score[:, 0], task.posterior, np.exp(task.log_p)
    mean, score = post @ w, post @ f
    return float(q * p**-q * abs(post @ ((w - mean) * f) + (1 - q) / 2 * (mean - p) * score))


def exponents(data: Bias, biases: np.ndarray) -> np.ndarray:
    """(Q,) fitted slopes of log ||bias|| (Q, m) in log P where FITTED/M < P < 1e-2."""
    kept = (data.p * SAMPLES > FITTED) & (data.p < 1e-2)
    return np.array([np.polyfit(np.log(data.p[kept]), np.log(row[kept]), 1)[0] for row in biases])


def described(data: Bias) -> float:
    """The least M P from which on the leading term is within 10% of the bias, for every P of panel a."""
    enough = [
        float(data.size[np.flatnonzero(np.abs(leading / relative - 1) > 0.1)[-1] + 1] * p)
        for p, relative, leading in zip(SUCCESSES, data.relative, data.leading, strict=True)
    ]
    return max(enough)


def plot(data: Bias) -> Figure:
    """Three panels, 7 in wide."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(7, 2.8), width_ratios=(1.25, 1, 1))
    _draw_draws(left, data)
    _draw_order(middle, data.p, data.bounded, "q")
    _draw_order(right, data.p, data.steep, "(q+1)")
    middle.set_ylabel("M times the bias")
    middle.set_title("b  bounded scores: $P^{-q}$")
    right.set_title("c  scores ~ 1/P: $P^{-(q+1)}$")
    figure.draw_without_rendering()
    for shade, p in zip(SHADES, SUCCESSES, strict=True):
        x = np.array([8, 200]) / p
        write_along(left, x, ORDER / (x * p), f"P = {power(p)}", color=shade)
    return figure


def _draw_draws(axes: Axes, data: Bias) -> None:
    for shade, p, relative, leading in zip(SHADES, SUCCESSES, data.relative, data.leading, strict=True):
        drawn = leading < 1.5
        axes.plot(data.size[drawn], leading[drawn], **REFERENCE)
        axes.plot(data.size, relative, color=shade)
        axes.plot(1 / p, 2e-7, "^", color=shade, markersize=4.5, clip_on=False)
        axes.text(1 / p, 4e-7, "1/P", color=shade, ha="center")
    axes.text(1.3, 2.2, "below M = 1/P: all bias", color="#444444")
    axes.set(xscale="log", yscale="log", ylim=(2e-7, 8), xlim=(1, 1e8), xlabel="draws M")
    axes.set_ylabel("bias, share of the gradient")
    axes.minorticks_off()
    axes.set_title(f"a  q/(M P) from M = 1/P on, q = {ORDER:g}")


def _draw_order(axes: Axes, p: np.ndarray, biases: np.ndarray, exponent: str) -> None:
    for q, row in zip(SHOWN, biases, strict=True):
        curve(axes, p, row, q, marker="")
        color = line_style("garl", q)["color"]
        power_ = q if exponent == "q" else q + 1
        axes.text(p[0] * 0.6, row[0], f"$P^{{-{power_:g}}}$", color=color, ha="right", va="center")
        axes.plot(p[0], row[0], "o", color=color)
    axes.set(xscale="log", yscale="log", xlim=(5e-11, 0.5), xlabel="success probability P")
    axes.set_xticks([1e-8, 1e-5, 1e-2])
    axes.minorticks_off()


def caption(data: Bias) -> str:
    """What is shown and what came out."""
    first, second = (
        listed([f"{slope:.2f}" for slope in exponents(data, biases)]) for biases in (data.bounded, data.steep)
    )
    at_one = listed(
        [f"{power(float(row[0]))} at P = {power(p)}" for p, row in zip(SUCCESSES, data.relative, strict=True)]
    )
    return (
        "The plug-in's bias from exact moments, for three rationales with weights 1, 1/2 and 0. "
        f"a: over the length of the true gradient, against M, with the leading term of order 1/M (dashed), within 10% "
        f"of it from M P = {described(data):.2g} on; below, the bias nears the whole gradient (at M = 1: {at_one}). "
        "PAFT has the same bias. "
        f"b, c: M times the bias at M = {power(SAMPLES)} against P, q = {listed([f'{q:g}' for q in SHOWN])}. Fitted "
        f"exponents: with bounded scores {first}, which is -q; with scores ~ 1/P {second}, which is -(q+1)."
    )
