"""The q-logarithm and its relatives, from P or from log P, for numpy, torch and any array-API array.

Every function takes q in [0, 1] and broadcasts it against its first argument. Either may be a plain number;
the result has the library, dtype and device of the first argument (of q where that one is a number). Torch
tensors must not require grad.

In float64 the values are within 1e-14 relative of the exact function of the floats that were passed, for P
down to the smallest normal number and log P down to -10000 and beyond, on both sides of q = 1 and at it. Two
are ill-conditioned as values, `exp_q` and `escort`: there the logarithm of the value is within 1e-14
relative, so that the value is within 1e-14 max(1, |log value|).

Where an exponent would round, it is held as the exact sum of two floats (`qtheory._exact`).
"""

import math

from qtheory import _exact
from qtheory._arrays import Array, Namespace, broadcast_pair, refuse

_PROBABILITY = "a probability must lie in [0, 1]"
_LOG_PROBABILITY = "a log-probability must be at most 0"


def log_q(p: Array | float, q: Array | float) -> Array:
    """The q-logarithm log_q P = (P^(1-q) - 1)/(1-q), log P at q = 1 (Eq 1).

    Args:
        p: Probabilities P in [0, 1], any shape. P = 0 gives the limit: -1/(1-q), and -inf at q = 1.
        q: In [0, 1], broadcastable with p.

    Returns:
        Values in [-1/(1-q), 0], broadcast shape.

    Raises:
        TypeError: An argument is no number and no float32 or float64 array.
        ValueError: P or q outside [0, 1] or NaN.
    """
    xp, p, q = _probability("p", p, q)
    return _log_q(xp, _log(xp, p), q)


def log_q_from_log(log_p: Array | float, q: Array | float) -> Array:
    """`log_q` as a function of log P.

    Args:
        log_p: log P in nats, at most 0; -inf stands for P = 0. Any shape.
        q: In [0, 1], broadcastable with log_p.

    Returns:
        Values in [-1/(1-q), 0], broadcast shape.

    Raises:
        TypeError: An argument is no number and no float32 or float64 array.
        ValueError: log P positive or NaN, or q outside [0, 1] or NaN.
    """
    return _log_q(*_log_probability("log_p", log_p, q))


def loss(p: Array | float, q: Array | float) -> Array:
    """The per-example loss l_q = -log_q P (Eq 1-3): 1 - P at q = 0, -log P at q = 1.

    Args:
        p: Probabilities P in [0, 1], any shape. P = 0 gives 1/(1-q), and inf at q = 1.
        q: In [0, 1], broadcastable with p.

    Returns:
        Losses, non-negative, broadcast shape.

    Raises:
        TypeError: An argument is no number and no float32 or float64 array.
        ValueError: P or q outside [0, 1] or NaN.
    """
    return 0 - log_q(p, q)


def loss_from_log(log_p: Array | float, q: Array | float) -> Array:
    """`loss` as a function of log P; arguments and errors as `log_q_from_log`."""
    return 0 - log_q_from_log(log_p, q)


def exp_q(x: Array | float, q: Array | float) -> Array:
    """The q-exponential, inverse of `log_q`: [1 + (1-q) x]^(1/(1-q)), e^x at q = 1, cut off at 0.

    Args:
        x: At most 0, the range of log_q; any shape. At and below -1/(1-q) the value is 0.
        q: In [0, 1], broadcastable with x.

    Returns:
        Probabilities in [0, 1], broadcast shape, within 1e-14 max(1, |log value|) relative.

    Raises:
        TypeError: An argument is no number and no float32 or float64 array.
        ValueError: x positive or NaN, or q outside [0, 1] or NaN.
    """
    xp, x, q = _q_log(x, q)
    return xp.exp(_log_exp_q(xp, x, q))


def log_exp_q(x: Array | float, q: Array | float) -> Array:
    """The logarithm of `exp_q`, which reaches below the smallest float; arguments and errors as `exp_q`.

    Returns:
        Log-probabilities in nats, -inf at and below the cut-off x = -1/(1-q); broadcast shape, 1e-14
        relative.
    """
    return _log_exp_q(*_q_log(x, q))


def amplification(p: Array | float, q: Array | float) -> Array:
    """The factor P^-q of grad l_q over grad l_0 (Prop 4.1).

    Args:
        p: Probabilities P in [0, 1], any shape. P = 0 gives inf for q > 0, and 0^0 = 1.
        q: In [0, 1], broadcastable with p.

    Returns:
        Factors of at least 1, broadcast shape; inf if the factor exceeds the largest float.

    Raises:
        TypeError: An argument is no number and no float32 or float64 array.
        ValueError: P or q outside [0, 1] or NaN.
    """
    xp, p, q = _probability("p", p, q)
    positive = p > 0
    root = xp.where(positive, p, xp.ones_like(p)) ** (-q / 2)
    return xp.where(positive | (q == 0), _square(xp, root), xp.full_like(root, math.inf))


