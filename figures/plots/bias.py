"""Figure `bias`: the plug-in's exact bias at finite M, and both orders in P."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import listed, power
from figures.plots.curves import REFERENCE, Q, curve
from figures.study_data import DATA
from qtheory.exact import moments
from qtheory.models import FiniteTask
from qtrain.report.palette import MARKERS

ORDER = 0.5
"""The q of panel a."""
SUCCESSES = (1e-1, 1e-3, 1e-5)
SAMPLES = 10**9
"""The M of panel b."""
SHOWN = Q[1:]
"""At q = 0 there is no bias."""
FITTED = 1e3
"""The M P from which the exponents of panel b are fitted."""


@dataclass(frozen=True)
class Bias:
    """Biases of the plug-in, relative to the true gradient in panel a and as they are in panel b.

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
    """Two panels, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8))
    for p, relative, leading, marker in zip(SUCCESSES, data.relative, data.leading, MARKERS, strict=False):
        curve(left, data.size, relative, ORDER, marker=marker, label=f"P = {power(p)}")
        left.plot(data.size, leading, **REFERENCE)
    left.plot([], [], **REFERENCE, label="leading term")
    left.set(xscale="log", yscale="log", ylim=(1e-7, 30), xlabel="draws M", ylabel="relative bias")
    left.set_title(f"a  relative bias at q = {ORDER:g}")
    left.legend(loc="lower left")
    for q, bounded, steep in zip(SHOWN, data.bounded, data.steep, strict=True):
        curve(right, data.p, bounded, q)
        curve(right, data.p, steep, q, linestyle=(0, (5, 2)), label=None)
    right.plot([], [], color="#555555", label="bounded scores")
    right.plot([], [], color="#555555", linestyle=(0, (5, 2)), label="scores ~ 1/P")
    right.set(xscale="log", yscale="log", xlabel="success probability P", ylabel="M times bias")
    right.set_title(f"b  order in P at M = {power(SAMPLES)}")
    right.legend(loc="upper right", ncols=1)
    return figure


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
        f"a: relative to the true gradient, against M, with the leading term of order 1/M (dashed), within 10% "
        f"of it from M P = {described(data):.2g} on; below, the bias nears the whole gradient (at M = 1: {at_one}). "
        "PAFT has the same bias. "
        f"b: M times the bias against P at q = {listed([f'{q:g}' for q in SHOWN])}. Fitted exponents: with bounded "
        f"scores {first}, which is -q; with scores ~ 1/P (dashed) {second}, which is -(q+1)."
    )
