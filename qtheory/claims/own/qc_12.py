"""QC-12: long answers spread the weights by e^(v L), and powers of the weights take the spread back.

An answer of L independent tokens has log w of variance v L, v that of one token. For tokens of two log-probabilities,
sqrt(v) above and below their mean, and t = tanh sqrt(v),

    E_post[w]/P = (1 + t^2)^L, and e^(v L) as v falls,

so that M draws count as M e^(-v L). Let x be log w standardised under the prior, and the scores x beside directions
that weights do not tell: E_post x = sqrt(L) t. By Thm 6.1 the plug-in's relative bias is

    (q/M) [(1 + t^2)^L (1 - t^2)/(1 + t^2) + (1-q)/2 ((1 + t^2)^L - 1)] + O(1/M^2).

With fewer draws a mean of scores is no larger than the largest of M draws of x, whose mean is below sqrt(2 log M)
(Hoeffding): at q = 1, whatever the power, the relative bias is at least 1 - sqrt(2 log M)/(sqrt(L) t).

Weights w^alpha spread by e^(a^2), a = alpha sqrt(v L). Their mean score is a in place of sqrt(v L), which a learning
rate makes up for, and their variance e^(a^2) (1 + rho + a^2)/M, rho the variance of the other directions. Of all
directions the best is where e^(a^2) (1 + rho + a^2)/a^2 is least,

    a^2 = [sqrt((1+rho)^2 + 4 (1+rho)) - (1+rho)]/2, between .62 (rho = 0) and 1 (rho large),

whatever M and L: log w^alpha has a standard deviation of about 1. At the learning rate of alpha = 1 the shorter mean
counts as bias, and the least squared error is at 1 - alpha = e^(v L) (1 + rho + v L)/M.

The gradient of l_q weighs a prompt by P^(1-q). A prompt with all weights e^c times another's gets e^(alpha (1-q) c)
times its step: that of q' = 1 - alpha (1-q).
"""

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.own.qc_5 import DEVIATIONS
from qtheory.claims.support.symbolic import vanishes
from qtheory.exact import best_alpha, moments, reweighted_moments
from qtheory.models import FiniteTask, token_answers
from qtheory.montecarlo import simulate

Q = np.array([0.25, 0.5, 0.75, 1.0])
ALPHAS = (0.3, 0.6, 1.0)
RHO = (0.3, 3.0, 30.0)
LENGTHS = (10, 20, 40)
TOKEN = 0.2
"""v of the tokens of LENGTHS."""
FINE, FINE_LENGTH = 0.004, 250
"""v and L of answers of almost normal log w, v L = 1."""
SAMPLES = (32, 128)
POOLS = 20_000


def tokens(variance: float, length: int, rho: float) -> FiniteTask:
    """Each weight of `token_answers` twice, with the joint scores x e_1 +- sqrt(rho) e_2."""
    log_p0 = -2 * np.sqrt(variance) * length - 1  # no weight above 1
    law = token_answers(log_p0, variance, length)
    x = (2 * np.arange(length + 1) - length) / np.sqrt(length)
    rationale = np.stack([np.tile(x, 2), np.zeros(2 * len(x))], axis=-1)
    answer = np.stack([np.zeros(2 * len(x)), np.sqrt(rho) * np.repeat([1.0, -1.0], len(x))], axis=-1)
    return FiniteTask(np.tile(law.log_prior, 2) - np.log(2), np.tile(law.log_w, 2), rationale, answer)


def tempered_alignment(task: FiniteTask, samples: int, alpha: float) -> float:
    """R of QC-5 at q = 1 on w^alpha: what the best learning rate gains, over the most that any step gains."""
    value, score = reweighted_moments(task, 1.0, samples, alpha=alpha), task.score
    return float((value.mean @ score) ** 2 / (score @ score * value.second_moment))


def unit_power(variance: float, length: int) -> float:
    """The alpha that gives log w^alpha a standard deviation of 1, at most 1."""
    return min(1.0, float(1 / np.sqrt(variance * length)))


