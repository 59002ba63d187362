"""QC-2: jackknife and delta correction remove the 1/M term of the plug-in's bias if a pool can show that bias.

Both estimate the bias from the pool of the estimate. A pool of 0/1 weights with M P << 1 has at most one success and
cannot show the bias: it remains, and the larger coefficients on the one success only add variance.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support import definitions
from qtheory.claims.support.enumerated import enumerated
from qtheory.claims.support.reference import LatentModel, Pool, Vector, all_tuples, expectation, floats, probability
from qtheory.claims.support.slope import fitted_slope
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import Coefficients, delta, garl, jackknife
from qtheory.exact import moments
from qtheory.models import FiniteTask, FixedAnswers, Likelihoods, SigmoidAnswers, bernoulli, two_level

MODEL = LatentModel((0.2, -0.3), (1.5, -1.0))
Q = (0.25, 0.5, 0.75, 1.0)
BELOW_ONE = np.array(Q[:-1])  # at q = 1 the plug-in of 0/1 weights has no 1/M term
FEW = (1, 2, 4)
SAMPLES = 128 * 2 ** np.arange(3)
LONE = FixedAnswers(np.log([0.2, 0.08, 1.0])).task(np.log([0.9885, 0.0093, 0.0022]))
"""A task whose gradient depends on two rationales that few pools contain."""


def check() -> Evidence:
    """Exact expectations over all pools, on both sides of the condition."""
    soft, even = SigmoidAnswers(2).task(np.array(MODEL.prior_logits + MODEL.answer_logits)), _hard(0.5)
    grid = [(q, size) for size in FEW for q in Q]
    twice = [(q, 64) for q in Q]
    dense = [(_hard(0.05), 200), (_hard(0.05), 600), (_spread(0.05), 60), (_spread(0.05), 200), (LONE, 11), (LONE, 32)]
    dense_ratios = np.array([_against_plug_in(*cell) for cell in dense])
    draws = np.array([size * np.exp(task.log_p) / (task.posterior @ np.exp(task.log_w)) for task, size in dense])
    rarest, rare = _against_plug_in(_hard(1e-6), 300), _against_plug_in(_hard(1e-3), 100)
    jackknifed = np.array([_mean(jackknife, soft, *cell) for cell in twice])
    scale = np.linalg.norm(jackknifed, axis=-1, keepdims=True)
    return Evidence(
        (
            Comparison(
                "E[jackknife], 100 digits", *_means(jackknife, soft, definitions.jackknife, grid), 1e-12, "absolute"
            ),
            Comparison("E[delta], 100 digits", *_means(delta, soft, definitions.delta, grid), 1e-12, "absolute"),
            Comparison(
                "E[jackknife], M E T_M - (M-1) E T_(M-1)",
                jackknifed / scale,
                np.array([_from_plug_ins(soft, *cell) for cell in twice]) / scale,
                1e-10,
                "absolute",
            ),
            *_orders("w of .27 and .82", soft, Q),
            *_orders("w in {0, 1}, P = 1/2", even, tuple(BELOW_ONE)),
            Comparison(
                "M P/E_post[w] of 10 to 34: bias over the plug-in's, 0.5",
                dense_ratios[..., 0],
                np.array(0.5),
                0,
                "absolute",
                "<=",
            ),
            Comparison(
                "there: |variance over the plug-in's - 1|, 10 E_post[w]/(M P)",
                abs(dense_ratios[..., 1] - 1),
                10 / draws[:, None, None],
                0,
                "absolute",
                "<=",
            ),
            Comparison(
                "w in {0, 1}, M P of .01 to .1: order of the bias, -2",
                _rare_orders(),
                np.array(-2),
                1,
                "absolute",
                "!=",
            ),
            Comparison(
                "M P = 3e-4: variance over the plug-in's",
                rarest[..., 1],
                np.stack([(1 + BELOW_ONE) ** 2, (1 + BELOW_ONE * (1 - BELOW_ONE) / 2) ** 2]),
                0.01,
                "relative",
            ),
            Comparison(
                "M P = .1: the plug-in's MSE over theirs, 1", 1 / rare[..., 2], np.array(1), 0, "absolute", "<="
            ),
            Comparison(
                "w in {0, 1}, P = 1e-3, M P of 200 to 800: order, exact moments, -2",
                _exact_orders(_hard(1e-3), 10**5 * np.array([2, 4, 8])),
                np.array(-2),
                0.05,
                "absolute",
            ),
            vanishes("1/M terms of M T_M - (M-1) T_(M-1), of delta on 0/1", _jackknife_gap(), _delta_gap()),
        )
    )


Estimator = Callable[..., Coefficients]


def _task(law: Likelihoods) -> FiniteTask:
    return FixedAnswers(law.log_w).task(law.log_prior)


def _hard(p: float) -> FiniteTask:
    return _task(bernoulli(float(np.log(p))))


def _spread(p: float) -> FiniteTask:
    """Weights of 0.3 and 8 times their mean, a thousandth of p."""
    return _task(two_level(*np.log(1e-3 * p * np.array([1, 0.3, 8]))))


def _mean(estimator: Estimator, task: FiniteTask, q: float, size: int) -> np.ndarray:
    return enumerated(task, estimator, size, q, baseline="none").mean


def _means(
    estimator: Estimator,
    task: FiniteTask,
    slow: Callable[[LatentModel, Pool, float], Vector],
    grid: Sequence[tuple[float, int]],
) -> tuple[np.ndarray, np.ndarray]:
    """(G, d) expectations by the fast code, with its baseline, and by the definition over all M-tuples."""
    fast = [enumerated(task, estimator, size, q).mean for q, size in grid]
    exact = []
    for q, size in grid:
        pools = all_tuples(2, size)
        exact.append(
            expectation([slow(MODEL, pool, q) for pool in pools], [probability(pool, MODEL.prior) for pool in pools])
        )
    return np.array(fast), floats(exact)


def _from_plug_ins(task: FiniteTask, q: float, size: int) -> np.ndarray:
    """(d,) the jackknife's mean from the plug-in's exact means at M and M - 1."""
    return size * moments(task, q, size).mean - (size - 1) * moments(task, q, size - 1).mean


def _biases(estimator: Estimator, task: FiniteTask, sizes: Sequence[int], orders: Iterable[float]) -> np.ndarray:
    """(Q, M) norms of biases over ||grad l_q||."""
    return np.array([[_relative_bias(estimator, task, q, size) for size in sizes] for q in orders])


def _relative_bias(estimator: Estimator, task: FiniteTask, q: float, size: int) -> float:
    exact = task.gradient(q)
    return float(np.linalg.norm(_mean(estimator, task, q, size) - exact) / np.linalg.norm(exact))


def _orders(name: str, task: FiniteTask, orders: Sequence[float]) -> tuple[Comparison, ...]:
    """Fitted exponents in M of biases, and of the distance of the corrections' variance from the plug-in's."""
    corrected = np.stack([_biases(estimator, task, SAMPLES.tolist(), orders) for estimator in (jackknife, delta)])
    plain = _biases(garl, task, SAMPLES.tolist(), orders)
    ratios = np.array([_against_plug_in(task, size, orders)[..., 1] for size in SAMPLES.tolist()])  # (M, 2, Q)
    apart = fitted_slope(SAMPLES, np.moveaxis(abs(ratios - 1), 0, -1))
    return (
        Comparison(
            f"{name}: order of the plug-in's bias, -1", fitted_slope(SAMPLES, plain), np.array(-1), 0.05, "absolute"
        ),
        Comparison(f"{name}: order of theirs, -2", fitted_slope(SAMPLES, corrected), np.array(-2), 0.05, "absolute"),
        Comparison(f"{name}: order of |variance over the plug-in's - 1|, -1", apart, np.array(-1), 0.05, "absolute"),
    )


def _exact_orders(task: FiniteTask, sizes: np.ndarray) -> np.ndarray:
    """(2, Q) fitted exponents in M of the corrections' biases, at sizes beyond enumeration."""
    biases = [moments(task, BELOW_ONE[:, None], sizes, form).bias for form in ("jackknife", "delta")]
    return fitted_slope(sizes, np.linalg.norm(np.array(biases), axis=-1))


