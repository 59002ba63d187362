"""The mean log-probability of the gold answer's tokens as the reward of its rationale."""

from typing import Any

from qtheory._arrays import Array
from qtheory.estimators.checks import length_per_pool, log_weights
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.logprob import logprob
from qtheory.estimators.spec import Estimator


def logprob_mean(log_w: Array, *, answer_length: Any) -> Coefficients:
    """`logprob` over the number L of the gold answer's tokens (Kwiatkowski et al. 2026, eq. 10).

    (log w_m - mean of the other log w_n)/L on rationales, 1/L on answers. Within one pool that is a common factor, as
    all rationales have the same gold answer: only the weight of one prompt beside another differs from `logprob`.

    Args:
        log_w: (..., M) log p(y*|x, z_m) of the whole answer in nats, finite, at most 0, detached.
        answer_length: Tokens of y*, at least 1; a number, or an array broadcastable to log_w.shape[:-1] with one length
            a pool.

    Returns:
        Coefficients (..., M); for M > 1 the rationales' sum to 0, and are exactly 0 in a pool of equal weights.

    Raises:
        TypeError: As `logprob`; answer_length neither a number nor an array of numbers.
        ValueError: As `logprob`; a length below 1, infinite or NaN, or lengths of a wrong shape.
    """
    xp, log_w = log_weights(log_w)
    length = length_per_pool(xp, answer_length, log_w)
    rationale, answer = logprob(log_w)
    return Coefficients(rationale / length, answer / length)


SPEC = Estimator(
    name="logprob_mean",
    function=logprob_mean,
    inputs="log_w",
    target="E[-log w]/L, L the answer's tokens, exactly at every M",
    paper="Kwiatkowski et al. 2026, arXiv 2602.03979, eq. 10",
    limits="As `logprob`; a prompt with a long answer counts no more than one with a short answer.",
    fixed_q=1.0,
)
