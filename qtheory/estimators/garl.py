"""GARL: the plug-in gradient of the Tsallis loss from a pool of likelihood weights (Algorithm 1)."""

import math
from typing import Literal, get_args

from qtheory._arrays import Array, shown
from qtheory._numbers import flag, number
from qtheory.estimators.checks import log_weights, q_per_pool
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.pool import mean_power, others_power, pool
from qtheory.estimators.reweight import known_alpha, log_ratios, reweighted
from qtheory.estimators.spec import Estimator

Baseline = Literal["loo", "none"]


def garl(
    log_w: Array,
    q: float | Array,
    *,
    baseline: Baseline = "loo",
    normalize: bool = False,
    multiplier: float = 1.0,
    alpha: float = 1.0,
    log_ratio: Array | None = None,
) -> Coefficients:
    """Coefficients c_m = w_m/wbar^q - wbar_(-m)^(1-q) on rationales, w_m/wbar^q on answers (Alg. 1).

    The expectation does not depend on the baseline or a multiple of it (Prop 6.2), which holds because of
    three conventions. A pool whose log_w are all -inf has reward term 0; the baseline follows its formula
    with 0^0 = 1 even there, so that at q = 1 such a pool's rationale coefficients are -1 (0 for q < 1); and
    with M = 1 nobody is left out and the baseline is 0. In a pool of equal weights the rationale coefficients
    of the whole baseline (multiplier 1, no log_ratio) are exactly 0 for M > 1.

    With alpha < 1 the weights w_m^alpha stand in the place of w_m: less noise where the answer is long, at the price of
    a bias that does not fall with M, and of a weight between prompts that belongs to q' = 1 - alpha (1 - q) (QC-12).

    Rationales that were drawn from another distribution mu than the model's pi (a temperature, older weights) need
    log_ratio: the weights become v_m = (pi/mu)_m w_m, and the baseline (pi/mu)_m vbar_(-m)^(1-q), so that its mean is 0
    again where mu can draw whatever pi can (QC-13). Top-p and top-k cannot: with them the target is the loss of the
    success within mu's support, and only baseline "none" leaves it alone.

    In float64 a coefficient is within 1e-14 of exact, relative to reward term + baseline term, for log_w
    from 0 to -10000 in one pool and M up to 100000. Time and memory are O(M) a pool.

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, at most 0, detached; -inf for an impossible answer.
        q: In [0, 1]; a number, or an array broadcastable to log_w.shape[:-1] with one q a pool.
        baseline: "loo", the leave-one-out mean's power, or "none".
        normalize: Divide by M^q, the bound of w_m/wbar^q: a learning rate that depends on q and not on the
            pool.
        multiplier: Of the baseline, finite and at least 0; the variance has its minimum at that of QC-4.
        alpha: The power that the weights are taken to, in (0, 1].
        log_ratio: (..., M) log pi(z_m|x)/mu(z_m|x) in nats, of the shape and library of log_w, detached; -inf where pi
            is 0. None for draws of the model itself.

    Returns:
        Coefficients (..., M).

    Raises:
        TypeError: log_w, q or log_ratio of a wrong type, or no float32 or float64; log_ratio of another library than
            log_w; a multiplier or alpha that is no number, or normalize neither True nor False.
        ValueError: log_w 0-d, with M = 0, positive or NaN; q outside [0, 1] or NaN or of a wrong shape; an
            unknown baseline; a multiplier or alpha out of range; log_ratio of another shape, +inf or NaN.
    """
    multiplier, normalize, alpha = known_multiplier(multiplier), flag("normalize", normalize), known_alpha(alpha)
    if baseline not in get_args(Baseline):
        raise ValueError(f"baseline is {shown(baseline)}: choose one of {', '.join(get_args(Baseline))}")
    xp, log_w = log_weights(log_w)
    q = q_per_pool(xp, q, log_w)
    log_ratio = log_ratios(xp, log_ratio, log_w)
    statistics = pool(xp, *reweighted(xp, log_w, alpha, log_ratio))
    answer = statistics.ratio * mean_power(xp, statistics, q)
    others = others_power(xp, statistics, q, log_ratio) if baseline == "loo" else None
    rationale = xp.asarray(answer, copy=True) if others is None else answer - multiplier * others
    if normalize:
        scale = xp.full_like(q, log_w.shape[-1]) ** -q
        return Coefficients(rationale * scale, answer * scale)
    return Coefficients(rationale, answer)


def known_multiplier(multiplier: float) -> float:
    """Check a baseline's multiplier.

    Args:
        multiplier: What was passed.

    Returns:
        It.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative, infinite or NaN.
    """
    factor = number("multiplier", multiplier)
    if not 0 <= factor < math.inf:
        raise ValueError(f"multiplier is {factor}: a multiple of the baseline must be finite and at least 0")
    return factor


SPEC = Estimator(
    name="garl",
    function=garl,
    inputs="log_w",
    target="J_q with a bias of O(1/M) (Thm 6.1); J_0 exactly at q = 0",
    paper="Algorithm 1, Eq 7-9, Prop 6.2",
    limits=(
        "For weights of 0 or 1 the amplification stays below M^q, however small P is. "
        "The baseline is unbiased only for untruncated sampling, and at another temperature only with log_ratio. "
        "alpha below 1 leaves a bias at every M."
    ),
)
