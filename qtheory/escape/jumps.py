"""The number of steps to escape as a random variable: 0/1 weights and rare successes (QC-8).

With w in {0, 1} a pool of M draws without a success moves nothing. While M P << 1 a pool holds one success with chance
M P, and its plug-in update adds kappa = lr M^(q-1) ||s||^2 to log P: log P is a pure birth process. The n-th wait is
exponential with rate M p0 e^(kappa n) a step, so that X = M p0 T is the sum of E_n e^(-kappa n) over n = 0, 1, ... with
independent standard exponentials E_n, and its Laplace transform is 1/(-x; e^-kappa), a q-Pochhammer symbol.

Density and tails are the Bromwich integral of that product along a parabola through the saddle point of e^(s x) phi(s),
by the trapezoid rule: nothing cancels, where the residue series loses 0.7/kappa digits. The product's logarithm is its
first terms and an Euler-Maclaurin sum of the rest for small kappa, all of its terms for large kappa.
"""

import math

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import ArrayLike
from scipy.optimize import root_scalar
from scipy.special import bernoulli, expit, spence

from qtheory._arrays import refuse
from qtheory._numbers import count, non_negative, numbers, order, positive, together
from qtheory.escape._inputs import Floats, probability

_LEAST_KAPPA = 1e-9  # the logarithm of the product is a sum of size 1/kappa, known to 1e-16 of that
_LEAST_TIME = 1e-300  # of X > 0: the saddle point is near 1/X
_FAR = 1e10  # X above this and 700 means has the exponential tail of its first wait
_SMALL = 0.3  # kappa up to which the product's tail is summed by Euler and Maclaurin
_DIRECT = 16  # terms before that sum, which keep it away from the pole of the first ones
_BERNOULLI = bernoulli(14)[2::2]
_NODES = (np.arange(160) + 0.5) * 0.15  # of the trapezoid rule, in units of the saddle's width


def _derivatives() -> list[Floats]:
    """Coefficients in p = z/(1+z) of (z d/dz)^j log(1 + z), j = 1, 2, ...; entry 0 is not used."""
    rows = [np.zeros(1), np.array([0.0, 1.0])]
    while len(rows) < 2 * len(_BERNOULLI) + 3:
        rows.append(polynomial.polymul(polynomial.polyder(rows[-1]), [0.0, 1.0, -1.0]))
    return rows


_DERIVATIVES = _derivatives()


