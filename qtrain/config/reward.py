"""Parse the key `reward`: a name (`em`, `math`, `mine:score`) or a table of names with weights."""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from qtheory.command.names import did_you_mean
from qtrain import plugins
from qtrain.errors import UserError
from qtrain.rewards.built_in import GRADED, MATH, NAMES
from qtrain.rewards.functions import load_function


@dataclass(frozen=True)
class RewardChoice:
    """Rewards with their weights.

    Attributes:
        weights: (name, weight) pairs. A name is a built-in reward or `module:function`.
        code_allowed: Whether functions named as `module:function` may be imported.
    """

    weights: tuple[tuple[str, float], ...]
    code_allowed: bool = field(default=True, compare=False, repr=False)

    @classmethod
    def parse(cls, value: object, *, code_allowed: bool = True) -> "RewardChoice":
        """Read a name, or a table of weights by name.

        Args:
            value: The value of the key.
            code_allowed: Whether to import functions, to check them.

        Raises:
            ValueError: An unknown name (the message suggests the nearest) or a weight that is no number.
            UserError: A function cannot be imported, or is none.
        """
        if isinstance(value, str):
            value = {value.strip(): 1.0}
        if not isinstance(value, Mapping) or not value:
            raise ValueError("a name or a table of names with weights is needed, for example { em = 0.5, f1 = 0.5 }")
        for name, weight in value.items():
            check_name(name, code_allowed=code_allowed)
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
                raise ValueError(f"the weight of {name!r} is {weight!r}; a finite number is needed")
        if not any(weight > 0 for weight in value.values()):
            raise ValueError("no weight is positive; give at least one reward a weight above 0")
        return cls(tuple((name, float(weight)) for name, weight in value.items()), code_allowed)

    def graded(self) -> str | None:
        """Why the reward may have other values than 0 and 1, or None if it cannot, as far as is known."""
        (name, weight), *others = self.weights
        if others:
            return "a weighted sum is graded"
        if weight != 1:
            return f"a weight of {weight:g} makes it graded"
        if name in GRADED:
            return f"{name} is graded"
        if name in NAMES or not self.code_allowed or load_function(name).binary:
            return None
        return f"{name} may be graded (set its attribute `binary` to True if it returns 0 or 1 alone)"

    def as_value(self) -> str | dict[str, float]:
        """The choice as a configuration holds it."""
        (name, weight), *others = self.weights
        return name if not others and weight == 1 else dict(self.weights)

    def __str__(self) -> str:
        value = self.as_value()
        return value if isinstance(value, str) else ", ".join(f"{weight:g} {name}" for name, weight in self.weights)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read and write the value; the validation's context says whether it may name code."""

        def validate(value: Any, info: core_schema.ValidationInfo) -> "RewardChoice":
            if isinstance(value, cls):
                return value
            return cls.parse(value, code_allowed=(info.context or {}).get("code_allowed", True))

        return core_schema.with_info_plain_validator_function(
            validate,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda choice: choice.as_value()),
        )


def check_name(name: str, *, code_allowed: bool) -> None:
    """Check the name of a reward; a function is imported if that is allowed.

    Raises:
        ValueError: No reward has this name.
        UserError: The function cannot be imported, or is none.
    """
    if name in NAMES:
        return
    if not plugins.is_code(name):
        raise ValueError(f"unknown reward {name!r}; {did_you_mean(name, NAMES)}, or module:function of your own")
    if code_allowed:
        load_function(name)


def check_typed(names: Sequence[str]) -> None:
    """Check the rewards that a user names for one evaluation, whose functions may run.

    Raises:
        UserError: A reward is unknown or cannot be computed here.
    """
    for name in names:
        try:
            check_name(name, code_allowed=True)
        except ValueError as error:
            raise UserError(f"--rewards {name}: {error}") from None
        check_usable(name, code_allowed=True)


def check_usable(name: str, *, code_allowed: bool) -> None:
    """Check that a reward can be computed here.

    Raises:
        UserError: It needs a package that is not installed, or is code that may not run.
    """
    if name == MATH and importlib.util.find_spec("math_verify") is None:
        raise UserError("reward='math': math-verify is not installed: pip install 'qcontinuum[math]'")
    if name not in NAMES and not code_allowed:
        raise plugins.refuse_code("reward", name)
