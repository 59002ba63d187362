"""QC-R: the means of GRPO, Dr. GRPO, RLOO and MaxRL on M rewards of sampled answers, and their objectives.

Their coefficients sum to 0 in every pool. With c_k on each of k right answers the mean is grad J_0 times
E[K c_K]/(M P (1-P)), K of M answers right, because the score of a right answer has the mean s and that of a wrong one
-s P/(1-P). It is the ascent of sum_k c_k/(M-k) Pr[k or more of M-1 answers right].
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.definitions import REWARD_RULES, on_sampled_answers
from qtheory.claims.support.reference import (
    REALS,
    LatentModel,
    Real,
    Vector,
    all_tuples,
    dot,
    expectation,
    floats,
    gradient,
    loss,
)
from qtheory.claims.support.slope import fitted_slope
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import Coefficients, dr_grpo, garl, grpo, maxrl, rloo, star
from qtheory.exact import moments
from qtheory.models import FixedAnswers, SigmoidAnswers, bernoulli

MODEL = LatentModel((0.4, -0.3), (-1.5, 0.8))
FAST: Mapping[str, Callable[..., Coefficients]] = MappingProxyType(
    {"reward_rloo": rloo, "dr_grpo": dr_grpo, "grpo": grpo, "maxrl": maxrl, "star": star}
)
SAMPLES = (1, 2, 3, 4)
DRAWS = 32
RARE = 1e-9  # P far below 1/M
SPREAD = np.array([RARE, 1e-3, 0.1, 0.5, 0.9, 0.999])
MANY = 1000 * 2 ** np.arange(4)


def check() -> Evidence:
    """Coefficients by their definitions, moments over all pools, gradients of the objectives, and both limits of P."""
    task = SigmoidAnswers(2).task(np.array(MODEL.prior_logits + MODEL.answer_logits))
    exact = {(name, m): moments(task, 0.0, m, name) for name in REWARD_RULES for m in SAMPLES}
    means, variances = zip(*(_enumerated(name, m) for name, m in exact), strict=True)
    slopes = [
        gradient(lambda at, name=name, m=m: OBJECTIVES[name](MODEL.success(at), m), MODEL.parameters)
        for name, m in exact
    ]
    factors = {name: np.array([_factor(name, p, DRAWS) for p in SPREAD]) for name in ("grpo", "maxrl")}
    inner = SPREAD[2:-1]
    limits = np.array([[_factor("grpo", p, m) * np.sqrt(p * (1 - p)) for m in MANY.tolist()] for p in inner])
    return Evidence(
        (
            Comparison("coefficients, M = 1 to 5, their definitions in 100 digits", *_rules(), 1e-13, "absolute"),
            Comparison(
                "E[estimate], M = 1 to 4, all pools of rationales and answers",
                np.array([value.mean for value in exact.values()]),
                floats(means),
                1e-14,
                "absolute",
            ),
            Comparison(
                "its variance, the same",
                np.array([value.variance for value in exact.values()]),
                floats(variances),
                1e-13,
                "absolute",
            ),
            Comparison("bias against grad l_0 and grad l_1, the same", *_biases(means), 1e-13, "absolute"),
            Comparison(
                "-E[estimate], differences of the objective",
                -np.array([value.mean for value in exact.values()]),
                floats(slopes),
                1e-14,
                "absolute",
            ),
            Comparison(
                "M = 32, P from 1e-9 to .999: GRPO's mean over grad J_0, binomial sum",
                factors["grpo"],
                floats([_binomial_factor(p) for p in SPREAD]),
                1e-12,
                "relative",
            ),
            Comparison(
                "M = 32, the same P: MaxRL's, (1 - (1-P)^(M-1))/P",
                factors["maxrl"],
                -np.expm1((DRAWS - 1) * np.log1p(-SPREAD)) / SPREAD,
                1e-12,
                "relative",
            ),
            Comparison(
                "M = 32, the same P: GRPO's and MaxRL's, sqrt(M-1) and M-1",
                np.array(list(factors.values())),
                np.array([[np.sqrt(DRAWS - 1)], [DRAWS - 1]]),
                1e-12,
                "relative",
                "<=",
            ),
            Comparison(
                "P = 1e-9: GRPO's and MaxRL's, sqrt(M-1) and M-1",
                np.array([factor[0] for factor in factors.values()]),
                np.array([np.sqrt(DRAWS - 1), DRAWS - 1]),
                1e-6,
                "relative",
            ),
            Comparison("GRPO's times sqrt(P (1-P)), M = 8000, 1", limits[:, -1], np.array(1), 5e-4, "relative"),
            Comparison(
                "its distance to 1: order in M, -1", fitted_slope(MANY, abs(1 - limits)), np.array(-1), 0.02, "absolute"
            ),
            Comparison(
                "pools with a success: MaxRL's coefficients, GARL's at q = 1 on w = r",
                *_as_weights(),
                1e-14,
                "absolute",
            ),
            vanishes("slope of sum_k c_k/(M-k) Pr[k or more of M-1], M = 2, 3, 4", *map(_symbolic_gap, (2, 3, 4))),
        )
    )


def _at_least(k: int, size: int, p: Real) -> Real:
    """The probability of k or more right answers among `size`."""
    return sum(REALS.binomial(size, j) * p**j * (1 - p) ** (size - j) for j in range(k, size + 1))


OBJECTIVES: Mapping[str, Callable[[Real, int], Real]] = MappingProxyType(
    {
        "reward_rloo": lambda p, _: p,
        "dr_grpo": lambda p, size: p * (size - 1) / size,
        "grpo": lambda p, size: sum(
            (_at_least(k, size - 1, p) / REALS.sqrt(k * (size - k)) for k in range(1, size)), start=REALS.zero
        ),
        "maxrl": lambda p, size: -sum(((1 - p) ** j / j for j in range(1, size)), start=REALS.zero),
        "star": lambda p, _: p,
    }
)
"""Objectives, as functions of P and M, that the estimators' means ascend, up to a constant."""


