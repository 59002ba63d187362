"""A tiny untrained model on the testbed's tokenizer, shared by the tests of the training path."""

from pathlib import Path

import pytest
import torch
from transformers import Qwen3ForCausalLM

from qtrain.config import Config, ModelConfig
from qtrain.policy.base import Base
from qtrain.policy.model import new_model
from qtrain.prepare import get_base
from qtrain.tasks import make_task
from qtrain.tasks.base import Task
from qtrain.testbed.digit_sum import DigitSumConfig

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def config() -> Config:
    """The smallest run of the testbed: no pre-training."""
    return Config.model_validate(
        {
            "name": "tiny",
            "task": {"name": "digit_sum", "variant": "mixed", "digits": 3},
            "model": {
                "hidden_size": 16,
                "intermediate_size": 24,
                "layers": 2,
                "heads": 2,
                "key_value_heads": 1,
                "head_dim": 8,
                "max_positions": 32,
            },
            "pretrain": {"steps": 0},
            "rollout": {"prompts": 4, "samples": 6, "rationale_budget": 5},
            "train": {"steps": 3},
            "eval": {"every": 2, "prompts": 3, "samples": 4},
        }
    )


@pytest.fixture(scope="session")
def task(config: Config) -> Task:
    """The testbed: tagged and untagged prompts, so that rows differ in length."""
    assert isinstance(config.task, DigitSumConfig)
    return make_task(config.task, None)


@pytest.fixture
def model(config: Config, task: Task) -> Qwen3ForCausalLM:
    """Random weights, large enough that distributions are far from uniform."""
    model = new_model(ModelConfig.model_validate(config.model), task.tokenizer, seed=3)
    with torch.no_grad():
        model.lm_head.weight.mul_(6.0)
    return model


@pytest.fixture
def base(config: Config, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """The tiny model's base, in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return get_base(config, task)
