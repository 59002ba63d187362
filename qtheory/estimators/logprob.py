"""The log-probability of the gold answer as the reward of its rationale: the M-sample bound of log P at M = 1."""

from qtheory._arrays import Array
from qtheory.estimators.centring import centred
from qtheory.estimators.checks import log_weights
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.floor import FLOOR, known_floor, raised
from qtheory.estimators.spec import Estimator


def logprob(log_w: Array, *, floor: float = FLOOR) -> Coefficients:
    """Coefficients log w_m - mean of the other log w_n on rationales, 1 on answers (Kwiatkowski et al. 2026, eq. 4, 9).

    The expectation is the gradient of -E[log w], exactly at every M: by Jensen's inequality a bound of J_1 from above,
    which more samples do not tighten. With M = 1 there are no others, and c = log w.

    E[log w] is -inf where an answer may be impossible; so a weight below e^floor counts as e^floor. It is a constant
    then: its answer's coefficient is 0. In float64 a rationale's coefficient is within 1e-14 of exact, relative to
    |log w_m| + mean |log w_n|.

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, at most 0, detached; -inf for an impossible answer.
        floor: Least log-weight in nats, finite and below 0.

    Returns:
        Coefficients (..., M); the rationales' sum to 0, and are exactly 0 for a log w at the mean.

    Raises:
        TypeError: log_w is no float32 or float64 array, or the floor no number.
        ValueError: log_w 0-d, with M = 0, positive or NaN; a floor out of range.
    """
    floor = known_floor(floor)
    xp, log_w = log_weights(log_w)
    size, values = log_w.shape[-1], raised(xp, log_w, floor)
    rationale = centred(xp, values) * (size / (size - 1)) if size > 1 else xp.asarray(values, copy=True)
    return Coefficients(rationale, xp.astype(log_w >= floor, log_w.dtype))


SPEC = Estimator(
    name="logprob",
    function=logprob,
    inputs="log_w",
    target="E[-log w], exactly at every M: above J_1 by a gap that does not fall with M",
    paper="Kwiatkowski et al. 2026, arXiv 2602.03979, eq. 4 and 9",
    limits=(
        "Trains the answer behind bad rationales as much as behind good ones, and one rationale that fails badly weighs "
        "more than many that succeed. Needs possible answers: an impossible one counts as e^floor."
    ),
)
