"""How well the plug-in of each q is aligned with the score: exact, by binomial sums, and its law (QC-5)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import binom

from qtheory.estimators import best_q
from qtheory.exact import moments
from qtheory.models import FiniteTask, Likelihoods

GRID = np.linspace(0, 1, 101)
"""Of q."""


def spread_scores(law: Likelihoods, rho: float) -> FiniteTask:
    """Each rationale of a law twice, with joint scores e_1 +- sqrt(rho) e_2: Var_post f = rho ||s||^2 at any w."""
    size = len(law.log_w)
    scores = np.stack([np.ones(2 * size), np.sqrt(rho) * np.repeat([1.0, -1.0], size)], axis=-1)
    return FiniteTask(np.tile(law.log_prior, 2) - np.log(2), np.tile(law.log_w, 2), np.zeros_like(scores), scores)


def alignment(task: FiniteTask, q: np.ndarray, samples: int) -> np.ndarray:
    """R of the plug-in, exact, of the shape of q."""
    found, score = moments(task, q, samples), task.score
    return (found.mean @ score) ** 2 / (score @ score * found.second_moment)


def best_aligned(task: FiniteTask, samples: int) -> float:
    """The q in [0, 1] at which R is largest, to 1e-7."""
    at = GRID[np.argmax(alignment(task, GRID, samples))]
    bounds = max(0.0, at - GRID[1]), min(1.0, at + GRID[1])
    found: Any = minimize_scalar(
        lambda q: -float(alignment(task, np.array(q), samples)),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(found.x)


def law_of_best_q(task: FiniteTask, samples: int, rho: float) -> float:
    """1 - c rho/(K + rho), to leading order in 1/K; above 1 where c < 0."""
    w, post, p = np.exp(task.log_w), task.posterior, np.exp(task.log_p)
    mean = post @ w
    c = 2 - (post @ w**2 - p * mean) / (mean * (mean - p))
    return float(1 - c * rho / (samples * p / mean + rho))


def successes(p: Sequence[float] | np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """K = 1..M and its chances (M,), averaged over prompts of these P."""
    k = np.arange(1, samples + 1)
    return k, np.mean([binom.pmf(k, samples, one) for one in p], axis=0)


def weighted_alignment(a: np.ndarray, k: np.ndarray, chances: np.ndarray, rho: float | np.ndarray) -> np.ndarray:
    """(E a)^2/E[a^2 (1 + rho/K)], (...,), of weights a (..., M) on fbar_K."""
    return (a @ chances) ** 2 / ((a**2 * (1 + rho / k)) @ chances)


def fixed_alignments(p: Sequence[float] | np.ndarray, samples: int, rho: float, q: np.ndarray = GRID) -> np.ndarray:
    """(Q,) alignments over a mixture of prompts, every prompt's score of one length, at q (Q,)."""
    k, chances = successes(p, samples)
    return weighted_alignment((k / samples) ** (1 - q[:, None]), k, chances, rho)


def adaptive_alignment(p: Sequence[float] | np.ndarray, samples: int, rho: float) -> float:
    """Of a(K) = K/(K + rho): E[K/(K + rho)]."""
    k, chances = successes(p, samples)
    return float(weighted_alignment(k / (k + rho), k, chances, rho))


def rule_alignment(p: np.ndarray, samples: int, rho: float) -> float:
    """Over a mixture in which every prompt has the q of the rule for its own P."""
    k = np.arange(1, samples + 1)
    laws = [
        (binom.pmf(k, samples, one), (k / samples) ** (1 - float(best_q(float(np.log(one)), samples, rho))))
        for one in p
    ]
    mean = np.mean([chances @ a for chances, a in laws])
    return float(mean**2 / np.mean([chances @ (a**2 * (1 + rho / k)) for chances, a in laws]))