def check() -> Evidence:
    """Spreads and biases against closed forms; best powers against their laws; what the rule keeps and gains."""
    cells = [(v, length) for v in (1e-3, 0.05, 0.6) for length in (1, 20, 200)]
    cold = [(length, rho, size) for length in LENGTHS for rho in RHO for size in SAMPLES]
    tasks = {(length, rho): tokens(TOKEN, length, rho) for length in LENGTHS for rho in RHO}
    best = np.array(
        [
            tempered_alignment(tasks[length, rho], size, float(best_alpha(tasks[length, rho], size, rescaled=True)))
            for length, rho, size in cold
        ]
    )
    ruled = np.array([tempered_alignment(tasks[x, rho], size, unit_power(TOKEN, x)) for x, rho, size in cold])
    plain = np.array([tempered_alignment(tasks[x, rho], size, 1.0) for x, rho, size in cold])
    gaining = np.array([length == 40 and rho == 30 and size == 128 for length, rho, size in cold])
    few = tasks[40, 30.0]
    biases, floors = _floors()
    return Evidence(
        (
            Comparison(
                "E_post w/P, (1 + tanh² √v)^L",
                np.array([_spread(*cell) for cell in cells]),
                np.array([(1 + np.tanh(np.sqrt(v)) ** 2) ** length for v, length in cells]),
                1e-10,
                "relative",
            ),
            Comparison(
                "v = 0.001: its logarithm, v L",
                np.array([np.log(_spread(1e-3, length)) for length in (20, 2000)]),
                np.array([0.02, 2.0]),
                2e-3,
                "relative",
            ),
            Comparison("M times the relative bias, its law", *_biases(), 1e-5, "relative"),
            Comparison("q = 1: 1 - √(2 log M)/(√L t), relative bias", floors, biases, 0, "absolute", "<="),
            Comparison("many draws of w^α: mean along x, over that at α = 1", *_shortened(), 1e-5, "relative"),
            Comparison("best direction: α √(v L), its law", *_best_directions(), 0.02, "relative"),
            Comparison("least squared error: (1 - α) M, e^(v L) (1 + ρ + v L)", *_least_errors(), 0.05, "relative"),
            Comparison(
                "v L of 2 to 8, M of 32 and 128: 0.95 of the best R, R at α = 1/√(v L)",
                0.95 * best,
                ruled,
                0,
                "absolute",
                "<=",
            ),
            Comparison(
                "v L = 8, ρ = 30, M = 128: 1.5 of the R of α = 1, the same",
                1.5 * plain[gaining],
                ruled[gaining],
                0,
                "absolute",
                "<=",
            ),
            Comparison("weights e^c times: log of the step over c, α (1-q)", *_between_prompts(), 1e-10, "absolute"),
            Comparison("sampled GARL on w^α: z-scores, 0", _z_scores(), np.array(0), DEVIATIONS, "absolute"),
            Comparison(
                "tokens that move together: log E_post w/P over v L, 1",
                np.array([np.log(_spread(TOKEN * length**2, 1)) / (TOKEN * length) for length in LENGTHS]),
                np.array(1),
                0.5,
                "absolute",
                "!=",
            ),
            Comparison(
                "M = 8, v L = 8, ρ = 30: R at α = 1/√(v L) over the best, 1",
                np.array(
                    tempered_alignment(few, 8, unit_power(TOKEN, 40))
                    / tempered_alignment(few, 8, float(best_alpha(few, 8, rescaled=True)))
                ),
                np.array(1),
                0.1,
                "absolute",
                "!=",
            ),
            vanishes("normal log w; the best a²", *_symbolic()),
        )
    )


def _spread(variance: float, length: int) -> float:
    """E_post w/P."""
    law = token_answers(-2 * np.sqrt(variance) * length - 1, variance, length)
    weights, mass = np.exp(law.log_w - law.log_p), np.exp(law.log_prior)
    return float(mass @ weights**2)


def _relative_bias(task: FiniteTask, q: np.ndarray, samples: int) -> np.ndarray:
    """(Q,) how much of the gradient's length the mean lacks, along it."""
    gradient = -np.exp((1 - q) * task.log_p)[:, None] * task.score
    bias = moments(task, q, samples).bias
    return -np.sum(bias * gradient, axis=-1) / np.sum(gradient**2, axis=-1)


def _biases() -> tuple[np.ndarray, np.ndarray]:
    """(L, Q) M times the bias, and its law."""
    size, t2 = 10**10, np.tanh(np.sqrt(TOKEN)) ** 2
    spread = (1 + t2) ** np.array(LENGTHS)[:, None]
    law = Q * (spread * (1 - t2) / (1 + t2) + (1 - Q) / 2 * (spread - 1))
    return np.array([size * _relative_bias(tokens(TOKEN, x, 1.0), Q, size) for x in LENGTHS]), law


