"""Every registered estimator with every combination of its parameters, and a slow reference for each.

An estimator enters the law suite by being registered; it needs an entry in REFERENCES, and one in DOMAINS for every
parameter of a new name (or of a name that means something else here: then under "estimator.parameter").
"""

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mp_reference as mp
import numpy as np
from array_api_compat import array_namespace
from mp_reference import Real
from mpmath import mpf

from qtheory.estimators import ESTIMATORS, Coefficients, Estimator

DOMAINS: dict[str, tuple[Any, ...]] = {
    "q": (0.0, 0.3, 0.75, 1.0),
    "baseline": ("loo", "none"),
    "normalize": (False, True),
    "multiplier": (1.0, 0.5),
    "alpha": (1.0, 0.4),
    "k": (None, 3),
    "pkpo.k": (1, 2, 3),
    "rb_pkpo.k": (1, 2, 3),
    "scale_by_std": (True, False),
}

INF = math.inf
LOG_W = np.array(
    [
        [-1.2, -0.3, -2.5, -0.9, -4.0, -0.7],
        [-0.5, -0.5, -0.5, -0.5, -0.5, -0.5],
        [0.0, -10000.0, -3.0, -700.0, -1e-12, -9999.0],
        [-10000.0, -9999.5, -10003.0, -10000.0, -INF, -10000.2],
        [-INF, -INF, -5.0, -INF, -INF, -INF],
        [-INF, -2.0, -2.0, -800.0, -INF, -745.0],
        [-INF] * 6,
        [0.0, -INF, -INF, 0.0, -INF, 0.0],
        [-300.0, -400.0, -650.0, -30.0, -301.0, -30.0],
        [-901.1, -900.7, -933.3, -905.9, -1200.0, -902.3],
        [-0.3, -650.1, -677.7, -1.1, -699.9, -663.1],
    ]
)
POSSIBLE = np.where(np.isneginf(LOG_W), -7000.5, LOG_W)
"""For estimators that take the logarithm of a weight."""
ANSWER_LENGTH = 7
REWARD = np.array([[r >> m & 1 for m in range(6)] for r in (0, 63, 1, 32, 21, 62, 30, 5)], dtype=float)


@dataclass(frozen=True)
class Terms:
    """A reference's coefficients (M,), and the sizes (M,) of the terms that they are made of."""

    rationale: list[Real]
    answer: list[Real]
    scale: list[Real]
    answer_scale: list[Real]


@dataclass(frozen=True)
class Case:
    """An estimator with values for its parameters."""

    estimator: Estimator
    params: dict[str, Any]

    def __str__(self) -> str:
        return "-".join([self.estimator.name, *(f"{key}={value}" for key, value in self.params.items())])

    @property
    def inputs(self) -> np.ndarray:
        """Pools (B, M) of what the estimator reads."""
        if self.estimator.inputs == "reward":
            return REWARD
        return POSSIBLE if needs_possible(self.estimator, self.params) else LOG_W

    def __call__(self, pools: Any, rng: np.random.Generator | None = None) -> Coefficients:
        """Call it; a stochastic estimator without rng gets a fresh one with a fixed seed."""
        given: dict[str, Any] = {"rng": rng or np.random.default_rng(7)} if self.estimator.stochastic else {}
        if self.estimator.needs_score_norm:
            given["score_norm_sq"] = score_norm_sq(array_namespace(pools), pools)
        if self.estimator.needs_answer_length:
            given["answer_length"] = ANSWER_LENGTH
        return self.estimator.function(pools, **self.params, **given)

    def reference(self, pool: np.ndarray, rng: np.random.Generator) -> Terms:
        """The slow reference for one pool (M,)."""
        return REFERENCES[self.estimator.name](pool.tolist(), rng, **self.params)


def needs_possible(estimator: Estimator, params: Mapping[str, Any]) -> bool:
    """Whether it takes the logarithm of a weight, so that log w must be finite."""
    return estimator.name in ("jepo", "logprob", "logprob_mean") or (estimator.name == "bound" and params["q"] == 1)


def score_norm_sq(xp: Any, log_w: Any) -> Any:
    """Squared scores for any log-weights, entry by entry, so that they follow when samples are moved."""
    return 1 + 3 / (1 + xp.abs(log_w))


def _weighted(
    log_w: list[float],
    rng: object,
    q: float,
    normalize: bool = False,
    multiplier: float = 1.0,
    norms: list[float] | None = None,
) -> Terms:
    own: list[float] = norms or score_norm_sq(np, np.array(log_w)).tolist()
    reward, baseline = mp.garl_terms(log_w, q)[0], mp.weighted_baseline(log_w, own, q)
    divisor = mpf(len(log_w)) ** mpf(q) if normalize else mpf(1)
    answer = [r / divisor for r in reward]
    return _less_baseline(answer, answer, [mpf(multiplier) * b / divisor for b in baseline])


