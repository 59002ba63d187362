"""QC-13: draws from another distribution mu than the model's pi: stale weights, a temperature, top-p.

Let v = (pi/mu) w. E_mu v = P and E_mu[v f] = P grad log P: with v in the place of w the plug-in estimates the gradient
of l_q, and Thm 6.1 is that of mu's draws. For a baseline that does not depend on draw m, E_mu[(pi/mu) h] = sum of
pi h = 0: it needs the ratio too, and then Prop 6.2 holds again. To leading order in 1/M, s = grad log P,

    bias = (q/(M P)) [Cov_post(v, f) + (1-q)/2 (E_post v - P) s],
    variance = (1/M) (E_post[v ||f - q s||^2]/P - (1-q)^2 ||s||^2), over P^(1-q) and its square.

So M draws of mu are worth M E_post[w]/E_post[v] of the model's own. Let every token of a rationale have a log-ratio of
variance u that tells nothing of w: E_post[v]/E_post[w] = E_pi[pi/mu] is near e^(u L). Where the log-ratio is delta x
for a standard normal x that successes shift by kappa, it is e^(delta^2 + delta kappa): above 1 for a mu that is away
from the successes, below 1 for one that is ahead of pi by less than kappa.

Without the ratio the mean score of mu's successes is off by delta, a bias b that no M takes away. The ratio has the
smaller squared error where M exceeds the rise of M times the variance, over b^2: at q = 1, with rho the variance of
scores that x does not tell, from

    M P = e^(delta kappa) [e^(delta^2) (1 + rho + delta^2) - (1 + rho)]/delta^2

successes on, which is 2 + rho for a small delta and a large rho: with fewer successes than that the ratio's noise costs
more than the bias that it takes away, however small the drift. The law is that of pools with many successes: at rho = 1
the ratio costs nothing at any M.

Of rationales that mu never draws nothing is learnt. Top-p and top-k estimate the gradient of l_q at the success within
mu's support, and there E_mu[(pi/mu) h] is not 0: the baseline has a bias, which "none" does not have.
"""

import itertools
from typing import Literal, NamedTuple

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import garl
from qtheory.exact import Moments, moments, reweighted_moments
from qtheory.models import FiniteTask

Q = np.array([0.0, 0.3, 0.7, 1.0])
DELTAS = (-0.8, -0.4, 0.4, 0.8, 1.2)
"""Distance of mu from pi, positive away from the successes."""
DRIFTS, NOISE = np.array([0.1, 0.2, 0.4, 0.8]), 100.0
"""delta and rho where the ratio begins to pay; at a small rho it does so in pools too small for the law."""
KAPPA, RHO, TOKENS = 0.8, 3.0, 30
P = 0.005
TOKEN = np.array([0.8, 0.2])
"""pi of the tokens drawn at a temperature."""
MANY = 10**9
SMALL = 3
"""M where all pools are summed."""


def shifted(rho: float = RHO, kappa: float = KAPPA) -> tuple[FiniteTask, np.ndarray]:
    """0/1 weights with P(w = 1|x) ~ e^(kappa x), scores x e_1 and, of successes, +- sqrt(rho) e_2; and x (Z,)."""
    x = (2 * np.arange(TOKENS + 1) - TOKENS) / np.sqrt(TOKENS)
    mass = np.array([float(sympy.binomial(TOKENS, k)) for k in range(TOKENS + 1)]) / 2**TOKENS
    right = P * np.exp(kappa * x) / (mass @ np.exp(kappa * x))
    prior = np.concatenate([mass * right / 2, mass * right / 2, mass * (1 - right)])
    log_w = np.repeat([0.0, 0.0, -np.inf], len(x))
    rationale = np.stack([np.tile(x, 3), np.zeros(3 * len(x))], axis=-1)
    answer = np.stack([np.zeros(3 * len(x)), np.sqrt(rho) * np.repeat([1.0, -1.0, 0.0], len(x))], axis=-1)
    return FiniteTask(np.log(prior), log_w, rationale, answer), np.tile(x, 3)


def stale(task: FiniteTask, x: np.ndarray, delta: float) -> np.ndarray:
    """(Z,) log mu ~ log pi - delta x."""
    tilted = task.log_prior - delta * x
    return tilted - np.log(np.sum(np.exp(tilted)))


