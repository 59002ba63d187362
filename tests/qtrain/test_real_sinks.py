"""The sinks' real libraries, offline: what TensorBoard, trackio and Weights & Biases store is what the log has."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from qtrain.runs.folder import read_jsonl

PROGRAM = """
from qtrain import load_config, train

config = load_config({
    "name": "tiny", "task": {"name": "digit_sum"}, "estimator": "garl:q=.75", "pretrain": {"steps": 2},
    "rollout": {"prompts": 2, "samples": 2}, "train": {"steps": 2}, "eval": {"prompts": 2},
    "sinks": ["tensorboard", "trackio", "wandb"],
})
if __name__ == "__main__":
    train(config, "run")
"""


@pytest.mark.slow
def test_real_sinks_hold_what_the_log_has(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    environment = os.environ | {
        "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "TRACKIO_DIR": str(tmp_path / "trackio"),
        "WANDB_MODE": "offline", "WANDB_SILENT": "true",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    logged = [row["ess"] for row in read_jsonl(folder / "metrics.jsonl")]
    evaluated = [row["mean_log_p"] for row in read_jsonl(folder / "evals.jsonl")]
    assert (len(logged), len(evaluated)) == (2, 2)

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("train/ess")] == pytest.approx(logged, rel=1e-6)
    assert [event.step for event in events.Scalars("eval/mean_log_p")] == [0, 2]

    with sqlite3.connect(tmp_path / "trackio" / "tiny.db") as database:
        rows = [json.loads(row) for (row,) in database.execute("select metrics from metrics order by id")]
    assert [row["train/ess"] for row in rows if "train/ess" in row] == logged
    assert [row["eval/mean_log_p"] for row in rows if "eval/mean_log_p" in row] == evaluated

    # wandb reads its own format in its server alone; numbers are written there as JSON.
    (stored,) = (path.read_bytes() for path in tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert b"train/ess" in stored
    assert all(repr(value).encode() in stored for value in [*logged, *evaluated])
