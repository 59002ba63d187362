"""Flows of several examples: closed forms where scores decouple, an implicit solver where they conflict."""

import math
from typing import Any

import numpy as np
import pytest
from flow_models import Crossing, logistic, logit
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import expit

from qtheory.escape import hard_time, mean_power, sigmoid_time
from qtheory.flow import Stepwise, escape, velocity
from qtheory.models import AngledSigmoids

Q = (0.0, 0.25, 0.5, 0.75, 1.0)
ONE = logistic([[1.0]])


@pytest.mark.parametrize("q", Q)
@pytest.mark.parametrize("p0", [1e-300, 1e-12, 1e-2, 0.4])
def test_one_example_takes_the_closed_forms_time(p0, q):
    flow = escape(velocity(*ONE, q), *ONE, [logit(p0)], math.log(0.5), 1e305)
    assert flow.time == pytest.approx([sigmoid_time(p0, 0.5, q)], rel=1e-9)
    assert flow.end == pytest.approx(flow.time[0], rel=1e-12)
    assert flow.log_p == pytest.approx([math.log(0.5)], abs=1e-8)


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0])
def test_orthogonal_examples_do_not_know_each_other(q):
    model, starts, mix = logistic(np.eye(3)), np.array([1e-8, 1e-3, 0.2]), np.array([0.5, 0.3, 0.2])
    flow = escape(velocity(*model, q, mix), *model, logit(starts), math.log(0.4), 1e12)
    np.testing.assert_allclose(flow.time, sigmoid_time(starts, 0.4, q) / mix, rtol=1e-9)
    assert flow.end == pytest.approx(flow.time.max(), rel=1e-9)


def first_passages(model, q, theta, target, horizon):
    """The same flow in plain time by an implicit solver."""
    scores, log_p = model

    def rate(_, y):
        return (np.exp((1 - q) * log_p(y))[:, None] * scores(y)).mean(0)

    events = [Crossing(lambda y, i=i: log_p(y)[i] - target, terminal=False) for i in range(2)]
    solution = solve_ivp(rate, (0, horizon), theta, method="Radau", rtol=1e-10, atol=1e-12, events=events)
    return np.array([t[0] if len(t) else math.inf for t in solution.t_events])


@pytest.mark.slow
def test_conflicting_examples_break_the_order_of_theorem_5_1():
    # Scores 143 degrees apart. Alone each example is the faster the larger q; together the easy one is not.
    model = logistic([[1.0, 0.0], [math.cos(2.5), math.sin(2.5)]])
    theta = np.linalg.solve([[1.0, 0.0], [math.cos(2.5), math.sin(2.5)]], logit(np.array([0.0025, 0.12])))
    flows = {q: escape(velocity(*model, q), *model, theta, math.log(0.5), 5e3).time for q in (0.0, 0.5, 1.0)}
    for q, times in flows.items():
        np.testing.assert_allclose(times, first_passages(model, q, theta, math.log(0.5), 5e3), rtol=1e-7)
    easy = {q: times[1] for q, times in flows.items()}
    assert easy[1.0] > 1.5 * easy[0.0]
    assert math.isinf(flows[0.0][0])


def test_sft_then_rlvr_in_time_is_the_sum_of_its_stages():
    p0, delta = 1e-6, 0.6
    for switch in (0.5, 5.0, 12.0):
        share: Any = brentq(lambda x, t=switch: sigmoid_time(p0, p0 * math.exp(x), 1.0) - t, 0, math.log(delta / p0))
        handed_over = p0 * np.exp(share)
        schedule = Stepwise((1.0, 0.0), (switch,))
        flow = escape(velocity(*ONE, schedule), *ONE, [logit(p0)], math.log(delta), 1e12, steps=schedule.at)
        assert flow.time == pytest.approx([switch + sigmoid_time(handed_over, delta, 0.0)], rel=1e-9)


def test_a_schedule_that_starts_at_rest_is_timed_by_its_later_speed():
    p0, switch = 1e-300, 10.0
    schedule = Stepwise((0.0, 1.0), (switch,))
    flow = escape(velocity(*ONE, schedule), *ONE, [logit(p0)], math.log(0.5), 1e12, steps=schedule.at)
    assert flow.time == pytest.approx([switch + sigmoid_time(p0, 0.5, 1.0)], rel=1e-9)


def test_a_smooth_schedule_from_rest():
    # q = t/(1 + t) from P = 1e-100: the plain solution in the logit, which moves little before q is near 1.
    def rate(t, x):
        return np.exp(-np.logaddexp(0, -x) / (1 + t)) * expit(-x)

    reached = Crossing(lambda x: x[0], terminal=True)
    plain = solve_ivp(rate, (0, 1e4), [logit(1e-100)], method="DOP853", rtol=1e-12, atol=1e-12, events=reached)
    flow = escape(velocity(*ONE, lambda t: t / (1 + t)), *ONE, [logit(1e-100)], math.log(0.5), 1e6)
    assert flow.time == pytest.approx(plain.t_events[0], rel=1e-9)