def _floors() -> tuple[np.ndarray, np.ndarray]:
    """(L, M) relative biases at q = 1 and what they cannot fall below."""
    lengths, sizes, t = (40, 80), (2, 8, 32), np.tanh(np.sqrt(TOKEN))
    biases = [[_relative_bias(tokens(TOKEN, x, 1.0), np.array([1.0]), m)[0] for m in sizes] for x in lengths]
    return np.array(biases), 1 - np.sqrt(2 * np.log(sizes)) / (np.sqrt(lengths)[:, None] * t)


def _shortened() -> tuple[np.ndarray, np.ndarray]:
    """(alpha,) the limit of many draws along x, and tanh(alpha sqrt v)/tanh sqrt v."""
    task = tokens(TOKEN, 10, 1.0)
    mean = np.array([reweighted_moments(task, 1.0, 10**8, alpha=alpha).mean[0] for alpha in ALPHAS])
    step = np.sqrt(TOKEN)
    return -mean / task.score[0], np.tanh(np.array(ALPHAS) * step) / np.tanh(step)


def _best_directions() -> tuple[np.ndarray, np.ndarray]:
    """(rho,) a of the best aligned power at M = 10^6, and its law."""
    alphas = np.array([best_alpha(tokens(FINE, FINE_LENGTH, rho), 10**6, rescaled=True) for rho in RHO])
    joint = 1 + np.array(RHO)
    return alphas * np.sqrt(FINE * FINE_LENGTH), np.sqrt((np.sqrt(joint**2 + 4 * joint) - joint) / 2)


def _least_errors() -> tuple[np.ndarray, np.ndarray]:
    """(rho,) M times the distance to 1 of the power with the least squared error, and its law."""
    size, spread = 10**5, FINE * FINE_LENGTH
    off = [size * (1 - best_alpha(tokens(FINE, FINE_LENGTH, rho), size)) for rho in RHO]
    return np.array(off), np.exp(spread) * (1 + np.array(RHO) + spread)


def _between_prompts() -> tuple[np.ndarray, np.ndarray]:
    """(alpha, Q) slope of the log length of the step in a common factor of the weights, and alpha (1 - q)."""
    task, shift = tokens(TOKEN, 20, 1.0), -7.0
    moved = FiniteTask(task.log_prior, task.log_w + shift, task.prior_score, task.answer_score)
    lengths = [
        [np.linalg.norm(reweighted_moments(at, Q, 4, alpha=alpha).mean, axis=-1) for alpha in ALPHAS]
        for at in (task, moved)
    ]
    return np.log(np.divide(lengths[1], lengths[0])) / shift, np.array(ALPHAS)[:, None] * (1 - Q)


def _z_scores() -> np.ndarray:
    """(alpha, 2) of the mean along x and of the second moment of sampled pools, q = .5."""
    rng, task, values = np.random.default_rng(12), tokens(TOKEN, 40, 3.0), []
    for alpha in ALPHAS:
        exact = reweighted_moments(task, 0.5, 8, alpha=alpha)
        sampled = simulate(task, "garl", {"q": 0.5, "alpha": alpha, "baseline": "none"}, 8, POOLS, rng)
        values.append(
            [
                (sampled.mean[0] - exact.mean[0]) / sampled.mean_error[0],
                (sampled.second_moment - exact.second_moment) / sampled.second_moment_error,
            ]
        )
    return np.array(values)


def _symbolic() -> tuple[sympy.Expr, ...]:
    """E w^2/(E w)^2 - e^(s^2) for normal log w of variance s^2; the slope of log e^u (1 + rho + u)/u at the law's u."""
    s, rho = sympy.symbols("s rho", positive=True)
    first, second = (sympy.exp(k**2 * s**2 / 2) for k in (1, 2))
    u = (sympy.sqrt((1 + rho) ** 2 + 4 * (1 + rho)) - (1 + rho)) / 2
    return second / first**2 - sympy.exp(s**2), u * (1 + rho + u) + u - (1 + rho + u)


QC_12 = Claim(
    label="QC-12",
    statement=(
        "an answer of L tokens, v the variance of a token's log-probability, has E_post[w]/P = e^(vL): M draws count "
        "as M e^(-vL). Of the powers w^α the best aligned has α² v L between .62 and 1, whatever M; prompts are then "
        "weighed as by q' = 1 - α(1-q)"
    ),
    verdict="conditional",
    condition=(
        "tokens are independent, scores follow log w, each α has its own learning rate, and M is 32 or more: at M = 8 "
        "α = 1/√(vL) loses a tenth and more"
    ),
    check=check,
    figure="answer_length",
)
