"""Figure `noise_schedule`: the fastest schedule of q on noisy labels, and the times of it, two stages and one q."""

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.plots.curves import REFERENCE
from figures.study_data import DATA
from qtheory.claims.own.qc_9 import BOUND, best, two_stages
from qtheory.escape import best_constant_q, noise_switch, noisy_time
from qtheory.estimators import noise_q

FLIPS = (0.01, 0.1, 0.3, 0.45)
FLIP, TARGET = 0.1, 0.95
GREYS = ("#b8b8b8", "#858585", "#4f4f4f", "#111111")
TOLD = 1e-6
"""The p0 of the caption's times."""


@dataclass(frozen=True)
class NoiseSchedule:
    """The rule, and the sigmoid's times to TARGET at the flip rate FLIP.

    Attributes:
        p: (n,) success probabilities.
        rule: (len(FLIPS), n) q.
        p0: (m,) starts, from TOLD down and up.
        times: (3, m) of the rule, of one step from 1 to 0 and of the best single q.
        single: (m,) that q.
    """

    p: np.ndarray
    rule: np.ndarray
    p0: np.ndarray
    times: np.ndarray
    single: np.ndarray


def compute(folder: Path = DATA) -> NoiseSchedule:
    """Closed forms and quadratures; no data are read."""
    del folder
    p, p0 = np.linspace(0.15, 0.999, 500), np.append(TOLD, np.geomspace(1e-12, 1e-1, 12))
    single = np.array([best_constant_q(float(start), TARGET, FLIP) for start in p0])
    times = [
        [noisy_time(float(start), TARGET, FLIP, q) for q in (best(FLIP), two_stages(FLIP), float(fixed))]
        for start, fixed in zip(p0, single, strict=True)
    ]
    return NoiseSchedule(p, np.stack([noise_q(np.log(p), e) for e in FLIPS]), p0, np.transpose(times), single)


def plot(data: NoiseSchedule) -> Figure:
    """The rule on the left, times on the right, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8))
    for e, row, color in zip(FLIPS, data.rule, GREYS, strict=True):
        left.plot(data.p, row, color=color, label=f"e = {e:g}")
        left.plot([noise_switch(e)] * 2, [0, 1], **(REFERENCE | {"color": color}))
    left.plot([], [], **REFERENCE, label="best step 1 to 0")
    left.set(xlabel="probability P of the right label", ylabel="fastest q", ylim=(-0.03, 1.03))
    left.set_title("a  the fastest schedule")
    left.legend(loc="lower left")
    order = np.argsort(data.p0)
    styles = (
        ("fastest schedule", "#222222", "-"),
        ("SFT, then RLVR", "#c2571a", "--"),
        ("best single q", "#8d5aa8", "-"),
    )
    for times, (label, color, line) in zip(data.times, styles, strict=True):
        right.plot(data.p0[order], times[order], color=color, linestyle=line, label=label)
    right.set(xscale="log", yscale="log", xlabel="p0", ylabel="time, in units of 1/learning rate")
    right.set_title(f"b  the sigmoid to P = {TARGET:g}, e = {FLIP:g}")
    right.legend(loc="upper right")
    return figure


def caption(data: NoiseSchedule) -> str:
    """What is shown and what came out."""
    least, stages, fixed = data.times[:, 0]
    rest = math.log(1 / FLIP - 1) / math.log(TARGET / (1 - TARGET))
    return (
        "Gradient flow where a share e of the labels is the wrong one of two (QC-9). a: the q at which P rises "
        "fastest, the same for every model, start and target, and the P at which one step from q = 1 to q = 0 is best, "
        f"1/(1 + sqrt(e/(1-e))) (dashed; {noise_switch(FLIP):.2f} at e = {FLIP:g}). b: to P = {TARGET:g} from p0 = "
        f"{TOLD:g} the fastest schedule takes {least:.2f}, SFT up to that P and then RLVR {stages:.2f}, and the best "
        f"single q, {data.single[0]:.2f}, {fixed:.1f}. The first two grow as log 1/p0 / (1-e), the third as "
        f"p0^-{1 - rest:.2f}. "
        f"Two stages never take more than {100 * (BOUND - 1):.1f}% longer than the fastest schedule."
    )
