"""Figure `continuum`: the losses of the family, and their amplification of the gradient of l_0."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import listed, power
from figures.plots.curves import Q, curve
from figures.study_data import DATA
from qtheory import tsallis

RARE = 1e-6


@dataclass(frozen=True)
class Continuum:
    """Losses and amplifications.

    Attributes:
        p: (n,) success probabilities, linear.
        losses: (Q, n) -log_q P.
        rare: (m,) success probabilities, logarithmic from RARE to 1.
        amplifications: (Q, m) P^-q.
    """

    p: np.ndarray
    losses: np.ndarray
    rare: np.ndarray
    amplifications: np.ndarray


def compute(folder: Path = DATA) -> Continuum:
    """Evaluate the family; no data are read."""
    del folder
    p, rare = np.linspace(0.01, 1, 200), np.geomspace(RARE, 1, 120)
    losses, amplifications = (
        np.stack([np.asarray(function(at, q)) for q in Q])
        for function, at in ((tsallis.loss, p), (tsallis.amplification, rare))
    )
    return Continuum(p, losses, rare, amplifications)


def plot(data: Continuum) -> Figure:
    """Two panels, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6))
    for q, losses, amplifications in zip(Q, data.losses, data.amplifications, strict=True):
        curve(left, data.p, losses, q)
        curve(right, data.rare, amplifications, q)
    left.set(xlabel="success probability P", ylabel=r"loss $-\log_q P$", xlim=(0, 1), ylim=(0, 4))
    left.set_title("a  loss")
    right.set(xlabel="success probability P", ylabel=r"amplification $P^{-q}$", xscale="log", yscale="log")
    right.set_title(r"b  $|\nabla\ell_q|$ over $|\nabla\ell_0|$")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(Q))
    return figure


def caption(data: Continuum) -> str:
    """Describe the panels."""
    factors = [f"{power(float(row[0]))} at q = {q:g}" for q, row in zip(Q, data.amplifications, strict=True)]
    return (
        "a: the loss -log_q P, from the exploitation pole q = 0, where it is one less the expected exact-match reward "
        "and bounded by 1, to the density-estimation pole q = 1. "
        "b: all share one gradient direction; the factor P^-q on the gradient of l_0, evaluated exactly. "
        f"At P = {power(RARE)} it is {listed(factors)}."
    )
