"""QC-7: a lower bound on the noise of every estimator that is 0 on pools without a success.

An estimate X that is 0 with probability 1 - p_M has E||X||^2 >= ||E X||^2/p_M, by Cauchy-Schwarz on the other pools.
With ||E X|| >= (1 - b) ||G|| for the relative bias b against a gradient G, its standard deviation is at least
(1 - b) ||G|| sqrt((1 - p_M)/p_M).
"""

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.symbolic import vanishes
from qtheory.exact import FORMS, moments
from qtheory.models import FiniteTask, FixedAnswers, bernoulli, log_normal
from qtheory.montecarlo import simulate

Q = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
SAMPLES = np.array([1, 2, 8, 32])
P = np.array([1e-6, 1e-3, 0.05, 0.5])
ROUNDING = 1e-9
POOLS = 20_000
DEVIATIONS = 4.5  # standard errors


def floor(p: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """sqrt((1 - p_M)/p_M), broadcast: the least relative std of an unbiased estimate, p_M = 1 - (1-P)^M."""
    log_fail = samples * np.log1p(-p)
    return np.exp(log_fail / 2) / np.sqrt(-np.expm1(log_fail))


def relative_std(task: FiniteTask, q: np.ndarray, samples: np.ndarray, form: str) -> tuple[np.ndarray, np.ndarray]:
    """Std over ||grad l_q||, and 1 - b for the relative bias b (at least 0), broadcast over q and samples."""
    exact = moments(task, q, samples, form)
    target = np.exp((1 - q) * task.log_p) * np.linalg.norm(task.score)
    bias = np.linalg.norm(exact.bias, axis=-1) / target
    shrink = np.where(1 - bias > ROUNDING, 1 - bias, 0)  # an estimate that is always 0 has b = 1
    return np.sqrt(exact.variance) / target, shrink


def check() -> Evidence:
    """Exact moments of every form against the floor; sampled pools of one estimator; cases below the floor."""
    forms = [form for form in FORMS if form != "rloo"]
    ratios = np.stack([_over_floor(_varied(p), p, Q[:, None], form) for p in P for form in forms])
    below_one = np.stack([_over_floor(_varied(p), p, Q[:-1, None], "rloo") for p in P])
    alike = np.stack([_over_floor(_task(p), p, np.array(1.0), "plugin") for p in P])
    baseline = np.stack([_over_floor(_task(p), p, np.array(1.0), "rloo")[1:2] for p in P[:2]])
    soft = np.stack([_over_floor(_soft(p), p, Q[:, None], "plugin") for p in P[:2]])
    second, first, chance = sympy.symbols("S F p_M", positive=True)
    variance = chance * second - (chance * first) ** 2
    return Evidence(
        (
            Comparison(
                f"1, std over floor, {len(forms)} forms", np.ones_like(ratios), ratios, ROUNDING, "relative", "<="
            ),
            Comparison(
                "1, std over floor, GARL, q < 1", np.ones_like(below_one), below_one, ROUNDING, "relative", "<="
            ),
            Comparison(
                "plug-in, q = 1, one score for all successes: std over floor, 1",
                alike,
                np.array(1),
                ROUNDING,
                "relative",
            ),
            Comparison(
                "its variance from sampled pools: z-scores, 0", _z_scores(), np.array(0), DEVIATIONS, "absolute"
            ),
            Comparison("GARL, q = 1, M = 2: std over floor, 1", baseline, np.array(1), 0.1, "relative", "!="),
            Comparison("w ~ P: std over floor, 1", soft, np.array(1), 0.1, "relative", "!="),
            vanishes(
                "Var X - (E X)^2 (1 - p_M)/p_M = p_M Var(X | success)",
                variance - (chance * first) ** 2 * (1 - chance) / chance - chance * (second - first**2),
            ),
        )
    )


def _over_floor(task: FiniteTask, p: float, q: np.ndarray, form: str) -> np.ndarray:
    """Standard deviation over its floor, by q and M; infinite if the bias leaves no floor."""
    std, shrink = relative_std(task, q, SAMPLES, form)
    least = shrink * floor(np.array(p), SAMPLES)
    return np.where(least > 0, std / np.where(least > 0, least, 1), np.inf)


def _task(p: float) -> FiniteTask:
    """One right and one wrong rationale."""
    law = bernoulli(np.log(p))
    return FixedAnswers(law.log_w).task(law.log_prior)


def _varied(p: float) -> FiniteTask:
    """Two right rationales, whose scores differ, and two wrong ones."""
    prior = np.array([0.7 * p, 0.3 * p, 0.4 * (1 - p), 0.6 * (1 - p)])
    return FixedAnswers(np.array([0.0, 0.0, -np.inf, -np.inf])).task(np.log(prior))


def _soft(p: float) -> FiniteTask:
    """Nine rationales with weights of the size of P: there are no failures."""
    law = log_normal(np.log(p), 1.0, 9)
    return FixedAnswers(law.log_w).task(law.log_prior)


def _z_scores() -> np.ndarray:
    """(2,) sampled less floor's variance of the plug-in at q = 1, in standard errors, at P = .05 and .5."""
    rng = np.random.default_rng(0)
    values = []
    for p in P[2:]:
        task, size = _task(p), 8
        sampled = simulate(task, "garl", {"q": 1.0, "baseline": "none"}, size, POOLS, rng)
        chance = -np.expm1(size * np.log1p(-p))
        least = (task.score @ task.score) * chance * (1 - chance)  # E X = -p_M s
        values.append((sampled.variance - least) / sampled.variance_error)
    return np.array(values)


QC_7 = Claim(
    label="QC-7",
    statement=(
        "no estimator from M draws has a relative std below (1 - relative bias) sqrt((1 - p_M)/p_M), "
        "p_M = 1 - (1-P)^M; the plug-in at q = 1 can attain it"
    ),
    verdict="conditional",
    condition=(
        "w in {0, 1} and the estimate is 0 on pools without a success: so are all here but GARL with its baseline "
        "at q = 1"
    ),
    check=check,
    figure="floor",
)
