"""Prop B.1: the excess of the mean loss over the loss of the mean P, due to the spread of P over the data."""

import numpy as np
import sympy

from qtheory import tsallis
from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.reference import REALS, floats, loss
from qtheory.claims.support.slope import fitted_slope
from qtheory.claims.support.symbolic import vanishes

Q = np.array([0.25, 0.5, 0.75, 1.0])
SPREADS = np.array([0.002, 0.004, 0.008])  # coefficients of variation at which the order of the error is fitted
MEAN = 0.3
SYMMETRIC = (np.array([0.5, 0.5]), np.array([-1.0, 1.0]))
SKEWED = (np.array([0.8, 0.2]), np.array([-0.5, 2.0]))  # masses and standardised values: mean 0, variance 1


def excess(p: np.ndarray, masses: np.ndarray, q: float) -> np.ndarray:
    """J_q less -log_q of the mean P, (...,), of success probabilities p (..., N) with masses (N,)."""
    return np.asarray(tsallis.loss(p, q)) @ masses - np.asarray(tsallis.loss(p @ masses, q))


def second_order(p: np.ndarray, masses: np.ndarray, q: float) -> np.ndarray:
    """(q/2) Pbar^(-q-1) Var(P), (...,)."""
    mean = p @ masses
    return q / 2 * mean ** (-q - 1) * ((p - mean[..., None]) ** 2 @ masses)


def check() -> Evidence:
    """Jensen's inequality on data of every spread, and the order of the remainder after the second-order term."""
    rng = np.random.default_rng(0)
    p = np.exp(-(10 ** rng.uniform(-2, 1.4, size=(40, 1))) * rng.exponential(size=(40, 6)))  # down to 1e-40
    masses = rng.dirichlet(np.ones(6))
    measured = np.stack([excess(p, masses, q) for q in Q])
    exact = floats([[_exact_excess(row, masses, q) for row in p] for q in Q])
    # u -> -log_q u has second derivative q u^(-q-1) >= q on (0, 1].
    floor = Q[:, None] / 2 * ((p - (p @ masses)[:, None]) ** 2 @ masses)
    wide = np.array([[1e-8, 0.5], [1e-4, 0.9]])
    half = np.array([0.5, 0.5])
    m, c, x, q = sympy.symbols("m c x q", positive=True)
    series = sympy.series(-((m * (1 + c * x)) ** (1 - q) - 1) / (1 - q), c, 0, 3).removeO()
    return Evidence(
        (
            Comparison("excess, 100 digits", measured, exact, 1e-13, "absolute"),
            Comparison("q Var(P)/2 (0 for constant P alone), excess", floor, measured, 1e-14, "absolute", "<="),
            Comparison("q = 0: excess whatever P, 0", excess(p, masses, 0.0), np.array(0), 1e-15, "absolute"),
            Comparison("constant P: excess, 0", _of_constants(p[:, 0]), np.array(0), 1e-13, "absolute"),
            Comparison("symmetric P: order of the rest in CV", _orders(SYMMETRIC), np.array(4), 1e-3, "absolute"),
            Comparison("skewed P: order of the rest in CV", _orders(SKEWED), np.array(3), 0.01, "absolute"),
            Comparison(
                "CV near 1: excess, (q/2) Pbar^(-q-1) Var(P)",
                np.stack([excess(wide, half, q) for q in Q]),
                np.stack([second_order(wide, half, q) for q in Q]),
                0.2,
                "relative",
                "!=",
            ),
            vanishes(
                "(q/2) m^(-q-1) (m c x)^2 is the second-order term",
                series.coeff(c, 2) - q / 2 * m ** (-q - 1) * (m * x) ** 2,
            ),
        )
    )


def _exact_excess(p: np.ndarray, masses: np.ndarray, q: float) -> float:
    values, shares = ([REALS.mpf(x) for x in array] for array in (p, masses))
    mean = sum(share * value for share, value in zip(shares, values, strict=True))
    return sum(share * loss(value, q) for share, value in zip(shares, values, strict=True)) - loss(mean, q)


def _of_constants(p: np.ndarray) -> np.ndarray:
    """(Q, N) excess for constant P, relative to the loss."""
    equal, half = np.stack([p, p], axis=-1), np.array([0.5, 0.5])
    return np.stack([excess(equal, half, q) / np.asarray(tsallis.loss(p, q)) for q in Q])


def _orders(law: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(Q,) fitted exponent, in the coefficient of variation, of the excess less the second-order term."""
    masses, values = law
    p = MEAN * (1 + SPREADS[:, None] * values)
    return fitted_slope(SPREADS, np.array([np.abs(excess(p, masses, q) - second_order(p, masses, q)) for q in Q]))


PROP_B_1 = Claim(
    label="Prop B.1",
    statement=(
        "J_q >= -log_q(mean P), with equality for q > 0 at constant P alone, and the excess is about "
        "(q/2) Pbar^(-q-1) Var(P)"
    ),
    verdict="conditional",
    condition="the coefficient of variation of P is small, which its size alone needs and the inequality does not",
    check=check,
    figure="dispersion",
)
