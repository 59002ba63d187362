"""The settings of a run: tables, their checks, and the reading of configuration files.

`tables` holds the table of a run and most of its sub-tables, `model`, `estimator` and `schedules` the others. `read`
reads files and command-line overrides.
"""

from qtrain.config.estimator import EstimatorChoice
from qtrain.config.model import AnyModelConfig, LoraConfig, ModelConfig, PretrainedConfig
from qtrain.config.read import check_estimator, read_config
from qtrain.config.schedules import QSchedule, RateSchedule
from qtrain.config.tables import (
    Config,
    EvalConfig,
    OptimizerConfig,
    PretrainConfig,
    RolloutConfig,
    TrainConfig,
    VllmConfig,
    config_hash,
)

__all__ = [
    "AnyModelConfig",
    "Config",
    "EstimatorChoice",
    "EvalConfig",
    "LoraConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PretrainConfig",
    "PretrainedConfig",
    "QSchedule",
    "RateSchedule",
    "RolloutConfig",
    "TrainConfig",
    "VllmConfig",
    "check_estimator",
    "config_hash",
    "read_config",
]
