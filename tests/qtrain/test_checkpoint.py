"""Checkpoints: what is kept, what a run gets back, and one line for everything that is wrong with them."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3ForCausalLM

from qtrain.config import Config, OptimizerConfig
from qtrain.errors import UserError
from qtrain.runs.checkpoint import latest_checkpoint, write_checkpoint
from qtrain.runs.state import RandomStates, RunState
from qtrain.tasks.base import Task
from qtrain.trainer import train
from qtrain.update import make_optimizer

SCORES = {"p": 0.1}


def adam(model: Qwen3ForCausalLM, steps: int = 1) -> torch.optim.Optimizer:
    """Adam with moments of its own."""
    optimizer = make_optimizer(OptimizerConfig(name="adamw"), model)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return optimizer


def state(step: int, best: int | None = None) -> RunState:
    return RunState(step=step, first=SCORES, last=SCORES, log_p=-2.5, best_step=best)


def test_everything_comes_back(model: Qwen3ForCausalLM, config: Config, task: Task, tmp_path: Path) -> None:
    optimizer, sources = adam(model), RandomStates.seeded(5, model.device)
    for rng in sources.numpy.values():
        rng.normal(size=7)
    torch.rand(9, generator=sources.tokens)
    write_checkpoint(tmp_path, model, optimizer, sources, state(3), {"metrics.jsonl": 12}, keep=1)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    moments = {key: value.clone() for key, value in optimizer.state_dict()["state"][4].items()}
    drawn = [rng.normal(size=3).tolist() for rng in sources.numpy.values()]
    tokens = torch.rand(3, generator=sources.tokens)
    found = latest_checkpoint(tmp_path, keep=1)
    assert found is not None
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    other, fresh = RandomStates.seeded(6, model.device), make_optimizer(OptimizerConfig(name="adamw"), model)
    assert found.restore(model, fresh, other) == state(3)
    assert found.logs == {"metrics.jsonl": 12}
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    again = fresh.state_dict()["state"][4]
    assert set(again) == set(moments) == {"step", "exp_avg", "exp_avg_sq"}
    assert all(torch.equal(again[key], moments[key]) for key in moments)
    assert [rng.normal(size=3).tolist() for rng in other.numpy.values()] == drawn
    assert torch.equal(torch.rand(3, generator=other.tokens), tokens)


def test_the_last_ones_and_the_best_are_kept(model: Qwen3ForCausalLM, tmp_path: Path) -> None:
    optimizer, sources = adam(model), RandomStates.seeded(0, model.device)
    for step in (2, 4, 6, 8, 10):
        best = 4 if step >= 4 else None
        write_checkpoint(tmp_path, model, optimizer, sources, state(step, best), {}, keep=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-00000004", "step-00000008", "step-00000010",
    ]  # fmt: skip


def test_the_best_evaluation_gets_a_checkpoint(config: Config, task: Task, tmp_path: Path, base: Any) -> None:
    config = config.with_values(
        {"train.steps": 5, "train.checkpoint_every": 3, "train.keep": 1, "eval.every": 1, "optimizer.lr": 0.3}
    )
    result = train(config, task, base, tmp_path / "run")
    evals = [json.loads(line) for line in (tmp_path / "run" / "evals.jsonl").read_text().splitlines()][1:]
    assert result["best_step"] == max(evals, key=lambda row: (row["maj_at_4"], row["mean_log_p"]))["step"]
    kept = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    best_before_the_last = max(evals[:-1], key=lambda row: (row["maj_at_4"], row["mean_log_p"]))["step"]
    assert f"step-{best_before_the_last:08d}" in kept


def damage(folder: Path, how: str) -> None:
    """Break one file of a checkpoint."""
    name, _, what = how.partition(" ")
    path = folder / name
    data = bytearray(path.read_bytes())
    if what == "cut":
        data = data[: len(data) // 2]
    elif what == "empty":
        data = bytearray()
    elif what == "flipped":
        data[len(data) // 2] ^= 1
    elif what == "pickle":
        data = bytearray(pickle.dumps({"a": 1}))
    path.unlink()
    if what != "gone":
        path.write_bytes(data)


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("what", ["cut", "empty", "flipped", "pickle", "gone"])
def test_damage_is_one_line(name: str, what: str, model: Qwen3ForCausalLM, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, model, adam(model), RandomStates.seeded(0, model.device), state(3), {}, keep=1)
    damage(tmp_path / "checkpoints" / "step-00000003", f"{name} {what}")
    with pytest.raises(UserError, match=r"damaged checkpoint: .*; delete this folder") as error:
        latest_checkpoint(tmp_path, keep=1)
    assert "\n" not in str(error.value)


def test_any_damage_is_found(model: Qwen3ForCausalLM, tmp_path: Path) -> None:
    """A file cut anywhere, a bit flipped anywhere, two files exchanged: 200 times one line, and nothing is written."""
    (tmp_path / "run").mkdir()
    write_checkpoint(tmp_path / "run", model, adam(model), RandomStates.seeded(0, model.device), state(3), {}, keep=1)
    folder, rng = tmp_path / "run" / "checkpoints" / "step-00000003", np.random.default_rng(0)
    whole = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    for _ in range(200):
        path, other = (list(whole)[index] for index in rng.permutation(len(whole))[:2])
        data = bytearray(whole[path])
        how = rng.choice(["cut", "flip", "exchange"])
        at = int(rng.integers(len(data)))
        if how == "flip":
            data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(data[:at] if how == "cut" else whole[other] if how == "exchange" else data)
        found = {one: one.read_bytes() for one in folder.iterdir()}
        with pytest.raises(UserError, match="damaged checkpoint") as error:
            latest_checkpoint(tmp_path / "run", keep=1)
        assert "\n" not in str(error.value)
        assert {one: one.read_bytes() for one in folder.iterdir()} == found
        path.write_bytes(whole[path])
    assert latest_checkpoint(tmp_path / "run", keep=1) is not None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 99}, "its format is 99"),
        ({"logs": {"../../passwd": -5}}, "state.json is not in order"),
        ({"more": 1}, "state.json is not in order"),
        ({"state": {"step": "many"}}, "state.json is not in order"),
    ],
)
def test_a_forged_state_is_one_line(
    change: dict[str, Any], reason: str, model: Qwen3ForCausalLM, tmp_path: Path
) -> None:
    """Its sums may be right: what is read is checked, and nothing in it is executed."""
    write_checkpoint(tmp_path, model, adam(model), RandomStates.seeded(0, model.device), state(3), {}, keep=1)
    folder = tmp_path / "checkpoints" / "step-00000003"
    forge(folder, "state.json", json.dumps({**json.loads((folder / "state.json").read_text()), **change}).encode())
    with pytest.raises(UserError, match=reason):
        latest_checkpoint(tmp_path, keep=1)


def forge(folder: Path, name: str, data: bytes) -> None:
    """Replace a file, and its sum."""
    import hashlib

    (folder / name).write_bytes(data)
    sums = json.loads((folder / "manifest.json").read_text())
    sums[name] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(sums))


@pytest.mark.parametrize("what", ["shape", "name", "generator", "numpy"])
def test_a_checkpoint_of_something_else_is_one_line(what: str, model: Qwen3ForCausalLM, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, model, adam(model), RandomStates.seeded(0, model.device), state(3), {}, keep=1)
    folder = tmp_path / "checkpoints" / "step-00000003"
    tensors = load_file(folder / "state.safetensors")
    if what == "shape":
        tensors["optimizer.0.exp_avg"] = torch.zeros(2, 3)
    elif what == "name":
        tensors["optimizer.9999.exp_avg"] = torch.zeros(2)
    elif what == "generator":
        tensors["generator.tokens"] = torch.zeros(4, dtype=torch.uint8)
    save_file(tensors, tmp_path / "other")
    forge(folder, "state.safetensors", (tmp_path / "other").read_bytes())
    if what == "numpy":
        record = json.loads((folder / "state.json").read_text())
        record["generators"]["batch"] = {"bit_generator": "MT19937"}
        forge(folder, "state.json", json.dumps(record).encode())
    found = latest_checkpoint(tmp_path, keep=1)
    assert found is not None
    optimizer = make_optimizer(OptimizerConfig(name="adamw"), model)
    with pytest.raises(UserError, match="not a checkpoint of this configuration") as error:
        found.restore(model, optimizer, RandomStates.seeded(1, model.device))
    assert "\n" not in str(error.value)
