"""The rule for q against a search over exact binomial sums, at its ends, and what it refuses."""

from typing import Any

import numpy as np
import pytest
from array_libraries import Library
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from qtheory.estimators import best_q


def alignments(p: float, samples: int, rho: float, q: np.ndarray) -> np.ndarray:
    """R(q) of K^(1-q) fbar_K for binomial K, from its definition."""
    k = np.arange(1, samples + 1)
    mass = binom.pmf(k, samples, p)
    scale = (k / samples) ** (1 - q[:, None])
    return (scale @ mass) ** 2 / ((scale**2 * (1 + rho / k)) @ mass)


@pytest.mark.parametrize("samples", [1, 8, 32, 400])
@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0, 3.0, 30.0, 1000.0])
def test_it_loses_less_than_one_per_cent_of_the_best_alignment(samples: int, rho: float):
    for p in np.geomspace(1e-6, 0.999, 25):
        ours = alignments(p, samples, rho, np.atleast_1d(best_q(float(np.log(p)), samples, rho)))
        assert ours[0] >= 0.99 * alignments(p, samples, rho, np.linspace(0, 1, 201)).max()


def test_at_many_successes_it_is_the_law(library: Library):
    log_p = library.array(np.log([0.1, 0.5, 1.0]))
    held = np.array([100.0, 500.0, 1000.0])
    np.testing.assert_allclose(library.numpy(best_q(log_p, 1000, 7.0)), held / (held + 7), rtol=1e-12)


@pytest.mark.parametrize("log_p", [-1e-300, -1e-17, -745.0, -1e4, -np.inf, 0.0])
def test_ends(log_p: float):
    held = 32 if log_p > -1 else 1
    assert best_q(log_p, 32, 3.0) == pytest.approx(held / (held + 3), rel=1e-12)
    assert best_q(log_p, 32, 0.0) == 1
    assert best_q(log_p, 32, np.inf) == 0


@given(st.floats(-800, 0), st.floats(-800, 0), st.integers(1, 10**6), st.floats(0, 1e12), st.floats(0, 1e12))
def test_it_grows_with_p_and_falls_with_rho(one: float, other: float, samples: int, rho: float, wider: float):
    low, high = sorted((one, other))
    assert best_q(low, samples, rho) <= best_q(high, samples, rho) * (1 + 1e-12)
    least, most = sorted((rho, wider))
    assert best_q(low, samples, most) <= best_q(low, samples, least)


@pytest.mark.parametrize(
    ("log_p", "samples", "rho", "error", "message"),
    [
        (0.1, 8, 1.0, ValueError, r"log_p is 0\.1: a log-probability must be at most 0"),
        (np.array([-1.0, np.nan]), 8, 1.0, ValueError, r"log_p\[1\] is nan"),
        ("p", 8, 1.0, TypeError, r"log_p is 'p', a str"),
        (-1.0, 0, 1.0, ValueError, "samples is 0: a pool needs at least one draw"),
        (-1.0, 8.0, 1.0, TypeError, r"samples is 8\.0: M must be an integer"),
        (-1.0, 8, -1.0, ValueError, r"rho is -1\.0: a variance over a square must be at least 0"),
        (-1.0, 8, np.nan, ValueError, "rho is nan"),
        (-1.0, 8, "1", TypeError, "rho is '1': pass a number"),
    ],
)
def test_refusals(log_p: Any, samples: Any, rho: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        best_q(log_p, samples, rho)
