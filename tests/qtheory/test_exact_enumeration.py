"""Exact moments against enumeration of all pools in 50-digit arithmetic, and against mpmath's quadrature."""

import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figures.exact import reference
from figures.exact.cases import LOG_W, PAIRS, PRIORS, random_task, task
from figures.exact.reference import Reference, SlowTask, enumerate_moments, plug_in, quadrature_moments, rloo
from qtheory.exact import Moments, moments
from qtheory.models import FiniteTask

FORMS = {
    "plugin": (plug_in, None),
    "rloo": (rloo, None),
    "paft": (plug_in, 5),
    "jackknife": (reference.jackknife, None),
    "delta": (reference.delta, None),
    "u_series": (reference.u_series, None),
}
# The promise, and RLOO's; a bias that is exactly 0 is known to the gradient's rounding.
MEAN, VARIANCE, RLOO_VARIANCE = 1e-12, 1e-10, 1e-9

every_form = pytest.mark.parametrize("form", FORMS)
every_task = pytest.mark.parametrize(
    "example",
    [pytest.param(task(prior, w), id=f"{name}, {kind}") for name, w in LOG_W.items() for kind, prior in PRIORS.items()],
)


def assert_agrees(ours: Moments, slow: Reference, form: str, target: np.ndarray, floor: float = 0.0) -> None:
    """Errors relative to norms, that of the bias to `floor` if larger; an error that is NaN fails."""
    rounding = 1e-15 * float(np.linalg.norm(target))
    assert np.linalg.norm(ours.mean - slow.mean) <= MEAN * np.linalg.norm(slow.mean)
    size = max(float(np.linalg.norm(slow.bias)), floor)
    zero = size < 1e-30 * np.linalg.norm(target)
    assert np.linalg.norm(ours.bias - slow.bias) <= (rounding if zero else MEAN * size)
    bound = RLOO_VARIANCE if form == "rloo" else VARIANCE
    assert abs(ours.second_moment - slow.second_moment) <= bound * slow.second_moment
    assert abs(ours.variance - slow.variance) <= max(bound * slow.variance, 1e-14 * slow.second_moment)


@functools.cache
def enumerated(example: FiniteTask, q: float, size: int, form: str, most: int | None = None) -> Reference:
    """The reference of a form, kept for the forms that are measured against the plug-in."""
    estimate, draws = FORMS[form]
    return enumerate_moments(SlowTask(example), q, size, estimate, draws, most)


def bias_floor(example: FiniteTask, q: float, size: int, form: str, most: int | None = None) -> float:
    """What the bias of a correction of the plug-in is known relative to: the plug-in's, or 1e-2/M of the gradient."""
    if form not in ("jackknife", "delta"):
        return 0.0
    plain = np.linalg.norm(enumerated(example, q, size, "plugin", most).bias)
    return max(float(plain), 1e-2 / size * float(np.linalg.norm(example.gradient(q))))


@every_form
@every_task
def test_moments_are_those_of_all_pools(example: FiniteTask, form: str):
    draws = FORMS[form][1]
    orders, sizes = np.array([0.0, 1e-6, 0.6, 1.0]), np.array([1, 2, 3, 5])
    grid = moments(example, orders[:, None], sizes, form, K=draws)
    for i, j in itertools.product(range(len(orders)), range(len(sizes))):
        ours = Moments(grid.mean[i, j], grid.bias[i, j], grid.variance[i, j], grid.second_moment[i, j])
        q, size = float(orders[i]), int(sizes[j])
        floor = bias_floor(example, q, size, form)
        assert_agrees(ours, enumerated(example, q, size, form), form, example.gradient(q), floor)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "u_series"])
@pytest.mark.parametrize("example", [task((prior, 1 - prior), log_w) for prior, log_w in PAIRS])
@pytest.mark.parametrize(
    "size", [10, pytest.param(1000, marks=pytest.mark.slow), pytest.param(10**6, marks=pytest.mark.slow)]
)
def test_moments_in_large_pools_and_at_small_p(form: str, example: FiniteTask, size: int):
    draws = FORMS[form][1]
    likely = min(size, 35)  # at most one is expected, and 36 or more have probability 1e-42
    for q in (0.25, 0.75, 1.0):
        exact = enumerated(example, q, size, form, likely)
        floor = bias_floor(example, q, size, form, likely)
        assert_agrees(moments(example, q, size, form, K=draws), exact, form, example.gradient(q), floor)


@pytest.mark.slow
@pytest.mark.parametrize("q", [0.5, 1.0])
@pytest.mark.parametrize("size", [1, 10**6])
def test_the_plug_in_s_moments_are_mpmath_s_integrals(q: float, size: int):
    example = random_task(np.random.default_rng(5), 4, 2)
    assert_agrees(
        moments(example, q, size), quadrature_moments(SlowTask(example), q, size), "plugin", example.gradient(q)
    )


@pytest.mark.parametrize("log_w", [(-0.5, -3.0), (-0.01, -0.02), (-1e-4, -1.1e-4)])
def test_the_baseline_in_warm_start(log_w: tuple[float, float]):
    """The last two take away all but 6e-5 and 2e-9 of the plug-in's variance."""
    example, size = task((0.4, 0.6), log_w), 200
    for q in (0.0, 0.5, 1.0):
        slow = enumerate_moments(SlowTask(example), q, size, rloo)
        without = moments(example, q, size).variance
        assert (
            abs(moments(example, q, size, "rloo").variance - slow.variance) <= 1e-14 * without + 1e-12 * slow.variance
        )


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 4), st.floats(0, 1), st.sampled_from(list(FORMS)))
def test_random_tasks(seed: int, rationales: int, size: int, q: float, form: str):
    example = random_task(np.random.default_rng(seed), rationales, 2)
    estimate, draws = FORMS[form]
    slow = enumerate_moments(SlowTask(example), q, size, estimate, draws)
    ours, gradient = moments(example, q, size, form, K=draws), np.linalg.norm(example.gradient(q))
    scale = float(gradient) + math.sqrt(slow.second_moment)
    np.testing.assert_allclose(ours.mean, slow.mean, rtol=0, atol=1e-13 * scale)
    np.testing.assert_allclose(ours.bias, slow.bias, rtol=0, atol=1e-13 * scale)
    np.testing.assert_allclose(ours.variance, slow.variance, rtol=0, atol=1e-12 * scale**2)
