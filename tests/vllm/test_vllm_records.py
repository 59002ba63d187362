"""Real records through both engines: each shipped configuration of a data set, cold and warm, for a few steps."""

import math
from pathlib import Path

import pytest

from qtrain.config import read_config
from qtrain.prepare import get_base
from qtrain.runs.folder import read_jsonl
from qtrain.tasks import make_task
from qtrain.trainer import train

ROOT = Path(__file__).parents[2]
SHIPPED = [f"{name}_{variant}_tiny" for name in ("finqa", "hotpotqa", "musique") for variant in ("cold", "warm")]

# One model and one cache's size for all six: vLLM allows one engine a process. 32 is its smallest head on a CPU.
SETTINGS = (
    *("model.head_dim=32", "model.heads=2", "model.key_value_heads=2", "model.max_positions=896"),
    *("rollout.prompts=2", "rollout.samples=4", "rollout.rationale_budget=12"),
    *("train.steps=2", "eval.every=2", "eval.prompts=1", "eval.samples=2"),
)


@pytest.mark.shared
@pytest.mark.timeout(600)  # the first with vLLM starts it, on a machine that does other things too
@pytest.mark.parametrize("engine", ["transformers", "vllm"])
@pytest.mark.parametrize("shipped", SHIPPED)
def test_shipped_configurations_run_on_real_records(
    shipped: str, engine: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = f"data={shared_data / shipped.split('_')[0]}"
    config = read_config(ROOT / "qtrain" / "configs" / f"{shipped}.toml", (*SETTINGS, data, f"rollout.engine={engine}"))
    task = make_task(config.task, config.data)
    result = train(config, task, get_base(config, task), tmp_path / "run")
    assert result["steps"] == 2
    assert result["diverged_step"] is None
    steps = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert len(steps) == 2
    # Of up to a hundred tokens of an answer; later steps take log w from the update's own pass.
    assert steps[0]["mismatch_log_w"] < 1e-3
    for step in steps:
        assert math.isfinite(step["mean_log_p"])
        assert step["mismatch_largest"] < 1e-4
