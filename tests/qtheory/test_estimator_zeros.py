"""Coefficients that are 0 by their formula are 0 to the last bit: the update leaves such rows out."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from array_libraries import LIBRARIES, Library
from hypothesis import given
from hypothesis import strategies as st

from qtheory.estimators import (
    Coefficients,
    bound,
    delta,
    dr_grpo,
    garl,
    garl_weighted,
    grpo,
    iwae,
    jackknife,
    jepo,
    logprob,
    maxrl,
    rb_rloo,
    rloo,
    u_series,
)

SIZES = (2, 3, 5, 7, 10, 32, 49, 100, 1000)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def weighted(log_w: Any, q: Any, **keywords: Any) -> Coefficients:
    """Unequal norms, which must not matter where the weights are equal."""
    norms = np.random.default_rng(1).uniform(0.1, 9.0, tuple(log_w.shape)).astype(np.float64)
    library = next(Library(module) for module in LIBRARIES if type(log_w) is type(Library(module).array(0.0)))
    dtype = str(log_w.dtype).rsplit(".", 1)[-1]
    return garl_weighted(log_w, q, score_norm_sq=library.array(norms, dtype), **keywords)


@every_dtype
@pytest.mark.parametrize(
    "estimator",
    [
        garl,
        lambda log_w, q: garl(log_w, q, normalize=True),
        weighted,
        lambda log_w, q: weighted(log_w, q, normalize=True),
        jackknife,
        delta,
        lambda log_w, _: iwae(log_w),
        lambda log_w, _: rb_rloo(log_w),
        bound,
        lambda log_w, _: jepo(log_w),
        lambda log_w, _: logprob(log_w),
    ],
    ids=[
        "garl",
        "garl normalized",
        "garl_weighted",
        "garl_weighted normalized",
        "jackknife",
        "delta",
        "iwae",
        "rb_rloo",
        "bound",
        "jepo",
        "logprob",
    ],
)
def test_equal_weights_have_no_advantage(library: Library, dtype: str, estimator: Any):
    # Pools in a batch, one of them mixed, at a q for each pool.
    levels = np.array([-1e-3, -0.1, -1 / 3, -1.2, -2.5, -7.7, -30.1, -300.3, -1000.7, 0.0])
    q = library.array(np.resize([0.0, 0.25, 0.6, 0.75, 0.99, 1.0], len(levels)), dtype)
    for size in SIZES:
        pools = np.tile(levels[:, None], (1, size))
        pools[-1, 0] = -3.0
        rationale, answer = (library.numpy(part) for part in estimator(library.array(pools, dtype), q))
        assert np.all(rationale[:-1] == 0)
        assert np.all(rationale[-1] != 0)
        assert np.all(np.ptp(answer[:-1], axis=-1) == 0)


@every_dtype
def test_equal_weights_leave_the_u_series_what_its_series_lacks(library: Library, dtype: str):
    """Which is nothing at q = 0 and where w is 1."""
    for size in (2, 3, 7, 32):
        pool = library.array(np.tile([[-1 / 3], [-2.5], [-30.1]], (1, size)), dtype)
        assert np.all(library.numpy(u_series(pool, 0.0).rationale) == 0)
        assert np.all(library.numpy(u_series(0 * pool, 0.7).rationale) == 0)
        if size < 10:  # with more terms it lacks less than rounding
            assert np.all(library.numpy(u_series(pool, 0.7).rationale)[1] < 0)


@every_dtype
@pytest.mark.parametrize("reward", [0.1, 0.3, 1 / 3, 0.7, 2.3, -0.1, 1e-30, 1e30, 0.0, 1.0])
def test_equal_rewards_have_no_advantage(library: Library, dtype: str, reward: float):
    estimators = [dr_grpo, rloo, grpo, *([maxrl] if reward >= 0 else [])]
    for size in SIZES:
        pool = library.array(np.full((2, size), reward), dtype)
        for estimator in estimators:
            for part in estimator(pool):
                assert np.all(library.numpy(part) == 0)


@every_dtype
def test_a_reward_at_the_mean_has_no_advantage(library: Library, dtype: str):
    """.2 is twice .1 in floats too, and their mean with 0 is .1, though the sum of the three rounds."""
    for pool in ([0.0, 0.1, 0.2], [0.7, 0.7 * 4, 0.7 * 2, 0.7], [-0.3, 0.0, 0.3]):
        values, at = np.array(pool, dtype), {0.0: 1, 0.7: 2, -0.3: 1}[pool[0]]
        for estimator in (dr_grpo, rloo, grpo):
            coefficients = library.numpy(estimator(library.array(values, dtype)).answer)
            assert np.flatnonzero(coefficients == 0).tolist() == [at]


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.4, 0.8, -0.1, -0.4, 1 / 3, 2 / 3, 0.7, 1e-9]), min_size=1, max_size=9),
    st.sampled_from([0, 1, 2]),
)
def test_zeros_are_those_of_exact_arithmetic(rewards: list[float], which: int):
    library, size = Library(LIBRARIES[which]), len(rewards)
    exact = [Fraction(r) - sum(map(Fraction, rewards)) / size for r in rewards]
    ours = library.numpy(dr_grpo(library.array(rewards)).answer)
    for coefficient, value in zip(ours.tolist(), exact, strict=True):
        assert coefficient == 0 if value == 0 else abs(Fraction(coefficient) - value) < 1e-15
    if size > 1:
        np.testing.assert_array_equal(library.numpy(rloo(library.array(rewards)).answer) == 0, ours == 0)


@every_dtype
def test_unequal_pools_keep_a_reward_s_distance_to_the_mean(library: Library, dtype: str):
    rewards = np.random.default_rng(2).integers(0, 2, (40, 11)).astype(dtype)
    rewards[:, 0], rewards[:, 1] = 0, 1
    expected = rewards - library.numpy(library.module.mean(library.array(rewards, dtype), axis=-1, keepdims=True))
    np.testing.assert_array_equal(library.numpy(dr_grpo(library.array(rewards, dtype)).answer), expected)
