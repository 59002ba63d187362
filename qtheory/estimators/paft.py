"""PAFT: fine-tuning on rationales resampled from the pool's posterior (Algorithm 2)."""

import math

import numpy as np

from qtheory._arrays import Array, device, refuse, to_numpy
from qtheory._numbers import flag
from qtheory.estimators.checks import beside, draws, generator, log_weights, q_per_pool
from qtheory.estimators.coefficients import Coefficients, shared
from qtheory.estimators.pool import mean_power, pool
from qtheory.estimators.reweight import log_ratios, reweighted
from qtheory.estimators.spec import Estimator


def paft(
    log_w: Array,
    q: float | Array,
    *,
    k: int | None = None,
    rng: np.random.Generator,
    normalize: bool = False,
    log_ratio: Array | None = None,
) -> Coefficients:
    """Coefficients wbar^(1-q) n_m M/K on rationales and answers alike, n_m the counts of K draws (Alg. 2).

    Given the pool, the expectation over the draws is GARL without baseline (Prop D.3). A pool whose log_w
    are all -inf gives zeros. With log_ratio the weights are (pi/mu) w, as in `garl`.

    Args:
        log_w: (..., M) log p(y*|x, z_m) in nats, at most 0, detached; -inf for an impossible answer.
        q: In [0, 1]; a number, or an array broadcastable to log_w.shape[:-1] with one q a pool.
        k: The number K of draws; None, as in the paper, for K = M.
        rng: Source of the draws, a numpy generator for every array library; used as `resample` says.
        normalize: Divide by M^q, a learning rate that depends on q and not on the pool.
        log_ratio: (..., M) log pi(z_m|x)/mu(z_m|x) of rationales drawn from mu, as for `garl`; None for mu = pi.

    Returns:
        Coefficients (..., M), rationale and answer equal.

    Raises:
        TypeError: log_w, q or log_ratio of a wrong type, or no float32 or float64; log_ratio of another library than
            log_w; k no integer; rng missing or no Generator; normalize neither True nor False.
        ValueError: log_w 0-d, with M = 0, positive or NaN; q outside [0, 1] or NaN or of a wrong shape; k <
            1; log_ratio of another shape, +inf or NaN.
    """
    xp, checked = log_weights(log_w)
    q_per_pool(xp, q, checked)
    flag("normalize", normalize)
    counts = resample(log_w, k, rng, log_ratio=log_ratio)
    return paft_from_counts(log_w, q, counts, normalize=normalize, log_ratio=log_ratio)


def resample(log_w: Array, k: int | None, rng: np.random.Generator, *, log_ratio: Array | None = None) -> Array:
    """Draw K indices of each pool with probability w_m / sum w and count them.

    K uniforms a pool, one pool after another in C order, are inverted through the float64 cumulative
    weights, so that a stack of pools draws what its pools in turn would, and a weight of 0 is never drawn.

    Args:
        log_w: (..., M) log-weights in nats, as for `paft`.
        k: K, None for M.
        rng: The generator; it advances by K uniforms a pool, possible or not.
        log_ratio: As for `paft`.

    Returns:
        Counts n (..., M) in the dtype of log_w, summing to K; zeros for a pool whose log_w are all -inf.

    Raises:
        TypeError: log_w, log_ratio or k of a wrong type, or rng no Generator.
        ValueError: log_w 0-d, with M = 0, positive or NaN; k < 1; log_ratio of another shape, +inf or NaN.
    """
    xp, log_w = log_weights(log_w)
    size = log_w.shape[-1]
    k, rng = draws(k, size), generator(rng)
    weights = reweighted(xp, log_w, 1.0, log_ratios(xp, log_ratio, log_w))
    rows = to_numpy(weights.high).astype(np.float64).reshape(-1, size)
    counts = np.stack([_counts(row, rng.random(k)) for row in rows]) if len(rows) else np.zeros(rows.shape)
    return xp.asarray(counts.reshape(log_w.shape), dtype=log_w.dtype, device=device(log_w))


def paft_from_counts(
    log_w: Array, q: float | Array, counts: Array, *, normalize: bool = False, log_ratio: Array | None = None
) -> Coefficients:
    """`paft` for given counts.

    Args:
        log_w: (..., M) log-weights in nats, as for `paft`.
        q: As for `paft`.
        counts: (..., M), how often each sample was drawn; K is their sum.
        normalize: As for `paft`.
        log_ratio: As for `paft`.

    Returns:
        Coefficients (..., M).

    Raises:
        TypeError: An argument of a wrong type, or no float32 or float64; counts or log_ratio of another library than
            log_w.
        ValueError: As `paft`; counts of another shape than log_w, negative or not finite.
    """
    xp, log_w = log_weights(log_w)
    q = q_per_pool(xp, q, log_w)
    _, counts = beside(log_w, "counts", counts)
    normalize = flag("normalize", normalize)
    if counts.shape != log_w.shape:
        raise ValueError(f"counts has shape {tuple(counts.shape)}: it must be log_w's, {tuple(log_w.shape)}")
    refuse(
        xp,
        "counts",
        counts,
        ~((counts >= 0) & (counts < math.inf)),
        "a count must be finite and at least 0",
    )
    size = log_w.shape[-1]
    drawn = xp.sum(counts, axis=-1, keepdims=True)
    share = counts / xp.where(drawn > 0, drawn, xp.ones_like(drawn))
    weights = reweighted(xp, log_w, 1.0, log_ratios(xp, log_ratio, log_w))
    value = mean_power(xp, pool(xp, *weights), q) * size * share
    return shared(xp, value * xp.full_like(q, size) ** -q if normalize else value)


def _counts(log_w: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Counts (M,) of inverse-CDF draws from log_w (M,), one for each of the uniforms (K,) in [0, 1)."""
    top = log_w.max()
    if top == -np.inf:
        return np.zeros(len(log_w))
    cumulative = np.cumsum(np.exp(log_w - top))
    # u <= 1 - 2^-53 keeps u * total below total after rounding too, so that no point lies beyond the last weight.
    points = uniforms * cumulative[-1]
    return np.bincount(np.searchsorted(cumulative, points, side="right"), minlength=len(log_w))


SPEC = Estimator(
    name="paft",
    function=paft,
    inputs="log_w",
    target="J_q with GARL's bias of O(1/M) (Prop D.3)",
    paper="Algorithm 2, Prop D.3, D.4",
    limits=(
        "Its variance is at least that of GARL without baseline (Prop D.4), with no baseline to lower it. "
        "With K = M draws a pool dominated by one weight trains on one rationale."
    ),
)
