"""Adam's law against quadrature in mpmath and against torch's own Adam; the critical q and the memory's gain."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qtheory.escape.adam import adam_time, critical_q, memory_gain

HUGE = 1e300


@pytest.mark.slow
@pytest.mark.parametrize("q", [0.0, 0.3, 1 - 1e-9, 1.0])
@pytest.mark.parametrize("log_p0", [-0.8, -200.0])
@pytest.mark.parametrize("eps", [0.0, 1e-30, 2.0])
def test_the_law_is_the_integral_of_steps_per_nat(log_p0: float, q: float, eps: float) -> None:
    delta, lr, s = 0.5, 0.01, 3.0
    with mpmath.workdps(20):

        def per_nat(level):
            gradient = mpmath.exp((1 - mpmath.mpf(q)) * level) * s
            return 1 / (s * lr * gradient / (gradient + eps))

        grid = mpmath.linspace(log_p0, mpmath.log(delta), 25)
        exact = float(mpmath.mpf(mpmath.quad(per_nat, grid)))
    np.testing.assert_allclose(adam_time(log_p0, delta, q, lr, eps, s), exact, rtol=1e-12)


@given(
    log_p0=st.floats(-2000, -4),
    q=st.floats(0, 1),
    eps=st.floats(1e-30, 10),
    lr=st.floats(1e-6, 1),
    norm=st.floats(1e-2, 1e2),
)
def test_laws(log_p0: float, q: float, eps: float, lr: float, norm: float) -> None:
    steps = adam_time(log_p0, 0.05, q, lr, eps, norm)
    assert steps >= adam_time(log_p0, 0.05, 1.0, lr, eps, norm) * (1 - 1e-12)
    np.testing.assert_allclose(adam_time(log_p0, 0.05, q, 2 * lr, eps, norm), steps / 2, rtol=1e-12)
    # In units of parameters twice as large the score and epsilon double, and the rate halves.
    np.testing.assert_allclose(adam_time(log_p0, 0.05, q, lr / 2, 2 * eps, 2 * norm), steps, rtol=1e-12)
    if steps < HUGE:
        smallest = critical_q(log_p0, steps, 0.05, lr, eps, norm)
        assert smallest <= q + 1e-9
        np.testing.assert_allclose(adam_time(log_p0, 0.05, smallest, lr, eps, norm), steps, rtol=1e-9)


def test_critical_q_at_its_ends() -> None:
    assert critical_q(math.log(1e-9), 1e9, 0.05, 0.1, 1e-12) == 0
    assert np.isnan(critical_q(math.log(1e-9), 10.0, 0.05, 0.1, 1e-12))
    assert critical_q(np.log([1e-12, 1e-18]), 1000, 0.05, 0.1, 1e-8).shape == (2,)


@pytest.mark.parametrize(("q", "lr"), [(0.0, 0.05), (0.5, 0.02)])
def test_torchs_adam_takes_the_laws_steps(q: float, lr: float) -> None:
    p0, delta, eps = 1e-4, 0.05, 1e-3
    theta = torch.tensor(math.log(p0 / (1 - p0)), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([theta], lr=lr, eps=eps, betas=(0.0, 0.0))
    steps = 0
    while theta.item() < math.log(delta / (1 - delta)):
        optimiser.zero_grad()
        (-(torch.sigmoid(theta) ** (1 - q)) / (1 - q)).backward()
        optimiser.step()
        steps += 1
    assert steps == pytest.approx(float(adam_time(math.log(p0), delta, q, lr, eps)), rel=0.02)


def test_the_memorys_gain() -> None:
    assert memory_gain(1.0, 0.01) == pytest.approx(1, abs=1e-12)
    assert memory_gain(0.3, 0.7, 2.0, 0.0, 0.0) == pytest.approx(1, abs=1e-12)
    # Slow climbs: r = c + sqrt(1 + c^2), c = (1-q) lr s/(1-beta2), but for the mean's lag.
    lr, beta2 = 1e-5, 0.99999
    assert memory_gain(0.0, lr, 1.0, 0.0, beta2) == pytest.approx(1 + math.sqrt(2), rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": -1.0}, r"eps is -1\.0: it must be non-negative and finite"),
        ({"lr": 0.0}, r"lr is 0\.0: it must be positive and finite"),
        ({"score_norm": math.nan}, "score_norm is nan: it must be positive"),
        ({"q": 1.5}, r"q is 1\.5: q must lie in \[0, 1\]"),
        ({"log_p0": 0.5}, r"log_p0 is 0\.5: pass log p0 in nats"),
        ({"log_p0": -0.1}, "the start lies above delta"),
    ],
)
def test_bad_input_is_refused(changes: dict[str, float], message: str) -> None:
    good = {"log_p0": -9.0, "delta": 0.05, "q": 0.5, "lr": 0.1, "eps": 1e-8, "score_norm": 1.0}
    with pytest.raises(ValueError, match=message):
        adam_time(**(good | changes))
    with pytest.raises(ValueError, match=r"steps is 0\.0: it must be positive"):
        critical_q(-9.0, 0.0, 0.05, 0.1, 1e-8)
    with pytest.raises(ValueError, match=r"beta2 is 1\.0: it must lie in \[0, 1\)"):
        memory_gain(0.5, 0.1, beta2=1.0)
