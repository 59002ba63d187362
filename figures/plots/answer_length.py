"""Figure `answer_length`: how many draws a long answer needs, with its weights as they are and with powers of them."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.names import listed, power
from figures.plots.curves import REFERENCE
from figures.study_data import DATA
from qtheory.claims.own.qc_12 import TOKEN, tempered_alignment, tokens, unit_power
from qtheory.models import FiniteTask

SPREAD = 30.0
"""rho."""
LENGTHS = (5, 8, 12, 16, 20, 25, 30, 35, 40, 45, 50)
SHOWN = (10, 20, 40)
SAMPLES = 128
ALPHAS = np.linspace(0.02, 1, 50)
PLAIN, TEMPERED = "#c2571a", "#222222"
SHADES = ("#9ecae1", "#4292c6", "#084594")
"""By length: the colours of the palette tell q."""


@dataclass(frozen=True)
class AnswerLength:
    """Draws and alignments at q = 1.

    Attributes:
        plain: (L,) least M with R of at least 1/2, weights w, at LENGTHS.
        tempered: (L,) the same of w^alpha, alpha = 1/sqrt(v L) or 1.
        curves: (S, A) R at M = SAMPLES by length, at SHOWN and ALPHAS.
        ruled: (S,) R at alpha = 1/sqrt(v L).
    """

    plain: np.ndarray
    tempered: np.ndarray
    curves: np.ndarray
    ruled: np.ndarray


def compute(folder: Path = DATA) -> AnswerLength:
    """Exact moments; no data are read."""
    del folder
    tasks = {length: tokens(TOKEN, length, SPREAD) for length in {*LENGTHS, *SHOWN}}
    powers = {length: unit_power(TOKEN, length) for length in tasks}
    return AnswerLength(
        np.array([draws_needed(tasks[length], 1.0) for length in LENGTHS]),
        np.array([draws_needed(tasks[length], powers[length]) for length in LENGTHS]),
        np.array([[tempered_alignment(tasks[x], SAMPLES, float(alpha)) for alpha in ALPHAS] for x in SHOWN]),
        np.array([tempered_alignment(tasks[x], SAMPLES, powers[x]) for x in SHOWN]),
    )


def draws_needed(task: FiniteTask, alpha: float) -> int:
    """The least M at which R is 1/2 or more: R grows with M."""
    high = 1
    while tempered_alignment(task, high, alpha) < 0.5:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tempered_alignment(task, middle, alpha) >= 0.5 else (middle, high)
    return high


def plot(data: AnswerLength) -> Figure:
    """Two panels, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8))
    left.plot(LENGTHS, data.plain, color=PLAIN, marker="o")
    left.plot(LENGTHS, data.tempered, color=TEMPERED, marker="s")
    left.text(33, 250, "weights w", color=PLAIN, ha="right")
    left.text(50, 100, "powers $w^{1/\\sqrt{vL}}$", color=TEMPERED, ha="right")
    left.set(ylim=(0, None), xlabel="length of the answer, L tokens", ylabel="draws M for half the progress")
    left.set_title("a  draws that an answer needs")
    _draw_powers(right, data)
    return figure


def _draw_powers(axes: Axes, data: AnswerLength) -> None:
    for shade, length, curve, ruled in zip(SHADES, SHOWN, data.curves, data.ruled, strict=True):
        axes.plot(ALPHAS, curve, color=shade)
        axes.plot(unit_power(TOKEN, length), ruled, color=shade, marker="s", markersize=4.5)
        axes.text(1.02, curve[-1], f"L = {length}", color=shade, va="center", bbox={"color": "white", "pad": 1})
    axes.plot([], [], color="#555555", marker="s", linestyle="", label="$\\alpha = 1/\\sqrt{vL}$")
    axes.axvline(1, **REFERENCE)
    axes.set(xlim=(0, 1.22), ylim=(0, None), xlabel="power of the weights, $\\alpha$")
    axes.set_ylabel(f"share of the progress at M = {SAMPLES}")
    axes.set_title("b  the power that takes the spread back")
    axes.legend(loc="lower center")


def caption(data: AnswerLength) -> str:
    """What is shown and what came out."""
    shares = listed([f"{100 * ruled / curve.max():.1f}%" for ruled, curve in zip(data.ruled, data.curves, strict=True)])
    gains = listed([f"{ruled / curve[-1]:.2f}" for ruled, curve in zip(data.ruled, data.curves, strict=True)])
    return (
        f"Answers of L independent tokens of variance v = {TOKEN:g} in log w, q = 1, rho = {SPREAD:g}, each power at "
        "its own learning rate; exact moments (QC-12). The share is R, what the best step along the estimate gains "
        "over what the exact gradient gains. "
        f"a: least M at which it is 1/2. From L = {LENGTHS[0]} to {LENGTHS[-1]} it grows from {data.plain[0]} to "
        f"{power(float(data.plain[-1]))} draws, with the standard deviation of log w brought to 1 from "
        f"{data.tempered[0]} to {data.tempered[-1]}. "
        f"b: the share against the power at L = {listed([str(x) for x in SHOWN])}; at 1/sqrt(vL) (squares) it is "
        f"{shares} of the largest and {gains} times that of alpha = 1."
    )
