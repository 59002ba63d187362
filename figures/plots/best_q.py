"""Figure `best_q`: the best aligned q against the number of successes, and fixed q against weights that adapt to it."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import listed
from figures.plots.curves import REFERENCE
from figures.study_data import DATA
from qtheory.claims.own.qc_5 import MIXED
from qtheory.claims.support.alignment import GRID, adaptive_alignment, fixed_alignments, rule_alignment
from qtheory.estimators import best_q

RHO = (1.0, 10.0, 100.0)
MANY, SAMPLES = 1000, 32
"""M of panel a and of panel b."""
FINE = np.linspace(0, 1, 501)
STYLES = (
    {"color": "#222222", "marker": "o"},
    {"color": "#c2571a", "marker": "^"},
    {"color": "#8d5aa8", "marker": "D"},
)
"""Styles by rho; the palette's colours are reserved for q."""


@dataclass(frozen=True)
class BestQ:
    """Alignments of 0/1 weights.

    Attributes:
        p: (n,) success probabilities of panel a.
        best: (rho, n) the q of the largest alignment.
        rule: (rho, n) `best_q`.
        fixed: (rho, Q) alignment of one q over the mixture, at GRID.
        adaptive: (rho,) alignment of the weights K/(K + rho).
        each: (rho,) alignment of a q for each prompt by the rule.
    """

    p: np.ndarray
    best: np.ndarray
    rule: np.ndarray
    fixed: np.ndarray
    adaptive: np.ndarray
    each: np.ndarray


def compute(folder: Path = DATA) -> BestQ:
    """Binomial sums; no data are read."""
    del folder
    p = np.geomspace(1e-2, 500, 25) / MANY
    best = np.array([[FINE[np.argmax(fixed_alignments([at], MANY, rho, FINE))] for at in p] for rho in RHO])
    return BestQ(
        p,
        best,
        np.stack([best_q(np.log(p), MANY, rho) for rho in RHO]),
        np.stack([fixed_alignments(MIXED, SAMPLES, rho) for rho in RHO]),
        np.array([adaptive_alignment(MIXED, SAMPLES, rho) for rho in RHO]),
        np.array([rule_alignment(MIXED, SAMPLES, rho) for rho in RHO]),
    )


def plot(data: BestQ) -> Figure:
    """Two panels, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.7))
    for style, rho, best, rule, fixed, adaptive, each in zip(
        STYLES, RHO, data.best, data.rule, data.fixed, data.adaptive, data.each, strict=True
    ):
        left.plot(MANY * data.p, best, linestyle="none", label=f"$\\rho$ = {rho:g}", **style)
        left.plot(MANY * data.p, rule, color=style["color"], linewidth=0.9)
        left.plot(MANY * data.p, MANY * data.p / (MANY * data.p + rho), **REFERENCE)
        right.plot(GRID, fixed / adaptive, label=f"$\\rho$ = {rho:g}", markevery=20, **style)
        right.axhline(each / adaptive, color=style["color"], linewidth=0.9, linestyle=(0, (1, 1.3)))
    left.plot([], [], color="#555555", linewidth=0.9, label="rule")
    left.plot([], [], **REFERENCE, label="M P/(M P + $\\rho$)")
    left.set(xscale="log", ylim=(-0.03, 1.03), xlabel="expected successes M P", ylabel="best aligned q")
    left.set_title("a  best q of one prompt")
    left.legend(loc="upper left")
    right.axhline(1, **REFERENCE)
    right.plot([], [], color="#555555", linewidth=0.9, linestyle=(0, (1, 1.3)), label="rule for each prompt")
    right.set(ylim=(0, 1.06), xlabel="q shared by all prompts", ylabel="alignment over that of K/(K + $\\rho$)")
    right.set_title(f"b  prompts of P from {MIXED[0]:g} to {MIXED[-1]:g}")
    right.legend(loc="lower left")
    return figure


def caption(data: BestQ) -> str:
    """Describe the panels and state the results."""
    best = data.fixed.max(-1)
    many = MANY * data.p >= 10
    off = float(np.abs(data.best - data.rule)[:, many].max())
    gains = listed([f"{100 * (a / b - 1):.1f}%" for a, b in zip(data.adaptive, best, strict=True)])
    each = listed([f"{100 * (e / b - 1):+.1f}%" for e, b in zip(data.each, best, strict=True)])
    return (
        "Alignment of the plug-in with grad log P for w in {0, 1}, each q at its own learning rate (QC-5); rho is the "
        "relative spread of the successes' scores; binomial sums. "
        f"a: the best q of one prompt (marks, M = {MANY}), the rule `best_q` (lines) and M P/(M P + rho) (dashed); "
        f"from 10 expected successes on the rule is within {off:.2f} of the best. Below one success all q are alike. "
        f"b: {len(MIXED)} prompts whose P spread over four decades, M = {SAMPLES}: one q for all, over the weights "
        f"K/(K + rho) on each pool of K successes, the best there are. At rho = {listed([f'{rho:g}' for rho in RHO])} "
        f"these gain {gains} over the best fixed q; giving each prompt the rule's q (dotted) changes that q's "
        f"alignment by {each}, as pools of different q differ in scale."
    )