def spread(task: FiniteTask, log_mu: np.ndarray) -> float:
    """E_post[(pi/mu) w]/E_post[w]: how many draws of mu one of pi is worth."""
    w = np.exp(task.log_w)
    return float(task.posterior @ (w * np.exp(task.log_prior - log_mu)) / (task.posterior @ w))


def unweighted(task: FiniteTask, log_mu: np.ndarray, q: float, samples: int) -> Moments:
    """The plug-in of mu's draws with the weights w alone, with its bias against the model's gradient of l_q."""
    value = moments(FiniteTask(log_mu, task.log_w, task.prior_score, task.answer_score), q, samples)
    return Moments(value.mean, value.mean - task.gradient(q), value.variance, value.second_moment)


def squared_error(value: Moments) -> float:
    """||bias||^2 + variance."""
    return float(np.sum(value.bias**2) + value.variance)


def check() -> Evidence:
    """Biases and variances against their laws, all pools of three draws, worth of draws, and truncated sampling."""
    task, x = shifted()
    laws = [stale(task, x, delta) for delta in DELTAS]
    large = [reweighted_moments(task, Q, MANY, log_mu=log_mu) for log_mu in laws]
    expected = [_laws(task, log_mu) for log_mu in laws]
    scale = np.exp((1 - Q) * task.log_p)
    pools = _over_pools()
    flat, away = shifted(kappa=0.0)
    apart = [stale(flat, away, delta) for delta in DELTAS]
    return Evidence(
        (
            Comparison(
                "M times the bias along the gradient, its law, q > 0",
                np.array([MANY * value.bias[1:, 0] / scale[1:] for value in large]),
                np.array([law[0][1:] for law in expected]),
                1e-5,
                "relative",
            ),
            Comparison(
                "M times the variance, its law",
                np.array([MANY * value.variance / scale**2 for value in large]),
                np.array([law[1] for law in expected]),
                3e-5,
                "relative",
            ),
            Comparison("q = 0: bias over the gradient, 0", *_at_zero(task, laws), 1e-12, "absolute"),
            Comparison(
                "all pools of 3: mean and variance of GARL, exact", pools.exact, pools.enumerated, 1e-10, "relative"
            ),
            Comparison(
                "all pools of 3: mean with the baseline, without",
                pools.enumerated[:3, 0],
                pools.enumerated[3:, 0],
                1e-10,
                "relative",
            ),
            Comparison(
                "log-ratio δx, successes at κ: its log worth, δ² + δκ",
                np.log([spread(task, log_mu) for log_mu in laws]),
                np.array(DELTAS) ** 2 + KAPPA * np.array(DELTAS),
                0.05,
                "absolute",
            ),
            Comparison(
                "ratio that tells nothing of w: variance at that many more draws, q = 1, over that of π's own",
                np.array([_at_equal_worth(flat, log_mu) for log_mu in apart]),
                np.array(1),
                1e-3,
                "absolute",
            ),
            Comparison("temperatures: E_post v/E_post w, (Σ π²/μ)^L", *_temperatures(), 1e-12, "relative"),
            Comparison("successes from which on the ratio has the smaller error", *_break_even(), 0.1, "relative"),
            Comparison("top-p: mean, the gradient at the success within it", *_truncated(task, x), 1e-5, "relative"),
            Comparison(
                "no ratio, δ of 0.4 and more: bias over the gradient, 0",
                np.array([_lost(task, log_mu) for log_mu in laws[2:]]),
                np.array(0),
                0.3,
                "absolute",
                "!=",
            ),
            Comparison(
                "baseline without the ratio: mean over that without baseline, 1",
                pools.bare,
                np.array(1),
                0.05,
                "absolute",
                "!=",
            ),
            Comparison("top-p: mean with the baseline, 1", pools.top_p, np.array(1), 0.05, "absolute", "!="),
            vanishes("normal x: E_post[π/μ] - e^(δ² + δκ)", _symbolic()),
        )
    )


