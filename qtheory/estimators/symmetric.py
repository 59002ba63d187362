"""Mean products of k different values of a pool, E_k, with each sample left out in turn.

All terms are non-negative for values in [0, 1], so that nothing cancels.
"""

from qtheory._arrays import Array, Namespace, device


def leave_one_out(xp: Namespace, series: Array, values: Array) -> Array:
    """sum_k series_k E_k over all values of a pool but the m-th, (..., M), in O(M^2).

    Halving: half the draws are folded into the series, which then serves all draws of the other half.

    Args:
        xp: The arrays' namespace.
        series: (..., M) coefficients of E_0, ..., E_(M-1).
        values: (..., M).
    """
    size = values.shape[-1]
    if size == 1:
        return series
    half = size // 2
    left, right = values[..., :half], values[..., half:]
    parts = [leave_one_out(xp, _fold(xp, series, right), left), leave_one_out(xp, _fold(xp, series, left), right)]
    return xp.concat(parts, axis=-1)


def _fold(xp: Namespace, series: Array, values: Array) -> Array:
    """Coefficients (..., j) on the E_k of fewer draws, (..., j - n), once n values (..., n) are among the draws.

    With one more draw x, E_k of j draws is (1 - k/j) E_k + (k/j) x E_(k-1) of j - 1.
    """
    for n in range(values.shape[-1]):
        j = series.shape[-1] - 1
        k = xp.arange(j, dtype=series.dtype, device=device(series))
        series = series[..., :-1] * ((j - k) / j) + values[..., n : n + 1] * (series[..., 1:] * ((k + 1) / j))
    return series
