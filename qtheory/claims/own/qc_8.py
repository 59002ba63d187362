"""QC-8: how long an escape takes at finite M and finite step, as a random variable.

On 0/1 weights a pool without a success moves nothing. While M P << 1 a pool with a success has only one, whose
effective reward is M^q: theta moves by lr M^(q-1) s and log P by kappa = lr M^(q-1) ||s||^2. After n successes
P = p0 e^(kappa n), and the wait for the next one is geometric with mean 1/(M P), nearly exponential. Hence M p0 T is
X = sum_n E_n e^(-kappa n) with independent standard exponentials E_n. With r = e^-kappa, E X = 1/(1 - r),
Var X = 1/(1 - r^2) and CV^2 = (1 - r)^2/(1 - r^2) = tanh(kappa/2).

The wait for the first success alone has the mean 1/(M p0): no learning rate and no q escapes sooner. The mean field,
QC-1's M^-q T_0, is the limit of E T for kappa -> 0; divided by a large learning rate it falls below that bound.

Error of the law: 1 - (1-P)^M lies between 1 - e^(-M P) and M P, and 1/(1 - e^-y) <= 1/y + 1. If every jump is kappa, as
at q = 1, and the target takes N = ceil(log(delta/p0)/kappa) of them, the exact E T is therefore at least
(1 - r^N)/(M p0 (1 - r)) and at most N steps more.

With soft weights w = P v every pool moves. P^-(1-q) falls by (1-q) lr vbar^(1-q) ||s||^2 a step, a sum of independent
terms, so that CV^2 = Var(vbar^(1-q))/E[vbar^(1-q)]^2/E T. It vanishes with p0, and at q = 1 T is not random at all.
"""

import math

import numpy as np
import sympy
from scipy.stats import kurtosis, skew

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.own.qc_1 import PRIOR, RELATIVE
from qtheory.claims.support.cold_start import baseline_steps, hard_steps, soft_steps
from qtheory.claims.support.reference import REALS, Real, floats
from qtheory.claims.support.symbolic import vanishes
from qtheory.escape import EscapeLaw, escape_law, hard_time

Q = (0.0, 0.5, 1.0)
SAMPLES = (2, 32)
KAPPA = np.array([0.03, 0.3, 1.0, 3.0, 8.0])
P0, DELTA = 1e-6, 0.2
SLOPE = 1.7
"""||s|| in the cold start of the sampled runs."""
LEVELS = np.array([0.05, 0.5, 0.95])
DEVIATIONS = 4.5  # standard errors
WIDE = np.array([1e-3, 0.02, 0.25, 0.35, 1.0, 5.0, 30.0])
"""kappa on both sides of the change from one sum of the product to the other."""
SOFT = ((0.25, 4.0, 1e-4), (0.5, 4.0, 1e-6), (0.75, 0.2, 1e-6), (1.0, 0.1, 1e-6))
"""q, rate and p0 of the runs on soft weights, of some hundred steps."""
SHARES = np.array([0.7, 0.999, 1.001, 1.4])
"""Times over the mean."""


