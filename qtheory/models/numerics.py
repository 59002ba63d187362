"""Logarithms of softmaxes, means and complements that keep their relative precision at both ends of [0, 1]."""

import numpy as np


def log_complement(log_p: np.ndarray) -> np.ndarray:
    """Logarithm of 1 - p from log p <= 0, any shape; -inf at p = 1."""
    near_one = log_p > -np.log(2)
    below_one = log_p < 0
    close = np.where(near_one & below_one, log_p, -1.0)
    log_gap = np.where(near_one, np.log(-np.expm1(close)), np.log1p(-np.exp(np.where(near_one, -1.0, log_p))))
    return np.where(below_one, log_gap, -np.inf)


def logit(log_p: np.ndarray) -> np.ndarray:
    """Logarithm of p/(1 - p) from log p <= 0, any shape; inf at p = 1."""
    return log_p - log_complement(log_p)


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    """Logarithm of 1/(1 + e^-x), any shape."""
    return -np.logaddexp(0.0, -x)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities (..., K) of logits (..., K), to relative precision even where a probability is near 1."""
    shift = logits - logits.max(-1, keepdims=True)
    terms = np.exp(shift).reshape(-1, logits.shape[-1])
    # The largest term of the sum is 1: log1p of the others keeps their precision.
    terms[np.arange(len(terms)), terms.argmax(-1)] = 0.0
    return shift - np.log1p(terms.sum(-1)).reshape(*logits.shape[:-1], 1)


def softmax_score(log_probability: np.ndarray) -> np.ndarray:
    """Scores (..., K, K) of a softmax: row k is the gradient e_k - p of log p_k in the logits.

    Args:
        log_probability: (..., K) from `log_softmax`.

    Returns:
        The rows; 1 - p_k on the diagonal is computed from log p_k without cancellation.
    """
    size = log_probability.shape[-1]
    complement = -np.expm1(log_probability)
    return np.where(np.eye(size, dtype=bool), complement[..., None], -np.exp(log_probability)[..., None, :])


def log_mean(log_prior: np.ndarray, log_w: np.ndarray) -> np.ndarray:
    """Logarithm of sum_z prior_z w_z, (...,), of (..., Z) log-probabilities; -inf if all w are 0, at most 0."""
    failure = (np.exp(log_prior) * -np.expm1(log_w)).sum(-1)
    log_terms = log_prior + log_w
    top = log_terms.max(-1, keepdims=True)
    possible = top > -np.inf
    terms = np.exp(log_terms - np.where(possible, top, 0.0)).sum(-1)
    usual = np.where(possible[..., 0], top[..., 0] + np.log(np.where(possible[..., 0], terms, 1.0)), -np.inf)
    # Near P = 1 the complement is the well-conditioned sum.
    return np.where(failure < 0.5, np.log1p(-np.minimum(failure, 0.5)), usual)


def posterior(log_prior: np.ndarray, log_w: np.ndarray) -> np.ndarray:
    """Probabilities (..., Z) in proportion to prior_z w_z, of (..., Z) log-probabilities with one finite sum a row."""
    log_terms = log_prior + log_w
    terms = np.exp(log_terms - log_terms.max(-1, keepdims=True))
    return terms / terms.sum(-1, keepdims=True)


def posterior_less_prior(log_prior: np.ndarray, log_w: np.ndarray) -> np.ndarray:
    """`posterior` less the prior, (..., Z), without cancellation near P = 1, where all w are close."""
    log_p = log_mean(log_prior, log_w)[..., None]
    prior, sure = np.exp(log_prior), log_p > -0.5
    # Near 1, log w - log P is at most 0.5 and as precise as the logarithms; for small P both round with their size.
    near_one = prior * np.expm1(np.where(sure, log_w - log_p, 0.0))
    return np.where(sure, near_one, posterior(log_prior, log_w) - prior)
