"""The estimators at finite M on tempered weights (QC-12) and on draws from another distribution (QC-13).

Rationales come from mu, and their weights are v = (pi/mu) w^alpha. Every form here is a function of the pool's v and
f alone, of degree 1 - q in v: its moments are those of a finite task with the prior mu and the weights v e^-c, times
powers of e^c. c is what brings the largest v to 1.
"""

from typing import Any

import numpy as np
from scipy.optimize import fminbound
from scipy.special import logsumexp

from qtheory._arrays import refuse
from qtheory._numbers import flag, numbers
from qtheory.estimators.reweight import known_alpha
from qtheory.exact.inputs import counts, finite_task, known_form
from qtheory.exact.moments import Moments, moments
from qtheory.models.finite import FiniteTask

REWEIGHTED = ("plugin", "rloo", "paft", "jackknife", "delta")
_GRID = np.linspace(0.0, 1.0, 41)[1:]


def reweighted_moments(
    task: FiniteTask,
    q: Any,
    M: Any,
    form: str = "plugin",
    *,
    alpha: float = 1.0,
    log_mu: Any = None,
    multiplier: Any = None,
) -> Moments:
    """`moments` with the weights (pi/mu) w^alpha of rationales drawn from mu, against the same gradient of l_q.

    "rloo" has the ratio in its baseline, (pi/mu)_m vbar_(-m)^(1-q), as `garl` with log_ratio: its mean is the
    plug-in's. Where mu leaves rationales out, as top-p does, every form estimates the gradient of l_q at the success
    P_S = sum of pi w over mu's support; the bias here is that against l_q at P all the same.

    Accuracies are those of `moments` relative to the reweighted task; the bias is a difference of two gradients where
    alpha < 1 or mu leaves something out, and known to 1e-12 of the larger one.

    Args:
        task: The task; its prior is pi.
        q: In [0, 1], a number or an array.
        M: Integers of at least 1, a number or an array that broadcasts with q.
        form: "plugin", "rloo", "paft" (K = M), or without a baseline "jackknife" or "delta".
        alpha: The power of the weights, in (0, 1].
        log_mu: (Z,) log mu(z|x) in nats, normalised to 1e-12, -inf for what mu never draws; None for mu = pi.
        multiplier: As `moments`.

    Returns:
        Moments over the broadcast shape of q, M and the multiplier.

    Raises:
        TypeError: As `moments`; alpha no number, or log_mu no array of numbers.
        ValueError: As `moments`; a form that is no function of the weights alone; alpha out of range; log_mu of a wrong
            shape, not normalised or above 0; no possible rationale in mu's support; "rloo" where mu leaves out what pi
            can draw.
    """
    known_form(form, REWEIGHTED)
    inner, scale, whole = _reweighted(finite_task("task", task), alpha, log_mu, form == "rloo")
    value = moments(inner, q, M, form, None, multiplier)
    orders = np.broadcast_to(q, value.variance.shape)
    unit = np.exp((1 - orders) * scale)
    bias = unit[..., None] * value.bias
    if not whole:
        aims = [np.exp((1 - order) * scale) * inner.gradient(order) - task.gradient(order) for order in orders.ravel()]
        bias = bias + np.reshape(aims, bias.shape)
    return Moments(unit[..., None] * value.mean, bias, unit**2 * value.variance, unit**2 * value.second_moment)


def best_alpha(task: FiniteTask, M: Any, *, rescaled: bool = False) -> np.ndarray:
    """The power alpha of the weights whose plug-in at q = 1 has the least mean squared error (QC-12).

    At q = 1 the estimate is a mean of scores, whose length does not depend on that of the weights. Found on a grid of
    40 powers and refined to 1e-6.

    Args:
        task: The task.
        M: Integers of at least 1, a number or an array.
        rescaled: Whether every power has the multiple of its estimate that has the least error, a learning rate of its
            own, so that the direction alone counts (QC-5).

    Returns:
        Powers in (0, 1] of the shape of M.

    Raises:
        TypeError: As `moments`, or rescaled neither True nor False.
        ValueError: As `moments`, or a gradient of 0.
    """
    finite_task("task", task)
    if not np.any(task.score):
        raise ValueError("grad log P is 0: no power of the weights estimates it best; pass a task with a score")
    size, direction = counts("M", M), flag("rescaled", rescaled)
    return np.reshape([_best(task, int(draws), direction) for draws in size.ravel()], size.shape)


def _best(task: FiniteTask, size: int, direction: bool) -> float:
    errors = [_error(task, size, direction, float(alpha)) for alpha in _GRID]
    at = int(np.argmin(errors))
    low, high = float(_GRID[max(at - 1, 0)]) if at else 1e-6, float(_GRID[min(at + 1, len(_GRID) - 1)])
    best = float(np.asarray(fminbound(lambda alpha: _error(task, size, direction, alpha), low, high, xtol=1e-7)))
    # A bounded search never tries its ends.
    return 1.0 if high == 1 and errors[-1] <= _error(task, size, direction, best) else best


def _error(task: FiniteTask, size: int, direction: bool, alpha: float) -> float:
    """Mean squared error at q = 1; of the direction alone, less the squared length that the best multiple explains."""
    value = reweighted_moments(task, 1.0, size, alpha=alpha)
    if direction:
        return -float((value.mean @ task.score) ** 2 / value.second_moment)
    return float(np.sum(value.bias**2) + value.variance)


def _reweighted(task: FiniteTask, alpha: Any, log_mu: Any, baseline: bool) -> tuple[FiniteTask, float, bool]:
    """The task whose moments serve, the log c of its unit, and whether its gradient is still the task's own."""
    power = known_alpha(alpha)
    drawn = task.log_prior if log_mu is None else _log_mu(log_mu, task)
    support = drawn > -np.inf
    if baseline and not support.all():
        z = int(np.argmin(support))
        raise ValueError(
            f"log_mu[{z}] is -inf: the baseline's mean is 0 only where mu can draw all that the model can (QC-13); "
            "use form 'plugin'"
        )
    drawn, log_ratio = drawn[support], (task.log_prior - drawn)[support] if log_mu is not None else 0.0
    log_v = power * task.log_w[support] + log_ratio
    top = float(log_v.max())
    if top == -np.inf:
        raise ValueError("mu draws impossible rationales alone: pass a log_mu that reaches one with a finite log_w")
    scale = max(top, 0.0)
    h, joint = task.prior_score[support], (task.prior_score + task.answer_score)[support]
    # The baseline's scores are (pi/mu) h; what is left of the joint ones goes to the answers.
    first = h * np.exp(np.broadcast_to(log_ratio, len(h)))[:, None] if baseline else h
    return FiniteTask(drawn, log_v - scale, first, joint - first), scale, power == 1 and bool(support.all())


def _log_mu(log_mu: Any, task: FiniteTask) -> np.ndarray:
    array = numbers("log_mu", log_mu, "an array of log-probabilities")
    if array.shape != task.log_prior.shape:
        raise ValueError(f"log_mu has shape {array.shape}: {task.log_prior.shape}, one a rationale, is needed")
    refuse(np, "log_mu", array, ~(array <= 0), "a log-probability must be at most 0")
    total = float(logsumexp(array))
    if not abs(total) <= 1e-12:
        raise ValueError(f"log_mu sums to {np.exp(total):.6g}: subtract {total:.17g} to normalise it")
    return array
