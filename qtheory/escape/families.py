"""Model families by name: parameters with a given p0, and escape times and exponents by the path solver."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from qtheory._arrays import shown
from qtheory._numbers import numbers, order, positive, single, vector
from qtheory.command.names import did_you_mean
from qtheory.escape._inputs import Floats, log_start_and_target
from qtheory.escape.exponent import increment_exponents
from qtheory.flow import follow
from qtheory.models import FixedAnswers, Model, Sigmoid, SigmoidAnswers, SoftmaxAnswers, SoftmaxArms, TwoHopChain

_RELATIVE = np.array([0.5, 1.0, 1.5])  # w/p0 of the three rationales of equal prior in the latent families
_FIXED_W = np.array([1.0, 0.5, 0.0, 0.0])  # of the family "fixed", which trains only the prior
_ARMS = 10
_NEAREST = 1e-6  # of log p0: below this distance the rounding of log p0 costs more than nine digits


@dataclass(frozen=True, eq=False)
class Family:
    """A model and its start at each p0.

    Attributes:
        name: The name in `qtheory escape --task`.
        shows: Short description.
        model: The model of one example.
        start: log p0 in nats -> parameters (d,) with that P.
        highest: Upper bound of p0, exclusive.
        over_sigmoid: T_q over the sigmoid's closed form, None for a family without one.
    """

    name: str
    shows: str
    model: Model
    start: Callable[[float], Floats]
    highest: float = 1.0
    over_sigmoid: float | None = None


def _latent(name: str, shows: str, model: SigmoidAnswers | SoftmaxAnswers | TwoHopChain) -> Family:
    """Three rationales of equal prior whose weights are p0/2, p0 and 3 p0/2."""
    prior, log_v = np.full(len(_RELATIVE), -math.log(len(_RELATIVE))), np.log(_RELATIVE)
    return Family(name, shows, model, lambda log_p0: model.start(prior, log_p0 + log_v), 1 / _RELATIVE.max())


def _rare_rationales(log_p0: float) -> Floats:
    """Log prior (4,) with P = p0: two rationales of equal prior with weights 1 and 1/2 contribute 2 p0/3 and p0/3.

    Equal contributions would be a tie that rounding decides, and P would rest at 1/2 if the lesser weight won.
    """
    right = log_p0 + math.log(2 / 3)
    wrong = math.log1p(-2 * math.exp(right)) - math.log(2)
    return np.array([right, right, wrong, wrong])


def by_name(families: Iterable[Family]) -> Mapping[str, Family]:
    """A read-only mapping from names to families."""
    return MappingProxyType({member.name: member for member in families})


with np.errstate(divide="ignore"):
    _FIXED = FixedAnswers(np.log(_FIXED_W))
_SIGMOID, _SOFTMAX = Sigmoid(), SoftmaxArms(_ARMS)

FAMILIES = by_name(
    [
        Family("sigmoid", "P = sigma(theta)", _SIGMOID, _SIGMOID.start, over_sigmoid=1.0),
        # The wrong arms start equal and remain equal: ||s||^2 = (1-P)^2 K/(K-1).
        Family("arms", "softmax over 10 answers", _SOFTMAX, _SOFTMAX.start, over_sigmoid=(_ARMS - 1) / _ARMS),
        _latent("latent-sigmoid", "3 rationales, each right with a probability of its own", SigmoidAnswers(3)),
        _latent("latent-softmax", "3 rationales, each with a softmax over 5 answers", SoftmaxAnswers(3, 5)),
        Family("fixed", "4 rationales with answers that do not learn", _FIXED, _rare_rationales, 3 / 4),
        _latent("chain", "2 hops over 3 nodes to 4 answers", TwoHopChain(2, 3, 4)),
    ]
)


def family(name: str) -> Family:
    """Look a family up.

    Raises:
        ValueError: There is no such name; the message suggests the nearest.
    """
    if isinstance(name, str) and name in FAMILIES:
        return FAMILIES[name]
    raise ValueError(f"unknown task {shown(name)}; {did_you_mean(str(name), FAMILIES)}")


def log_family_times(
    model_family: Family, log_p0: ArrayLike, delta: float, q: Sequence[float], *, rtol: float = 1e-12
) -> Floats:
    """Log T_q from the family's start at each p0, one path for all q.

    Args:
        model_family: The family.
        log_p0: (K,) log p0 in nats, below log delta.
        delta: Target in (0, 1).
        q: (Q,) orders in [0, 1].
        rtol: Relative tolerance of the path solver.

    Returns:
        (K, Q) logs of times in units of one over the learning rate. With the default tolerance the times are within
        1e-9 relative up to delta = 1 - 1e-16.

    Raises:
        TypeError: model_family is not a Family, or another argument holds no numbers.
        ValueError: A p0, delta or q outside its range, a p0 at or above the family's highest or delta, or
            within 1e-6 log p0 of log delta, or axes too many.
        RuntimeError: The path solver failed.
    """
    if not isinstance(model_family, Family):
        raise TypeError(
            f"model_family is {shown(model_family)}, a {type(model_family).__name__}: pass a Family, "
            "as family(name) gives it"
        )
    starts, target = log_start_and_target(np.atleast_1d(numbers("log_p0", log_p0)), delta)
    target, orders = single("delta", target), vector("q", np.atleast_1d(order(q))).tolist()
    tolerance = single("rtol", positive("rtol", rtol))
    for start in vector("log_p0", starts):
        if not start < math.log(model_family.highest) or not start < np.log(target):
            bound = min(model_family.highest, target)
            raise ValueError(
                f"p0 is {math.exp(start):.6g}: task {model_family.name!r} to delta {target:g} needs p0 < {bound:.4g}"
            )
        if not np.log(target) - start > _NEAREST * -start:
            raise ValueError(
                f"p0 is {math.exp(start)} and delta {target}: so near each other that rounding of log p0 decides the "
                "time; lower p0"
            )
    times = [
        follow(
            model_family.model.score,
            lambda theta: float(model_family.model.log_p(theta)),
            model_family.start(float(start)),
            np.log(target),
            orders,
            rtol=tolerance,
            atol=tolerance / 10,
        ).log_time[0]
        for start in starts
    ]
    return np.array(times)


def family_exponents(
    log_p0: ArrayLike, delta: float, q: Sequence[float], names: Iterable[str] = tuple(FAMILIES)
) -> dict[str, Floats]:
    """Escape exponents of families, from increments of T between starts (`increment_exponents`).

    If ||s||^2 tends to a constant they tend to -(1-q): at the rate p0 in the families without latents, and at q = 1
    only as a power of 1/log(1/p0) if rationales compete, as the winner's lead grows with log P.

    Args:
        log_p0: (K,) log p0 in nats, increasing in equal steps, K at least 3.
        delta: Target in (0, 1).
        q: (Q,) orders in [0, 1].
        names: Names of families.

    Returns:
        (K-2, Q) exponents by name.

    Raises:
        ValueError: An unknown name, or as for `log_family_times` and `increment_exponents`.
    """
    return {
        name: increment_exponents(log_p0, log_family_times(family(name), log_p0, delta, q, rtol=1e-10))
        for name in names
    }