def _laws(task: FiniteTask, log_mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(Q,) M times bias along e_1 and variance to leading order, in units of P^(1-q) and its square."""
    post, f, s, p = task.posterior, task.prior_score + task.answer_score, task.score, np.exp(task.log_p)
    v = np.exp(task.log_prior - log_mu + task.log_w)
    covariance = post @ (v[:, None] * f) - (post @ v) * s
    bias = [q / p * (covariance + (1 - q) / 2 * (post @ v - p) * s)[0] for q in Q]
    variance = [post @ (v * np.sum((f - q * s) ** 2, -1)) / p - (1 - q) ** 2 * (s @ s) for q in Q]
    return np.array(bias), np.array(variance)


def _at_zero(task: FiniteTask, laws: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(mu, M) length of the bias at q = 0 over that of the gradient, and 0."""
    values = [reweighted_moments(task, 0.0, np.array([1, 8]), log_mu=log_mu).bias for log_mu in laws]
    return np.linalg.norm(values, axis=-1) / np.linalg.norm(task.gradient(0.0)), np.array(0)


class _Pools(NamedTuple):
    """GARL over all pools of SMALL draws of four rationales.

    Attributes:
        exact: (6, 2) means and variances by the exact moments, with and without the baseline at three q.
        enumerated: (6, 2) the same over all pools.
        bare: (2,) mean with a baseline that lacks the ratio, over that without baseline, q < 1.
        top_p: (3,) mean with the baseline over that without, from a mu that leaves a rationale out.
    """

    exact: np.ndarray
    enumerated: np.ndarray
    bare: np.ndarray
    top_p: np.ndarray


def _over_pools() -> _Pools:
    prior, mu = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.3, 0.1, 0.4, 0.2])
    log_w, h = np.array([-0.2, -1.5, -0.7, -np.inf]), np.array([1.0, -2.0, 0.5, 0.0])
    task = FiniteTask(np.log(prior), log_w, (h - prior @ h)[:, None], np.array([[0.3], [-0.4], [1.2], [0.0]]))
    inside = np.array([0.25, 0.5, 0.25, 0.0])  # top-p that leaves the last rationale out

    def mean(chances: np.ndarray, q: float, baseline: Literal["loo", "none"], bare: bool = False) -> np.ndarray:
        pools = np.array(list(itertools.product(np.flatnonzero(chances), repeat=SMALL)))
        logs = np.log(prior / np.where(chances > 0, chances, 1))[pools]
        rationale, answer = garl(log_w[pools], q, baseline="none" if bare else baseline, log_ratio=logs)
        if bare:
            # The baseline as it is for pi's own draws, beside weights that have the ratio.
            v = np.exp(log_w[pools] + logs)
            rationale = rationale - ((v.sum(-1, keepdims=True) - v) / (SMALL - 1)) ** (1 - q)
        scores = (rationale * task.prior_score[pools, 0] + answer * task.answer_score[pools, 0]).mean(-1)
        chance = chances[pools].prod(-1)
        return -np.array([chance @ scores, -(chance @ scores**2 - (chance @ scores) ** 2)])

    orders = (0.3, 0.7, 1.0)
    loo, none = np.array([mean(mu, q, "loo") for q in orders]), np.array([mean(mu, q, "none") for q in orders])
    values = [
        reweighted_moments(task, q, SMALL, form, log_mu=np.log(mu)) for form in ("rloo", "plugin") for q in orders
    ]
    exact = [[value.mean[0], value.variance] for value in values]
    bare = np.array([mean(mu, q, "loo", bare=True)[0] for q in orders[:2]]) / none[:2, 0]
    top = np.array([mean(inside, q, "loo")[0] / mean(inside, q, "none")[0] for q in orders])
    return _Pools(np.array(exact), np.concatenate([loo, none]), bare, top)


def _at_equal_worth(task: FiniteTask, log_mu: np.ndarray) -> float:
    """Variance at q = 1 of mu's draws, as many more as their worth asks for, over that of pi's own."""
    size = 10**7
    more = round(size * spread(task, log_mu))
    inner = FiniteTask(task.log_prior, task.log_w, 0 * task.prior_score, task.answer_score)
    return float(reweighted_moments(inner, 1.0, more, log_mu=log_mu).variance / moments(inner, 1.0, size).variance)


def heated(temperature: float) -> np.ndarray:
    """(2,) mu of a token of TOKEN."""
    powers = TOKEN ** (1 / temperature)
    return powers / powers.sum()


