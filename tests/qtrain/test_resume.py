"""Resume: a run that was killed, wherever, ends as the one that nobody killed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reliability import TINY, content, finish, kill_at_operation, kill_at_random

from qtrain import train as train_module
from qtrain.checkpoint import write_checkpoint
from qtrain.cli import main
from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.pretrain import Base, get_base
from qtrain.run_folder import write_json
from qtrain.tasks import make_task
from qtrain.tasks.base import Task
from qtrain.train import train


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


def cut(config: Config, task: Task, base: Base, folder: Path, after: int, patch: pytest.MonkeyPatch) -> None:
    """Begin a run and cut it off behind its checkpoint of this step."""

    def writing(*arguments: Any, **keywords: Any) -> None:
        write_checkpoint(*arguments, **keywords)
        if arguments[4].step == after:
            raise Cut

    with patch.context() as here:
        here.setattr(train_module, "write_checkpoint", writing)
        with pytest.raises(Cut):
            train(config, task, base, folder)


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
    changes |= {"train.score_norm_nats": 1e-9, "train.steps": 4, "optimizer.lr": 0.1, "train.skip_limit": 2}
    if word != "grpo":
        changes |= {"q.kind": "adaptive", "q.rho": 3.0}
    monkeypatch.setattr("qtrain.score_norm.CHUNK", 4)
    monkeypatch.setattr("qtrain.score_norm.PROMPTS", 4)
    config = config.with_values(changes)
    train(config, task, base, tmp_path / "whole")
    cut(config, task, base, tmp_path / "cut", 2, monkeypatch)
    train(config, task, base, tmp_path / "cut", resume=True)
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
