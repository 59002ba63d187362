"""Guard rails: steps without a finite gradient, a second process, a full disk, and what vanishes under a run."""

import json
import math
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from qtrain import step as step_module
from qtrain.callbacks import Callback, RunView, StepFunction
from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.files import Lock
from qtrain.nonfinite import NonFiniteError
from qtrain.policy.base import Base
from qtrain.runs.folder import read_jsonl
from qtrain.tasks.base import Task
from qtrain.trainer import train


def poison(patch: pytest.MonkeyPatch, steps: set[int], what: str) -> None:
    """Make something not finite at these steps."""
    count = 0
    real_backward, real_roll_out, real_forward = step_module.backward, step_module.roll_out, step_module.forward

    def backward(model: Any, *arguments: Any, **keywords: Any) -> Any:
        done = real_backward(model, *arguments, **keywords)
        if count in steps and what == "gradient":
            next(model.parameters()).grad[0] = math.inf
        return done._replace(surrogate=math.nan) if count in steps and what == "loss" else done

    def roll_out(*arguments: Any, **keywords: Any) -> Any:
        nonlocal count
        count += 1
        return real_roll_out(*arguments, **keywords)

    def forward(*arguments: Any, **keywords: Any) -> Any:
        found = real_forward(*arguments, **keywords)
        if count in steps and what == "log w":
            found.log_w_BM[1] = torch.nan
        return found

    patch.setattr(step_module, "forward", forward)
    patch.setattr(step_module, "backward", backward)
    patch.setattr(step_module, "roll_out", roll_out)


@pytest.mark.parametrize("what", ["gradient", "loss"])
def test_a_step_without_a_finite_gradient_is_skipped_and_counted(
    what: str, config: Config, task: Task, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step before and the step after are as without it: nothing but its own update is missing."""
    config = config.with_values({"train.steps": 3, "optimizer.lr": 0.1, "optimizer.name": "adamw"})
    with monkeypatch.context() as patch:
        poison(patch, {2}, what)
        result = train(config, task, base, tmp_path / "run")
    assert result["diverged_step"] is None
    assert result["diagnosis"] is None
    assert result["skipped_steps"] == 1
    assert result["p_at_1"] is not None
    assert [row["step"] for row in read_jsonl(tmp_path / "run" / "metrics.jsonl")] == [1, 3]
    skipped = read_jsonl(tmp_path / "run" / "skipped.jsonl")
    assert [row["step"] for row in skipped] == [2]
    reason = {"gradient": "the gradient's norm is inf", "loss": "the loss is nan"}[what]
    assert skipped[0]["reason"] == reason
    assert {"prompt", "log_w_min", "log_w_max", "max_coefficient"} <= set(skipped[0])
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_too_many_in_a_row_end_the_run_with_a_diagnosis(
    config: Config, task: Task, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that are not in a row do not."""
    config = config.with_values({"train.steps": 9, "train.skip_limit": 2, "eval.every": 100})
    with monkeypatch.context() as patch:
        poison(patch, {2, 4, 6, 7}, "gradient")
        result = train(config, task, base, tmp_path / "run")
    assert result["diverged_step"] == result["steps"] == 6
    assert result["skipped_steps"] == 4
    assert result["p_at_1"] is None
    last = read_jsonl(tmp_path / "run" / "skipped.jsonl")[-1]
    assert result["diagnosis"].startswith(
        f"2 steps in a row without a finite gradient: the gradient's norm is inf; prompt {last['prompt']!r}, log w "
    )
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result


def test_a_weight_that_is_not_a_number_names_its_prompt(
    config: Config, task: Task, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the estimator refuses is no coefficient: the step is skipped like one whose gradient is not finite."""
    config = config.with_values({"train.steps": 2, "estimator": "garl:q=.5"})
    with monkeypatch.context() as patch:
        poison(patch, {1}, "log w")
        result = train(config, task, base, tmp_path / "run")
    assert result["skipped_steps"] == 1
    row = read_jsonl(tmp_path / "run" / "skipped.jsonl")[0]
    assert row["reason"] == "log w is not a number"
    assert row["prompt"].startswith("T")  # the second prompt of a batch of the mixture is an easy one


class BreakWeights(Callback):
    """Makes the output matrix no numbers in the second step."""

    def on_step(self, run: RunView, step: int, metrics: dict[str, float]) -> None:
        if step == 2:
            with torch.no_grad():
                run.model.get_output_embeddings().weight.fill_(torch.nan)  # pyright: ignore


def test_broken_weights_name_the_first_prompt(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    """Weights that are no numbers stay so: the run ends, and the result says where."""
    config = config.with_values({"train.steps": 9, "eval.every": 100})
    result = train(config, task, base, tmp_path / "run", callbacks=[BreakWeights()])
    assert result["diverged_step"] == 3
    assert "3 steps in a row without a finite gradient: the model's logits are not finite" in result["diagnosis"]
    assert "; prompt '" in result["diagnosis"]


def test_not_finite_says_what_was_found() -> None:
    assert NonFiniteError("the loss is nan", prompt="1+1=").details == {"reason": "the loss is nan", "prompt": "1+1="}


def test_a_second_process_on_the_same_folder_is_refused(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    lock = Lock(folder / ".lock")
    try:
        with pytest.raises(UserError, match=rf"another process \(id {os.getpid()}\) writes this run"):
            train(config, task, base, folder)
        assert [path.name for path in folder.iterdir()] == [".lock"]
    finally:
        lock.release()
    assert train(config, task, base, folder)["steps"] == 3


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: what the system then says is like what it says of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("size", "file", "every"), [(2_500, "metrics.jsonl", None), (12_000, "step-00000000", 2)])
def test_a_full_disk_is_one_line_and_loses_nothing(
    size: int, file: str, every: int | None, config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    """Logs fail line by line, checkpoints as a whole; with room again the run goes on to the same end."""
    config = config.with_values(
        {"train.checkpoint_every": every, "train.steps": 4, "eval.prompts": 1, "eval.samples": 1}
    )
    train(config, task, base, tmp_path / "whole")
    with room(size), pytest.raises(UserError, match=r"cannot be written: .*; the last checkpoint") as error:
        train(config, task, base, tmp_path / "run")
    assert file in str(error.value)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "run").glob("checkpoints/*"))
    train(config, task, base, tmp_path / "run", resume=True)
    for name in ("model.safetensors", "evals.jsonl", "samples.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("what", ["metrics.jsonl", "."])
def test_what_vanishes_under_a_run_is_one_line(
    what: str, config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    def watch(step: int, metrics: dict[str, float]) -> None:
        del metrics
        if step == 2:
            path = tmp_path / "run" / what
            path.unlink() if path.is_file() else shutil.rmtree(tmp_path / "run")

    with pytest.raises(UserError, match=r"metrics.jsonl: cannot be written: it was deleted while the run went on"):
        train(config, task, base, tmp_path / "run", callbacks=[StepFunction(watch)])


def test_a_folder_that_cannot_be_made_is_one_line(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        train(config, task, base, tmp_path / "file" / "run")