class EscapeLaw:
    """The law of the steps T that the plug-in takes to leave a cold start, on 0/1 weights (QC-8).

    It holds for a target far above p0 and a start far below 1/M, successes that share one score, and an update of 0 on
    pools without a success. The exact mean for a target delta is above this law's, less 1/(M delta (1 - e^-kappa)), by
    at most log(delta/p0)/kappa + 1 steps.

    Args:
        rate: M p0, the chance of a success in the first step, positive, any shape.
        kappa: What a success adds to log P in nats, at least 1e-9, broadcastable; `jump` gives it.

    Attributes:
        rate: As passed, of the broadcast shape.
        kappa: As passed, of the broadcast shape.

    Raises:
        TypeError: One of them is no number and no array of numbers.
        ValueError: One of them is out of range, or they do not broadcast.
    """

    def __init__(self, rate: ArrayLike, kappa: ArrayLike) -> None:
        self.rate, self.kappa = together(rate=positive("rate", rate), kappa=positive("kappa", kappa))
        least = f"pass at least {_LEAST_KAPPA:g}; below it T hardly varies about its mean"
        refuse(np, "kappa", self.kappa, self.kappa < _LEAST_KAPPA, least)

    def mean(self) -> Floats:
        """E T = 1/(M p0 (1 - e^-kappa)) in steps, of the law's shape.

        It is the mean field's 1/(M p0 kappa) for kappa << 1 and the wait for the first success, 1/(M p0), for
        kappa >> 1.
        """
        return -1 / (self.rate * np.expm1(-self.kappa))

    def cv(self) -> Floats:
        """The standard deviation of T over its mean, sqrt(tanh(kappa/2)), of the law's shape."""
        return np.sqrt(np.tanh(self.kappa / 2))

    def log_laplace(self, s: ArrayLike) -> Floats:
        """Log E e^(-s T) = -sum_n log(1 + s e^(-kappa n)/(M p0)).

        Args:
            s: Per step, above -M p0, broadcastable with the law.

        Returns:
            The logarithm, broadcast shape, within 1e-12 relative and 1e-15/kappa absolute.

        Raises:
            TypeError: s is no number and no array of numbers.
            ValueError: s is at most -M p0, not finite, or does not broadcast.
        """
        rate, kappa, s = together(rate=self.rate, kappa=self.kappa, s=numbers("s", s))
        refuse(np, "s", s, ~((s > -rate) & (s < math.inf)), "pass s above -rate, where the transform is finite")
        scaled, sums = s / rate, np.zeros(s.shape)
        for at in np.ndindex(s.shape):
            z = float(scaled[at])
            sums[at] = _log_product(np.array(z), np.array(1 + z), float(kappa[at])) if z else 0.0
        return -sums

    def log_density(self, steps: ArrayLike) -> Floats:
        """The logarithm of T's density per step.

        Args:
            steps: Non-negative and finite, broadcastable with the law.

        Returns:
            Broadcast shape, -inf at 0; the error is as `log_cdf` has it.

        Raises:
            TypeError: steps is no number and no array of numbers.
            ValueError: steps is negative or not finite, lies between 0 and 1e-300/rate, or does not broadcast.
        """
        log_density, _, _ = self._at(steps)
        return log_density + np.log(self.rate)

    def log_cdf(self, steps: ArrayLike) -> Floats:
        """Log P(T <= t).

        Args:
            steps: t, non-negative and finite, broadcastable with the law.

        Returns:
            Broadcast shape, within 1e-12 + 1e-15/kappa absolute and 1e-14 relative; -inf at 0.

        Raises:
            TypeError: As `log_density`.
            ValueError: As `log_density`.
        """
        return self._at(steps)[1]

    def log_survival(self, steps: ArrayLike) -> Floats:
        """Log P(T > t), with the arguments, the error and the refusals of `log_cdf`; 0 at 0."""
        return self._at(steps)[2]

    def quantile(self, level: ArrayLike) -> Floats:
        """The number of steps within which a share of the runs has escaped.

        Args:
            level: The share, strictly between 0 and 1, broadcastable with the law.

        Returns:
            Steps, no integers, broadcast shape, relative error as that of `log_cdf`.

        Raises:
            TypeError: level is no number and no array of numbers.
            ValueError: level is not strictly between 0 and 1, or does not broadcast.
        """
        rate, kappa, shares = together(rate=self.rate, kappa=self.kappa, level=probability("level", level))
        pairs, index = np.unique(np.stack([shares.ravel(), kappa.ravel()]), axis=1, return_inverse=True)
        scaled = np.array([_quantile(level, jump) for level, jump in pairs.T.tolist()])
        return scaled[index].reshape(shares.shape) / rate

    def _at(self, steps: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Log density of X, log cdf and log survival, broadcast shape each."""
        rate, kappa, steps = together(rate=self.rate, kappa=self.kappa, steps=non_negative("steps", steps))
        x = np.asarray(rate * steps)
        refuse(np, "steps", steps, (steps > 0) & (x < _LEAST_TIME), f"pass 0, or at least {_LEAST_TIME:g}/rate")
        density, lower, upper = np.full(x.shape, -np.inf), np.full(x.shape, -np.inf), np.zeros(x.shape)
        for at in np.ndindex(x.shape):
            if x[at] > 0:
                density[at], lower[at], upper[at] = _logs(float(x[at]), float(kappa[at]))
        return density, lower, upper


def jump(q: ArrayLike, samples: int, lr: ArrayLike, score_norm: ArrayLike = 1.0) -> Floats:
    """What the plug-in update of a pool with one success adds to log P: kappa = lr M^(q-1) ||s||^2 (QC-8).

    Args:
        q: In [0, 1], any shape.
        samples: Draws M of a pool, at least 1.
        lr: Learning rate of plain SGD, positive, broadcastable.
        score_norm: ||s|| of the success's score, positive, broadcastable.

    Returns:
        Nats, broadcast shape.

    Raises:
        TypeError: samples is no integer, or another argument no number or array of numbers.
        ValueError: An argument out of range, or shapes that do not broadcast.
    """
    orders, rate, norm = together(q=order(q), lr=positive("lr", lr), score_norm=positive("score_norm", score_norm))
    return rate * float(count("samples", samples, 1)) ** (orders - 1) * norm**2


def escape_law(p0: ArrayLike, q: ArrayLike, samples: int, lr: ArrayLike, score_norm: ArrayLike = 1.0) -> EscapeLaw:
    """The law of the steps to escape from p0 with 0/1 weights (QC-8).

    Args:
        p0: Success probability at the start, in (0, 1) and far below 1/M, any shape.
        q: As for `jump`, broadcastable.
        samples: As for `jump`.
        lr: As for `jump`.
        score_norm: As for `jump`.

    Returns:
        The law, of the broadcast shape.

    Raises:
        TypeError: As for `jump`.
        ValueError: As for `jump`, p0 outside (0, 1), or a jump below 1e-9.
    """
    return EscapeLaw(count("samples", samples, 1) * probability("p0", p0), jump(q, samples, lr, score_norm))


def _quantile(level: float, kappa: float) -> float:
    """X at a level, by the logarithm of the smaller tail."""
    mean = -1 / math.expm1(-kappa)
    side = 1 if math.log(level) < _logs(mean, kappa)[1] else 2
    target = math.log(level) if side == 1 else math.log1p(-level)

    def excess(log_x: float) -> float:
        return _logs(math.exp(log_x), kappa)[side] - target

    step = (1 if side == 2 else -1) * math.sqrt(math.tanh(kappa / 2))
    near = far = math.log(mean)
    while excess(far) > 0:
        near, far, step = far, far + step, 2 * step
    if near == far:
        return mean
    return math.exp(root_scalar(excess, bracket=(near, far), method="brentq", xtol=1e-15, rtol=1e-15).root)


def _logs(x: float, kappa: float) -> tuple[float, float, float]:
    """Logs of X's density, cdf and survival at x > 0.

    phi(s)/s is integrated right of its pole at 0 for the cdf of an x below the mean, and left of it for the survival.
    """
    mean = -1 / math.expm1(-kappa)
    if x > _FAR + 700 * mean:  # only the pole at -1 is left, and 1 + s no float
        tail = -x - float(_log_product(np.array(-math.exp(-kappa)), np.array(1 / mean), kappa))
        return tail, 0.0, tail
    below = x < mean
    s, c = _saddle(x, kappa, below=below)
    first, second, third = (float(_derivative_sum(np.array(s), np.array(c), kappa, j)) for j in (1, 2, 3))
    squares, cubes = first - second, (third + 2 * first - 3 * second) / 2  # of z_n/(1 + z_n)
    width, bend = 1 / math.sqrt(squares + 1), cubes / (3 * squares * (squares + 1))
    shift = 1j * _NODES * width - bend * _NODES**2
    start = float(_log_product(np.array(s), np.array(c), kappa))
    change = _log_product(s * (1 + shift), c + s * shift, kappa) - start
    terms = np.exp(x * s * shift - change) * (1j * width - 2 * bend * _NODES)
    spacing = _NODES[1] - _NODES[0]
    top = x * s - start
    density = top + math.log(abs(s) * spacing / math.pi * terms.sum().imag)
    tail = top + math.log(spacing / math.pi * (terms / (1 + shift)).sum().imag)
    other = math.log(-math.expm1(tail))
    return (density, tail, other) if below else (density, other, tail)


def _saddle(x: float, kappa: float, *, below: bool) -> tuple[float, float]:
    """The saddle point s of e^(s x) phi(s)/s on the side of 0 that is asked for, and 1 + s.

    There x s = 1 + sum_n z_n/(1 + z_n), z_n = s e^(-kappa n). The brackets follow from the sum's bounds: above 0 and
    at most 1 + log(1 + s)/kappa for s > 0, between s mean/(1 + s) and its first term for s < 0.
    """

    def at(y: float) -> tuple[float, float]:
        return (math.exp(y), 1 + math.exp(y)) if below else (-float(expit(y)), float(expit(-y)))

    def excess(y: float) -> float:
        s, c = at(y)
        share = float(_derivative_sum(np.array(s), np.array(c), kappa, 1))
        return math.log1p(share) - y - math.log(x) if below else x * s - 1 - share

    if below:
        ends = -1 - math.log(x), min(705.0, math.log(2 + 705 / kappa) - math.log(x))
    else:
        ends = math.log(-math.expm1(-kappa)) - 1, math.log1p(x)
    return at(float(root_scalar(excess, bracket=ends, method="brentq", xtol=1e-6).root))


def _log_product(s: np.ndarray, c: np.ndarray, kappa: float) -> np.ndarray:
    """sum_n log(1 + s e^(-kappa n)), c = 1 + s, (...)."""
    return _derivative_sum(s, c, kappa, 0)


def _derivative_sum(s: np.ndarray, c: np.ndarray, kappa: float, j: int) -> np.ndarray:
    """sum_n (z d/dz)^j log(1 + z) at z = s e^(-kappa n), (...), c = 1 + s, which is known better than 1 + s near -1."""
    if kappa < _SMALL:
        n = np.arange(_DIRECT)
    else:
        n = np.arange(math.ceil((40 + max(0.0, float(np.log(np.abs(s)).max()))) / kappa) + 1)
    total = _derivative(j, *_shrunk(s[..., None], c[..., None], kappa * n)).sum(-1)
    if kappa >= _SMALL:
        return total
    rest = _shrunk(s, c, kappa * _DIRECT)
    total = total + _derivative(j - 1, *rest) / kappa + _derivative(j, *rest) / 2
    for k, number in enumerate(_BERNOULLI, 1):
        total = total + number / math.factorial(2 * k) * kappa ** (2 * k - 1) * _derivative(j + 2 * k - 1, *rest)
    return total


def _shrunk(s: np.ndarray, c: np.ndarray, decay: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Z = s e^-decay and 1 + z."""
    z = s * np.exp(-decay)
    return z, np.where(np.abs(s) > 1, 1 + z, c + s * np.expm1(-decay))


def _derivative(j: int, z: np.ndarray, one_plus: np.ndarray) -> np.ndarray:
    """(z d/dz)^j log(1 + z), j = -1 being the primitive -Li_2(-z)."""
    if j < 1:
        return np.log(one_plus) if j == 0 else -spence(one_plus)
    return polynomial.polyval(z / one_plus, _DERIVATIVES[j])