def check(runs: int = 20_000) -> Evidence:
    """The law against residues in 100 digits and its own equation; sampled pools; where mean field and law end."""
    sampled, first = _sampled(runs)
    exact, law, most = _exact_means((1e-9, 1e-6, 1e-3), DELTA)
    warm, cold, _ = _exact_means((0.3,), 0.9)
    field = np.array([_over_mean_field(kappa) for kappa in (1e-3, *KAPPA[2:])])
    soft, spread = _soft(runs // 20)
    return Evidence(
        (
            Comparison("density, P(T <= t), P(T > t): residues in 100 digits", *_residues(), 1e-11, "relative"),
            Comparison(
                "kappa from 1e-3 to 30: density, P(T <= t e^kappa) - P(T <= t)", *_birth_equation(), 1e-8, "relative"
            ),
            Comparison("Laplace transform, the product in 100 digits", *_products(), 1e-11, "relative"),
            Comparison(
                "sampled pools: z-scores of mean, CV and shares below quantiles, 0",
                sampled,
                np.array(0),
                DEVIATIONS,
                "absolute",
            ),
            Comparison(
                "kappa = 8, every q and M: z-scores of the mean against the first success's 1/(M p0), 0",
                first,
                np.array(0),
                DEVIATIONS,
                "absolute",
            ),
            Comparison(
                "kappa = .001: mean over the mean field's M^-q T_0, 1", field[:1], np.array(1), 1e-3, "absolute"
            ),
            Comparison("kappa of 1 and more: the same, 1", field[1:], np.array(1), 0.5, "absolute", "!="),
            Comparison(
                "q = 1, M p0 <= .03: the law's mean to P = .2, the exact mean", law, exact, 1e-9, "relative", "<="
            ),
            Comparison("the exact mean, at most N steps more", exact, law + most, 0, "absolute", "<="),
            Comparison("M p0 = 10: exact mean over the law's, 1", warm / cold, np.array(1), 1, "absolute", "!="),
            Comparison("w = P v: sampled CV, its law's", soft[:-1], spread, 0.15, "relative"),
            Comparison("w = P v, q = 1: sampled CV, 0", soft[-1], np.array(0), 0, "absolute"),
            Comparison(
                "w = P v: CV over sqrt(tanh(kappa/2)), 1", soft / _hard_cv(), np.array(1), 0.9, "absolute", "!="
            ),
            Comparison(
                "baseline at q = 1, M = 2, kappa = 8: M p0 times the mean, 1",
                _with_baseline(runs // 10),
                np.array(1),
                0.5,
                "absolute",
                "!=",
            ),
            vanishes("mean, CV² = tanh(kappa/2), residues of the product", *_symbolic()),
        )
    )


def quick() -> Evidence:
    """The same with fewer runs."""
    return check(4000)


def _sampled(runs: int) -> tuple[np.ndarray, np.ndarray]:
    """z-scores (Q, M, kappa, 5), and (Q, M) of the mean at the largest kappa against 1/(M p0)."""
    rng = np.random.default_rng(8)
    scores, first = np.zeros((len(Q), len(SAMPLES), len(KAPPA), 2 + len(LEVELS))), np.zeros((len(Q), len(SAMPLES)))
    quantiles = EscapeLaw(1.0, KAPPA[:, None]).quantile(LEVELS)  # of M p0 T
    for i, j, k in np.ndindex(scores.shape[:-1]):
        q, size, kappa = Q[i], SAMPLES[j], float(KAPPA[k])
        lr = kappa * size ** (1 - q) / SLOPE**2
        steps = hard_steps(P0, DELTA, q, size, lr, runs, rng, SLOPE)
        law = escape_law(P0, q, size, lr, SLOPE)
        error, cv = steps.std(ddof=1) / math.sqrt(runs), steps.std(ddof=1) / steps.mean()
        # Of a standard deviation over a mean, by the delta method.
        spread = (kurtosis(steps, fisher=False) - 1) / 4 - skew(steps) * cv + cv**2
        cv_error = cv * math.sqrt(spread / runs)
        below = (steps[:, None] * law.rate <= quantiles[k]).mean(0)
        scores[i, j, k] = [
            (steps.mean() - law.mean()) / error,
            (cv - law.cv()) / cv_error,
            *(below - LEVELS) / np.sqrt(LEVELS * (1 - LEVELS) / runs),
        ]
        first[i, j] = (steps.mean() - 1 / (size * P0)) / error
    return scores, first


def _residues() -> tuple[np.ndarray, np.ndarray]:
    """(kappa, t, 3) by the law, and by sum_n a_n e^(-x r^-n), a_n = -r^n/(1 - r^n) a_(n-1), a_0 = 1/(r; r)."""
    kappas, shares = (0.1, 0.4, 3.0, 30.0), (0.1, 0.9, 1.1, 4.0)
    law = EscapeLaw(1.0, np.array(kappas)[:, None])
    times = law.mean() * shares
    ours = np.exp(np.stack([law.log_density(times), law.log_cdf(times), law.log_survival(times)], axis=-1))
    return ours, floats(
        [[_by_residues(float(x), kappa) for x in row] for kappa, row in zip(kappas, times, strict=True)]
    )


def _by_residues(x: float, kappa: float) -> list[Real]:
    r, time = REALS.exp(-REALS.mpf(kappa)), REALS.mpf(x)
    a = n_r = REALS.one
    total = survival = density = REALS.zero
    while True:
        term = a * REALS.exp(-time / n_r)
        total, survival, density = total + a, survival + term, density + term / n_r
        n_r *= r
        a *= -n_r / (1 - n_r)
        if abs(a) < REALS.mpf(10) ** -120:
            break
    return [density / total, 1 - survival / total, survival / total]  # the sum of a_n is that at x = 0


def _birth_equation() -> tuple[np.ndarray, np.ndarray]:
    """(kappa, t) both sides of f(x) = F(x e^kappa) - F(x): X is a first wait and then e^-kappa times an X."""
    law = EscapeLaw(1e-12, WIDE[:, None])
    times, early = law.mean() * SHARES, SHARES < 1
    later = times * np.exp(WIDE)[:, None]
    rise = np.exp(law.log_cdf(later)) - np.exp(law.log_cdf(times))
    fall = np.exp(law.log_survival(times)) - np.exp(law.log_survival(later))
    return np.exp(law.log_density(times)) / 1e-12, np.where(early, rise, fall)


def _products() -> tuple[np.ndarray, np.ndarray]:
    kappas, s = (0.1, 0.5, 5.0), (-0.9, -0.01, 2.0, 1e3)
    ours = EscapeLaw(1.0, np.array(kappas)[:, None]).log_laplace(s)

    def log_product(at: float, kappa: float) -> Real:
        r, z = REALS.exp(-REALS.mpf(kappa)), REALS.mpf(at)
        total = REALS.zero
        while abs(z) > REALS.mpf(10) ** -20:
            total, z = total + REALS.log(1 + z), z * r
        return -total - z / (1 - r)

    return ours, floats([[log_product(at, kappa) for at in s] for kappa in kappas])


def _over_mean_field(kappa: float) -> list[float]:
    """E T of the law over the mean field's time, for every q and M."""
    ratios = []
    for q in Q:
        for size in SAMPLES:
            lr = kappa * size ** (1 - q)
            field = float(hard_time(1e-9, DELTA, q, size)) / lr
            ratios.append(float(escape_law(1e-9, q, size, lr).mean()) / field)
    return ratios


def _exact_means(starts: tuple[float, ...], delta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(kappa * p0,) exact E T at q = 1 with log P linear in theta; the law's for as many jumps; their number N."""
    size, rows = SAMPLES[-1], []
    for kappa in KAPPA.tolist():
        for p0 in starts:
            jumps = math.ceil(math.log(delta / p0) / kappa)
            p = p0 * np.exp(kappa * np.arange(jumps))
            exact = float((1 / -np.expm1(size * np.log1p(-p))).sum())
            law = float(escape_law(p0, 1.0, size, kappa).mean()) * -math.expm1(-kappa * jumps)
            rows.append((exact, law, jumps))
    exact, law, jumps = np.array(rows).T
    return exact, law, jumps


def _soft(runs: int) -> tuple[np.ndarray, np.ndarray]:
    """(4,) sampled CV for three q and then q = 1, and (3,) its law for the three."""
    rng = np.random.default_rng(80)
    measured, law = [], []
    for q, lr, p0 in SOFT:
        steps = soft_steps(p0, DELTA, q, SAMPLES[0], lr, runs, rng, (PRIOR, RELATIVE))
        measured.append(steps.std() / steps.mean())
        powers = np.array([((a + b) / 2) ** (1 - q) for a in RELATIVE for b in RELATIVE])
        chances = np.outer(PRIOR, PRIOR).ravel()
        mean, square = chances @ powers, chances @ powers**2
        law.append(math.sqrt((square / mean**2 - 1) / steps.mean()))
    return np.array(measured), np.array(law[:-1])


def _hard_cv() -> np.ndarray:
    """(4,) of the law of 0/1 weights at the same p0, q, M and rate."""
    return np.array([float(escape_law(p0, q, SAMPLES[0], lr).cv()) for q, lr, p0 in SOFT])


def _with_baseline(runs: int) -> np.ndarray:
    size, p0 = SAMPLES[0], 1e-3
    steps = baseline_steps(p0, DELTA, 1.0, size, 8.0, runs, np.random.default_rng(88))
    return steps.mean() * size * p0


def _symbolic() -> tuple[sympy.Expr, ...]:
    """Sums of means and variances with r = e^-kappa, the CV, and the residues' recursion from the birth equation."""
    kappa, n = sympy.Symbol("kappa", positive=True), sympy.Symbol("n", integer=True, positive=True)
    ratio = sympy.exp(-kappa)
    mean, variance = 1 / (1 - ratio), 1 / (1 - ratio**2)
    cv = (variance / mean**2 - sympy.tanh(kappa / 2)).rewrite(sympy.exp)
    # -S'(x) = S(x) - S(x/r), term by term in e^(-x r^-n): a_n r^-n = a_n - a_(n-1).
    before = sympy.Symbol("a")
    after = -(ratio**n) / (1 - ratio**n) * before
    return mean - 1 - ratio * mean, variance - 1 - ratio**2 * variance, cv, after / ratio**n - after + before


QC_8 = Claim(
    label="QC-8",
    statement=(
        "on 0/1 weights the steps to escape are a sum of exponential waits of rates M p0 e^(kappa n), kappa = lr "
        "M^(q-1) ||s||²: mean 1/(M p0 (1 - e^-kappa)), CV² = tanh(kappa/2). For kappa << 1 that is QC-1's M^-q T_0; "
        "from kappa of about 3 on it is the wait for the first success, 1/(M p0), at every q and rate"
    ),
    verdict="conditional",
    condition=(
        "w in {0, 1}, successes share one score, M p0 << 1 (the exact mean is at most log(delta/p0)/kappa + 1 steps "
        "longer) and pools without a success move nothing, as with GARL's baseline at q = 1 they do. With w ~ P the CV "
        "is that of vbar^(1-q) over sqrt(E T), 0 at q = 1"
    ),
    check=check,
    figure="escape_spread",
    quick=quick,
)
