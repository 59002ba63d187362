"""Exact moments of the estimators on a finite task, over grids of q and M."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from qtheory._arrays import refuse, shown
from qtheory._numbers import numbers, order
from qtheory.exact.delta import delta_moments
from qtheory.exact.inputs import cells, counts, finite_task, known_form
from qtheory.exact.jackknife import jackknife_moments
from qtheory.exact.paft import resampling_variance
from qtheory.exact.plugin import PlugIn, plug_in, plug_in_mean
from qtheory.exact.rewards import REWARDS, reward_moments
from qtheory.exact.rloo import baseline_products
from qtheory.exact.transforms import Transforms
from qtheory.exact.u_series import u_series_moments
from qtheory.models.finite import FiniteTask

FORMS = ("plugin", "rloo", "paft", "jackknife", "delta", "u_series", *REWARDS)
_CHUNK = 1_000_000  # numbers in one temporary array


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of a gradient estimate, which is to be descended; the leading axes are the grid's.

    Attributes:
        mean: (..., d).
        bias: (..., d) mean less grad l_q, computed directly and not as a difference of the two.
        variance: (...) trace of the covariance.
        second_moment: (...) E||estimate||^2.
    """

    mean: np.ndarray
    bias: np.ndarray
    variance: np.ndarray
    second_moment: np.ndarray


def moments(task: FiniteTask, q: Any, M: Any, form: str = "plugin", K: Any = None, multiplier: Any = None) -> Moments:
    """Exact moments of an estimator from M draws, without sampling, at a cost that does not grow with M.

    Forms on the likelihood weights: "plugin", gbar/wbar^q (Eq 9); "rloo", with the leave-one-out baseline (Alg. 1,
    Prop 6.2); "paft" (Alg. 2, Prop D.3, D.4); and without a baseline "jackknife" and "delta" (QC-2) and "u_series"
    (QC-3), the last at a cost of M^2 for M up to 4096. On 0/1 rewards of sampled answers: "grpo", "dr_grpo",
    "reward_rloo", "maxrl", "star", whose cost grows as sqrt(M) at most; q only selects the loss of their bias.

    In float64 means and biases are within 1e-12 of exact, relative to their norms, and variances within 1e-10 (1e-9 for
    "rloo"), for q in [0, 1], M up to 1e6, P down to 1e-12 and weights from 1e-300 to 1. A variance is not known better
    than to 1e-14 of the second moment ("delta": 4e-14; "rloo": and of the plug-in's variance, most of which the
    baseline takes away where weights are nearly equal). At q = 1, where nearly all pools may give one estimate, that of
    "plugin" and "paft" is known to 1e-30 of it. A mean whose terms cancel is known to 1e-15 of E[w ||f||]/P^q, f the
    joint score, and a bias that vanishes to 1e-15 of grad l_q, as is any bias of a reward estimator against a loss that
    it does not descend. The biases of "jackknife" and "delta", a small remainder of the plug-in's, are known to
    1e-12 of that, or to 1e-14/M of grad l_q if this is more.

    Args:
        task: The task.
        q: In [0, 1], a number or an array.
        M: Integers of at least 1, a number or an array that broadcasts with q.
        form: One of `FORMS`.
        K: Draws of PAFT, integers of at least 1 that broadcast with q; None for M.
        multiplier: Factor of the baseline of "rloo", finite, a number or an array that broadcasts with q;
            None for 1. `baseline_multiplier` gives the best one.

    Returns:
        Moments over the broadcast shape of q, M and K or the multiplier.

    Raises:
        TypeError: task is no FiniteTask, q or the multiplier no number, or M or K no integer.
        ValueError: q outside [0, 1]; M or K below 1, or K with another form than "paft"; a multiplier that is not
            finite or with another form than "rloo"; shapes that do not broadcast; an unknown form; P = 0; "rloo" with
            E[prior_score] not 0 or weights spread over more than 1e300; "u_series" with M above 4096; a reward form
            on a task in which a certain answer has a score.
    """
    known_form(form, FORMS)
    if K is not None and form != "paft":
        raise ValueError(f"K is {shown(K)} with form {form!r}: only 'paft' resamples; leave K out")
    if multiplier is not None and form != "rloo":
        raise ValueError(
            f"multiplier is {shown(multiplier)} with form {form!r}: only 'rloo' has a baseline; leave it out"
        )
    finite_task("task", task)
    grid = {"q": order(q), "M": counts("M", M)}
    if form == "paft" and K is not None:
        grid["K"] = counts("K", K)
    if multiplier is not None:
        grid["multiplier"] = _multiplier(multiplier)
    shape, (orders, size, *extras) = cells(**grid)
    if form in REWARDS:
        value = _on_rewards(task, form, orders, size)
    else:
        extra = extras[0] if extras else size if form == "paft" else np.ones(len(size))
        value = _on_weights(task, form, orders, size, extra)
    vectors = (*shape, task.prior_score.shape[1])
    return Moments(
        value.mean.reshape(vectors),
        value.bias.reshape(vectors),
        value.variance.reshape(shape),
        value.second.reshape(shape),
    )


