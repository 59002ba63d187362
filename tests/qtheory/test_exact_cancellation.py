"""Exact moments where nearly everything cancels: variances far below second moments, and means of opposite scores."""

import math

import numpy as np
import pytest

from figures.exact import reference
from figures.exact.cases import random_task, task
from figures.exact.errors import BOUNDS, relative_errors, variance_floor
from figures.exact.reference import SlowTask, enumerate_moments
from qtheory.exact import moments
from qtheory.models import FiniteTask

# Priors and weights at which the delta-corrected plug-in's variance loses most, in pools of two.
RARE = [
    ((1 - 1e-6, 5e-7, 5e-7), (1e-3, 0.7, 1.0)),
    ((2.8e-5, 1 - 2.8e-5), (0.82, 0.0037)),
    ((1 - 4.2e-6, 3e-6, 1.2e-6), (2.3e-6, 0.062, 4.6e-4)),
    ((1 - 5.6e-6, 5.6e-6), (1.26e-5, 0.101)),
    ((1 - 4.1e-8, 4.1e-8), (8.8e-4, 0.926)),
]


@pytest.mark.parametrize(("prior", "w"), RARE)
@pytest.mark.parametrize("q", [0.9, 1.0])
def test_the_variance_of_the_delta_correction(prior: tuple[float, ...], w: tuple[float, ...], q: float):
    worst = 0.0
    for seed in range(12):
        example = task(prior, tuple(np.log(w)), seed)
        slow = enumerate_moments(SlowTask(example), q, 2, reference.delta)
        ours = moments(example, q, 2, "delta")
        error = relative_errors(ours, slow, example.gradient(q), floor=variance_floor("delta", q))[2]
        worst = max(worst, error)
    assert worst <= BOUNDS["variance"]


def test_the_variance_of_the_delta_correction_is_not_known_to_the_other_forms_promise():
    """Which is 1e-14 of the second moment."""
    (prior, w), errors = RARE[0], []
    for seed in range(40):
        example = task(prior, tuple(np.log(w)), seed)
        slow = enumerate_moments(SlowTask(example), 1.0, 2, reference.delta)
        errors.append(abs(float(moments(example, 1.0, 2, "delta").variance) - slow.variance) / slow.second_moment)
    assert 1e-14 < max(errors) <= 4e-14


@pytest.mark.parametrize("form", ["plugin", "paft"])
@pytest.mark.parametrize(
    ("prior", "log_w", "size"),
    [
        ((0.5, 0.5), (0.0, math.log(1e-9)), 64),
        ((0.5, 0.5), (0.0, -math.inf), 64),
        ((0.5, 0.5), (-30.0, -200.0), 60),
        ((0.9, 0.1), (-0.3, -690.0), 12),
        ((0.3, 0.7), (-0.3, -60.0), 5),
    ],
)
def test_variances_at_q_1_where_nearly_all_pools_agree(
    form: str, prior: tuple[float, ...], log_w: tuple[float, ...], size: int
):
    """They hold one rationale, or are silent, but for a share far below the rounding of the second moment."""
    draws = 5 if form == "paft" else None
    example = task(prior, log_w)
    slow = enumerate_moments(SlowTask(example), 1.0, size, draws=draws)
    ours = moments(example, 1.0, size, form, K=draws)
    assert ours.variance == pytest.approx(slow.variance, rel=1e-10, abs=1e-30 * slow.second_moment)
    if size > 20 and form == "plugin":  # resampling adds to the other
        assert slow.variance < 1e-15 * slow.second_moment


@pytest.mark.parametrize("form", ["plugin", "paft"])
def test_the_floor_of_variances_at_q_1(form: str):
    rng, draws = np.random.default_rng(3), 5 if form == "paft" else None
    for _ in range(40):
        rare, size = 10.0 ** rng.uniform(-9, -1), int(rng.integers(2, 7))
        example = task((rare, 1 - rare), tuple(-rng.exponential(20.0, 2)), int(rng.integers(100)))
        slow = enumerate_moments(SlowTask(example), 1.0, size, draws=draws)
        error = abs(float(moments(example, 1.0, size, form, K=draws).variance) - slow.variance)
        assert error <= max(1e-10 * slow.variance, 1e-30 * slow.second_moment)


@pytest.mark.parametrize("form", ["plugin", "jackknife", "delta", "u_series"])
def test_means_of_scores_that_cancel(form: str):
    """Scores that sum to 0 under p w: what is left is the rounding of the task and of the sum."""
    rng = np.random.default_rng(6)
    for q in (0.0, 0.5, 1.0):
        for _ in range(12):
            example = random_task(rng, 6, 2)
            log_w = example.log_w if q == 0 else np.full(6, -0.7)
            pw = np.exp(example.log_prior + log_w)
            scores = example.prior_score + example.answer_score
            scores[-1] = -(pw[:-1] @ scores[:-1]) / pw[-1]
            opposed = FiniteTask(example.log_prior, log_w, np.zeros((6, 2)), scores)
            size = pw @ np.linalg.norm(scores, axis=-1) / pw.sum() ** q
            for samples in (1, 3, 30):
                assert np.linalg.norm(moments(opposed, q, samples, form).mean) <= 1e-15 * size
