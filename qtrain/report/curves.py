"""From runs to curves: means over seeds with their spread, and batch noise smoothed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qtrain.report.collect import Run

SMOOTHING = 0.1
"""Batch P is averaged over steps up to this share of the step earlier and later: an even width on a log axis."""


@dataclass(frozen=True)
class Curve:
    """A mean over seeds and the smallest and largest of them, at S steps.

    Attributes:
        steps: (S,) ascending.
        mean: (S,).
        low: (S,).
        high: (S,).
    """

    steps: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def success_curve(runs: list[Run]) -> Curve:
    """p@1 on held-out prompts against the step: arithmetic mean over the seeds that reached the step."""
    return _over_seeds([{one.step: one.p_at_1 for one in run.evals} for run in runs], logarithmic=False)


def probability_curve(runs: list[Run]) -> Curve:
    """P of the training batches against the step, smoothed: geometric mean over the seeds, for a log axis."""
    return _over_seeds([_smoothed(run) for run in runs], logarithmic=True)


def _smoothed(run: Run) -> dict[int, float]:
    """P by step. What underflowed to zero or is unknown has no place on a log axis and is left out."""
    steps = np.array([one.step for one in run.metrics], dtype=float)
    p = np.array([one.p for one in run.metrics], dtype=float)
    smooth: dict[int, float] = {}
    for step in steps:
        near = p[np.abs(steps - step) <= SMOOTHING * step]
        value = near[np.isfinite(near)].mean() if np.isfinite(near).any() else 0.0
        if value > 0:
            smooth[int(step)] = float(value)
    return smooth


def _over_seeds(series: list[dict[int, float]], *, logarithmic: bool) -> Curve:
    steps = sorted(set().union(*series))
    pools = [np.array([one[step] for one in series if step in one]) for step in steps]
    means = [float(np.exp(np.log(pool).mean()) if logarithmic else pool.mean()) for pool in pools]
    bounds = [(float(pool.min()), float(pool.max())) for pool in pools]
    low, high = np.array(bounds, dtype=float).reshape(-1, 2).T
    return Curve(np.array(steps, dtype=float), np.array(means), low, high)
