"""QC-3: the U-series is biased in length alone: its mean has the direction of grad l_q at every M.

The price is the length if all weights are small: the series of P^-q in 1 - P, truncated after M terms, stays near
M^q/Gamma(q+1), as for 0/1 weights (QC-1).
"""

import numpy as np
import sympy
from scipy.special import gammaln

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.enumerated import enumerated
from qtheory.claims.support.reference import REALS, all_tuples, floats
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import garl, u_series
from qtheory.exact import moments
from qtheory.models import FiniteTask, FixedAnswers, SigmoidAnswers

Q = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
SAMPLES = (1, 2, 5, 12, 30)
TINY, MANY = 1e-12, 1000  # P, and an M that is far below 1/P
TURNED = 8  # M at which the plug-in points in another direction


def check() -> Evidence:
    """Exact expectations over all pools; a task that turns the plug-in; a pool of equal, tiny weights."""
    rng = np.random.default_rng(3)
    tasks = [SigmoidAnswers(3).task(rng.normal(scale=2, size=6)) for _ in range(2)] + [turning_task()]
    cells = [(task, size, q) for task in tasks for size in SAMPLES for q in Q]
    means = [enumerated(task, u_series, size, float(q), baseline="none").mean for task, size, q in cells]
    sines, lengths = zip(
        *(_sine_and_length(mean, task.gradient(0.0)) for mean, (task, _, _) in zip(means, cells, strict=True)),
        strict=True,
    )
    few = Q[2:]
    turned = moments(turning_task(), few, TURNED).mean
    equal = np.full(MANY, np.log(TINY))
    factors = np.array([u_series(equal, float(q), baseline="none").answer[0] / TINY for q in Q])
    return Evidence(
        (
            Comparison(
                "sine of the angle between E[U-series] and grad l_q, 0", np.array(sines), np.array(0), 1e-12, "absolute"
            ),
            Comparison(
                "length over grad l_0's, sum_(k<M) (q)_k/k! (1-P)^k",
                np.array(lengths),
                _cut_series(cells),
                1e-12,
                "relative",
            ),
            Comparison(
                "cosine of the plug-in there, M = 8, q >= .5, .06",
                np.array([_cosine(row, turning_task().gradient(0.0)) for row in turned]),
                np.array(0.06),
                0,
                "absolute",
                "<=",
            ),
            Comparison(
                "w = 1e-12, M = 1000: length, Gamma(M+q)/(Gamma(q+1) Gamma(M))",
                factors,
                np.exp(gammaln(MANY + Q) - gammaln(Q + 1) - gammaln(MANY)),
                1e-8,
                "relative",
            ),
            Comparison("likewise, M^q/Gamma(q+1)", factors, MANY**Q / np.exp(gammaln(Q + 1)), 1e-3, "relative"),
            Comparison(
                "w = 1e-12: GARL's length, P^-q",
                np.array([garl(equal, float(q), baseline="none").answer[0] / TINY for q in Q]),
                TINY**-Q,
                1e-12,
                "relative",
            ),
            vanishes(
                "E[a_m] = w_m sum_(k<M) (q)_k/k! (1-P)^k, M = 1, 2, 3", *(_symbolic_gap(size) for size in (1, 2, 3))
            ),
        )
    )


def turning_task() -> FiniteTask:
    """A task on which the plug-in at small M follows a common rationale of tiny weight instead of a rare certain one.

    The rare rationale has 99 % of the posterior. Its score is nearly e_1 - (0, 1/2, 1/2), that of the common one nearly
    (0, 1/2, -1/2), orthogonal to it.
    """
    rare, faint = 1e-6, 2e-8
    return FixedAnswers(np.array([0.0, np.log(faint), -np.inf])).task(np.log([rare, 0.5, 0.5 - rare]))


def _sine_and_length(mean: np.ndarray, exploitation: np.ndarray) -> tuple[float, float]:
    """The sine of the angle, without the rounding of 1 - cos^2, and the length along grad l_0 relative to it."""
    length = mean @ exploitation / (exploitation @ exploitation)
    return float(np.linalg.norm(mean - length * exploitation) / np.linalg.norm(mean)), float(length)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _cut_series(cells: list[tuple[FiniteTask, int, float]]) -> np.ndarray:
    """(cells,) the factor in 100 digits."""

    def factor(task: FiniteTask, size: int, q: float) -> object:
        fail = 1 - sum(
            REALS.exp(REALS.mpf(prior)) * REALS.exp(REALS.mpf(w))
            for prior, w in zip(task.log_prior, task.log_w, strict=True)
            if w > -np.inf
        )
        return sum(REALS.rf(REALS.mpf(q), k) / REALS.factorial(k) * fail**k for k in range(size))

    return floats([factor(*cell) for cell in cells])


def _symbolic_gap(size: int) -> sympy.Expr:
    """Over all pools of the others, from the definition by subsets, for two rationales."""
    prior, q, *weights = sympy.symbols("pi q w_0 w_1", positive=True)
    chances = (1 - prior, prior)
    p = sum(chance * w for chance, w in zip(chances, weights, strict=True))
    mean = sympy.Integer(0)
    for others in all_tuples(2, size - 1):
        chance = sympy.Mul(*(chances[z] for z in others))
        fails = [1 - weights[z] for z in others]
        mean += chance * sum(_term(q, k) * _mean_product(fails, k) for k in range(size))
    return sympy.expand(mean - sum(_term(q, k) * (1 - p) ** k for k in range(size)))


def _term(q: sympy.Symbol, k: int) -> sympy.Expr:
    return sympy.expand_func(sympy.rf(q, k)) / sympy.factorial(k)


def _mean_product(values: list[sympy.Expr], k: int) -> sympy.Expr:
    subsets = [mask for mask in all_tuples(2, len(values)) if sum(mask) == k]
    products = [sympy.Mul(*(v for v, chosen in zip(values, mask, strict=True) if chosen)) for mask in subsets]
    return sympy.Add(*products) / len(subsets)


QC_3 = Claim(
    label="QC-3",
    statement=(
        "the U-series' mean is parallel to grad l_q at every M, where GARL's may be nearly orthogonal; it amplifies by "
        "less than P^-q, by M^q/Gamma(q+1) for P << 1/M"
    ),
    verdict="holds",
    condition=None,
    check=check,
    figure="bias_correction",
)
