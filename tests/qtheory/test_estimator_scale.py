"""Large pools: 100,000 samples of weights between 1 and e^-10000, against mpmath."""

import functools
import math
from typing import Any

import mp_reference as mp
import numpy as np
import pytest
from array_libraries import Library
from estimator_cases import needs_possible
from mpmath import fsum, mpf

from qtheory.estimators import ESTIMATORS, bound, garl, paft

SIZE = 100_000
LARGEST = {"u_series": 300, "rb_pkpo": 300}
"""Fewer samples for an estimator whose time grows as M^2."""


def mixed_log_weights() -> np.ndarray:
    rng = np.random.default_rng(1)
    log_w = -rng.exponential(3.0, SIZE)
    log_w[rng.random(SIZE) < 0.3] *= 1000
    log_w[::7] = -10000.0
    log_w[::1001] = -np.inf
    return log_w


@functools.cache
def weights_and_sum(shift: float) -> tuple[np.ndarray, list[int], mp.Real]:
    """Log-weights, some of their indices (the largest first), and the sum of weights, exact to 1e-30."""
    log_w = mixed_log_weights() + shift
    top = int(log_w.argmax())
    # What is left out is below 1e5 e^-80 of the sum.
    total = fsum(mp.weight(x) for x in log_w[log_w > log_w[top] - 80])
    others = np.random.default_rng(5).choice(SIZE, 60, replace=False)
    return log_w, [top, *others.tolist()], total


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, -9000.0])
@pytest.mark.parametrize("q", [0.0, 0.75, 1 - 1e-4, 1.0])
def test_garl_on_a_large_pool(library: Library, q: float, shift: float):
    log_w, indices, total = weights_and_sum(shift)
    coefficients = [library.numpy(part) for part in garl(library.array(log_w), q)]
    for m in indices:
        w = mp.weight(float(log_w[m]))
        reward = w / mp.power(total / SIZE, mpf(q))
        baseline = mp.power((total - w) / (SIZE - 1), 1 - mpf(q))
        scale = max(reward + baseline, np.finfo(float).smallest_normal)
        assert abs(mpf(float(coefficients[1][m])) - reward) <= 1e-14 * scale
        assert abs(mpf(float(coefficients[0][m])) - (reward - baseline)) <= 1e-14 * scale


def test_leaving_out_a_dominant_weight_does_not_cancel(library: Library):
    """The largest weight's baseline is the others' mean even where it exceeds them by e^10000."""
    log_w = np.full(SIZE, -10000.0)
    log_w[17] = 0.0
    coefficients = garl(library.array(log_w), 1 - 1e-4)
    reward = SIZE ** (1 - 1e-4)
    baseline = math.exp(-10000.0 * 1e-4)
    np.testing.assert_allclose(library.numpy(coefficients.rationale)[17], reward - baseline, rtol=1e-13)
    few = garl(library.array([0.0, -10000.0, -10000.0]), 1 - 1e-4, baseline="loo")
    np.testing.assert_allclose(library.numpy(few.rationale)[0], 3 ** (1 - 1e-4) - baseline, rtol=1e-13)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("size", [1, 2, SIZE])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_estimator_is_finite(library: Library, name: str, size: int, dtype: str):
    estimator = ESTIMATORS[name]
    log_w = mixed_log_weights()[: min(size, LARGEST.get(name, SIZE))]
    keywords: dict[str, Any] = {"q": 0.75} if "q" in estimator.parameters else {}
    if estimator.least_m:
        keywords["k"] = min(2, size)
    if needs_possible(estimator, keywords):
        log_w = np.maximum(log_w, -20_000)
    pool = log_w if estimator.inputs == "log_w" else (log_w > -0.1).astype(float)
    given: dict[str, Any] = {"rng": np.random.default_rng(0)} if estimator.stochastic else {}
    if estimator.needs_answer_length:
        given["answer_length"] = 5
    if estimator.needs_score_norm:
        given["score_norm_sq"] = library.array(1 + np.cos(np.arange(len(pool))), dtype)
    for part in estimator.function(library.array(pool, dtype), **keywords, **given):
        assert np.all(np.isfinite(library.numpy(part)))


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, -9000.0])
@pytest.mark.parametrize("q", [0.0, 0.75, 1 - 1e-4])
def test_the_bound_on_a_large_pool(library: Library, q: float, shift: float):
    log_w, indices, total = weights_and_sum(shift)
    rationale = library.numpy(bound(library.array(log_w), q).rationale)
    for m in indices:
        w, order = mp.weight(float(log_w[m])), mpf(q)
        mean, others = total / SIZE, (total - w) / (SIZE - 1)
        exact = SIZE * (mp.power(mean, 1 - order) - mp.power(others, 1 - order)) / (1 - order)
        scale = (w + others) * mp.power(min(mean, others), -order)
        assert abs(mpf(float(rationale[m])) - exact) <= 1e-14 * max(scale, np.finfo(float).smallest_normal)


def test_paft_draws_from_a_large_pool(library: Library):
    answer = library.numpy(paft(library.array(mixed_log_weights()), 1.0, rng=np.random.default_rng(0)).answer)
    assert answer.sum() == SIZE
    assert np.all(answer[::1001] == 0)
