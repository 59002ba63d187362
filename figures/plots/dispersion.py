"""Figure `dispersion`: excess loss due to the spread of P over the data, and the accuracy of its second order."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import listed
from figures.plots.curves import REFERENCE, Q, curve
from figures.study_data import DATA
from qtheory.claims.paper.prop_b_1 import excess, second_order
from qtheory.models import log_normal

MEAN = 0.01
EXAMPLES = 400
SHOWN = Q[1:]
"""At q = 0 there is no excess."""


@dataclass(frozen=True)
class Dispersion:
    """Excess losses of log-normal success probabilities.

    Attributes:
        spread: (n,) coefficients of variation of P over the examples.
        excesses: (Q, n) J_q less the loss at the mean, at SHOWN.
        second: (Q, n) (q/2) Pbar^(-q-1) Var(P).
    """

    spread: np.ndarray
    excesses: np.ndarray
    second: np.ndarray


def compute(folder: Path = DATA) -> Dispersion:
    """Losses over the quantiles of log-normal laws of equal mean; no data are read."""
    del folder
    sigmas = np.geomspace(0.02, 2, 60)
    p = np.stack([np.exp(log_normal(np.log(MEAN), sigma, EXAMPLES).log_w) for sigma in sigmas])
    masses = np.full(EXAMPLES, 1 / EXAMPLES)
    return Dispersion(
        p.std(-1) / MEAN,
        np.stack([excess(p, masses, q) for q in SHOWN]),
        np.stack([second_order(p, masses, q) for q in SHOWN]),
    )


def plot(data: Dispersion) -> Figure:
    """Two panels, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6))
    for q, measured, second in zip(SHOWN, data.excesses, data.second, strict=True):
        curve(left, data.spread, measured, q)
        left.plot(data.spread, second, **REFERENCE)
        curve(right, data.spread, measured / second, q)
    left.plot([], [], **REFERENCE, label="second order")
    left.set(xscale="log", yscale="log", ylabel=r"$J_q+\log_q\overline{P}$")
    left.set_title("a  excess loss")
    right.axhline(1, **REFERENCE)
    right.set(xscale="log", ylabel="excess over second order")
    right.set_title("b  relative to the second order")
    for axes in (left, right):
        axes.set_xlabel("coefficient of variation of P")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(SHOWN) + 1)
    return figure


def ratio_at(data: Dispersion, spread: float) -> np.ndarray:
    """(Q,) excess over its second-order term at a coefficient of variation."""
    return np.array([np.interp(spread, data.spread, e / s) for e, s in zip(data.excesses, data.second, strict=True)])


def caption(data: Dispersion) -> str:
    """Describe the panels and state the results."""
    small, large = (
        listed([f"{ratio:.3f} at q = {q:g}" for q, ratio in zip(SHOWN, ratio_at(data, spread), strict=True)])
        for spread in (0.1, 1.0)
    )
    return (
        f"a: J_q less the loss at the mean success probability, for {EXAMPLES} examples at the quantiles of a "
        f"log-normal law of mean {MEAN:g}, and the second-order size (q/2) Pbar^(-q-1) Var(P) (dashed). It is never "
        "negative, and 0 at q = 0. "
        f"b: their ratio. At a coefficient of variation of 0.1: {small}; at 1: {large}."
    )