def amplification_from_log(log_p: Array | float, q: Array | float) -> Array:
    """`amplification` as a function of log P; arguments and errors as `log_q_from_log`."""
    xp, log_p, q = _log_probability("log_p", log_p, q)
    positive = log_p > -math.inf
    exponent = _exact.two_product(xp, -q / 2, xp.where(positive, log_p, xp.zeros_like(log_p)))
    limit = math.log(xp.finfo(exponent.high.dtype).max) / 2
    high = xp.where(exponent.high < limit, exponent.high, xp.full_like(exponent.high, limit))
    root = _exact.exp(xp, _exact.Pair(high, exponent.low))
    return xp.where((positive | (q == 0)) & (exponent.high < limit), _square(xp, root), xp.full_like(root, math.inf))


def attenuation(p: Array | float, q: Array | float) -> Array:
    """The factor P^(1-q) of grad l_q over grad l_1 (Prop 4.1).

    Args:
        p: Probabilities P in [0, 1], any shape. P = 0 gives 0 for q < 1, and 0^0 = 1 at q = 1.
        q: In [0, 1], broadcastable with p.

    Returns:
        Factors in [0, 1], broadcast shape.

    Raises:
        TypeError: An argument is no number and no float32 or float64 array.
        ValueError: P or q outside [0, 1] or NaN.
    """
    xp, p, q = _probability("p", p, q)
    power = _exact.one_minus(q)
    # P^(high + low) = P^high (1 + low log P); low is 0 or below the rounding of 1 - q.
    log_p = xp.log(xp.where(p > 0, p, xp.ones_like(p)))
    return p**power.high * (1 + power.low * log_p)


def attenuation_from_log(log_p: Array | float, q: Array | float) -> Array:
    """`attenuation` as a function of log P; arguments and errors as `log_q_from_log`."""
    xp, log_p, q = _log_probability("log_p", log_p, q)
    return power_from_log(xp, _exact.Pair(log_p, xp.zeros_like(log_p)), q)


def power_from_log(xp: Namespace, log_p: _exact.Pair, q: Array, log_factor: Array | None = None) -> Array:
    """P^(1-q) from log P as a pair, unchecked: the estimators' form of `attenuation_from_log`.

    Args:
        xp: The arrays' namespace.
        log_p: log P = high + low in nats, high -inf for P = 0 (then 0 for q < 1, and 0^0 = 1 at q = 1).
        q: In [0, 1], broadcastable with log_p.
        log_factor: Log of a factor on the power, of the shape of log_p, -inf for 0; None for 1. The product is a float
            where its two factors alone need not be.

    Returns:
        Factors, broadcast shape.
    """
    positive = log_p.high > -math.inf
    finite = _exact.Pair(xp.where(positive, log_p.high, xp.zeros_like(log_p.high)), log_p.low)
    exponent = _exact.product(xp, _exact.one_minus(q), finite)
    there = positive | (q == 1)
    if log_factor is not None:
        there = there & (log_factor > -math.inf)
        total = _exact.two_sum(exponent.high, xp.where(there, log_factor, xp.zeros_like(log_factor)))
        exponent = _exact.Pair(total.high, total.low + exponent.low)
    value = _exact.exp(xp, exponent)
    return xp.where(there, value, xp.zeros_like(value))


def escort(a: Array, q: Array | float) -> Array:
    """The escort distribution t_j ∝ a_j^(1/q), minimiser of sum_j a_j (-log_q t_j) (Thm 3.1).

    Args:
        a: (..., J) non-negative weights of at most 1, one of each row positive; their sum need not be 1.
        q: In [0, 1], of any shape that broadcasts with a's batch shape (...). q = 0 gives the limit of q ->
            0, uniform over the modes, which is one of the minimisers there.

    Returns:
        (..., J) probabilities t, within 1e-14 max(1, |log t|) relative.

    Raises:
        TypeError: An argument is no float32 or float64 array (q may be a number).
        ValueError: a or q outside [0, 1] or NaN, J = 0, 0-d a, or a row of zeros.
    """
    xp, a, q = _probability("a", a, q, rows=True)
    top = _mode(xp, "a", a, 0.0)
    # Near the mode a - top is exact and log1p keeps its relative precision; far from it the quotient does.
    near = a > top / 2
    quotient = xp.where(near | (a == 0), xp.ones_like(a), a / top)
    distance = xp.where(near, xp.log1p(xp.where(near, (a - top) / top, xp.zeros_like(a))), xp.log(quotient))
    return _escort(xp, xp.where(a > 0, distance, xp.full_like(a, -math.inf)), q)


def escort_from_log(log_a: Array, q: Array | float) -> Array:
    """`escort` as a function of log a, (..., J) at most 0 in nats, -inf for weight 0; errors as `escort`."""
    xp, log_a, q = _log_probability("log_a", log_a, q, rows=True)
    top = _mode(xp, "log_a", log_a, -math.inf)
    return _escort(xp, log_a - top, q)


