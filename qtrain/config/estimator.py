"""An estimator with its parameters as one word: `garl:q=.25`, `paft:q=.75,k=8`, `grpo`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from qtheory.estimators import ESTIMATORS, Coefficients, Estimator
from qtrain.errors import did_you_mean


@dataclass(frozen=True)
class EstimatorChoice:
    """A registered estimator and the keyword parameters to call it with.

    Attributes:
        name: Its name in `qtheory.estimators.ESTIMATORS`.
        params: Sorted (keyword, value) pairs.
    """

    name: str
    params: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "EstimatorChoice":
        """Read `name[:key=value,...]`.

        Raises:
            ValueError: Unknown estimator or parameter (the nearest name is given), or a value of the wrong type.
        """
        name, _, rest = text.strip().partition(":")
        if name not in ESTIMATORS:
            raise ValueError(f"unknown estimator {name!r}; {did_you_mean(name, ESTIMATORS)}")
        spec = ESTIMATORS[name]
        given: dict[str, Any] = {}
        for pair in filter(None, (part.strip() for part in rest.split(","))):
            key, equals, value = pair.partition("=")
            if key not in spec.parameters:
                hint = did_you_mean(key, spec.parameters) if spec.parameters else "it takes none"
                raise ValueError(f"estimator {name!r} has no parameter {key!r}; {hint}")
            if not equals:
                raise ValueError(f"parameter {key!r} of {name!r} needs a value: {key}=...")
            given[key] = _value(name, key, value, spec.parameters[key].type)
        missing = [key for key, parameter in spec.parameters.items() if parameter.required and key not in given]
        if missing:
            raise ValueError(f"estimator {name!r} needs {missing[0]!r}, for example {name}:{missing[0]}=.75")
        choice = cls(name, tuple(sorted(given.items())))
        choice._check_values()
        return choice

    def _check_values(self) -> None:
        """Call the estimator once on a pool of one, so that a bad value is refused before a run starts."""
        one = np.zeros((1, 1))
        self.coefficients(one, one, np.random.default_rng(0), score_norm_sq_BM=one)

    @property
    def spec(self) -> Estimator:
        """The registry's entry."""
        return ESTIMATORS[self.name]

    @property
    def q(self) -> float | None:
        """The q that this estimator stands for, None outside the continuum."""
        return self.spec.q_of(dict(self.params))

    def with_q(self, q: float) -> "EstimatorChoice":
        """The same estimator at another q.

        Raises:
            ValueError: It has no parameter q, or not this value.
        """
        if "q" not in self.spec.parameters:
            raise ValueError(f"{self} has no parameter q")
        choice = EstimatorChoice(self.name, tuple(sorted({**dict(self.params), "q": q}.items())))
        choice._check_values()
        return choice

    @property
    def needs_reward(self) -> bool:
        """Whether answers must be sampled."""
        return self.spec.inputs == "reward"

    @property
    def is_silent_alone(self) -> bool:
        """Whether a group of one sample has no gradient, whatever its reward: there is nothing to compare it with."""
        one, rng = np.ones((1, 1)), np.random.default_rng(0)
        pairs = [self.coefficients(-one, reward * one, rng, score_norm_sq_BM=one) for reward in (0.0, 1.0)]
        return not any(np.any(part) for pair in pairs for part in pair)

    @property
    def scales_together(self) -> bool:
        """Whether a common factor on all weights is a common factor on all coefficients."""
        pool, ones = np.array([[-1.0, -2.0, -4.0]]), np.ones((1, 3))
        plain, scaled = (
            self.coefficients(log_w, np.ones((1, 3)), np.random.default_rng(0), score_norm_sq_BM=ones).answer
            for log_w in (pool, pool - 1)
        )
        return bool(np.allclose(scaled * plain.max(), plain * scaled.max()))

    @property
    def needs_score_norm(self) -> bool:
        """Whether the rationales' squared scores must be noted."""
        return self.spec.needs_score_norm

    def coefficients(
        self, log_w_BM: Any, reward_BM: Any, rng: np.random.Generator, *, score_norm_sq_BM: Any = None
    ) -> Coefficients:
        """Coefficients of every sample, (B, M) each, from whatever of these the estimator needs."""
        keywords: dict[str, Any] = dict(self.params)
        if self.spec.stochastic:
            keywords["rng"] = rng
        if self.needs_score_norm:
            keywords["score_norm_sq"] = score_norm_sq_BM
        return self.spec.function(reward_BM if self.needs_reward else log_w_BM, **keywords)

    def __str__(self) -> str:
        if not self.params:
            return self.name
        return f"{self.name}:" + ",".join(f"{key}={_text(value)}" for key, value in self.params)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """In configurations it is that one word."""
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls.parse(str(value)),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )


def _value(name: str, key: str, text: str, kind: type) -> Any:
    readers = {bool: {"true": True, "false": False}.__getitem__, int: int, float: float, str: str}
    try:
        return readers[kind](text.strip())
    except (KeyError, ValueError):
        raise ValueError(f"{name}:{key}={text}: a value of type {kind.__name__} is needed") from None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
