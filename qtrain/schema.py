"""The base class of every table of a configuration."""

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from qtheory.command.options import LARGEST

MAX_BATCH = 10**6
"""Upper bound on the prompts, samples or texts of a batch, since a list holds one item for each."""


class StrictModel(BaseModel):
    """Base of every table: unknown keys are refused, and values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_number(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and bool not in (kind, *get_args(kind)):
            raise ValueError("a truth value is not possible here")
        if isinstance(value, int) and value > LARGEST:
            raise ValueError(f"at most {LARGEST} is possible")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _split_names(cls, value: Any, info: ValidationInfo) -> Any:
        """Accept names separated by commas, as in `lora.targets=q_proj,v_proj`, for a tuple."""
        kind = cls.model_fields[info.field_name or ""].annotation
        kinds = get_args(kind) if get_origin(kind) is not tuple else (kind,)
        if not isinstance(value, str) or tuple not in map(get_origin, kinds):
            return value
        if any(value in get_args(alternative) for alternative in kinds if get_origin(alternative) is Literal):
            return value
        return tuple(name for part in value.split(",") if (name := part.strip()))
