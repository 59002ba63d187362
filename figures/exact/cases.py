"""Finite tasks on which the exact moments are compared with slow references."""

import numpy as np

from qtheory.models import FiniteTask

INF = np.inf
LOG_W = {
    "soft": (-1.2, -0.3, -4.0),
    "hard": (0.0, -INF, -INF),
    "deep": (-690.0, -0.1, -300.0),
    "deep and impossible": (-INF, -690.0, -2.0),
    "nearly equal": (-0.1, -0.1001, -0.0999),
    "all small": (-30.0, -28.0, -27.0),
}
PRIORS = {"even": (0.3, 0.5, 0.2), "rare": (1e-10, 0.6, 0.4 - 1e-10)}
# A rare rationale and a common one: P down to 1e-12, and pools of any size, as only a few counts are likely.
PAIRS = (
    (1e-6, (0.0, -14.0)),
    (1e-6, (-0.5, -INF)),
    (1e-12, (-0.1, -27.6)),
    (1e-12, (0.0, -690.0)),
    (1e-7, (-0.2, -3.0)),
)


def task(prior: tuple[float, ...], log_w: tuple[float, ...], seed: int = 0) -> FiniteTask:
    """A task with a softmax prior; answer scores vanish if the answer is certain."""
    p, w = np.array(prior), np.array(log_w)
    answer = np.random.default_rng(seed).normal(size=(len(p), len(p))) * -np.expm1(w)[:, None]
    return FiniteTask(np.log(p) - np.log(p.sum()), w, np.eye(len(p)) - p, answer)


def random_task(rng: np.random.Generator, rationales: int, dimension: int) -> FiniteTask:
    """A task whose log-weights spread over a few nats, with prior scores of mean 0."""
    logits = rng.normal(size=rationales)
    log_prior = logits - np.log(np.exp(logits).sum())
    prior = np.exp(log_prior)
    scores = rng.normal(size=(rationales, dimension))
    answer = rng.normal(size=(rationales, dimension))
    return FiniteTask(log_prior, -np.exp(rng.normal(size=rationales)), scores - prior @ scores, answer)