def _temperatures() -> tuple[np.ndarray, np.ndarray]:
    """(temperature,) worth of draws of L tokens of two values at a temperature, w a coin of its own, and its law."""
    measured, law, rare = [], [], np.arange(TOKENS + 1)
    choices = np.array([float(sympy.binomial(TOKENS, int(k))) for k in rare])
    for temperature in (0.5, 0.8, 1.25, 2.0):
        drawn = heated(temperature)
        masses = [choices * p[0] ** (TOKENS - rare) * p[1] ** rare for p in (TOKEN, drawn)]
        log_prior, log_mu = (np.log(np.concatenate([P * mass, (1 - P) * mass])) for mass in masses)
        log_w, nothing = np.repeat([0.0, -np.inf], TOKENS + 1), np.zeros((2 * TOKENS + 2, 1))
        measured.append(spread(FiniteTask(log_prior, log_w, nothing, nothing), log_mu))
        law.append(np.sum(TOKEN**2 / drawn) ** TOKENS)
    return np.array(measured), np.array(law)


def break_even(task: FiniteTask, log_mu: np.ndarray) -> int:
    """The M from which on the ratio has the smaller squared error, q = 1; below it both miss most of the gradient."""

    def better(size: int) -> bool:
        return squared_error(reweighted_moments(task, 1.0, size, log_mu=log_mu)) <= squared_error(
            unweighted(task, log_mu, 1.0, size)
        )

    high = 2**24
    while high > 1 and better(high // 2):
        high //= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if better(middle) else (middle, high)
    return high


def _break_even() -> tuple[np.ndarray, np.ndarray]:
    """(mu,) P times `break_even`, and its law, for DRIFTS away from the successes."""
    (task, x), square = shifted(NOISE), DRIFTS**2
    law = np.exp(DRIFTS * KAPPA) * (np.exp(square) * (1 + NOISE + square) - (1 + NOISE)) / square
    return P * np.array([break_even(task, stale(task, x, float(delta))) for delta in DRIFTS]), law


def _truncated(task: FiniteTask, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(q, d) mean of many draws of a mu that leaves |x| > 1 out, and -P_S^(-q) sum over it of pi w f."""
    inside = abs(x) <= 1
    nucleus = float(np.sum(np.exp(task.log_prior[inside])))
    log_mu = np.where(inside, task.log_prior - np.log(nucleus), -np.inf)
    weight = np.exp(task.log_prior + task.log_w) * inside
    f = task.prior_score + task.answer_score
    exact = [-(weight.sum() ** -q) * (weight @ f)[:1] for q in Q]
    measured = [reweighted_moments(task, float(q), MANY, log_mu=log_mu).mean[:1] for q in Q]
    return np.array(measured), np.array(exact)


def _lost(task: FiniteTask, log_mu: np.ndarray) -> float:
    """The bias of many draws without the ratio, over the length of the gradient, q = 1."""
    return float(np.linalg.norm(unweighted(task, log_mu, 1.0, MANY).bias) / np.linalg.norm(task.score))


def _symbolic() -> sympy.Expr:
    """E_post[pi/mu] - e^(delta^2 + delta kappa) for mu = N(-delta, 1), pi = N(0, 1) and successes N(kappa, 1)."""
    drift, shift, y = sympy.symbols("delta kappa y", real=True)
    density = sympy.exp(-((y - shift) ** 2) / 2) / sympy.sqrt(2 * sympy.pi)
    ratio = sympy.exp(((y + drift) ** 2 - y**2) / 2)
    return sympy.integrate(density * ratio, (y, -sympy.oo, sympy.oo)) - sympy.exp(drift**2 + drift * shift)


QC_13 = Claim(
    label="QC-13",
    statement=(
        "with π/μ in the weights and in the baseline, draws from μ estimate the gradient of l_q as Thm 6.1 and "
        "Prop 6.2 say; M of them are worth M E_post[w]/E_post[(π/μ) w], that is M e^(-uL) for log-ratios of variance u "
        "a token; at q = 1 the ratio lowers the squared error from 2 + ρ successes on"
    ),
    verdict="conditional",
    condition=(
        "μ draws all that π can: top-p estimates the loss of the success within it, and its baseline has a bias; "
        "so has a baseline without the ratio, and without any ratio the bias stays at every M; 2 + ρ is for large ρ "
        "and small drifts"
    ),
    check=check,
    figure="off_policy",
)
