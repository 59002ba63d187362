"""The path solver against closed forms, and against a plain solution in time where there are none."""

import math

import numpy as np
import pytest
from flow_models import Crossing, arms_log_p, arms_score, logit, sigmoid_log_p, sigmoid_score
from scipy.integrate import quad, solve_ivp

from qtheory.escape import increment_exponents, sigmoid_time
from qtheory.flow import Stepwise, follow

Q = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize("p0", [1e-300, 1e-100, 1e-12, 1e-2, 0.09])
def test_one_solve_gives_the_sigmoids_times_at_every_q(p0):
    targets = np.array([0.1, 0.5, 0.99])
    path = follow(sigmoid_score, sigmoid_log_p, [logit(p0)], np.log(targets), Q)
    np.testing.assert_allclose(np.exp(path.log_time), sigmoid_time(p0, targets[:, None], Q), rtol=1e-9)
    np.testing.assert_allclose(path.theta[:, 0], logit(targets), atol=1e-9)
    assert path.log_time.shape == (3, len(Q))


@pytest.mark.parametrize("q", Q)
def test_times_are_those_of_the_flow_in_time(q):
    # Five arms of unequal logits: the path bends, as the wrong arms lose at unequal rates.
    theta, target = np.array([-4.0, 0.0, 1.0, -1.0, 0.5]), math.log(0.6)
    path = follow(arms_score, arms_log_p, theta, target, [q])

    flow = solve_ivp(
        lambda _, y: np.exp((1 - q) * arms_log_p(y)) * arms_score(y),
        (0, 1e4),
        theta,
        method="DOP853",
        rtol=1e-11,
        atol=1e-12,
        events=Crossing(lambda y: arms_log_p(y) - target, terminal=True),
    )
    assert np.exp(path.log_time[0, 0]) == pytest.approx(flow.t_events[0][0], rel=1e-9)
    np.testing.assert_allclose(path.theta[0], flow.y[:, -1], atol=1e-8)


def test_exponents_of_the_arms_are_those_of_the_theorem():
    # P0 = 1e-12 ... 1e-8 by the first logit alone; ||s||^2 tends to a constant, so the rates are Theta.
    wrong = np.array([0.0, 1.0, -1.0])
    log_p0 = np.log(np.geomspace(1e-12, 1e-8, 5))
    starts = [np.append(level - math.log(-math.expm1(level)) + np.log(np.exp(wrong).sum()), wrong) for level in log_p0]
    times = [follow(arms_score, arms_log_p, start, math.log(0.5), Q).log_time[0] for start in starts]
    slopes = increment_exponents(log_p0, np.array(times))
    np.testing.assert_allclose(slopes, np.tile(np.array(Q) - 1, (3, 1)), atol=1e-6)


def test_q_chosen_by_p_adds_the_pieces_of_each_q():
    p0, knot, delta = 1e-9, 1e-3, 0.8
    by_p = Stepwise((1.0, 0.25), (math.log(knot),))
    path = follow(sigmoid_score, sigmoid_log_p, [logit(p0)], math.log(delta), [by_p, 0.25, 1.0])
    expected = sigmoid_time(p0, knot, 1.0) + sigmoid_time(knot, delta, 0.25)
    assert np.exp(path.log_time[0, 0]) == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(np.exp(path.log_time[0, 1:]), sigmoid_time(p0, delta, [0.25, 1.0]), rtol=1e-9)


def test_q_chosen_by_p_smoothly_is_the_integral_over_the_path():
    def rule(level):
        return math.exp(level) ** 0.1

    path = follow(sigmoid_score, sigmoid_log_p, [logit(1e-4)], math.log(0.7), [rule])
    expected = quad(
        lambda level: math.exp(-(1 - rule(level)) * level) / math.expm1(level) ** 2,
        math.log(1e-4),
        math.log(0.7),
        epsabs=0,
        epsrel=1e-11,
    )[0]
    assert np.exp(path.log_time[0, 0]) == pytest.approx(expected, rel=1e-9)


def test_bad_input_is_refused():
    start, half = [logit(0.1)], math.log(0.5)
    with pytest.raises(ValueError, match=r"log P must increase from -2\.30259, the start's, and stay below 0"):
        follow(sigmoid_score, sigmoid_log_p, start, math.log(0.05), [0.5])
    with pytest.raises(ValueError, match="targets are empty: pass at least one log P to reach"):
        follow(sigmoid_score, sigmoid_log_p, start, [], [0.5])
    with pytest.raises(ValueError, match="log P must increase"):
        follow(sigmoid_score, sigmoid_log_p, start, [half, half], [0.5])
    with pytest.raises(ValueError, match=r"q is 1\.5"):
        follow(sigmoid_score, sigmoid_log_p, start, half, [1.5])
    with pytest.raises(ValueError, match=r"q is 2\.0"):
        follow(sigmoid_score, sigmoid_log_p, start, half, [lambda _: 2.0])
    with pytest.raises(ValueError, match=r"score has shape \(2,\) and theta \(1,\)"):
        follow(lambda _: np.ones(2), sigmoid_log_p, start, half, [0.5])
    with pytest.raises(ValueError, match=r"needs a finite score other than 0"):
        follow(lambda theta: 0 * theta, sigmoid_log_p, start, half, [0.5])
    with pytest.raises(ValueError, match="score is not the gradient of log_p"):
        follow(lambda theta: 2 * sigmoid_score(theta), sigmoid_log_p, start, half, [0.5])


def test_a_path_to_a_maximum_below_the_target_stops_there():
    with pytest.raises(RuntimeError, match=r"the path stops at log P = -1, short of -0\.5: .* Lower the target"):
        follow(lambda theta: -theta, lambda theta: -1 - theta[0] ** 2 / 2, [3.0], -0.5, [0.5])


def test_a_schedule_says_what_is_wrong_with_it():
    with pytest.raises(ValueError, match="2 values of q and 2 steps: pass one value more than steps"):
        Stepwise((1.0, 0.0), (1.0, 2.0))
    with pytest.raises(ValueError, match="they must increase"):
        Stepwise((1.0, 0.5, 0.0), (2.0, 1.0))
    with pytest.raises(ValueError, match=r"q is -0\.1: q must lie in \[0, 1\]"):
        Stepwise((1.0, -0.1), (2.0,))
    assert [Stepwise((1.0, 0.0), (2.0,))(t) for t in (0.0, 2.0, 3.0)] == [1.0, 0.0, 0.0]
