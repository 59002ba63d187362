"""The commands as a user runs them, with the real vLLM: a training that escapes as it does with transformers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qtrain.runs.folder import ESCAPED, read_jsonl

SETTINGS = [
    # The smallest head that vLLM has on a CPU.
    *("model.head_dim=32", "model.heads=2", "model.key_value_heads=2"),
    *("pretrain.steps=300", "pretrain.p0=1e-3", "train.steps=20", "eval.every=20"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def qtrain(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qtrain", *words]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def train(folder: Path, engine: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Result and steps of one run."""
    words = ["train", "qtrain/configs/adam_alike.toml", *SETTINGS, f"rollout.engine={engine}"]
    done = qtrain(folder, *words, "--out", str(folder / engine))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads((folder / engine / "result.json").read_text()), read_jsonl(folder / engine / "metrics.jsonl")


@pytest.mark.timeout(600)  # two runs, on a machine that does other things too
def test_garl_escapes_as_with_transformers(folder: Path) -> None:
    peer_result, peer_steps = train(folder, "transformers")
    result, steps = train(folder, "vllm")
    assert peer_steps[0]["p"] < ESCAPED / 10
    assert result["escape_step"] is not None
    assert abs(result["escape_step"] - peer_result["escape_step"]) <= 2
    # The same batches of prompts, other rationales: the difference is the noise of 256 samples a step.
    difference = np.abs([one["mean_log_p"] - other["mean_log_p"] for one, other in zip(steps, peer_steps, strict=True)])
    assert difference.max() < 0.6
    assert difference.mean() < 0.2
    assert result["p_at_16"] == pytest.approx(peer_result["p_at_16"], abs=0.15)
    assert max(step["mismatch_largest"] for step in steps) < 1e-4
    # Of the first step alone: at later ones the update's own forward pass finds log w.
    assert [step["step"] for step in steps if "mismatch_log_w" in step] == [1]
    assert steps[0]["mismatch_log_w"] < 3e-4


def test_a_finished_run_is_evaluated_by_its_engine(folder: Path) -> None:
    done = qtrain(folder, "evaluate", str(folder / "vllm"), "--seed", "0")
    assert done.returncode == 0, done.stderr
    again = dict(line.split() for line in done.stdout.splitlines() if line.startswith("p_at_"))
    # Seed 0 is that of training: the weights on disk are those that vLLM last ran.
    result = json.loads((folder / "vllm" / "result.json").read_text())
    assert float(again["p_at_1"]) == pytest.approx(result["p_at_1"], abs=1e-6)


def test_a_head_that_vllm_lacks_is_one_line(folder: Path) -> None:
    words = ["train", "qtrain/configs/adam_alike.toml", "pretrain.steps=0", "pretrain.p0=none", "rollout.engine=vllm"]
    done = qtrain(folder, *words, "--out", str(folder / "none"))
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("qtrain: model.head_dim=16: vLLM on a CPU has 32, 64")
    assert "Traceback" not in done.stderr


def test_a_cache_that_is_too_small_is_one_line(folder: Path) -> None:
    words = ["train", "qtrain/configs/adam_alike.toml", *SETTINGS, "rollout.engine=vllm"]
    done = qtrain(folder, *words, "rollout.vllm.cache_gib=1e-6", "--out", str(folder / "small"))
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last == "qtrain: rollout.vllm.cache_gib=1e-06: a row of 64 tokens needs 0.00012; raise it"