def test_a_smooth_schedule_in_time():
    def q(t):
        return 1 / (1 + t)

    def rate(t, x):
        return np.exp(-(1 - q(t)) * np.logaddexp(0, -x)) * expit(-x)

    reached = Crossing(lambda x: x[0], terminal=True)
    plain = solve_ivp(rate, (0, 1e4), [logit(0.02)], method="DOP853", rtol=1e-12, atol=1e-12, events=reached)
    flow = escape(velocity(*ONE, q), *ONE, [logit(0.02)], math.log(0.5), 1e4)
    assert flow.time == pytest.approx(plain.t_events[0], rel=1e-9)


@pytest.mark.parametrize("q", [0.25, 1.0])
def test_any_velocity_will_do_as_the_mean_field_of_hard_weights(q):
    def mean_field(theta, _):
        p = expit(theta[0])
        return mean_power([1 - p, p], [0.0, 1.0], q, 32) * expit(-theta)

    flow = escape(mean_field, *ONE, [logit(1e-5)], math.log(0.5), 1e12)
    assert flow.time == pytest.approx(hard_time(1e-5, 0.5, [q], 32), rel=1e-9)


def test_ends_that_are_no_escape():
    half = math.log(0.5)
    late = escape(velocity(*ONE, 0.0), *ONE, [logit(1e-3)], half, 100.0)
    assert (late.time == math.inf, late.end) == (True, 100.0)
    # What is left of the way after 100 takes the rest of the time.
    left = sigmoid_time(math.exp(late.log_p[0]), 0.5, 0.0)
    assert left == pytest.approx(sigmoid_time(1e-3, 0.5, 0.0) - 100, rel=1e-9)
    there = escape(velocity(*ONE, 0.0), *ONE, [1.0], half, 100.0)
    assert (there.time == 0, there.end) == (True, 0.0)
    still = escape(lambda theta, _: 0 * theta, *ONE, [-1.0], half, 100.0)
    assert (still.time == math.inf, still.end, still.theta == -1.0) == (True, 100.0, True)
    # Two examples of opposite scores and equal P: the flow rests where it is.
    model = logistic([[1.0], [-1.0]])
    assert np.isinf(escape(velocity(*model, 0.5), *model, [0.0], math.log(0.6), 1e6).time).all()


@pytest.mark.parametrize("q", [0.25, 0.75, 1.0])
@pytest.mark.parametrize("starts", [(1e-2, 1e-3), (0.5, 0.01)])
def test_two_opposite_examples_rest_where_their_pulls_are_equal(q, starts):
    pair = AngledSigmoids(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.log(starts))
    examples = pair.score, pair.log_p
    flow = escape(velocity(*examples, q), *examples, np.zeros(2), math.log(0.999999), 1e12)
    pulls = np.exp((1 - q) * flow.log_p) * -np.expm1(flow.log_p)
    assert flow.end == 1e12
    if q > 0.5:  # at a smaller q the weaker one's pull is so small that 1e12 is not long
        assert pulls[0] == pytest.approx(pulls[1], rel=1e-9)
    # What the one gains in its logit the other loses.
    logits = flow.log_p - np.log(-np.expm1(flow.log_p))
    assert logits.sum() == pytest.approx(logit(np.array(starts)).sum(), rel=1e-9)


def test_a_flow_on_which_the_solver_does_not_get_on_is_given_up(monkeypatch):
    monkeypatch.setattr("qtheory.flow.direct._EVALUATIONS", 100)
    with pytest.raises(RuntimeError, match=r"near time .* the solver says: 100 evaluations were not enough. A nearer"):
        escape(velocity(*ONE, 0.5), *ONE, [logit(1e-6)], math.log(0.5), 1e12)


def test_a_flow_that_neither_settles_nor_escapes_is_given_up(monkeypatch):
    # A velocity that turns forever, along levels of P.
    model = logistic([[1.0, 0.0]])
    monkeypatch.setattr("qtheory.flow.direct._LONGEST", 50.0)
    with pytest.raises(RuntimeError, match=r"the flow was not solved up to time 1e\+12"):
        escape(lambda theta, _: 1e6 * np.array([-theta[1], theta[0]]), *model, [1.0, 0.0], math.log(0.9), 1e12)


def test_bad_input_is_refused():
    flow = velocity(*ONE, 0.5)
    with pytest.raises(ValueError, match=r"target is 0\.5: pass log P in nats, finite and below 0"):
        escape(flow, *ONE, [-3.0], 0.5, 10.0)
    with pytest.raises(ValueError, match="horizon is inf: pass a positive, finite time"):
        escape(flow, *ONE, [-3.0], -0.5, math.inf)
    with pytest.raises(ValueError, match="they must be positive and increase"):
        escape(flow, *ONE, [-3.0], -0.5, 10.0, steps=(2.0, 1.0))
    with pytest.raises(ValueError, match=r"q is 1\.5: q must lie in \[0, 1\]"):
        velocity(*ONE, 1.5)
    with pytest.raises(ValueError, match=r"q is -1\.0: q must lie in \[0, 1\]"):
        escape(velocity(*ONE, lambda _: -1.0), *ONE, [-3.0], -0.5, 10.0)
    with pytest.raises(ValueError, match=r"weights\[0\] is -1\.0: they must be non-negative and finite"):
        velocity(*ONE, 0.5, weights=[-1.0])
