"""The delta-corrected plug-in at finite M (QC-2), without a baseline.

In sums over the pool, S of w, Q of w^2, G of g and H of g w, the estimate is

    M^(q-1) [ (1 + c) S^-q G - (q (q+1)/2) (M/(M-1)) S^(-q-2) Q G + q (M/(M-1)) S^(-q-1) H ], c = -q (1-q)/(2 (M-1)).

Every moment is a mean of S^-a times a product of such sums: one integral for each way in which their draws can
coincide.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from qtheory.exact.laplace import weights
from qtheory.exact.plugin import PlugIn
from qtheory.exact.transforms import Transforms


class _Sum(NamedTuple):
    """A sum over the pool of w^power, or of w^power f if `score` is set."""

    power: int
    score: bool


_G, _H, _Q = _Sum(1, True), _Sum(2, True), _Sum(2, False)


def delta_moments(t: Transforms, plug_in: PlugIn, q: np.ndarray, size: np.ndarray) -> PlugIn:
    """All moments.

    Args:
        t: The task's transforms.
        plug_in: The plug-in's moments.
        q: (C,) in [0, 1].
        size: (C,) M, as floats.

    Returns:
        Moments of the C cells; the plug-in's for M = 1, which has no variance to estimate.
    """
    share = np.where(size > 1, q / np.maximum(size - 1, 1), 0.0)
    own, spread, slope = -share * (1 - q) / 2, -share * (q + 1) / 2 * size, share * size

    def mean(*sums: _Sum) -> np.ndarray:
        return -_mean(t, sums, q, size, 1)

    def product(*sums: _Sum) -> np.ndarray:
        return _mean(t, sums, 2 * q, size, 2)

    first = spread[:, None] * mean(_G, _Q) + slope[:, None] * mean(_H)
    with_plug_in = spread * product(_G, _G, _Q) + slope * product(_G, _H)
    square = spread**2 * product(_G, _G, _Q, _Q) + 2 * spread * slope * product(_G, _H, _Q)
    square += slope**2 * product(_H, _H)

    covariance = with_plug_in - np.sum(plug_in.mean * first, -1)
    variance = (1 + own) ** 2 * plug_in.variance + 2 * (1 + own) * covariance + square - np.sum(first**2, -1)
    second = (1 + own) ** 2 * plug_in.second + 2 * (1 + own) * with_plug_in + square
    added = own[:, None] * plug_in.mean + first
    return PlugIn(plug_in.mean + added, plug_in.bias + added, second, variance)


def _mean(t: Transforms, sums: tuple[_Sum, ...], order: np.ndarray, size: np.ndarray, scores: int) -> np.ndarray:
    """M^(order - scores) E[S^-a product of sums], (C, d) with one score and (C,) with two.

    a is the order plus the powers of w beyond one for each score, so that it has the estimate's units.
    """
    total = sum(term.power for term in sums)
    beyond = total - scores
    value = 0.0
    for blocks in _partitions(list(sums)):
        drawn = len(blocks)
        ways = np.prod([(size - k) / size for k in range(drawn)], axis=0) * size ** (drawn - total)
        exponent = np.maximum(size - drawn, 0)[:, None] * t.log_phi
        rule = weights(t.v, order + beyond, np.log(size), exponent, total * t.far)
        value = value + (rule * np.maximum(ways, 0.0)[:, None]) @ _one_draw_each(t, blocks)
    return np.asarray(value)


def _one_draw_each(t: Transforms, blocks: list[list[_Sum]]) -> np.ndarray:
    """The product over draws of E[their factors e^-x], (N, d) or (N,), times s on the far nodes for every power."""
    scalar, vectors = np.ones(len(t.v)), []
    for block in blocks:
        power, scores = sum(term.power for term in block), sum(term.score for term in block)
        if scores == 1:
            vectors.append(t.mean(t.f, power))
        else:
            scalar = scalar * t.mean(np.sum(t.f**2, -1) if scores else np.ones_like(t.w), power)
    if len(vectors) == 1:
        return vectors[0] * scalar[:, None]
    return np.sum(vectors[0] * vectors[1], -1) * scalar if vectors else scalar


def _partitions(sums: list[_Sum]) -> Iterator[list[list[_Sum]]]:
    """All ways to assign sums to different draws."""
    if not sums:
        yield []
        return
    for partition in _partitions(sums[1:]):
        yield [[sums[0]], *partition]
        for i, block in enumerate(partition):
            yield [*partition[:i], [sums[0], *block], *partition[i + 1 :]]
