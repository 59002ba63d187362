"""Moments of any estimator on any finite task, over any grid of q and M."""

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np

from qtheory._arrays import refuse
from qtheory.exact.paft import resampling_variance
from qtheory.exact.plugin import PlugIn, plug_in
from qtheory.exact.rewards import REWARDS, reward_moments
from qtheory.exact.rloo import baseline_variance
from qtheory.exact.transforms import Transforms
from qtheory.tasks.finite import FiniteTask

FORMS = ("plugin", "rloo", "paft", *REWARDS)
_CHUNK = 1_000_000  # numbers in one temporary array


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of a gradient estimate, which is to be descended; the leading axes are the grid's.

    Attributes:
        mean: (..., d).
        bias: (..., d) mean less grad l_q, computed as such and not as a difference of the two.
        variance: (...) trace of the covariance.
        second_moment: (...) E||estimate||^2.
    """

    mean: np.ndarray
    bias: np.ndarray
    variance: np.ndarray
    second_moment: np.ndarray


def moments(task: FiniteTask, q: Any, M: Any, form: str = "plugin", K: Any = None) -> Moments:
    """Exact moments of an estimator from M draws, without sampling, at a cost that does not grow with M.

    Forms on the likelihood weights: "plugin", gbar/wbar^q (Eq 9); "rloo", with the leave-one-out baseline (Alg. 1,
    Prop 6.2); "paft" (Alg. 2, Prop D.3, D.4). On 0/1 rewards of sampled answers: "grpo", "dr_grpo", "reward_rloo",
    "maxrl", "star", whose cost grows as sqrt(M) at most; q only says against which loss their bias is taken.

    In float64 means and biases are within 1e-12 of exact, relative to their norms, and variances within 1e-10 (1e-9 for
    "rloo"), for q in [0, 1], M up to 1e6, P down to 1e-12 and weights from 1e-300 to 1. A variance is not known better
    than to 1e-14 of the second moment ("rloo": and of the plug-in's variance, most of which the baseline takes away
    where weights are nearly equal), and a bias that vanishes to 1e-15 of grad l_q; so is any bias of a reward
    estimator but that against the loss which it descends.

    Args:
        task: The task.
        q: In [0, 1], a number or an array.
        M: Integers of at least 1, a number or an array that broadcasts with q.
        form: One of `FORMS`.
        K: Draws of PAFT, integers of at least 1 that broadcast with q; None for M.

    Returns:
        Moments over the broadcast shape of q, M and K.

    Raises:
        TypeError: q is no number, or M or K no integer.
        ValueError: q outside [0, 1]; M or K below 1, or K with another form than "paft"; shapes that do not
            broadcast; an unknown form; P = 0; "rloo" with E[prior_score] not 0 or weights spread over more than
            1e300; a reward form where a certain answer has a score.
    """
    if form not in FORMS:
        near = difflib.get_close_matches(str(form), FORMS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"valid are: {', '.join(FORMS)}"
        raise ValueError(f"unknown form {form!r}; {hint}")
    if K is not None and form != "paft":
        raise ValueError(f"K is {K!r} with form {form!r}: only 'paft' resamples; leave K out")
    order, size = _q(q), _counts("M", M)
    draws = size if K is None else _counts("K", K)
    try:
        order, size, draws = np.broadcast_arrays(order, size, draws)
    except ValueError:
        shapes = f"{order.shape}, {size.shape}" + ("" if K is None else f" and {draws.shape}")
        raise ValueError(f"q, M and K have shapes {shapes}: they must broadcast") from None
    cells = order.ravel(), size.ravel(), draws.ravel()
    value = _on_rewards(task, form, *cells[:2]) if form in REWARDS else _on_weights(task, form, *cells)
    dimension = task.prior_score.shape[1]
    return Moments(
        value.mean.reshape(*order.shape, dimension),
        value.bias.reshape(*order.shape, dimension),
        value.variance.reshape(order.shape),
        value.second.reshape(order.shape),
    )


def _on_weights(task: FiniteTask, form: str, q: np.ndarray, size: np.ndarray, draws: np.ndarray) -> PlugIn:
    """Moments (C, ...) of a form on likelihood weights."""
    if not len(q):
        return _empty(task)
    transforms = Transforms(task, size.astype(float))
    rows = max(1, _CHUNK // len(transforms.v))
    parts = [
        _chunk(transforms, form, *(a[start : start + rows].astype(float) for a in (q, size, draws)))
        for start in range(0, len(q), rows)
    ]
    return PlugIn(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _chunk(t: Transforms, form: str, q: np.ndarray, size: np.ndarray, draws: np.ndarray) -> PlugIn:
    value = plug_in(t, q, size)
    extra = np.zeros(len(q))
    if form == "rloo":
        extra = baseline_variance(t, q, size)
    elif form == "paft":
        extra = resampling_variance(t, q, size, draws)
    unit = np.exp((1 - q) * t.log_unit)
    vector, square = unit[:, None], unit**2
    return PlugIn(
        value.mean * vector,
        value.bias * vector,
        (value.second + extra) * square,
        (value.variance + extra) * square,
    )


def _on_rewards(task: FiniteTask, form: str, q: np.ndarray, size: np.ndarray) -> PlugIn:
    """Moments (C, ...) of a reward estimator."""
    if not len(q):
        return _empty(task)
    cells = [reward_moments(task, form, float(order), int(m)) for order, m in zip(q, size, strict=True)]
    return PlugIn(*(np.array(part) for part in zip(*cells, strict=True)))


def _empty(task: FiniteTask) -> PlugIn:
    vectors, numbers = np.zeros((0, task.prior_score.shape[1])), np.zeros(0)
    return PlugIn(vectors, vectors, numbers, numbers)


def _q(q: Any) -> np.ndarray:
    try:
        value = np.asarray(q, dtype=float)
    except (TypeError, ValueError):
        value = None
    if value is None or isinstance(q, (bool, str)):
        raise TypeError(f"q is {q!r:.60}: pass a number or an array of numbers in [0, 1]")
    refuse(np, "q", value, ~((value >= 0) & (value <= 1)), "q must lie in [0, 1]")
    return value


def _counts(name: str, value: Any) -> np.ndarray:
    counts = np.asarray(value)
    if counts.dtype.kind not in "iu":
        raise TypeError(f"{name} is {value!r:.60}: pass an integer or an array of integers of at least 1")
    refuse(np, name, counts, counts < 1, "at least one draw is needed")
    return counts
