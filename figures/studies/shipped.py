"""The shipped configurations, and the six estimators of the paper's Table 1."""

from qtrain.config import Config, EstimatorChoice, read_config
from qtrain.config.read import SHIPPED

TABLE_1 = ("grpo", "rb_rloo", "garl:q=.25", "garl:q=.5", "garl:q=.75", "garl:q=1")


def shipped_config(name: str) -> Config:
    """A configuration of `qtrain/configs` by name."""
    return read_config(SHIPPED / f"{name}.toml")


def choices(*specs: str) -> list[EstimatorChoice]:
    """Parse estimators, for example "garl:q=.5"."""
    return [EstimatorChoice.parse(spec) for spec in specs]
