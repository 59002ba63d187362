"""Optimisers' steps: torch's own as the reference, the flow as their limit, and what Adam's epsilon decides (QC-6)."""

import math

import numpy as np
import pytest
import torch
from flow_models import logistic, logit

from qtheory.escape import sigmoid_time
from qtheory.flow import Adam, Sgd, steps_to, velocity

Q = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
ONE = logistic([[1.0]])
HALF = math.log(0.5)
PAIR = [[1.0, 0.3], [-0.4, 1.0]]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Sgd(0.3), lambda p: torch.optim.SGD(p, lr=0.3)),
        (Sgd(0.3, momentum=0.8), lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.8)),
        (Adam(0.05), lambda p: torch.optim.Adam(p, lr=0.05)),
        (Adam(0.05, 0.5, 0.7, 0.1), lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.5, 0.7), eps=0.1)),
    ],
)
def test_steps_are_torchs_on_the_loss_itself(ours, theirs):
    q, start, steps = 0.6, [-2.0, -1.0], 25
    theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimiser = theirs([theta])
    for _ in range(steps):
        p = torch.sigmoid(torch.tensor(PAIR, dtype=torch.float64) @ theta)
        optimiser.zero_grad()
        (-(p ** (1 - q) - 1) / (1 - q)).mean().backward()
        optimiser.step()
    model = logistic(PAIR)
    run = steps_to(velocity(*model, q), model[1], start, math.log(1 - 1e-9), ours, steps)
    assert run.taken == steps
    np.testing.assert_allclose(run.theta, theta.detach().numpy(), rtol=1e-12)


def test_euler_meets_the_flow_at_first_order():
    # Steps times rate, less T_q, halves with the rate; a step is a small part of each difference.
    q, theta = np.array([0.5, 1.0]), np.full((2, 1), logit(1e-2))
    exact = sigmoid_time(1e-2, 0.5, q)
    errors = []
    for rate in (0.4, 0.2, 0.1):
        # The passage within the last step, by the straight line between its ends.
        whole = steps_to(velocity(*ONE, q), ONE[1], theta, HALF, Sgd(rate), 10_000).count[:, 0]
        before = [steps_to(velocity(*ONE, q), ONE[1], theta, HALF, Sgd(rate), int(k) - 1).theta for k in whole]
        after = [steps_to(velocity(*ONE, q), ONE[1], theta, HALF, Sgd(rate), int(k)).theta for k in whole]
        low, high = (np.array([x[i, 0] for i, x in enumerate(runs)]) for runs in (before, after))
        errors.append(rate * (whole - 1 + (0 - low) / (high - low)) - exact)
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 1, atol=0.15)


def test_momentum_is_a_larger_rate_on_a_slow_path():
    theta, rate = np.full((3, 1), logit(1e-3)), 1e-3
    q = np.array([0.75, 0.9, 1.0])
    run = steps_to(velocity(*ONE, q), ONE[1], theta, HALF, Sgd(rate, momentum=0.9), 20_000)
    expected = sigmoid_time(1e-3, 0.5, q) / (rate / (1 - 0.9))
    # The lag of 9 steps is what is left, a few of them twice over where the flow speeds up.
    np.testing.assert_allclose(run.count[:, 0], expected, atol=2 * 9)
    assert (run.count[:, 0] > expected).all()


def test_adam_with_a_large_epsilon_is_sgd_and_keeps_the_separation():
    # QC-6: T_q ~ (epsilon/rate) times the flow's time.
    epsilon, rate, p0 = 1e3, 100.0, 1e-3
    run = steps_to(
        velocity(*ONE, Q[2:]), ONE[1], np.full((3, 1), logit(p0)), HALF, Adam(rate, 0.0, 0.999, epsilon), 5_000
    )
    np.testing.assert_allclose(run.count[:, 0], epsilon / rate * sigmoid_time(p0, 0.5, Q[2:]), rtol=0.02)


def test_adam_without_epsilon_reverses_the_order_of_q():
    theta = np.full((len(Q), 1), logit(1e-3))
    counts = steps_to(velocity(*ONE, Q), ONE[1], theta, HALF, Adam(0.01, epsilon=0.0), 5_000).count[:, 0]
    assert (np.diff(counts) > 0).all()
    # A common factor of the gradient, however small, changes nothing.
    tiny = velocity(*ONE, Q, weights=[1e-60])
    assert (steps_to(tiny, ONE[1], theta, HALF, Adam(0.01, epsilon=0.0), 5_000).count[:, 0] == counts).all()


def test_first_passages_by_row_and_example():
    model = logistic(np.eye(2))
    theta = np.array([[logit(0.3), logit(0.1)], [1.0, logit(0.1)]])
    run = steps_to(velocity(*model, 1.0), model[1], theta, HALF, Sgd(0.5), 1_000)
    assert run.count.shape == (2, 2)
    assert run.count[1, 0] == 0
    assert run.count[0, 1] == run.count[1, 1] == run.taken
    assert 0 < run.count[0, 0] < run.count[0, 1]
    short = steps_to(velocity(*model, 1.0), model[1], theta, HALF, Sgd(0.5), int(run.count[0, 0]))
    assert np.isinf(short.count[:, 1]).all()
    assert short.count[0, 0] == run.count[0, 0]


def test_a_schedule_sees_the_number_of_steps_taken():
    theta, seen = [logit(0.1)], []

    def q(number):
        seen.append(number)
        return 1.0 if number < 2 else 0.0

    steps_to(velocity(*ONE, q), ONE[1], theta, HALF, Sgd(0.1), 4)
    assert seen == [0, 1, 2, 3]


def test_bad_input_is_refused():
    flow = velocity(*ONE, 0.5)
    for build, message in (
        (lambda: Sgd(0.0), r"rate is 0\.0: it must be positive"),
        (lambda: Sgd(0.1, momentum=1.0), r"momentum is 1\.0: it must lie in \[0, 1\)"),
        (lambda: Adam(0.1, beta2=1.5), r"beta2 is 1\.5"),
        (lambda: Adam(0.1, epsilon=-1.0), r"epsilon is -1\.0: it must be non-negative"),
        (lambda: steps_to(flow, ONE[1], [-3.0], 0.5, Sgd(0.1), 10), "target is 0.5: pass log P in nats, below 0"),
        (lambda: steps_to(flow, ONE[1], [-3.0], -0.5, Sgd(0.1), -1), "limit is -1: it must be at least 0"),
        (
            lambda: steps_to(lambda theta, _: theta * math.inf, ONE[1], [-3.0], -0.5, Sgd(0.1), 10),
            r"the parameters left the floats at step 1: lower the rate, 0\.1",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            build()
