"""Finite tasks: against mpmath from the definition, and what they refuse."""

import math
from typing import Any

import mp_reference as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mpmath import mpf

from qtheory.models import FiniteTask

SIZE, DIMENSION = 4, 3


def task(logits: np.ndarray, log_w: np.ndarray, seed: int) -> FiniteTask:
    scores = np.random.default_rng(seed).standard_normal((2, SIZE, DIMENSION))
    return FiniteTask(logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max(), log_w, *scores)


@given(
    hnp.arrays(float, SIZE, elements=st.floats(-600, 0)),
    hnp.arrays(float, SIZE, elements=st.one_of(st.floats(-10_000, 0), st.just(-math.inf), st.floats(-1e-9, 0))),
    st.floats(0, 1),
    st.integers(0, 1000),
)
def test_log_p_score_and_gradient_are_the_definitions(logits: np.ndarray, log_w: np.ndarray, q: float, seed: int):
    one = task(logits, log_w, seed)
    joint = [mp.exp(mpf(p)) * mp.weight(w) for p, w in zip(one.log_prior.tolist(), log_w.tolist(), strict=True)]
    if not sum(joint):
        assert one.log_p == -math.inf
        return
    # A prior normalised to rounding determines log P near 0 to that rounding only.
    log_p = mp.log(sum(joint))
    assert abs(mpf(one.log_p) - log_p) <= 1e-15 * abs(log_p) + 1e-13
    scores = (one.prior_score + one.answer_score).tolist()
    score = [sum(j * mpf(row[i]) for j, row in zip(joint, scores, strict=True)) / sum(joint) for i in range(DIMENSION)]
    spread = float(np.abs(scores).max())
    # The exponent log w - log P rounds with the size of its terms.
    rounding = 1e-15 * (10 + abs(float(log_p)))
    np.testing.assert_allclose(one.score, np.array(score, dtype=float), rtol=0, atol=4 * rounding * spread)
    gradient = [-mp.power(sum(joint), 1 - mpf(q)) * s for s in score]
    size = float(mp.power(sum(joint), 1 - mpf(q)))
    np.testing.assert_allclose(
        one.gradient(q), np.array(gradient, dtype=float), rtol=0, atol=10 * rounding * spread * size + 1e-300
    )


def test_gradient_is_minus_p_to_the_one_minus_q_times_the_score():
    one = task(np.zeros(SIZE), np.array([-700.0, -690.0, -np.inf, -691.0]), 0)
    for q in (0.0, 0.5, 1.0):
        np.testing.assert_allclose(one.gradient(q), -math.exp((1 - q) * one.log_p) * one.score, rtol=1e-12)


def test_a_sure_answer_has_log_p_zero_and_not_above():
    one = task(np.array([0.1, -0.3, -7.0, 0.2]), np.zeros(SIZE), 0)
    assert one.log_p == 0
    np.testing.assert_allclose(one.gradient(0.5), -one.score, rtol=1e-15)


def test_an_impossible_answer_has_no_score():
    impossible = task(np.zeros(SIZE), np.full(SIZE, -np.inf), 0)
    assert impossible.log_p == -math.inf
    with pytest.raises(ValueError, match="every log_w is -inf: give one a finite value"):
        impossible.gradient(0.0)


def test_a_task_does_not_follow_the_arrays_it_was_made_of():
    log_w = np.full(SIZE, -1.0)
    one = task(np.zeros(SIZE), log_w, 0)
    log_w[:] = -2.0
    assert one.log_w.tolist() == [-1.0] * SIZE
    with pytest.raises(ValueError, match="read-only"):
        one.log_w[0] = 0.0


GOOD: dict[str, Any] = {
    "log_prior": np.log([0.5, 0.5]),
    "log_w": np.array([-1.0, -np.inf]),
    "prior_score": np.ones((2, 3)),
    "answer_score": np.ones((2, 3)),
}


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        (
            "log_prior",
            np.log([0.5, 0.4]),
            ValueError,
            r"log_prior sums to 1 \+ -0.1: subtract -0.105.* to normalise it",
        ),
        (
            "log_prior",
            np.array([0.0, -np.inf]),
            ValueError,
            r"log_prior\[1\] is -inf: leave rationales of probability 0",
        ),
        ("log_prior", np.array([800.0, 900.0]), ValueError, r"log_prior sums to 1 \+ .*: subtract 900 "),
        ("log_prior", [0.0, 0.0], TypeError, "log_prior is .*, a list: pass a numpy array of float64"),
        ("log_w", np.array([-1, 0]), TypeError, "log_w has dtype int64: pass float64"),
        ("log_w", np.array([-1.0, 1e-9]), ValueError, r"log_w\[1\] is 1e-09: a log-probability must be at most 0"),
        ("log_w", np.array([np.nan, 0.0]), ValueError, r"log_w\[0\] is nan: a log-probability"),
        ("log_w", np.array([-1.0]), ValueError, r"log_w has shape \(1,\): \(2,\) is needed"),
        ("log_w", np.zeros(0), ValueError, r"log_w has shape \(0,\): \(Z\) is needed, with no empty axis"),
        ("prior_score", np.ones(2), ValueError, r"prior_score has shape \(2,\): \(Z, d\) is needed"),
        ("prior_score", np.ones((3, 3)), ValueError, r"prior_score has shape \(3, 3\): \(2, 3\) is needed"),
        ("answer_score", np.ones((2, 2)), ValueError, r"answer_score has shape \(2, 2\): \(2, 3\) is needed"),
        ("answer_score", np.full((2, 3), np.inf), ValueError, r"answer_score\[0, 0\] is inf: a score must be finite"),
    ],
)
def test_bad_input(name: str, value: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        FiniteTask(**{**GOOD, name: value})


def test_q_outside_the_interval():
    with pytest.raises(ValueError, match=r"q is -0.5: q must lie in \[0, 1\]"):
        FiniteTask(**GOOD).gradient(-0.5)
