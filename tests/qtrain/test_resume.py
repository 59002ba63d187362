"""Resume: a run that was killed, wherever, ends as the one that nobody killed."""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reliability import TINY, content, finish, kill_at_operation, kill_at_random
from safetensors.torch import load_file

from figures.studies.score_norm import ScoreNorm
from qtrain import trainer as train_module
from qtrain.callbacks import Callback, RunView
from qtrain.cli import main
from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.load_run import weights_folder
from qtrain.policy.base import Base
from qtrain.prepare import get_base
from qtrain.runs.checkpoint import write_checkpoint
from qtrain.runs.folder import write_json
from qtrain.runs.interrupts import Interrupted
from qtrain.tasks import make_task
from qtrain.tasks.base import Task
from qtrain.trainer import train


@pytest.fixture(scope="module")
def config() -> Config:
    return Config.model_validate(TINY)


@pytest.fixture(scope="module")
def task(config: Config) -> Task:
    return make_task(config.task, None)


@pytest.fixture(scope="module")
def base(config: Config, task: Task, tmp_path_factory: pytest.TempPathFactory) -> Base:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return get_base(config, task)


@pytest.fixture(scope="module")
def whole(config: Config, task: Task, base: Base, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(config, task, base, folder)
    return content(folder)


@pytest.mark.slow
def test_killed_at_random_moments(config: Config, base: Base, whole: dict[str, Any], tmp_path: Path) -> None:
    longest = finish(config, base, tmp_path / "whole")
    # The first moment of this seed is in the middle, and later ones may come too late.
    assert kill_at_random(config, base, tmp_path / "run", np.random.default_rng(1), longest, most=3)
    assert content(tmp_path / "run") == whole


@pytest.mark.parametrize(
    "number", [pytest.param(3, marks=pytest.mark.slow), 40, pytest.param(55, marks=pytest.mark.slow)]
)
def test_killed_at_an_operation_on_a_file(
    number: int, config: Config, base: Base, whole: dict[str, Any], tmp_path: Path
) -> None:
    """A few of them; the command in `reliability.py` goes through all."""
    assert kill_at_operation(config, base, tmp_path / "run", number)
    assert not (tmp_path / "run" / "result.json").exists()
    finish(config, base, tmp_path / "run")
    assert content(tmp_path / "run") == whole


class Cut(BaseException):
    """Stands for a kill: nothing in qtrain catches it."""


def cut(
    config: Config,
    task: Task,
    base: Base,
    folder: Path,
    after: int,
    patch: pytest.MonkeyPatch,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Begin a run and cut it off behind its checkpoint of this step."""

    def writing(*arguments: Any, **keywords: Any) -> None:
        write_checkpoint(*arguments, **keywords)
        if arguments[4].step == after:
            raise Cut

    with patch.context() as here:
        here.setattr(train_module, "write_checkpoint", writing)
        with pytest.raises(Cut):
            train(config, task, base, folder, callbacks=callbacks)


@pytest.mark.parametrize(
    "word",
    [
        "garl:q=1",
        pytest.param("grpo", marks=pytest.mark.slow),
        pytest.param("garl_weighted:q=.5", marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_run_goes_on_bit_for_bit(
    word: str, config: Config, task: Task, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SGD, schedules of q, KL, small batches and the measurement's own generator too."""
    changes: dict[str, Any] = {
        "estimator": word,
        "optimizer.name": "sgd",
        "train.kl": 0.1,
        "train.micro_batch_tokens": 50,
    }
    changes |= {"train.steps": 4, "optimizer.lr": 0.1, "train.skip_limit": 2}
    if word != "grpo":
        changes |= {"q.kind": "adaptive", "q.rho": 3.0}
    monkeypatch.setattr("figures.studies.score_norm.CHUNK", 4)
    monkeypatch.setattr("figures.studies.score_norm.PROMPTS", 4)
    config = config.with_values(changes)
    train(config, task, base, tmp_path / "whole", callbacks=[ScoreNorm(1e-9)])
    cut(config, task, base, tmp_path / "cut", 2, monkeypatch, callbacks=[ScoreNorm(1e-9)])
    train(config, task, base, tmp_path / "cut", callbacks=[ScoreNorm(1e-9)], resume=True)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    environment = json.loads((tmp_path / "cut" / "environment.json").read_text())
    assert len(environment["resumed"]) == 1


def test_resuming_begins_what_is_new_and_returns_what_is_done(
    config: Config, task: Task, base: Base, whole: dict[str, Any], tmp_path: Path
) -> None:
    result = train(config, task, base, tmp_path / "run", resume=True)
    assert content(tmp_path / "run") == whole
    assert train(config, task, base, tmp_path / "run", resume=True) == result


def test_checkpoints_are_not_overwritten_nor_mixed_up(
    config: Config, task: Task, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(config, task, base, tmp_path / "run", 4, monkeypatch)
    with pytest.raises(UserError, match="holds the checkpoints of an interrupted run; add --resume"):
        train(config, task, base, tmp_path / "run")
    other = config.with_values({"optimizer.lr": 0.5})
    with pytest.raises(UserError, match=r"another configuration: optimizer.lr is 0.01 there and 0.5 here"):
        train(other, task, base, tmp_path / "run", resume=True)


def test_a_log_that_was_cut_is_refused(
    config: Config, task: Task, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(config, task, base, tmp_path / "run", 4, monkeypatch)
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match=r"metrics.jsonl: shorter than at the last checkpoint"):
        train(config, task, base, tmp_path / "run", resume=True)


def test_the_command_resumes(
    config: Config, task: Task, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(base.folder.parents[2]))
    cut(config, task, base, tmp_path / "run", 4, monkeypatch)
    write_json(tmp_path / "tiny.json", config.as_table())
    words = ["train", str(tmp_path / "tiny.json"), "--out", str(tmp_path / "run")]
    for more, status in (([], 2), (["--resume"], 0), (["--resume"], 0)):
        with pytest.raises(SystemExit) as stop:
            main([*words, *more])
        assert stop.value.code == status
    assert "add --resume" in capsys.readouterr().err


class Interrupting(Callback):
    """Sends this process interrupts in the midst of a step, and notes what is said."""

    def __init__(self, step: int | None = None, *sent: signal.Signals) -> None:
        self.step, self.sent, self.told = step, sent, list[str]()

    def on_step(self, run: RunView, step: int, metrics: dict[str, float]) -> None:
        if step == self.step:
            for number in self.sent:
                os.kill(os.getpid(), number)

    def on_message(self, line: str) -> None:
        self.told.append(line)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("every", [None, 2])
def test_an_interrupt_leaves_a_checkpoint_of_the_whole_step(
    sent: signal.Signals, every: int | None, config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    """Step 3 is one that an evaluation is due after, 5 is not; resumed the run ends as if nothing had happened."""
    config = config.with_values({"train.checkpoint_every": every})
    train(config, task, base, tmp_path / "whole")
    for step in (3, 5):
        callback = Interrupting(step, sent)
        before = signal.getsignal(signal.SIGINT)
        with pytest.raises(Interrupted, match=rf"a checkpoint of step {step} is in .*run; .* --resume") as error:
            train(config, task, base, tmp_path / "run", callbacks=[callback], resume=True)
        assert isinstance(error.value, KeyboardInterrupt)
        assert signal.getsignal(signal.SIGINT) is before
        (line,) = callback.told
        assert line.startswith("interrupted: the step is finished first")
    train(config, task, base, tmp_path / "run", resume=True)
    whole, resumed = content(tmp_path / "whole"), content(tmp_path / "run")
    assert whole.pop("checkpoints") == resumed.pop("checkpoints")
    assert resumed == whole


def test_a_second_interrupt_stops_at_once_and_says_what_is_left(
    config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    twice = Interrupting(5, signal.SIGINT, signal.SIGINT)
    with pytest.raises(Interrupted, match=r"stopped in step 5; the last checkpoint in .* is that of step 4"):
        train(config, task, base, tmp_path / "run", callbacks=[twice])
    config = config.with_values({"train.checkpoint_every": None})
    with pytest.raises(Interrupted, match=r"stopped in step 5 without a checkpoint: .* has only logs"):
        train(config, task, base, tmp_path / "bare", callbacks=[twice])
    logged = (tmp_path / "bare" / "metrics.jsonl").read_bytes()
    listening = Interrupting()
    train(config, task, base, tmp_path / "bare", callbacks=[listening])
    # What the first attempt logged is not lost.
    earlier = tmp_path / "bare" / "attempts" / "1"
    assert listening.told == [f"starts over: an earlier attempt left no checkpoint; its logs are now in {earlier}"]
    assert (earlier / "metrics.jsonl").read_bytes() == logged
    train(config, task, base, tmp_path / "whole")
    assert content(tmp_path / "bare") == content(tmp_path / "whole")


def test_an_interrupt_of_an_evaluation_comes_at_once(
    config: Config, task: Task, base: Base, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changes nothing, so that the step before it is whole; at the base there is nothing yet."""
    until_interrupt, real = [0], train_module.evaluate

    def evaluate(*arguments: Any, **keywords: Any) -> Any:
        until_interrupt[0] -= 1
        if until_interrupt[0] == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments, **keywords)

    monkeypatch.setattr(train_module, "evaluate", evaluate)
    for number, words in ((1, "stopped before the first step"), (2, "of step 3"), (1, "checkpoint of step 3")):
        until_interrupt[0] = number
        with pytest.raises(Interrupted, match=words):
            train(config, task, base, tmp_path / "run", resume=True)
    train(config, task, base, tmp_path / "run", resume=True)
    assert content(tmp_path / "run") == whole


@pytest.mark.parametrize("every", [None, 3])
def test_a_finished_run_goes_on_to_more_steps(
    every: int | None, config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    """As if it had been that long from the start, where no schedule spans its length."""
    config = config.with_values({"train.checkpoint_every": every, "optimizer.schedule": {"kind": "constant"}})
    longer, longest = (config.with_values({"train.steps": steps}) for steps in (9, 11))
    train(longest, task, base, tmp_path / "whole")
    for settings in (config, longer, longest):
        result = train(settings, task, base, tmp_path / "run", resume=True)
        assert result["steps"] == settings.train.steps
    whole, run = content(tmp_path / "whole"), content(tmp_path / "run")
    assert run.pop("checkpoints")[-1:] == whole.pop("checkpoints")[-1:]
    assert run == whole
    assert json.loads((tmp_path / "run" / "result-at-8.json").read_text())["steps"] == 8
    with pytest.raises(UserError, match=r"train.steps is 11 there and 9 here; it can only be raised"):
        train(longer, task, base, tmp_path / "run", resume=True)
    with pytest.raises(UserError, match="holds a finished run"):
        train(longest.with_values({"train.steps": 20}), task, base, tmp_path / "run")


def test_a_run_without_its_last_checkpoint_cannot_go_on(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    config = config.with_values({"train.checkpoint_every": None, "train.final_checkpoint": False})
    train(config, task, base, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()
    with pytest.raises(
        UserError, match=r"has no checkpoint to go on from to train.steps=9 \(see train.final_checkpoint"
    ):
        train(config.with_values({"train.steps": 9}), task, base, tmp_path / "run", resume=True)


def test_settings_that_change_nothing_may_change(
    config: Config, task: Task, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(config, task, base, tmp_path / "run", 4, monkeypatch)
    other = config.with_values(
        {"train.checkpoint_every": 3, "rollout.cache_gib": 1e-5, "title": "mine", "train.keep": 3}
    )
    train(other, task, base, tmp_path / "run", resume=True)
    train(config, task, base, tmp_path / "whole")
    assert content(tmp_path / "run")["weights"] == content(tmp_path / "whole")["weights"]


def test_the_base_can_be_the_best(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    """A rate that destroys the model: the weights to use are those that there were before."""
    config = config.with_values({"optimizer.lr": 3.0, "train.checkpoint_every": 4, "estimator": "garl:q=1"})
    result = train(config, task, base, tmp_path / "run")
    assert result["best_step"] == 0
    best = load_file(weights_folder(tmp_path / "run", "best") / "model.safetensors")
    wanted = load_file(base.folder / "model.safetensors")
    assert best.keys() == wanted.keys()
    assert all(torch.equal(best[name], wanted[name]) for name in wanted)