def _garl(
    log_w: list[float],
    rng: object,
    q: float,
    baseline: str = "loo",
    normalize: bool = False,
    multiplier: float = 1.0,
    alpha: float = 1.0,
) -> Terms:
    reward, others = mp.garl_terms(log_w, q, alpha)
    others = [mpf(0)] if baseline == "none" else [mpf(multiplier) * b for b in others]
    divisor = mpf(len(log_w)) ** mpf(q) if normalize else mpf(1)
    answer = [r / divisor for r in reward]
    return _less_baseline(answer, answer, [b / divisor for b in others])


def _corrected(
    terms: Callable[[list[float], float], tuple[list[Real], list[Real]]],
    log_w: list[float],
    rng: object,
    q: float,
    baseline: str = "loo",
) -> Terms:
    answer, sizes = terms(log_w, q)
    return _less_baseline(answer, sizes, mp.garl_terms(log_w, q)[1] if baseline == "loo" else [mpf(0)])


def _less_baseline(answer: list[Real], sizes: list[Real], baseline: list[Real]) -> Terms:
    each = baseline * (len(answer) // len(baseline))
    return Terms(
        [a - b for a, b in zip(answer, each, strict=True)],
        answer,
        [s + b for s, b in zip(sizes, each, strict=True)],
        sizes,
    )


def _paft(
    log_w: list[float], rng: np.random.Generator, q: float, k: int | None = None, normalize: bool = False
) -> Terms:
    counts = mp.draw(log_w, rng.random(k or len(log_w)).tolist())
    values = mp.paft(log_w, q, counts)
    return _same([v / mpf(len(log_w)) ** mpf(q) for v in values] if normalize else values)


def _same(values: list[Real], scale: list[Real] | None = None) -> Terms:
    sizes = [abs(v) for v in values]
    return Terms(values, values, scale or sizes, sizes)


def _bound(log_w: list[float], rng: object, q: float) -> Terms:
    rationale, scale, answer = mp.bound(log_w, q)
    return Terms(rationale, answer, scale, answer)


def _log_rewards(log_w: list[float], rng: object, length: int = 1) -> Terms:
    spread, each = mpf(max(log_w)) - mpf(min(log_w)), mpf(1) / length
    rationale = [value / length for value in mp.less_the_others(log_w)]
    return Terms(rationale, [each] * len(log_w), [spread / length] * len(log_w), [each] * len(log_w))


def _centred(reward: list[float], rng: object) -> Terms:
    return _same(mp.centred(reward), [mpf(1)] * len(reward))


def _grpo(reward: list[float], rng: object, scale_by_std: bool) -> Terms:
    return _same(mp.standardised(reward)) if scale_by_std else _centred(reward, rng)


REFERENCES: dict[str, Callable[..., Terms]] = {
    "garl": _garl,
    "garl_weighted": _weighted,
    "paft": _paft,
    "rb_rloo": functools.partial(_garl, q=0.0),
    "iwae": functools.partial(_garl, q=1.0),
    "trice": functools.partial(_paft, q=1.0),
    "jackknife": functools.partial(_corrected, mp.jackknife),
    "delta": functools.partial(_corrected, mp.delta),
    "u_series": functools.partial(_corrected, mp.u_series),
    "bound": _bound,
    "jepo": functools.partial(_bound, q=1.0),
    "logprob": _log_rewards,
    "logprob_mean": functools.partial(_log_rewards, length=ANSWER_LENGTH),
    "rb_pkpo": lambda log_w, _, k: _same(mp.alone(log_w, k)),
    "grpo": _grpo,
    "dr_grpo": _centred,
    "rloo": lambda reward, _: _same(mp.less_the_others(reward), [mpf(1)] * len(reward)),
    "maxrl": lambda reward, _: _same(mp.relative_to_mean(reward)),
    "star": lambda reward, _: _same([mpf(r) for r in reward]),
    "pkpo": lambda reward, _, k: _same(mp.best_of_sets(reward, k)),
    "sign": lambda reward, _: _same([2 * mpf(r) - 1 for r in reward]),
}


def _combinations(estimator: Estimator) -> list[dict[str, Any]]:
    """Every combination of values, but tempered weights with the plain values of what only scales the coefficients."""
    every = (
        dict(zip(estimator.parameters, values, strict=True))
        for values in itertools.product(
            *(DOMAINS.get(f"{estimator.name}.{name}") or DOMAINS[name] for name in estimator.parameters)
        )
    )
    scales = {name: DOMAINS[name][0] for name in ("normalize", "multiplier")}
    return [
        values
        for values in every
        if values.get("alpha", 1) == 1 or all(values[name] == scales[name] for name in scales)
    ]


CASES = [Case(estimator, params) for estimator in ESTIMATORS.values() for params in _combinations(estimator)]
