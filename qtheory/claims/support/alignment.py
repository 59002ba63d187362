"""Alignment of the plug-in with the score for each q: exact, by binomial sums, and by its law (QC-5)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import binom

from qtheory.estimators import best_q
from qtheory.exact import moments
from qtheory.models import FiniteTask, Likelihoods

GRID = np.linspace(0, 1, 101)
"""Grid of q."""


def spread_scores(law: Likelihoods, rho: float) -> FiniteTask:
    """Each rationale of a law twice, with joint scores e_1 +- sqrt(rho) e_2: Var_post f = rho ||s||^2 at any w."""
    size = len(law.log_w)
    scores = np.stack([np.ones(2 * size), np.sqrt(rho) * np.repeat([1.0, -1.0], size)], axis=-1)
    return FiniteTask(np.tile(law.log_prior, 2) - np.log(2), np.tile(law.log_w, 2), np.zeros_like(scores), scores)


def alignment(task: FiniteTask, q: np.ndarray, samples: int) -> np.ndarray:
    """Exact R of the plug-in, of the shape of q."""
    exact, score = moments(task, q, samples), task.score
    return (exact.mean @ score) ** 2 / (score @ score * exact.second_moment)


def best_aligned(task: FiniteTask, samples: int) -> float:
    """The q in [0, 1] at which R is largest, to 1e-7."""
    at = GRID[np.argmax(alignment(task, GRID, samples))]
    bounds = max(0.0, at - GRID[1]), min(1.0, at + GRID[1])
    optimum: Any = minimize_scalar(
        lambda q: -float(alignment(task, np.array(q), samples)),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(optimum.x)


def law_of_best_q(task: FiniteTask, samples: int, rho: float) -> float:
    """1 - c rho/(K + rho), to leading order in 1/K; above 1 if c < 0."""
    w, post, p = np.exp(task.log_w), task.posterior, np.exp(task.log_p)
    mean = post @ w
    c = 2 - (post @ w**2 - p * mean) / (mean * (mean - p))
    return float(1 - c * rho / (samples * p / mean + rho))


def successes(p: Sequence[float] | np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """K = 1..M and its probabilities (M,), averaged over prompts with these P."""
    k = np.arange(1, samples + 1)
    return k, np.mean([binom.pmf(k, samples, at) for at in p], axis=0)


def weighted_alignment(a: np.ndarray, k: np.ndarray, chances: np.ndarray, rho: float | np.ndarray) -> np.ndarray:
    """(E a)^2/E[a^2 (1 + rho/K)], (...,), of weights a (..., M) on fbar_K."""
    return (a @ chances) ** 2 / ((a**2 * (1 + rho / k)) @ chances)


def fixed_alignments(p: Sequence[float] | np.ndarray, samples: int, rho: float, q: np.ndarray = GRID) -> np.ndarray:
    """(Q,) alignments over a mixture of prompts, with scores of equal norm, at q (Q,)."""
    k, chances = successes(p, samples)
    return weighted_alignment((k / samples) ** (1 - q[:, None]), k, chances, rho)


def adaptive_alignment(p: Sequence[float] | np.ndarray, samples: int, rho: float) -> float:
    """Alignment of a(K) = K/(K + rho): E[K/(K + rho)]."""
    k, chances = successes(p, samples)
    return float(weighted_alignment(k / (k + rho), k, chances, rho))


def rule_alignment(p: np.ndarray, samples: int, rho: float) -> float:
    """Alignment over a mixture in which every prompt has the rule's q for its P."""
    k = np.arange(1, samples + 1)
    laws = [
        (binom.pmf(k, samples, at), (k / samples) ** (1 - float(best_q(float(np.log(at)), samples, rho)))) for at in p
    ]
    mean = np.mean([chances @ a for chances, a in laws])
    return float(mean**2 / np.mean([chances @ (a**2 * (1 + rho / k)) for chances, a in laws]))
