"""QC-14: the M-sample bound of the family has an exact gradient at every M, beside GARL's biased one for the target.

The bound is E[-log_q wbar], wbar the mean of M weights; it is above J_q by Jensen's inequality. Its gradient is the
mean of M (log_q wbar - log_q wbar_(-m)) on the rationales and of w_m/wbar^q on the answers: RB-RLOO at q = 0, JEPO at
q = 1. In a cold start a pool holds one good answer at most, whose coefficient is then all that counts: M^q/(1-q) where
the other weights are 0, against GARL's M^q, and M (x - log M) at q = 1 where they are e^-x, against GARL's M - 1. The
two estimates differ in length alone, which a learning rate changes as well. Where pools with and without a good answer
alternate, so do the bound's coefficients, and it is the noisier of the two.
"""

from collections.abc import Callable

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.enumerated import Enumerated, enumerated
from qtheory.claims.support.reference import (
    LatentModel,
    Real,
    Vector,
    all_tuples,
    dot,
    floats,
    gradient,
    loss,
    mean,
    probability,
    sigmoid,
    softmax,
)
from qtheory.claims.support.slope import fitted_slope
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import Coefficients, bound, garl, jepo, logprob, rb_rloo
from qtheory.models import FiniteTask, FixedAnswers, Likelihoods, SigmoidAnswers, bernoulli, two_level

MODEL = LatentModel((0.3, -0.8, 0.9), (1.0, -2.5, -0.4))
Q = (0.0, 0.25, 0.5, 0.75, 1.0)
FEW = (1, 2, 3)  # M of pools that are enumerated in 100 digits
LARGE = np.array([32, 64, 128])  # M at which the distance to grad l_q is of its leading order
COLD, SIZES = 1e-9, (2, 8, 64)  # P, and M far below 1/P
NATS = (40.0, 200.0, 690.0)  # x of weights e^-x, the last 1e-300
WARM, BAD, MIXED = 0.1, 1e-8, 64  # P, a bad answer's weight, and an M with a few good ones in a pool


def check() -> Evidence:
    """All pools of M draws: against derivatives of the bound in 100 digits, grad l_q, and GARL."""
    task = SigmoidAnswers(3).task(floats(MODEL.parameters))
    distances = np.array([[_distance(task, q, int(size)) for size in LARGE] for q in Q[1:]])
    pools = np.log(np.random.default_rng(14).random((50, 7)))
    warm = _task(two_level(*np.log([WARM, BAD, 1.0])))
    return Evidence(
        (
            Comparison(
                "E[estimate], gradient of E[-log_q wbar], M = 1, 2, 3",
                np.array([enumerated(task, bound, size, q).mean for q in Q for size in FEW]),
                np.array([_gradient_of_the_bound(q, size) for q in Q for size in FEW]),
                1e-13,
                "absolute",
            ),
            Comparison(
                "E[log-probability estimate], gradient of E[-log w], M = 1, 2, 3",
                np.array([enumerated(task, _log_probability, size, 1.0).mean for size in FEW]),
                np.array([_gradient_of_the_bound(1.0, 1) for _ in FEW]),
                1e-13,
                "absolute",
            ),
            Comparison(
                "q = 0, RB-RLOO: coefficients",
                np.array(bound(pools, 0.0)),
                np.array(rb_rloo(pools)),
                1e-14,
                "absolute",
            ),
            Comparison(
                "order in M of its distance to grad l_q, -1",
                fitted_slope(LARGE, distances),
                np.array(-1),
                0.05,
                "absolute",
            ),
            Comparison(
                "M times that at M = 128, |gradient of q Var[w]/(2 P^(1+q))|",
                distances[:, -1] * LARGE[-1],
                np.array([_leading_term(q) for q in Q[1:]]),
                0.02,
                "relative",
            ),
            *_cold_start(),
            Comparison(
                "w in {1, 1e-8}, P = .1, M = 64, q = 1: 10 times GARL's std, JEPO's",
                np.array(10 * np.sqrt(enumerated(warm, garl, MIXED, 1.0).variance)),
                np.array(np.sqrt(enumerated(warm, _jepo, MIXED, 1.0).variance)),
                0,
                "absolute",
                "<=",
            ),
            vanishes("M = 2, any f for log_q: E[(c_1 s_1 + c_2 s_2)/2] = d/dp E[f(wbar)]", _symbolic_gap()),
        )
    )


