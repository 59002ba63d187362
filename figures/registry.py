"""The figures and tables by name. To add one, write a file in `plots` or `tables` and an entry below."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from figures.plots import (
    adam_testbed,
    adam_threshold,
    answer_length,
    baseline,
    best_q,
    bias,
    bias_correction,
    bound,
    cold_start,
    conflict,
    continuum,
    dispersion,
    division,
    escape_exponents,
    escape_laws,
    escape_spread,
    escape_times,
    escort,
    factorisations,
    floor,
    garl_paft,
    headline,
    label_noise,
    learning_rates,
    max_coefficient,
    noise_schedule,
    off_policy,
    poisson,
    saturation,
    trajectories,
    variance,
    warm_start,
)
from figures.tables.escape import escape_table
from figures.tables.estimator import estimator_facts, estimator_table
from figures.tables.exact import exact_accuracy_table, exact_speed_table
from figures.tables.poisson import poisson_table
from figures.tables.rate import learning_rate_table
from figures.tables.reliability import reliability_table
from figures.tables.report import report_speed_table
from figures.tables.success import adam_alike_table, adam_conflict_table, cold_start_table
from qtheory.estimators import ESTIMATORS


@dataclass(frozen=True)
class FigureEntry:
    """A figure: its description, data files and functions.

    Attributes:
        shows: One line that describes it; also the alternative text.
        studies: Names of its data files; `python -m figures run NAME` makes each.
        compute: Maps the data folder to the data.
        plot: Maps the data to the figure.
        caption: Maps the data to the caption.
    """

    shows: str
    studies: tuple[str, ...]
    compute: Callable[[Path], Any]
    plot: Callable[[Any], Figure]
    caption: Callable[[Any], str]


FIGURES: Mapping[str, FigureEntry] = {
    "headline": FigureEntry(
        "Times of escape against the initial success for three values of q, and the bias against the draws",
        (),
        headline.compute,
        headline.plot,
        headline.caption,
    ),
    "cold_start": FigureEntry(
        "Success against training step: the cold start under one learning rate, and two cases under Adam",
        ("cold_start", "adam_conflict", "adam_alike"),
        cold_start.compute,
        cold_start.plot,
        cold_start.caption,
    ),
    "learning_rates": FigureEntry(
        "Success at the end against learning rate for each estimator, and at the best rate of each",
        ("learning_rates", "best_learning_rates"),
        learning_rates.compute,
        learning_rates.plot,
        learning_rates.caption,
    ),
    "escape_exponents": FigureEntry(
        "Escape steps against the initial success probability with fitted power laws, and the score norm on the way",
        ("escape_exponents",),
        escape_exponents.compute,
        escape_exponents.plot,
        escape_exponents.caption,
    ),
    "max_coefficient": FigureEntry(
        "The largest coefficient of each step against the step in a cold start, and the success probability",
        ("max_coefficient",),
        max_coefficient.compute,
        max_coefficient.plot,
        max_coefficient.caption,
    ),
    "garl_paft": FigureEntry(
        "Success against training step in warm start: GARL against PAFT for three values of q",
        ("warm_paft",),
        garl_paft.compute,
        garl_paft.plot,
        garl_paft.caption,
    ),
    "escape_laws": FigureEntry(
        "Escape times against p0 with fitted exponents: closed form, path solver, finite M and the transformer",
        ("escape_exponents",),
        escape_laws.compute,
        escape_laws.plot,
        escape_laws.caption,
    ),
    "continuum": FigureEntry(
        "The losses of the family against the success probability, and the amplification of the gradient of l_0",
        (),
        continuum.compute,
        continuum.plot,
        continuum.caption,
    ),
    "escort": FigureEntry(
        "Minimisers of the expected loss over categorical models against q, and the gain of reporting them",
        (),
        escort.compute,
        escort.plot,
        escort.caption,
    ),
    "dispersion": FigureEntry(
        "Excess loss against the coefficient of variation of P, with its second-order size",
        (),
        dispersion.compute,
        dispersion.plot,
        dispersion.caption,
    ),
    "bias": FigureEntry(
        "The plug-in's exact bias against the draws with its leading term, and its two orders in P",
        (),
        bias.compute,
        bias.plot,
        bias.caption,
    ),
    "bias_correction": FigureEntry(
        "Bias and standard deviation of GARL, jackknife, delta correction and U-series against M",
        (),
        bias_correction.compute,
        bias_correction.plot,
        bias_correction.caption,
    ),
    "bound": FigureEntry(
        "Coefficients, mean and noise of the M-sample bound's gradient beside GARL's, against weights and against M",
        (),
        bound.compute,
        bound.plot,
        bound.caption,
    ),
    "variance": FigureEntry(
        "The plug-in's exact variance against P, and what a baseline and resampling make of it",
        (),
        variance.compute,
        variance.plot,
        variance.caption,
    ),
    "baseline": FigureEntry(
        "The best multiple of GARL's baseline against P, and what two baselines do to the variance",
        (),
        baseline.compute,
        baseline.plot,
        baseline.caption,
    ),
    "best_q": FigureEntry(
        "The best aligned q against M P, and one q for prompts of mixed P against weights that adapt",
        (),
        best_q.compute,
        best_q.plot,
        best_q.caption,
    ),
    "division": FigureEntry(
        "Draws that each prompt gets against its success probability, and the progress over that of equal numbers",
        (),
        division.compute,
        division.plot,
        division.caption,
    ),
    "answer_length": FigureEntry(
        "Draws that answers need against their length, and the progress against the power of their weights",
        (),
        answer_length.compute,
        answer_length.plot,
        answer_length.caption,
    ),
    "off_policy": FigureEntry(
        "What draws at another temperature are worth, and the squared error of stale draws with and without ratio",
        (),
        off_policy.compute,
        off_policy.plot,
        off_policy.caption,
    ),
    "saturation": FigureEntry(
        "Amplification against M P on 0/1 and on soft weights, and the escape exponents that follow",
        (),
        saturation.compute,
        saturation.plot,
        saturation.caption,
    ),
    "escape_spread": FigureEntry(
        "Steps to escape on 0/1 weights against what a success adds to log P: mean with its range, and spread",
        (),
        escape_spread.compute,
        escape_spread.plot,
        escape_spread.caption,
    ),
    "adam_threshold": FigureEntry(
        "Steps to escape under Adam against p0 for three epsilons, with the law, and the q that a budget asks for",
        (),
        adam_threshold.compute,
        adam_threshold.plot,
        adam_threshold.caption,
    ),
    "poisson": FigureEntry(
        "Bias, noise and escape time of the plug-in on 0/1 weights against M P, for all M and P",
        (),
        poisson.compute,
        poisson.plot,
        poisson.caption,
    ),
    "floor": FigureEntry(
        "The noise of the estimators against M P, over the least that 0/1 weights allow",
        (),
        floor.compute,
        floor.plot,
        floor.caption,
    ),
    "factorisations": FigureEntry(
        "Diagram: the two factorisations of the gradient, their estimators GARL and PAFT, and their endpoints",
        (),
        factorisations.compute,
        factorisations.plot,
        factorisations.caption,
    ),
    "escape_times": FigureEntry(
        "Escape times of six model families against the initial success probability, and their exponents",
        (),
        escape_times.compute,
        escape_times.plot,
        escape_times.caption,
    ),
    "trajectories": FigureEntry(
        "Success probability against time for each q and for SFT-then-RLVR, and ratios of times near the optimum",
        (),
        trajectories.compute,
        trajectories.plot,
        trajectories.caption,
    ),
    "conflict": FigureEntry(
        "Escape times of two examples on shared parameters: one helping the other, and the two in conflict",
        (),
        conflict.compute,
        conflict.plot,
        conflict.caption,
    ),
    "label_noise": FigureEntry(
        "Contamination at rest against q for several flip rates, and contamination against time",
        (),
        label_noise.compute,
        label_noise.plot,
        label_noise.caption,
    ),
    "noise_schedule": FigureEntry(
        "The fastest schedule of q on noisy labels, and the times of it, of SFT-then-RLVR and of the best single q",
        (),
        noise_schedule.compute,
        noise_schedule.plot,
        noise_schedule.caption,
    ),
    "adam_testbed": FigureEntry(
        "Escapes under Adam against the law of its epsilon, and success with weights relative to the batch's largest",
        ("adam_epsilon", "escape_exponents", "common_factor", "cold_start", "adam_conflict"),
        adam_testbed.compute,
        adam_testbed.plot,
        adam_testbed.caption,
    ),
    "warm_start": FigureEntry(
        "Success in warm start with three baselines, and the gradient's variance with each against failure",
        ("baseline",),
        warm_start.compute,
        warm_start.plot,
        warm_start.caption,
    ),
}

TABLES: Mapping[str, Callable[[Path], str]] = {
    "cold_start": cold_start_table,
    "adam_conflict": adam_conflict_table,
    "adam_alike": adam_alike_table,
    "learning_rates": learning_rate_table,
    "escape_exponents": escape_table,
    "estimators": estimator_table,
    "exact_accuracy": exact_accuracy_table,
    "exact_speed": exact_speed_table,
    "report_speed": report_speed_table,
    **{f"estimator_{name}": partial(estimator_facts, name) for name in ESTIMATORS},
    "poisson": poisson_table,
    "reliability": reliability_table,
}
