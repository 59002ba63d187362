"""One example's gradient flow in mpmath: latent models from their definitions, and extrapolation in the logit of P.

Nothing of the code under test is imported here.
"""

from collections.abc import Callable, Sequence
from typing import Any

from mpmath import MPContext

REALS = MPContext()
REALS.dps = 40

Real = Any  # an mpf of REALS
Vector = list[Any]


def softmax(logits: Vector) -> Vector:
    raised = [REALS.exp(x - max(logits)) for x in logits]
    return [x / sum(raised) for x in raised]


def chosen(probability: Vector, index: int) -> Vector:
    """The gradient of log p_index in the logits, e_index - p."""
    return [(i == index) - p for i, p in enumerate(probability)]


def padded(values: Vector, before: int, size: int) -> Vector:
    return [REALS.zero] * before + values + [REALS.zero] * (size - before - len(values))


def latent(theta: Vector, weights: Vector, rows: list[Vector]) -> tuple[Real, Real, Vector]:
    """P, 1 - P and the score; the first Z parameters are the prior's logits, `rows` (Z, d) are grad log w."""
    prior, size = softmax(theta[: len(weights)]), len(theta)
    p = sum(a * w for a, w in zip(prior, weights, strict=True))
    score = [REALS.zero] * size
    for z, (a, w) in enumerate(zip(prior, weights, strict=True)):
        joint = [h + r for h, r in zip(padded(chosen(prior, z), 0, size), rows[z], strict=True)]
        score = [s + a * w / p * x for s, x in zip(score, joint, strict=True)]
    return p, sum(a * (1 - w) for a, w in zip(prior, weights, strict=True)), score


def fixed(theta: Vector) -> tuple[Real, Real, Vector]:
    """Four rationales whose answers have the weights 1, 1/2, 0 and 0."""
    weights = [REALS.one, REALS.one / 2, REALS.zero, REALS.zero]
    return latent(theta, weights, [padded([], 0, 4)] * 4)


def sigmoids(theta: Vector) -> tuple[Real, Real, Vector]:
    """Three rationales, each right with a probability sigma(theta_z)."""
    weights = [1 / (1 + REALS.exp(-x)) for x in theta[3:]]
    return latent(theta, weights, [padded([1 - w], 3 + z, 6) for z, w in enumerate(weights)])


def softmaxes(theta: Vector, answers: int, before: int) -> tuple[Real, Real, Vector]:
    """Three rationales, each with a softmax over answers, whose table begins at `before`; the first is right."""
    tables = [softmax(theta[before + answers * z :][:answers]) for z in range(3)]
    rows = [padded(chosen(row, 0), before + answers * z, len(theta)) for z, row in enumerate(tables)]
    return latent(theta, [row[0] for row in tables], rows)


MODELS: dict[str, Callable[[Vector], tuple[Real, Real, Vector]]] = {
    "fixed": fixed,
    "latent-sigmoid": sigmoids,
    "latent-softmax": lambda theta: softmaxes(theta, 5, 3),
    "chain": lambda theta: softmaxes(theta, 4, 6),  # the first table has another source's row
}


def times(name: str, theta: Sequence[float], delta: float, orders: Sequence[float]) -> Vector:
    """T_q from theta to delta: dT_q/dX = P^-(1-q) (1-P)/||s||^2 and d theta/dX = (1-P) s/||s||^2, X the logit of P."""
    model, q = MODELS[name], [REALS.mpf(x) for x in orders]
    state = [REALS.mpf(x) for x in theta]
    size = len(state)

    def rate(y: Vector) -> Vector:
        p, wrong, score = model(y[:size])
        share = wrong / sum(s * s for s in score)
        return [share * s for s in score] + [share * p ** (x - 1) for x in q]

    p, wrong, _ = model(state)
    way = REALS.log(REALS.mpf(delta) / (1 - REALS.mpf(delta))) - REALS.log(p / wrong)
    steps, state = int(REALS.ceil(way)), state + [REALS.zero] * len(q)
    for _ in range(steps):
        state = extrapolated(rate, state, way / steps)
    reached = model(state[:size])[1]
    assert abs(reached / (1 - REALS.mpf(delta)) - 1) < 1e-12
    return state[size:]


def extrapolated(rate: Callable[[Vector], Vector], y: Vector, step: Real, levels: int = 8) -> Vector:
    """A step by Gragg's midpoint rule of 2, 4, 6, ... parts, extrapolated to none (Bulirsch and Stoer)."""
    row: list[Vector] = []
    for level in range(levels):
        parts = 2 * (level + 1)
        h = step / parts
        before, at = y, [a + h * b for a, b in zip(y, rate(y), strict=True)]
        for _ in range(parts - 1):
            before, at = at, [a + 2 * h * b for a, b in zip(before, rate(at), strict=True)]
        above, row = row, [[(a + b + h * c) / 2 for a, b, c in zip(at, before, rate(at), strict=True)]]
        for k, coarse in enumerate(above):
            ratio = (REALS.mpf(parts) / (2 * (level - k))) ** 2 - 1
            row.append([a + (a - b) / ratio for a, b in zip(row[k], coarse, strict=True)])
    return row[-1]