def _rare_orders() -> np.ndarray:
    """(2, Q) fitted exponents in M at small M P."""
    sizes = np.array([10, 30, 100])
    return np.stack(
        [
            fitted_slope(sizes, _biases(estimator, _hard(1e-3), sizes.tolist(), BELOW_ONE))
            for estimator in (jackknife, delta)
        ]
    )


def _against_plug_in(task: FiniteTask, size: int, orders: Iterable[float] = BELOW_ONE) -> np.ndarray:
    """(2, Q, 3) bias, variance and mean squared error of both corrections over the plug-in's."""

    def values(estimator: Estimator, q: float) -> np.ndarray:
        enumeration = enumerated(task, estimator, size, q, baseline="none")
        bias = np.linalg.norm(enumeration.mean - task.gradient(q))
        return np.array([bias, enumeration.variance, bias**2 + enumeration.variance])

    plain = np.array([values(garl, q) for q in orders])
    return np.array([[values(estimator, q) for q in orders] for estimator in (jackknife, delta)]) / plain


def _jackknife_gap() -> sympy.Expr:
    """The jackknife turns a bias b/M + c/M^2 into -c/(M (M-1))."""
    b, c, size = sympy.symbols("b c M", positive=True)

    def bias(at: sympy.Expr) -> sympy.Expr:
        return b / at + c / at**2

    return size * bias(size) - (size - 1) * bias(size - 1) + c / (size * (size - 1))


def _delta_gap() -> sympy.Expr:
    """On 0/1 weights the plug-in is P^(1-q) of the share of successes, and Var(w)/P^2 = (1-P)/P."""
    p, q = sympy.symbols("P q", positive=True)
    relative = (1 - p) / p
    second = sympy.diff(p ** (1 - q), p, 2) / 2 * p * (1 - p)
    return second - p ** (1 - q) * q * ((q + 1) / 2 * relative - relative)


QC_2 = Claim(
    label="QC-2",
    statement=(
        "jackknifed and delta-corrected GARL have bias O(1/M^2), where GARL has O(1/M), and GARL's variance but for a "
        "share O(1/M)"
    ),
    verdict="conditional",
    condition=(
        "M P/E_post[w] is well above 1 (for w in {0, 1}: M P); far below 1 the bias stays, and 0/1 weights multiply "
        "the variance by (1+q)^2 (jackknife) or (1+q(1-q)/2)^2 (delta)"
    ),
    check=check,
    figure="bias_correction",
)
