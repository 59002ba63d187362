"""The base of every table of a configuration."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

LARGEST = 2**32 - 1
"""What an integer of a configuration may be at most: seeds too fit every generator."""


class Table(BaseModel):
    """Base of every table: unknown keys are refused, values are not changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_that_can_be(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError("a truth value is not possible here")
        if isinstance(value, int) and value > LARGEST:
            raise ValueError(f"at most {LARGEST} is possible")
        return value
