"""Figure `saturation`: on 0/1 weights the amplification saturates at M^q, which changes the escape exponent."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import listed, power
from figures.plots.curves import REFERENCE, Q, curve
from figures.study_data import DATA
from qtheory.claims.own.qc_1 import PRIOR, RELATIVE
from qtheory.escape import hard_time, increment_exponents, mean_power, soft_time

SAMPLES = 32
TARGET = 0.2


@dataclass(frozen=True)
class Saturation:
    """Amplifications and escape exponents at M = SAMPLES.

    Attributes:
        p: (n,) success probabilities.
        hard: (Q, n) length of the expected update over that of grad l_0, w in {0, 1}.
        soft: (Q, n) the same for w = P v.
        p0: (m,) starts at which the exponents are taken.
        hard_exponents: (Q, m) d log T / d log p0, from increments of T.
        soft_exponents: (Q, m) the same for w = P v.
    """

    p: np.ndarray
    hard: np.ndarray
    soft: np.ndarray
    p0: np.ndarray
    hard_exponents: np.ndarray
    soft_exponents: np.ndarray


def compute(folder: Path = DATA) -> Saturation:
    """Expected updates and mean-field escape times; no data are read."""
    del folder
    p = np.geomspace(1e-7, 0.3, 60)
    laws = np.stack([1 - p, p], axis=-1)
    hard = np.stack([mean_power(laws, [0.0, 1.0], q, SAMPLES) / p for q in Q])
    soft = np.stack([float(mean_power(PRIOR, RELATIVE, q, SAMPLES)) * p**-q for q in Q])
    starts = np.geomspace(1e-8, 0.1, 43)
    hard_times = hard_time(starts[:, None], TARGET, np.array(Q), SAMPLES)
    soft_times = soft_time(starts[:, None], TARGET, np.array(Q), SAMPLES, prior=PRIOR, relative=RELATIVE)
    slopes = [increment_exponents(np.log(starts), np.log(times)).T for times in (hard_times, soft_times)]
    return Saturation(p, hard, soft, starts[1:-1], slopes[0], slopes[1])


def plot(data: Saturation) -> Figure:
    """Two panels, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8))
    for row, q in enumerate(Q):
        curve(left, data.p * SAMPLES, data.hard[row], q)
        curve(left, data.p * SAMPLES, data.soft[row], q, linestyle=(0, (5, 2)), marker="", label=None)
        curve(right, data.p0 * SAMPLES, data.hard_exponents[row], q)
        curve(right, data.p0 * SAMPLES, data.soft_exponents[row], q, linestyle=(0, (5, 2)), marker="", label=None)
    left.set(xscale="log", yscale="log", ylim=(0.5, 3e4), xlabel="M P", ylabel=r"mean update over $|\nabla\ell_0|$")
    left.set_title(f"a  amplification, M = {SAMPLES}")
    right.set(xscale="log", xlabel=r"$M\,p_0$", ylabel="escape exponent", ylim=(-1.1, 0.1))
    right.set_title(r"b  exponent of the escape time in $p_0$")
    for axes in (left, right):
        axes.axvline(1, **REFERENCE)
    handles, labels = left.get_legend_handles_labels()
    for name, linestyle in (("w in {0, 1}", "-"), ("w ~ P", (0, (5, 2)))):
        handles += left.plot([], [], color="#555555", linestyle=linestyle)
        labels.append(name)
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def caption(data: Saturation) -> str:
    """Describe the panels and state the results."""
    hard, bounds, soft = (
        listed([power(float(value)) for value in values])
        for values in (data.hard[:, 0], SAMPLES ** np.array(Q), data.soft[:, 0])
    )
    slopes, soft_fits = (
        listed([f"{value:.3f}" for value in values[:, 0] + 0.0])
        for values in (data.hard_exponents, data.soft_exponents)
    )
    return (
        f"The expected plug-in update of M = {SAMPLES} draws, exactly, at q = {listed([f'{q:g}' for q in Q])}. "
        f"a: its length over that of the gradient of l_0. With w in {{0, 1}} (solid) it stops at M^q: {hard} at M P = "
        f"{power(SAMPLES * float(data.p[0]))}, against M^q = {bounds}; with weights of the size of P (dashed) it goes "
        f"on as P^-q, to {soft}. "
        f"b: the exponent of the sigmoid's escape time to P = {TARGET:g} in p0, from increments of the time. At p0 = "
        f"{power(float(data.p0[0]))}: with w in {{0, 1}} {slopes}, -1 at every q; with w ~ P {soft_fits}, "
        "which is -(1-q)."
    )
