"""Paths up to P = 1 - 1e-16: closed forms, and families without one against the same flow in mpmath."""

import math
from typing import Any

import mp_flow
import numpy as np
import pytest
from flow_models import arms_log_p, arms_score
from mpmath import MPContext

from qtheory.escape import escape_rows, family, hard_time, log_family_times, sigmoid_time
from qtheory.flow import Stepwise, escape, follow, velocity
from qtheory.models import Sigmoid, SoftmaxArms

REALS = MPContext()
REALS.dps = 150
GAPS = np.array([1e-15, 1e-12, 1e-9, 1e-6, 1e-3])
Q = (0.0, 0.5, 1.0)


def sigmoid_times(start: Any, wrong: Any) -> tuple[float, float]:
    """T_0 and T_1 of the sigmoid from P = start to P = 1 - wrong, by their primitives."""
    ends = [(REALS.mpf(start), 1 - REALS.mpf(start)), (1 - REALS.mpf(wrong), REALS.mpf(wrong))]
    at_0 = [2 * REALS.log(p / r) + 1 / r - 1 / p for p, r in ends]
    at_1 = [REALS.log(p / r) + 1 / r for p, r in ends]
    return float(at_0[1] - at_0[0]), float(at_1[1] - at_1[0])


@pytest.mark.parametrize(("model", "share"), [(Sigmoid(), 1.0), (SoftmaxArms(10), 0.9)], ids=["sigmoid", "arms"])
@pytest.mark.parametrize("p0", [1e-300, 1e-12, 0.3, 0.6, 1 - 1e-5])
def test_closed_forms_near_one(model, share, p0):
    wrong = np.append(GAPS[GAPS < 1e-5] if p0 > 0.9 else GAPS, [1e-40])[::-1]
    wrong = np.sort(wrong)[::-1]
    path = follow(
        model.score, lambda at: float(model.log_p(at)), model.start(math.log(p0)), np.log1p(-wrong), [0.0, 1.0]
    )
    start = REALS.exp(REALS.mpf(math.log(p0)))
    expected = [sigmoid_times(start, -REALS.expm1(REALS.mpf(level))) for level in path.log_p]
    np.testing.assert_allclose(np.exp(path.log_time), share * np.array(expected), rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "gap"),
    [
        ("fixed", 1e-12),
        ("latent-sigmoid", 2.0**-53),  # the last float below 1
        *(
            pytest.param(name, gap, marks=pytest.mark.slow)
            for name in ("latent-softmax", "chain", "latent-sigmoid", "fixed")
            for gap in (1e-6, 1e-9, 1e-12, 2.0**-53)
        ),
    ],
)
def test_families_without_closed_form_near_one(name, gap):
    model, delta = family(name), 1 - gap
    expected = mp_flow.times(name, model.start(math.log(0.3)).tolist(), delta, Q)
    ours = np.exp(log_family_times(model, math.log(0.3), delta, Q)[0])
    np.testing.assert_allclose(ours, np.array(expected, dtype=float), rtol=1e-10)


@pytest.mark.parametrize("name", ["sigmoid", "arms"])
def test_rows_near_one_agree_with_their_closed_form(name):
    for gap in (1e-15, 1e-12, 1e-6):
        for row in escape_rows(name, [1e-12, 0.4], Q, 1 - gap):
            assert row.error is not None
            assert row.error < 1e-10


def test_schedules_near_one_step_where_they_should():
    model, places, delta = Sigmoid(), np.array([0.7, 1 - 1e-9]), 1 - 2e-9 / 3
    path = follow(
        model.score,
        lambda at: float(model.log_p(at)),
        model.start(math.log(0.1)),
        math.log(delta),
        [Stepwise((1.0, 0.0, 1.0), np.log(places).tolist())],
    )
    stages = np.array([0.1, *places, delta])
    expected = sigmoid_time(stages[:-1], stages[1:], [1.0, 0.0, 1.0]).sum()
    assert np.exp(path.log_time[0, 0]) == pytest.approx(expected, rel=1e-10)


def test_a_score_that_loses_its_digits_near_one_is_given_up(monkeypatch):
    monkeypatch.setattr("qtheory.flow.path._EVALUATIONS", 2000)
    start = np.array([2.0, 0.0, 0.0])
    with pytest.raises(
        RuntimeError, match=r"2000 evaluations were not enough\. Where P is near 1, let score and log_p"
    ):
        follow(arms_score, arms_log_p, start, math.log1p(-1e-12), [0.5])
    with pytest.raises(ValueError, match=r"log_p is 0\.0 where log P is near .*: it must keep its digits near P = 1"):
        follow(SoftmaxArms(3).score, lambda at: min(arms_log_p(at), 0) if at[0] < 9 else 0.0, start, -1e-12, [0.5])


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_score_that_is_no_gradient_is_found_near_one_too(factor):
    model = Sigmoid()
    with pytest.raises(ValueError, match="score is not the gradient of log_p"):
        follow(lambda at: factor * model.score(at), lambda at: float(model.log_p(at)), [1.0], -1e-15, [0.5])


@pytest.mark.parametrize("gap", [1e-15, 1e-9, 1e-4])
def test_the_flow_in_time_and_the_mean_field_near_one(gap):
    model, delta = Sigmoid(), 1 - gap

    def scores(at):
        return model.score(at)[..., None, :]

    def log_p(at):
        return model.log_p(at)[..., None]

    expected = sigmoid_times(math.exp(math.log(0.2)), 1 - delta)
    for q, time in zip((0.0, 1.0), expected, strict=True):
        flow = escape(velocity(scores, log_p, q), scores, log_p, model.start(math.log(0.2)), math.log(delta), 1e30)
        assert flow.time[0] == pytest.approx(time, rel=1e-10)
        assert hard_time(0.2, delta, q, 1) == pytest.approx(expected[0], rel=1e-11)
        assert sigmoid_time(0.2, delta, q) == pytest.approx(time, rel=1e-12)


def test_starts_that_nearly_are_the_target():
    for p0, delta in ((0.3, 0.3 + 1e-9), (0.7, 0.7 + 1e-13), (1 - 3e-12, 1 - 1e-12)):
        expected = sigmoid_times(p0, 1 - REALS.mpf(delta))[0]
        assert hard_time(p0, delta, 0.0, 4) == pytest.approx(expected, rel=1e-11)
        assert sigmoid_time(p0, delta, 0.0) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match=r"p0 is 0\.49999999\d* and delta 0\.5: so near each other that rounding"):
        log_family_times(family("chain"), math.log(0.49999999), 0.5, [0.5])
