"""Thm 6.1: the plug-in's bias at finite M, its order in P, and the range of M of its leading term."""

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.mean_field import curl_comparisons
from qtheory.claims.support.reference import REALS, Vector, dot, floats, power
from qtheory.claims.support.slope import fitted_slope
from qtheory.claims.support.symbolic import vanishes
from qtheory.exact import moments
from qtheory.models import FiniteTask, FixedAnswers, Likelihoods, SigmoidAnswers, bernoulli, log_normal

Q = np.array([0.25, 0.5, 0.75, 1.0])
SAMPLES = 1000 * 2 ** np.arange(6)
SPARSE = np.log(1e-8)  # log P
FINE = 10**12  # an M for which M P is large even at this P


def check() -> Evidence:
    """Exact moments against the paper's coefficient, the orders of v1 and v2, and the bias at small M P."""
    rng = np.random.default_rng(0)
    tasks = [_random_task(rng) for _ in range(5)]
    coefficients = floats([[_coefficient(task, q) for q in Q] for task in tasks])  # (T, Q, d)
    scaled = np.stack([SAMPLES[:, None] * moments(task, Q[:, None], SAMPLES).bias for task in tasks])  # (T, Q, M, d)
    rests = np.linalg.norm(scaled - coefficients[:, :, None], axis=-1)
    spread = np.sqrt(np.stack([moments(task, Q[:, None], SAMPLES).variance for task in tasks]))
    log_p = np.array([[task.log_p] for task in tasks])
    largest = np.array([[np.linalg.norm(_scores(task), axis=-1).max()] for task in tasks])
    hard = bernoulli(SPARSE)
    soft = SigmoidAnswers(9).start(*_arrays(log_normal(SPARSE, 1.0, 9)))
    return Evidence(
        (
            Comparison("M bias, the coefficient, M = 32000", scaled[:, :, -1], coefficients, 1e-3, "absolute"),
            Comparison("order of what is left of M bias", fitted_slope(SAMPLES, rests), np.array(-1), 2e-3, "absolute"),
            Comparison("order of the std", fitted_slope(SAMPLES, spread), np.array(-0.5), 1e-3, "absolute"),
            Comparison("the coefficient, from the posterior", _from_posterior(tasks), coefficients, 1e-12, "absolute"),
            Comparison(
                "|coefficient| P^q, q max |f|",
                np.linalg.norm(coefficients, axis=-1) * np.exp(Q * log_p),
                Q * largest,
                0,
                "absolute",
                "<=",
            ),
            Comparison("bounded f: order of the bias in P, -q", _orders(0.0), -Q, 1e-3, "absolute"),
            Comparison("f ~ 1/P: order in P, -(q+1)", _orders(1.0), -(Q + 1), 1e-3, "absolute"),
            Comparison("f ~ 1/P: order in P, -q", _orders(1.0), -Q, 0.5, "absolute", "!="),
            Comparison("w in {0, 1}, M P = 100: bias, leading term", *_bias(_task(hard), 10**10), 0.01, "relative"),
            Comparison(
                "w ~ P, M P = 1e-4: bias, leading term", *_bias(SigmoidAnswers(9).task(soft), 10**4), 1e-3, "relative"
            ),
            Comparison(
                "w in {0, 1}, M P = 1e-4: bias, leading term", *_bias(_task(hard), 10**4), 0.5, "relative", "!="
            ),
            *curl_comparisons(),
            vanishes("second order of E[gbar/wbar^q], posterior form", *_symbolic_gaps()),
        )
    )


def _random_task(rng: np.random.Generator) -> FiniteTask:
    """Five rationales, three parameters, weights over a few nats."""
    prior = rng.dirichlet(np.full(5, 2.0))
    scores = rng.normal(size=(5, 3))
    return FiniteTask(np.log(prior), -rng.exponential(size=5), scores - prior @ scores, rng.normal(size=(5, 3)))


def _arrays(law: Likelihoods) -> tuple[np.ndarray, np.ndarray]:
    return law.log_prior, law.log_w


def _task(law: Likelihoods) -> FiniteTask:
    return FixedAnswers(law.log_w).task(law.log_prior)


def _scores(task: FiniteTask) -> np.ndarray:
    """(Z, d) f = grad log p(z, y*|x)."""
    return task.prior_score + task.answer_score


