"""What the registry knows of an estimator."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qtheory._numbers import count, order, single
from qtheory.estimators.coefficients import Coefficients

_SCALARS = (bool, int, float, str)
_GIVEN = ("rng", "score_norm_sq", "answer_length", "log_ratio")  # by the caller that has the rollouts, not by the user


@dataclass(frozen=True)
class Parameter:
    """A keyword parameter of an estimator.

    Attributes:
        type: bool, int, float or str: what to read a command-line word as.
        default: Its default value; None where it is required.
        required: Whether it has no default.
    """

    type: type
    default: Any
    required: bool


@dataclass(frozen=True)
class Estimator:
    """An estimator and what can be said of it.

    Attributes:
        name: Its name in the registry, the function's own.
        function: From (..., M) log-weights or rewards, and keyword parameters, to `Coefficients`.
        inputs: What its first argument holds: "log_w", log p(y*|x, z_m) of the gold answer, or "reward", the
            reward of a sampled answer.
        target: The loss that its expectation descends.
        paper: Where it comes from.
        limits: Its known limits, one or two sentences.
        fixed_q: The q of the continuum that it stands for, None for none or for a parameter q.
        least_m: The parameter that M must reach, such as the k of pass@k; None for none.
        binary_reward: Whether it is defined for rewards of 0 or 1 alone, not for graded ones.
        parameters: Keyword parameters by name, q first, read off the function's signature; rng, score_norm_sq,
            answer_length and log_ratio are not among them.
        stochastic: Whether it needs `rng`, a numpy.random.Generator.
        needs_score_norm: Whether it needs `score_norm_sq` (..., M), a proxy of ||grad log p(z_m|x)||^2.
        needs_answer_length: Whether it needs `answer_length` (...), the number of tokens of y*.
        takes_log_ratio: Whether it takes `log_ratio` (..., M), for rationales that the model itself did not draw.
    """

    name: str
    function: Callable[..., Coefficients]
    inputs: Literal["log_w", "reward"]
    target: str
    paper: str
    limits: str
    fixed_q: float | None = None
    least_m: str | None = None
    binary_reward: bool = False
    parameters: Mapping[str, Parameter] = field(init=False)
    stochastic: bool = field(init=False)
    needs_score_norm: bool = field(init=False)
    needs_answer_length: bool = field(init=False)
    takes_log_ratio: bool = field(init=False)

    def __post_init__(self) -> None:
        signature = list(inspect.signature(self.function).parameters.values())[1:]
        names = {p.name for p in signature}
        keywords = {p.name: _parameter(p) for p in signature if p.name not in _GIVEN}
        object.__setattr__(self, "parameters", types.MappingProxyType(keywords))
        object.__setattr__(self, "stochastic", "rng" in names)
        object.__setattr__(self, "needs_score_norm", "score_norm_sq" in names)
        object.__setattr__(self, "needs_answer_length", "answer_length" in names)
        object.__setattr__(self, "takes_log_ratio", "log_ratio" in names)

    def q_of(self, params: Mapping[str, Any]) -> float | None:
        """The q that the estimator stands for with these parameters.

        Args:
            params: Keyword parameters.

        Returns:
            The q in [0, 1], None where the estimator is no point of the continuum.

        Raises:
            TypeError: q is no number.
            ValueError: It has a parameter q and params lack it, or q is outside [0, 1].
        """
        if "q" not in self.parameters:
            return self.fixed_q
        if "q" not in params:
            raise ValueError(f"{self.name} needs its parameter q; given: {sorted(params) or 'none'}")
        return single("q", order(params["q"]))

    def least_samples(self, params: Mapping[str, Any]) -> int:
        """The smallest M that the estimator takes with these parameters.

        Args:
            params: Keyword parameters.

        Returns:
            M, at least 1.

        Raises:
            TypeError: The parameter that M must reach is no integer.
            ValueError: params lack it, or it is below 1.
        """
        if self.least_m is None:
            return 1
        if self.least_m not in params:
            raise ValueError(f"{self.name} needs its parameter {self.least_m}; given: {sorted(params) or 'none'}")
        return count(self.least_m, params[self.least_m], 1)


def _parameter(parameter: inspect.Parameter) -> Parameter:
    required = parameter.default is inspect.Parameter.empty
    options = [parameter.annotation, *typing.get_args(parameter.annotation)]
    kind = next(t for option in options for t in (option, type(option)) if t in _SCALARS)
    return Parameter(kind, None if required else parameter.default, required)