def _rules() -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of every pool of 0/1 rewards of up to 5 answers, and of random rewards; fast and slow, (N,)."""
    rng = np.random.default_rng(6)
    fast, slow = [], []
    for name, rule in REWARD_RULES.items():
        for size in range(1, 6):
            pools = [np.array(pool, dtype=float) for pool in all_tuples(2, size)]
            if name != "star":  # accepts or rejects
                pools += list(rng.exponential(size=(3, size)))
            for pool in pools:
                exact = floats(rule([REALS.mpf(r) for r in pool.tolist()]))
                fast.append(np.stack(FAST[name](pool)).ravel())
                slow.append(np.tile(exact, 2))
    return np.concatenate(fast), np.concatenate(slow)


def _enumerated(name: str, size: int) -> tuple[Vector, Real]:
    """Mean (d,) and trace of the covariance over all pools of `size` rationales with answers, right or wrong."""
    draws = [(z, right) for z in range(len(MODEL.prior)) for right in (False, True)]
    chances = [MODEL.prior[z] * (MODEL.weights[z] if right else 1 - MODEL.weights[z]) for z, right in draws]
    values, masses = [], []
    for indices in all_tuples(len(draws), size):
        values.append(on_sampled_answers(MODEL, [draws[i] for i in indices], REWARD_RULES[name]))
        masses.append(math.prod(chances[i] for i in indices))
    average = expectation(values, masses)
    return average, dot(masses, [dot(value, value) for value in values]) - dot(average, average)


def _biases(means: tuple[Vector, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2, d) biases against grad l_0 and grad l_1, and means (d,) less the differences of those losses."""
    task = SigmoidAnswers(2).task(np.array(MODEL.prior_logits + MODEL.answer_logits))
    q = np.array([0.0, 1.0])
    biases = [moments(task, q, m, name).bias for name in REWARD_RULES for m in SAMPLES]
    targets = [gradient(lambda at, order=order: loss(MODEL.success(at), order), MODEL.parameters) for order in q]
    return np.array(biases), floats([[[x - y for x, y in zip(m, t, strict=True)] for t in targets] for m in means])


def _factor(name: str, p: float, size: int) -> float:
    """The factor of grad J_0 in the mean, with one right and one wrong rationale."""
    law = bernoulli(float(np.log(p)))
    task = FixedAnswers(law.log_w).task(law.log_prior)
    exploitation = task.gradient(0.0)
    return float(moments(task, 0.0, size, name).mean @ exploitation / (exploitation @ exploitation))


def _binomial_factor(p: float) -> Real:
    """E[sqrt(K (M-K))]/(M P (1-P)) in 100 digits."""
    right, size = REALS.mpf(p), DRAWS
    terms = (
        REALS.binomial(size, k) * right**k * (1 - right) ** (size - k) * REALS.sqrt(k * (size - k)) for k in range(size)
    )
    return sum(terms) / (size * right * (1 - right))


def _as_weights() -> tuple[np.ndarray, np.ndarray]:
    """(31, 5) coefficients of all pools of five with a success."""
    pools = np.array([pool for pool in all_tuples(2, 5) if any(pool)], dtype=float)
    log_w = np.where(pools > 0, 0.0, -np.inf)
    return maxrl(pools).rationale, garl(log_w, 1.0).rationale


def _symbolic_gap(size: int) -> sympy.Expr:
    """Slope of the objective for any c_k, less E[K c_K]/(M P (1-P))."""
    p = sympy.Symbol("P", positive=True)
    c = sympy.symbols(f"c1:{size}")

    def chance(k: int, count: int) -> sympy.Expr:
        return sympy.binomial(count, k) * p**k * (1 - p) ** (count - k)

    objective = sum(c[k - 1] / (size - k) * sum(chance(j, size - 1) for j in range(k, size)) for k in range(1, size))
    mean = sum(k * c[k - 1] * chance(k, size) for k in range(1, size)) / (size * p * (1 - p))
    return sympy.simplify(sympy.diff(objective, p) - mean)


QC_R = Claim(
    label="QC-R",
    statement=(
        "from M 0/1 rewards RLOO ascends P, Dr. GRPO (M-1)/M of it, MaxRL -sum over j < M of (1-P)^j/j, the series of "
        "log P cut off; GRPO sum over 0 < k < M of Pr[k or more of M-1 right]/sqrt(k(M-k)) -> 2 arcsin sqrt P. For "
        "P << 1/M MaxRL and GRPO amplify by M-1 and sqrt(M-1), never by more"
    ),
    verdict="holds",
    condition=None,
    check=check,
    figure="floor",
)