def _coefficient(task: FiniteTask, q: float) -> Vector:
    """(d,) q/P^(q+1) [ (q+1)/2 Var(w) grad l_1 - Cov(g, w) ], as in the paper, in 100 digits."""
    prior, w = ([REALS.exp(REALS.mpf(x)) for x in array] for array in (task.log_prior, task.log_w))
    order, p = REALS.mpf(q), dot(prior, w)
    variance = dot(prior, [x * x for x in w]) - p * p
    parts = []
    for column in _scores(task).T:
        g = [-weight * REALS.mpf(f) for weight, f in zip(w, column, strict=True)]
        mean = dot(prior, g)
        covariance = dot(prior, [x * weight for x, weight in zip(g, w, strict=True)]) - mean * p
        parts.append(order / power(p, q + 1) * ((order + 1) / 2 * variance * mean / p - covariance))
    return parts


def _from_posterior(tasks: list[FiniteTask]) -> np.ndarray:
    """(T, Q, d) (q/P^q) [ Cov_post(w, f) + (1-q)/2 (E_post w - P) E_post f ]: no 1/P is left in the bracket."""
    values = []
    for task in tasks:
        w, f, post, p = np.exp(task.log_w), _scores(task), task.posterior, np.exp(task.log_p)
        covariance = post @ ((w - post @ w)[:, None] * f)
        second = (1 - Q[:, None]) / 2 * (post @ w - p) * (post @ f)
        values.append(Q[:, None] * np.exp(-Q[:, None] * task.log_p) * (covariance + second))
    return np.array(values)


def _orders(steepness: float) -> np.ndarray:
    """(Q,) fitted exponent in P of the bias for scores ~ P^-steepness and a posterior that does not change with P."""
    log_p = SPARSE + np.log(10.0) * np.arange(4)
    biases = []
    for at in log_p:
        prior = np.array([0.5, 1.0, 0.0]) * np.exp(at)
        prior[-1] = 1 - prior.sum()
        scores = np.array([[1.0], [-0.5], [0.0]]) * np.exp(-steepness * at)
        log_w = np.array([0.0, np.log(0.5), -np.inf])
        task = FiniteTask(np.log(prior), log_w, scores, np.zeros_like(scores))
        biases.append(np.linalg.norm(moments(task, Q, FINE).bias, axis=-1))
    return fitted_slope(np.exp(log_p), np.array(biases).T)


def _bias(task: FiniteTask, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Norms (3,) of the bias and of its leading term at q < 1."""
    few = Q[:-1]  # at q = 1 the leading term of 0/1 weights is 0
    leading = floats([_coefficient(task, q) for q in few]) / samples
    exact = moments(task, few, samples).bias
    return np.linalg.norm(exact, axis=-1), np.linalg.norm(leading, axis=-1)


def _symbolic_gaps() -> list[sympy.Expr]:
    """The Hessian of gbar/wbar^q contracted with the variances of one draw, for two rationales."""
    a, w, v, f, h, q, x, y = sympy.symbols("a w v f h q x y", positive=True)

    def mean(at_w: sympy.Expr, at_v: sympy.Expr) -> sympy.Expr:
        return a * at_w + (1 - a) * at_v

    p, g = mean(w, v), mean(-w * f, -v * h)
    variance, covariance = mean(w**2, v**2) - p**2, mean(-(w**2) * f, -(v**2) * h) - g * p
    estimate = x / y**q
    second = sympy.diff(estimate, y, 2) / 2 * variance + sympy.diff(estimate, x, y) * covariance
    paper = q / p ** (q + 1) * ((q + 1) / 2 * variance * g / p - covariance)
    post = a * w / p
    average, score = post * w + (1 - post) * v, post * f + (1 - post) * h
    spread = post * (w - average) * f + (1 - post) * (v - average) * h
    posterior = q / p**q * (spread + (1 - q) / 2 * (average - p) * score)
    return [(second.subs({x: g, y: p}) - paper) * p**q, (paper - posterior) * p**q]


THM_6_1 = Claim(
    label="Thm 6.1",
    statement=(
        "the plug-in is consistent; its bias is q/(M P^(q+1)) [ (q+1)/2 Var(w) grad l_1 - Cov(g, w) ] + O(M^-2), "
        "of order q/(M P^q)"
    ),
    verdict="conditional",
    condition=(
        "M P is large beside E_post[w] (for w in {0, 1}: M beside 1/P), and the scores f are bounded; "
        "f ~ 1/P gives the order q/(M P^(q+1))"
    ),
    check=check,
    figure="bias",
)
