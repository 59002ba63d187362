"""What figure `bound` and its caption state, against binomial sums and formulas of their own."""

import numpy as np
import pytest
from scipy.stats import binom

from figures.plots import bound
from figures.plots.bound import BAD, NATS, POOL, SAMPLES, P, Q


@pytest.fixture(scope="module")
def data() -> bound.Bound:
    return bound.compute()


def test_coefficients_of_one_good_answer(data: bound.Bound) -> None:
    mean, others = (1 + (POOL - 1) * np.exp(-NATS)) / POOL, np.exp(-NATS)
    for row, q in enumerate(Q):
        rise = np.log(mean / others) if q == 1 else (mean ** (1 - q) - others ** (1 - q)) / (1 - q)
        np.testing.assert_allclose(data.coefficient["bound"][row], POOL ** (1 - q) * rise, rtol=1e-12)
    assert data.coefficient["GARL"].max() <= 1


def test_the_bounds_mean_is_the_slope_of_a_binomial_sum(data: bound.Bound) -> None:
    """In the prior's one logit: E[log_q wbar] over the number of good answers, by central differences."""
    good = (P - BAD) / (1 - BAD)

    def bound_of(share: float, size: int, q: float) -> float:
        k = np.arange(size + 1)
        mean = (k + (size - k) * BAD) / size
        values = np.log(mean) if q == 1 else mean ** (1 - q) / (1 - q)
        return float(binom.pmf(k, size, share) @ values)

    step = 1e-5 * good
    for row, q in enumerate(Q):
        for column, size in enumerate(SAMPLES.tolist()):
            slope = (bound_of(good + step, size, q) - bound_of(good - step, size, q)) / (2 * step)
            # d/d share of log_q P is (1 - BAD) P^-q.
            assert data.length["bound"][row, column] == pytest.approx(slope / ((1 - BAD) * P**-q), rel=1e-6)


def test_the_caption_says_what_was_computed(data: bound.Bound) -> None:
    text = bound.caption(data)
    assert "1.33, 2.00, 4.00 and 57.23 against" in text
    assert data.coefficient["bound"][:, -1] == pytest.approx([4 / 3, 2, 4, 60 - np.log(POOL)], rel=2e-2)
    assert f"{data.noise['bound'][-1, -1]:.3g} for the bound" in text
    cold = [data.noise[name][:, :3] for name in ("bound", "GARL")]
    np.testing.assert_allclose(*cold, rtol=0.03)
