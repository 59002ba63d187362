"""Parse an estimator with its parameters: `garl:q=.25`, `paft:q=.75,k=8`, `grpo`, `mine:clipped:q=.5`."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import numpy as np
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from qtheory.command.names import did_you_mean
from qtheory.estimators import ESTIMATORS, Coefficients, Estimator
from qtrain import plugins
from qtrain.errors import UserError


@dataclass(frozen=True)
class EstimatorChoice:
    """An estimator and the keyword parameters to call it with.

    Attributes:
        name: A name in `qtheory.estimators.ESTIMATORS`, the name of an entry point, or `module:object`.
        params: Sorted (keyword, value) pairs.
        code_allowed: Whether an estimator named as `module:object` may be imported.
    """

    name: str
    params: tuple[tuple[str, Any], ...] = ()
    code_allowed: bool = field(default=True, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, *, code_allowed: bool = True) -> "EstimatorChoice":
        """Read `name[:key=value,...]`.

        Args:
            text: The estimator's specification.
            code_allowed: Whether to import an estimator that is named as `module:object`. If not, its parameters stay
                unparsed text, and every property that needs the estimator itself raises an error.

        Raises:
            ValueError: Unknown estimator or parameter (the message suggests the nearest name), or a value of the wrong
                type.
            UserError: The module cannot be imported, or the object is not an estimator.
        """
        name, parameters = _split(text.strip())
        if plugins.is_code(name) and not code_allowed:
            pairs = (pair.strip().partition("=") for pair in parameters.split(",") if pair.strip())
            return cls(name, tuple(sorted((key, value) for key, _, value in pairs)), code_allowed=False)
        spec = find_estimator(name)
        given: dict[str, Any] = {}
        for pair in filter(None, (part.strip() for part in parameters.split(","))):
            key, equals, value = pair.partition("=")
            if key not in spec.parameters:
                hint = did_you_mean(key, spec.parameters) if spec.parameters else "it takes none"
                raise ValueError(f"estimator {name!r} has no parameter {key!r}; {hint}")
            if not equals:
                raise ValueError(f"parameter {key!r} of {name!r} needs a value: {key}=...")
            given[key] = _parse_value(name, key, value, spec.parameters[key].type)
        missing = [key for key, parameter in spec.parameters.items() if parameter.required and key not in given]
        if missing:
            example = "4" if spec.parameters[missing[0]].type is int else ".75"
            raise ValueError(f"estimator {name!r} needs {missing[0]!r}, for example {name}:{missing[0]}={example}")
        choice = cls(name, tuple(sorted(given.items())))
        if name in ESTIMATORS:
            choice._check_values()
        else:
            choice._check_results()
        return choice

    def _check_values(self) -> None:
        """Call the estimator once on a group of one sample, so that a bad value is refused before a run starts."""
        zero, params, least = self._array([[0.0]]), dict(self.params), self.spec.least_m
        if least is not None and self.least_samples > 1:
            params[least] = 1  # the parameter itself is checked; a group of its size might not fit into memory
        choice = EstimatorChoice(self.name, tuple(params.items()))
        choice.coefficients(zero, zero, np.random.default_rng(0), score_norm_sq_BM=zero, answer_length_B=1)

    def _array(self, values: list[list[float]]) -> Any:
        """Make test input: numpy arrays for the package's estimators, torch tensors (as in training) for a user's."""
        if self.name in ESTIMATORS:
            return np.array(values)
        import torch  # imported late: the report reads configurations without torch

        return torch.tensor(values, dtype=torch.float64)

    def _check_results(self) -> None:
        """Call a user's own estimator as the trainer will, and check what it returns.

        Raises:
            UserError: It fails, or does not return two tensors of coefficients of the input's shape.
        """
        import torch

        times = -(-self.least_samples // 3)
        log_w_BM = self._array([[-0.5, -2.0, -1.0] * times, [-30.0, -4.0, -9.0] * times])
        reward_BM = self._array([[1.0, 0.0, 0.0] * times, [0.0, 0.0, 0.0] * times])
        where, given = f"estimator {self}", {"score_norm_sq_BM": torch.ones_like(log_w_BM), "answer_length_B": [3, 5]}
        try:
            result = self.coefficients(log_w_BM, reward_BM, np.random.default_rng(0), **given)
        except Exception as error:
            shape = tuple(log_w_BM.shape)
            raise UserError(f"{where}: on tensors {shape} of float64: {plugins.describe(error)}") from None
        if not isinstance(result, Coefficients):
            raise UserError(f"{where}: returns {type(result).__name__}; return qtheory.estimators.Coefficients")
        for name, part in result._asdict().items():
            if not isinstance(part, torch.Tensor) or part.shape != log_w_BM.shape:
                shape = tuple(part.shape) if isinstance(part, torch.Tensor) else type(part).__name__
                raise UserError(f"{where}: its {name} coefficients are {shape}; return a tensor of the input's shape")

    @property
    def may_run(self) -> bool:
        """True if the estimator can be called: it is registered, or it is code that may be imported."""
        return self.code_allowed or not plugins.is_code(self.name)

    @property
    def spec(self) -> Estimator:
        """The estimator itself.

        Raises:
            CodeRefused: The estimator is code that may not be imported.
        """
        if not self.may_run:
            raise plugins.refuse_code("estimator", str(self))
        return find_estimator(self.name)

    @property
    def q(self) -> float | None:
        """The estimator's place q on the continuum; None if it has none."""
        return self.spec.q_of(dict(self.params))

    def with_q(self, q: float) -> "EstimatorChoice":
        """The same estimator with another q.

        Raises:
            ValueError: It has no parameter q, or does not accept this value.
        """
        if "q" not in self.spec.parameters:
            raise ValueError(f"{self} has no parameter q")
        choice = EstimatorChoice(self.name, tuple(sorted({**dict(self.params), "q": q}.items())))
        choice._check_values()
        return choice

    @property
    def needs_reward(self) -> bool:
        """True if the estimator reads rewards, so that answers must be sampled."""
        return self.spec.inputs == "reward"

    @property
    def least_samples(self) -> int:
        """The smallest group that the estimator takes."""
        return self.spec.least_samples(dict(self.params))

    @property
    def is_silent_alone(self) -> bool:
        """True if a group of one sample, which has no other to compare with, has no gradient whatever its reward."""
        one_BM, rng = self._array([[1.0]]), np.random.default_rng(0)
        given = {"score_norm_sq_BM": one_BM, "answer_length_B": 1}
        pairs = [self.coefficients(-one_BM, reward * one_BM, rng, **given) for reward in (0.0, 1.0)]
        return not any(np.any(part) for pair in pairs for part in pair)

    @property
    def scales_together(self) -> bool:
        """True if multiplying all weights by one factor multiplies all coefficients by one factor."""
        log_w_BM = self._array([[-1.0, -2.0, -4.0] * -(-self.least_samples // 3)])
        ones_BM = log_w_BM**0
        given = {"score_norm_sq_BM": ones_BM, "answer_length_B": 1}
        plain, scaled = (
            self.coefficients(shifted_BM, ones_BM, np.random.default_rng(0), **given).answer
            for shifted_BM in (log_w_BM, log_w_BM - 1)
        )
        return bool(np.allclose(scaled * plain.max(), plain * scaled.max()))

    @property
    def needs_score_norm(self) -> bool:
        """True if the estimator reads the squared norms of the rationales' scores."""
        return self.spec.needs_score_norm

    def coefficients(
        self,
        log_w_BM: Any,
        reward_BM: Any,
        rng: np.random.Generator,
        *,
        score_norm_sq_BM: Any = None,
        answer_length_B: Any = None,
    ) -> Coefficients:
        """Call the estimator with those of the inputs, (B, M) each, that it needs; returns coefficients (B, M)."""
        keywords: dict[str, Any] = dict(self.params)
        if self.spec.stochastic:
            keywords["rng"] = rng
        if self.needs_score_norm:
            keywords["score_norm_sq"] = score_norm_sq_BM
        if self.spec.needs_answer_length:
            keywords["answer_length"] = answer_length_B
        return self.spec.function(reward_BM if self.needs_reward else log_w_BM, **keywords)

    def __str__(self) -> str:
        if not self.params:
            return self.name
        return f"{self.name}:" + ",".join(f"{key}={_format_value(value)}" for key, value in self.params)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read and write the estimator as one string; the validation's context says whether it may name code."""

        def validate(value: Any, info: core_schema.ValidationInfo) -> "EstimatorChoice":
            if isinstance(value, cls):
                return value
            return cls.parse(str(value), code_allowed=(info.context or {}).get("code_allowed", True))

        return core_schema.with_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


def _split(text: str) -> tuple[str, str]:
    """Split off the parameters; a name in the form `module:object` has a colon too."""
    first, _, after_first = text.partition(":")
    second, _, after_second = after_first.partition(":")
    if first not in _known_names() and "=" not in second and plugins.is_code(f"{first}:{second}"):
        return f"{first}:{second}", after_second
    return first, after_first


def _known_names() -> list[str]:
    return [*ESTIMATORS, *plugins.registered(plugins.ESTIMATORS)]


@cache
def find_estimator(name: str) -> Estimator:
    """Look up an estimator by name.

    Raises:
        ValueError: No estimator has this name.
        UserError: The named code cannot be imported, or is not an estimator.
    """
    if name in ESTIMATORS:
        return ESTIMATORS[name]
    if name in plugins.registered(plugins.ESTIMATORS):
        return _as_estimator(name, plugins.load_registered(plugins.ESTIMATORS, name))
    if plugins.is_code(name):
        return _as_estimator(name, plugins.load(name, "estimator"))
    raise ValueError(
        f"unknown estimator {name!r}; {did_you_mean(name, _known_names())}, or module:function of your own"
    )


def _as_estimator(name: str, value: Any) -> Estimator:
    """Wrap a function, whose first argument must be called `log_w` or `reward`, as an `Estimator`."""
    if isinstance(value, Estimator):
        return value
    if not callable(value) or isinstance(value, type):
        raise UserError(f"estimator {name!r}: a function or an Estimator is needed, not {value!r:.80}")
    function: Callable[..., Any] = value
    first = next(iter(inspect.signature(function).parameters), "")
    inputs: dict[str, Literal["log_w", "reward"]] = {"log_w": "log_w", "reward": "reward"}
    if first not in inputs:
        raise UserError(f"estimator {name!r}: its first argument is {first!r}; call it log_w or reward, as it reads")
    try:
        return Estimator(name, function, inputs[first], target="", paper="", limits="")
    except StopIteration:
        raise UserError(
            f"estimator {name!r}: annotate its parameters as bool, int, float or str, so that they can be read"
        ) from None


def _parse_value(name: str, key: str, text: str, kind: type) -> Any:
    readers = {bool: {"true": True, "false": False}.__getitem__, int: int, float: float, str: str}
    try:
        return readers[kind](text.strip())
    except (KeyError, ValueError):
        raise ValueError(f"{name}:{key}={text}: a value of type {kind.__name__} is needed") from None


def _format_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