def moments_of_tasks(
    tasks: Sequence[FiniteTask], q: Any, M: Any, form: str = "plugin", K: Any = None, multiplier: Any = None
) -> Moments:
    """`moments` of several tasks with the same number of parameters, in a leading axis.

    Tasks may differ in their rationales. They are computed one by one: work is shared only over the grid of q and M of
    one task, as lattices and transforms differ between tasks.

    Args:
        tasks: At least one task.
        q: As in `moments`, for every task.
        M: As in `moments`, for every task.
        form: As in `moments`, for every task.
        K: As in `moments`, for every task.
        multiplier: As in `moments`, for every task.

    Returns:
        Moments with a leading axis of the tasks.

    Raises:
        TypeError: As `moments`.
        ValueError: As `moments`, no tasks, or tasks that differ in their number of parameters.
    """
    if isinstance(tasks, str) or not isinstance(tasks, Sequence):
        raise TypeError(f"tasks is {shown(tasks)}, a {type(tasks).__name__}: pass a list of tasks")
    if not tasks:
        raise ValueError("tasks is empty: pass at least one task")
    dimensions = [finite_task(f"tasks[{i}]", task).prior_score.shape[1] for i, task in enumerate(tasks)]
    for i, dimension in enumerate(dimensions):
        if dimension != dimensions[0]:
            raise ValueError(
                f"tasks[{i}] has {dimension} parameters and tasks[0] {dimensions[0]}: pass tasks of equally many"
            )
    results = [moments(task, q, M, form, K, multiplier) for task in tasks]
    return Moments(*(np.stack([getattr(result, field.name) for result in results]) for field in fields(Moments)))


def mean(task: FiniteTask, q: Any, M: Any) -> np.ndarray:
    """The common mean of "plugin", "rloo" and "paft" without the other moments, for large grids.

    Args:
        task: The task.
        q: In [0, 1], a number or an array.
        M: Integers of at least 1, a number or an array that broadcasts with q.

    Returns:
        (..., d) over the broadcast shape of q and M, as accurate as the mean of `moments`.

    Raises:
        TypeError: As `moments`.
        ValueError: As `moments`.
    """
    shape, (orders, size) = cells(q=order(q), M=counts("M", M))
    value = np.zeros((len(orders), finite_task("task", task).prior_score.shape[1]))
    if len(orders):
        t = Transforms(task, size.astype(float))
        rows = max(1, _CHUNK // len(t.v))
        for start in range(0, len(orders), rows):
            part = slice(start, start + rows)
            value[part] = plug_in_mean(t, orders[part], size[part].astype(float))
        value *= np.exp((1 - orders) * t.log_unit)[:, None]
    return value.reshape(*shape, value.shape[1])


def baseline_multiplier(task: FiniteTask, q: Any, M: Any) -> np.ndarray:
    """The multiplier of the leave-one-out baseline that minimises the variance of "rloo" (QC-4).

    It is -E<plug-in, B>/E||B||^2 for the baseline term B, as accurate as the variance of "rloo". If it is above
    1 the baseline is too small, if below 1 too large, and if below 0 it has the wrong sign.

    Args:
        task: The task.
        q: In [0, 1], a number or an array.
        M: Integers of at least 1, a number or an array that broadcasts with q.

    Returns:
        (...) over the broadcast shape of q and M; 0 if B is 0 in every pool, as at M = 1.

    Raises:
        TypeError: As `moments`.
        ValueError: As `moments` with "rloo".
    """
    shape, (orders, size) = cells(q=order(q), M=counts("M", M))
    finite_task("task", task)
    if not len(orders):
        return np.zeros(shape)
    t = Transforms(task, size.astype(float))
    product, square = baseline_products(t, orders, size.astype(float))
    return np.where(square > 0, -product / np.where(square > 0, square, 1.0), 0.0).reshape(shape)


def _on_weights(task: FiniteTask, form: str, q: np.ndarray, size: np.ndarray, extra: np.ndarray) -> PlugIn:
    """Moments (C, ...) of a form on likelihood weights; `extra` (C,) is PAFT's K or the baseline's multiplier."""
    if not len(q):
        return _empty(task)
    if form == "u_series":
        return u_series_moments(task, q, size)
    transforms = Transforms(task, size.astype(float))
    rows = max(1, _CHUNK // len(transforms.v))
    parts = [
        _chunk(transforms, form, *(a[start : start + rows].astype(float) for a in (q, size, extra)))
        for start in range(0, len(q), rows)
    ]
    return PlugIn(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _chunk(t: Transforms, form: str, q: np.ndarray, size: np.ndarray, extra: np.ndarray) -> PlugIn:
    value = plug_in(t, q, size)
    if form == "jackknife":
        value = jackknife_moments(t, value, q, size)
    elif form == "delta":
        value = delta_moments(t, value, q, size)
    elif form != "plugin":
        if form == "rloo":
            product, square = baseline_products(t, q, size)
            added = extra * (2 * product + extra * square)
        else:
            added = resampling_variance(t, q, size, extra)
        value = PlugIn(value.mean, value.bias, value.second + added, value.variance + added)
    unit = np.exp((1 - q) * t.log_unit)
    vector, square = unit[:, None], unit**2
    return PlugIn(value.mean * vector, value.bias * vector, value.second * square, value.variance * square)


def _on_rewards(task: FiniteTask, form: str, q: np.ndarray, size: np.ndarray) -> PlugIn:
    """Moments (C, ...) of a reward estimator."""
    if not len(q):
        return _empty(task)
    values = [reward_moments(task, form, float(cell_q), int(m)) for cell_q, m in zip(q, size, strict=True)]
    return PlugIn(*(np.array(part) for part in zip(*values, strict=True)))


def _empty(task: FiniteTask) -> PlugIn:
    vectors, scalars = np.zeros((0, task.prior_score.shape[1])), np.zeros(0)
    return PlugIn(vectors, vectors, scalars, scalars)


def _multiplier(multiplier: Any) -> np.ndarray:
    value = numbers("multiplier", multiplier, "a number or an array of numbers")
    refuse(np, "multiplier", value, ~np.isfinite(value), "a multiplier must be finite")
    return value
