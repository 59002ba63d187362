"""The base of every table of a configuration."""

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """Base of every table: unknown keys are refused, values are not changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
