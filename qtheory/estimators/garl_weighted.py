"""GARL with a norm-weighted baseline: the others' weights averaged in proportion to their squared scores (QC-4)."""

import math

from qtheory._arrays import Array, Namespace, device, refuse
from qtheory._numbers import flag
from qtheory.estimators.checks import beside, log_weights, q_per_pool
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.garl import known_multiplier
from qtheory.estimators.pool import mean_power, others_power, pool
from qtheory.estimators.spec import Estimator


def garl_weighted(
    log_w: Array, q: float | Array, *, score_norm_sq: Array, normalize: bool = False, multiplier: float = 1.0
) -> Coefficients:
    """`garl` with the baseline b_m = wbar_(-m)^-q (sum_(n != m) N_n w_n) / (sum_(n != m) N_n).

    N_n stands for ||grad log p(z_n|x)||^2. Where all N_n are equal the baseline is GARL's; like that one it depends on
    the other draws alone, so that the expectation stays (Prop 6.2). To leading order in 1/M it is GARL's times
    E_post||h||^2/E||h||^2, h the rationale's score; the best multiple is 1 - q/(1 + rho) of that, rho =
    Var_post h/||E_post h||^2, where the answers' scores are orthogonal to h (QC-4).

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, at most 0, detached; -inf for an impossible answer.
        q: In [0, 1]; a number, or an array broadcastable to log_w.shape[:-1] with one q a pool.
        score_norm_sq: (..., M) of the shape, library and dtype of log_w, finite and at least 0, up to a common factor
            of a pool; where the others' are all 0, they count alike.
        normalize: Divide by M^q, as in `garl`.
        multiplier: Of the baseline, finite and at least 0; 1 - q/(1 + rho) where rho is known.

    Returns:
        Coefficients (..., M).

    Raises:
        TypeError: log_w, q or score_norm_sq of a wrong type, or no float32 or float64; score_norm_sq of another library
            than log_w; a multiplier that is no number, or normalize neither True nor False.
        ValueError: log_w 0-d, with M = 0, positive or NaN; q outside [0, 1] or NaN or of a wrong shape;
            score_norm_sq of another shape, negative or not finite; a multiplier out of range.
    """
    multiplier, normalize = known_multiplier(multiplier), flag("normalize", normalize)
    xp, log_w = log_weights(log_w)
    q = q_per_pool(xp, q, log_w)
    norm = _norms(score_norm_sq, log_w)
    statistics = pool(xp, log_w)
    answer = statistics.ratio * mean_power(xp, statistics, q)
    others = others_power(xp, statistics, q)
    if others is None:
        rationale = xp.asarray(answer, copy=True)
    else:
        gain = xp.where(statistics.equal, xp.ones_like(log_w), _gain(xp, log_w, norm))
        rationale = answer - multiplier * others * gain
    scale = xp.full_like(q, log_w.shape[-1]) ** -q if normalize else xp.ones_like(q)
    return Coefficients(rationale * scale, answer * scale)


def _norms(score_norm_sq: Array, log_w: Array) -> Array:
    """The norms (..., M), checked, relative to each pool's largest."""
    xp, norm = beside(log_w, "score_norm_sq", score_norm_sq)
    if norm.shape != log_w.shape:
        raise ValueError(f"score_norm_sq has shape {tuple(norm.shape)}: it must be log_w's, {tuple(log_w.shape)}")
    rule = "a squared norm must be finite and at least 0"
    refuse(xp, "score_norm_sq", norm, ~((norm >= 0) & (norm < math.inf)), rule)
    top = xp.max(norm, axis=-1, keepdims=True)
    return xp.astype(norm / xp.where(top > 0, top, xp.ones_like(top)), log_w.dtype)


def _gain(xp: Namespace, log_w: Array, norm: Array) -> Array:
    """The others' weighted mean weight over their plain one, (..., M); 1 where either is not defined."""
    is_top = xp.arange(log_w.shape[-1], device=device(log_w)) == xp.argmax(log_w, axis=-1, keepdims=True)
    nothing = xp.full_like(log_w, -math.inf)
    whole, rest = _relative(xp, log_w), _relative(xp, xp.where(is_top, nothing, log_w))

    def others(values: Array, values_without_top: Array) -> Array:
        # The others of the largest weight, which may dwarf them, are summed relative to the second largest.
        return xp.where(is_top, xp.sum(values_without_top, axis=-1, keepdims=True), _leave_one_out(xp, values))

    weight, weighted = others(whole, rest), others(whole * norm, rest * norm)
    norms = _leave_one_out(xp, norm) / (log_w.shape[-1] - 1)
    defined = (weight > 0) & (norms > 0)
    one = xp.ones_like(log_w)
    return xp.where(defined, weighted / xp.where(defined, weight * norms, one), one)


def _relative(xp: Namespace, log_w: Array) -> Array:
    """Weights in units of the pool's largest, (..., M); 0 in an impossible pool."""
    top = xp.max(log_w, axis=-1, keepdims=True)
    return xp.exp(xp.where(log_w > -math.inf, log_w - xp.where(top > -math.inf, top, xp.zeros_like(top)), log_w))


def _leave_one_out(xp: Namespace, values: Array) -> Array:
    """Sums of the other entries, (..., M), by partial sums from both ends: non-negative entries cannot cancel."""
    return _before(xp, values) + xp.flip(_before(xp, xp.flip(values, axis=-1)), axis=-1)


def _before(xp: Namespace, values: Array) -> Array:
    """Sums of the entries before each, (..., M)."""
    sums = xp.cumulative_sum(values, axis=-1)
    return xp.concat([xp.zeros_like(sums[..., :1]), sums[..., :-1]], axis=-1)


SPEC = Estimator(
    name="garl_weighted",
    function=garl_weighted,
    inputs="log_w",
    target="J_q with GARL's bias of O(1/M) (Thm 6.1); J_0 exactly at q = 0",
    paper="this project (QC-4), from Algorithm 1 and Prop 6.2",
    limits=(
        "Needs squared scores of the rationales; the trainer takes those at the logits, which stand for the "
        "parameters' only roughly. Too large by 1/(1 - q) where all good rationales share one score."
    ),
)