def _cold_start() -> tuple[Comparison, ...]:
    """Lengths and standard deviations over GARL's, where a pool holds one good answer at most."""
    hard = [(q, size) for q in Q[:-1] for size in SIZES]
    soft = [(x, size) for x in NATS for size in SIZES]
    of_hard = np.array([_over_garl(bernoulli(np.log(COLD)), bound, size, q) for q, size in hard])
    of_soft = np.array([_over_garl(two_level(np.log(COLD), -x, 0.0), _jepo, size, 1.0) for x, size in soft])
    factor = np.array([1 / (1 - q) for q, _ in hard])
    nats = np.array([(x - np.log(size)) * size / (size - 1) for x, size in soft])
    words = ("length of the mean over GARL's", "std over GARL's")
    return (
        *(
            Comparison(f"w in {{0, 1}}, P = 1e-9, q < 1: {what}, 1/(1-q)", of_hard[:, i], factor, 1e-7, "relative")
            for i, what in enumerate(words)
        ),
        *(
            Comparison(
                f"w in {{e^-x, 1}}, x to 690, q = 1: {what}, (x - log M) M/(M-1)", of_soft[:, i], nats, 1e-7, "relative"
            )
            for i, what in enumerate(words)
        ),
    )


def _over_garl(law: Likelihoods, estimator: Callable[..., Coefficients], size: int, q: float) -> tuple[float, float]:
    """Length of the mean and standard deviation, each over GARL's."""
    task = _task(law)
    ours, theirs = (enumerated(task, function, size, q) for function in (estimator, garl))
    return float(_length(ours) / _length(theirs)), float(np.sqrt(ours.variance / theirs.variance))


def _length(moments: Enumerated) -> float:
    return float(np.linalg.norm(moments.mean))


def _task(law: Likelihoods) -> FiniteTask:
    return FixedAnswers(law.log_w).task(law.log_prior)


def _jepo(log_w: np.ndarray, _q: float) -> Coefficients:
    return jepo(log_w)


def _log_probability(log_w: np.ndarray, _q: float) -> Coefficients:
    return logprob(log_w)


def _distance(task: FiniteTask, q: float, size: int) -> float:
    return float(np.linalg.norm(enumerated(task, bound, size, q).mean - task.gradient(q)))


def _gradient_of_the_bound(q: float, size: int) -> np.ndarray:
    """(2 Z,) derivatives of E[-log_q wbar] over all pools in MODEL's parameters, from its definition."""

    def value(at: Vector) -> Real:
        prior, weights = _distribution(at)
        pools = all_tuples(len(prior), size)
        return dot([probability(z, prior) for z in pools], [loss(mean([weights[i] for i in z]), q) for z in pools])

    return floats(gradient(value, MODEL.parameters))


def _leading_term(q: float) -> float:
    """Length of the gradient of M (E[-log_q wbar] - l_q) as M grows."""

    def value(at: Vector) -> Real:
        prior, weights = _distribution(at)
        p = dot(prior, weights)
        return q / 2 * dot(prior, [(w - p) ** 2 for w in weights]) / p ** (1 + q)

    return float(np.linalg.norm(floats(gradient(value, MODEL.parameters))))


def _distribution(parameters: Vector) -> tuple[Vector, Vector]:
    """MODEL's prior and weights at other parameters."""
    size = len(MODEL.prior_logits)
    return softmax(parameters[:size]), [sigmoid(logit) for logit in parameters[size:]]


def _symbolic_gap() -> sympy.Expr:
    """Two rationales of probabilities p and 1 - p, with f of their weights a and b and of (a + b)/2."""
    p, f_a, f_b, f_both = sympy.symbols("p f_a f_b f_both", positive=True)
    bound_of_two = p**2 * f_a + 2 * p * (1 - p) * f_both + (1 - p) ** 2 * f_b
    # Pools of two alike have coefficients 0. In a pool of both the one left out leaves the other.
    on_a, on_b = 2 * (f_both - f_b), 2 * (f_both - f_a)
    estimate = 2 * p * (1 - p) * (on_a / p - on_b / (1 - p)) / 2
    return sympy.expand(sympy.simplify(estimate - sympy.diff(bound_of_two, p)))


QC_14 = Claim(
    label="QC-14",
    statement=(
        "M (log_q wbar - log_q wbar_(-m)) on rationales and w_m/wbar^q on answers are the exact gradient of "
        "E[-log_q wbar] at every M and q; in a cold start that is GARL's estimate times 1/(1-q) on 0/1 weights, and "
        "times (x - log M) M/(M-1) at q = 1 on weights of e^-x or 1"
    ),
    verdict="holds",
    condition=None,
    check=check,
    figure="bound",
)
