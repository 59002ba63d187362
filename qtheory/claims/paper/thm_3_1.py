"""Thm 3.1 and Cor B.2: the losses' minimiser over categorical models is the escort distribution."""

import numpy as np
import sympy
from scipy.optimize import linprog, minimize

from qtheory import tsallis
from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.symbolic import vanishes

LABELS = np.array([0.45, 0.1, 0.3, 0.15])  # a, the data's distribution over answers
TIED = np.array([0.35, 0.2, 0.35, 0.1])
Q = (0.15, 0.3, 0.5, 0.75, 1.0)  # falling q sharpens: at .15 the probabilities span four decades
ACCURACY = 1e-5  # of a quasi-Newton search in double precision


def expected_loss(t: np.ndarray, a: np.ndarray, q: float) -> np.ndarray:
    """sum_j a_j (-log_q t_j) (...,) of distributions t (..., J), from the formula; t > 0."""
    return (-a * (np.log(t) if q == 1 else (t ** (1 - q) - 1) / (1 - q))).sum(-1)


def minimiser(a: np.ndarray, q: float) -> np.ndarray:
    """(J,) the distribution found by a search over logits, independent of the escort's formula."""

    def objective(logits: np.ndarray) -> tuple[float, np.ndarray]:
        t = np.exp(logits - logits.max())
        t /= t.sum()
        slope = -a * t ** (1 - q)  # t_j times the derivative by t_j
        return float(expected_loss(t, a, q)), slope - t * slope.sum()

    optimum = minimize(objective, np.zeros(len(a)), jac=True, method="BFGS", options={"gtol": 1e-11, "maxiter": 1000})
    t = np.exp(optimum.x - optimum.x.max())
    return t / t.sum()


def check_minimiser() -> Evidence:
    """Searches on the simplex, random competitors, and the linear programme at q = 0."""
    rng = np.random.default_rng(0)
    competitors = rng.dirichlet(np.full(len(LABELS), 0.5), size=5000) + 1e-300
    best = np.array([expected_loss(tsallis.escort(LABELS, q), LABELS, q) for q in Q])
    others = np.array([expected_loss(competitors, LABELS, q).min() for q in Q])
    # l_0 is 1 - t_j, so that the expected loss at q = 0 is linear.
    programmes = [linprog(-a, A_eq=np.ones((1, len(a))), b_eq=[1]) for a in (LABELS, TIED)]
    modes = [np.flatnonzero(a == a.max()) for a in (LABELS, TIED)]
    at_modes = np.array([1 - a[mode] for a, places in zip((LABELS, TIED), modes, strict=True) for mode in places])
    optima = np.array([1 + solution.fun for solution, places in zip(programmes, modes, strict=True) for _ in places])
    limit = tsallis.escort(np.stack([LABELS, TIED]), 0.0)
    a, b, scale, q = sympy.symbols("a_j a_k Z q", positive=True)

    def slope(weight: sympy.Symbol) -> sympy.Expr:
        """d/dt of a (-log_q t) at the escort's t = a^(1/q)/Z."""
        return -weight * (weight ** (1 / q) / scale) ** -q

    return Evidence(
        (
            Comparison(
                "minimiser found by BFGS, a_j^(1/q)/Z",
                np.array([minimiser(LABELS, q) for q in Q]),
                np.array([tsallis.escort(LABELS, q) for q in Q]),
                ACCURACY,
                "relative",
            ),
            Comparison("loss of the escort, least of 5000 random t", best, others, 0, "absolute", "<="),
            Comparison("q = 0: loss at each mode's vertex, linear programme", at_modes, optima, 1e-12, "relative"),
            Comparison("q = 0: mass of escort() off the modes", _off_modes(limit), np.array(0), 0, "absolute"),
            vanishes("equal slopes at the escort", sympy.powsimp(slope(a) / slope(b), force=True) - 1),
        )
    )


def check_limits() -> Evidence:
    """The searched minimisers as q runs from 1 to 0."""
    minimisers = np.array([minimiser(LABELS, q) for q in Q])
    order = np.argsort(-LABELS)
    ratios = minimisers[:, order[:-1]] / minimisers[:, order[1:]]
    steps = LABELS[order[:-1]] / LABELS[order[1:]]
    small_q = np.array([0.1, 0.03, 0.01, 0.003])
    off = _off_modes(tsallis.escort(np.tile(LABELS, (len(small_q), 1)), small_q))
    bound = (len(LABELS) - 1) * np.exp(-np.log(steps[0]) / small_q)
    a, b, q = sympy.symbols("a_j a_k q", positive=True)
    fall = sympy.diff((a / b) ** (1 / q), q) + sympy.log(a / b) / q**2 * (a / b) ** (1 / q)
    return Evidence(
        (
            Comparison("minimiser found at q = 1, a", minimisers[-1], LABELS, ACCURACY, "relative"),
            Comparison("escort() at q = 1, a", tsallis.escort(LABELS, 1.0), LABELS, 1e-14, "relative"),
            Comparison(
                "t_j/t_k of the minimisers, (a_j/a_k)^(1/q)",
                ratios,
                steps ** (1 / np.array(Q)[:, None]),
                ACCURACY,
                "relative",
            ),
            Comparison("t_j/t_k at the next larger q, at q", ratios[1:], ratios[:-1], 0, "absolute", "<="),
            Comparison("mass off the mode as q -> 0, (J-1) (a_2/a_1)^(1/q)", off, bound, 1e-12, "relative", "<="),
            vanishes("d/dq t_j/t_k = -log(a_j/a_k) (t_j/t_k)/q^2", fall),
        )
    )


def _off_modes(t: np.ndarray) -> np.ndarray:
    """(N,) the mass of distributions t (N, J) outside their largest entries."""
    return np.where(t == t.max(-1, keepdims=True), 0, t).sum(-1)


THM_3_1 = Claim(
    label="Thm 3.1",
    statement="over categorical t, sum_j a_j (-log_q t_j) is least at the escort t_j ∝ a_j^(1/q); at q = 0 at any mode",
    verdict="holds",
    condition=None,
    check=check_minimiser,
    figure="escort",
)

COR_B_2 = Claim(
    label="Cor B.2",
    statement="the escort is a at q = 1 and tends to the mode as q -> 0; t_j/t_k grows as q falls when a_j > a_k",
    verdict="holds",
    condition=None,
    check=check_limits,
    figure="escort",
)
