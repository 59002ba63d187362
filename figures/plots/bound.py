"""Figure `bound`: the M-sample bound beside GARL: coefficients of one good answer, and mean and noise against M."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import listed, power
from figures.plots.curves import REFERENCE, curve
from figures.study_data import DATA
from qtheory.claims.support.enumerated import enumerated
from qtheory.estimators import bound, garl
from qtheory.models import FixedAnswers, two_level

Q = (0.25, 0.5, 0.75, 1.0)
POOL = 16
NATS = np.linspace(4.0, 60.0, 57)
P, BAD = 0.01, 1e-8
SAMPLES = 2 ** np.arange(1, 11)
ESTIMATORS = {"bound": bound, "GARL": garl}
DASHES = {"bound": "-", "GARL": (0, (1, 1.3))}


@dataclass(frozen=True)
class Bound:
    """By estimator, each with rows by q.

    Attributes:
        coefficient: (Q, NATS) of one answer of weight 1 among M - 1 of e^-x, over M^q.
        length: (Q, SAMPLES) of the expected estimate over that of grad l_q, weights of BAD or 1.
        noise: (Q, SAMPLES) standard deviation over the length of the mean.
    """

    coefficient: dict[str, np.ndarray]
    length: dict[str, np.ndarray]
    noise: dict[str, np.ndarray]


def compute(folder: Path = DATA) -> Bound:
    """Coefficients of pools, and moments over all pools; `folder` is not read."""
    del folder
    law = two_level(*np.log([P, BAD, 1.0]))
    task = FixedAnswers(law.log_w).task(law.log_prior)
    pools = np.concatenate([np.zeros((len(NATS), 1)), np.tile(-NATS[:, None], (1, POOL - 1))], axis=1)
    data = Bound({}, {}, {})
    for name, estimator in ESTIMATORS.items():
        data.coefficient[name] = np.array([estimator(pools, q).rationale[:, 0] / POOL**q for q in Q])
        moments = [[enumerated(task, estimator, int(size), q) for size in SAMPLES] for q in Q]
        means = np.array([[np.linalg.norm(cell.mean) for cell in row] for row in moments])
        exact = np.array([np.linalg.norm(task.gradient(q)) for q in Q])
        data.length[name] = means / exact[:, None]
        data.noise[name] = np.sqrt([[cell.variance for cell in row] for row in moments]) / means
    return data


def plot(data: Bound) -> Figure:
    """Three panels, 7 in wide."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(7, 2.7))
    for name, linestyle in DASHES.items():
        marker = {} if name == "bound" else {"marker": "", "label": None}
        for row, q in enumerate(Q):
            curve(left, NATS, data.coefficient[name][row], q, linestyle=linestyle, **marker)
            curve(middle, SAMPLES, data.length[name][row], q, linestyle=linestyle, **marker)
            curve(right, SAMPLES, data.noise[name][row], q, linestyle=linestyle, **marker)
    left.set(xlabel=r"x (bad answers weigh $e^{-x}$)", ylabel=r"coefficient over $M^q$", yscale="log")
    left.set_title(f"a  one good answer, M = {POOL}")
    middle.set(xscale="log", yscale="log", xlabel="samples a pool, M", ylabel=r"mean over $|\nabla\ell_q|$")
    middle.set_title(f"b  the mean, P = {P:g}")
    middle.axhline(1, **REFERENCE)
    right.set(xscale="log", yscale="log", xlabel="samples a pool, M", ylabel="std over the mean")
    right.set_title("c  the noise")
    handles, labels = left.get_legend_handles_labels()
    for name, linestyle in DASHES.items():
        handles += left.plot([], [], color="#555555", linestyle=linestyle)
        labels.append(name)
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def caption(data: Bound) -> str:
    """What is shown and what came out."""
    ends = {name: listed([f"{value:.2f}" for value in rows[:, -1]]) for name, rows in data.coefficient.items()}
    top = data.length["bound"].max(axis=1)
    noise = {name: rows[-1] for name, rows in data.noise.items()}
    worst = int(np.argmax(noise["bound"] / noise["GARL"]))
    return (
        f"The M-sample bound's estimate (solid) beside GARL's (dotted) at q = {listed([f'{q:g}' for q in Q])}. "
        f"a: the coefficient of one answer of weight 1 among {POOL - 1} of e^-x, over M^q: GARL's stays below 1; the "
        f"bound's goes to 1/(1-q), and at q = 1 it grows as x. At x = {NATS[-1]:g}: {ends['bound']} against "
        f"{ends['GARL']}. b: length of the expected estimate over that of grad l_q, weights of {power(BAD)} or 1 with "
        f"mean {P:g}, over all pools: the bound's, exact for the bound, overshoots the target by up to "
        f"{listed([f'{value:.2f}' for value in top])} before it falls to it. c: standard deviation over the mean. In a "
        f"cold start, on the left, the two agree (QC-14); at q = 1 and M = {SAMPLES[worst]} it is "
        f"{power(float(noise['bound'][worst]))} for the bound and {power(float(noise['GARL'][worst]))} for GARL."
    )