def _probability(
    name: str, p: Array | float, q: Array | float, *, rows: bool = False
) -> tuple[Namespace, Array, Array]:
    xp, p, q = broadcast_pair(name, p, q, rows=rows)
    refuse(xp, name, p, ~((p >= 0) & (p <= 1)), _PROBABILITY)
    return xp, p, q


def _log_probability(
    name: str, log_p: Array | float, q: Array | float, *, rows: bool = False
) -> tuple[Namespace, Array, Array]:
    xp, log_p, q = broadcast_pair(name, log_p, q, rows=rows)
    refuse(xp, name, log_p, ~(log_p <= 0), _LOG_PROBABILITY)
    return xp, log_p, q


def _q_log(x: Array | float, q: Array | float) -> tuple[Namespace, Array, Array]:
    xp, x, q = broadcast_pair("x", x, q)
    refuse(xp, "x", x, ~(x <= 0), "log_q of a probability is at most 0")
    return xp, x, q


def _log(xp: Namespace, p: Array) -> Array:
    positive = p > 0
    return xp.where(positive, xp.log(xp.where(positive, p, xp.ones_like(p))), xp.full_like(p, -math.inf))


def _log_q(xp: Namespace, log_p: Array, q: Array) -> Array:
    rate = 1 - q
    positive = log_p > -math.inf
    finite = xp.where(positive, log_p, xp.zeros_like(log_p))
    # expm1(a l)/a = l expm1(a l)/(a l): no branch at q = 1, and the rounding of a l is benign in expm1 for l
    # <= 0.
    x = rate * finite
    value = finite * _ratio(xp, xp.expm1(x), x)
    at_zero = xp.where(rate > 0, -1 / xp.where(rate > 0, rate, xp.ones_like(rate)), xp.full_like(rate, -math.inf))
    return xp.where(positive, value, at_zero)


def _log_exp_q(xp: Namespace, x: Array, q: Array) -> Array:
    rate = _exact.one_minus(q)
    bounded = x > -math.inf
    finite = xp.where(bounded, x, xp.zeros_like(x))
    shift = _exact.product(xp, rate, _exact.Pair(finite, xp.zeros_like(finite)))
    # Near the cut-off 1 + (1-q) x cancels, so it is summed without rounding; near 0 log1p keeps small shifts.
    base = _exact.two_sum(xp.ones_like(shift.high), shift.high)
    argument = base.high + (base.low + shift.low)
    near = shift.high > -0.5
    inside = bounded & (argument > 0)
    far_log = xp.log(xp.where(inside, argument, xp.ones_like(argument)))
    near_shift = xp.where(near, shift.high, xp.zeros_like(shift.high))
    near_log = finite * _ratio(xp, xp.log1p(near_shift), near_shift)
    safe_rate = xp.where(near, xp.ones_like(near_shift), rate.high)
    value = xp.where(near, near_log, far_log / safe_rate)
    return xp.where(inside, value, xp.full_like(value, -math.inf))


def _ratio(xp: Namespace, y: Array, x: Array) -> Array:
    """y/x, with its limit 1 at x = 0."""
    nonzero = x != 0
    return xp.where(nonzero, y / xp.where(nonzero, x, xp.ones_like(x)), xp.ones_like(x))


def _square(xp: Namespace, root: Array) -> Array:
    """root^2, inf without an overflow warning where it exceeds the largest float."""
    fits = root < 2.0 ** (round(math.log2(xp.finfo(root.dtype).max)) / 2)
    return xp.where(fits, xp.where(fits, root, xp.ones_like(root)) ** 2, xp.full_like(root, math.inf))


def _mode(xp: Namespace, name: str, weights: Array, nothing: float) -> Array:
    """The largest weight of each row, (..., 1), where `nothing` stands for weight 0."""
    if weights.ndim == 0 or weights.shape[-1] == 0:
        raise ValueError(f"{name} has shape {tuple(weights.shape)}: at least one weight is needed on the last axis")
    top = xp.max(weights, axis=-1, keepdims=True)
    refuse(xp, f"max({name})", top, top == nothing, "one weight of each row must be positive")
    return top


def _escort(xp: Namespace, distance: Array, q: Array) -> Array:
    """Normalised exp(distance / q), with distance (..., J) = log(a / max a) and q of the batch's shape."""
    q = q[..., None]
    underflow = -2 * math.log(xp.finfo(distance.dtype).max)  # exp of it is 0
    visible = distance > underflow * q
    relevant = (distance == 0) | visible
    weights = xp.exp(xp.where(relevant, distance, xp.zeros_like(distance)) / xp.where(q > 0, q, xp.ones_like(q)))
    weights = xp.where(relevant, weights, xp.zeros_like(weights))
    return weights / xp.sum(weights, axis=-1, keepdims=True)
