"""The runner: the same numbers wherever a run is done, finished runs left alone, bases before the runs on them."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from reliability import content

from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.jobs import runner
from qtrain.jobs.placement import Place
from qtrain.jobs.runner import Run, run_all
from qtrain.jobs.workers import Host, Job
from qtrain.prepare import get_base
from qtrain.progress import ProgressUpdate
from qtrain.runs.folder import RESULT, read_json, write_json
from qtrain.tasks import make_task
from qtrain.trainer import train


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of bases."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "qcontinuum" / "bases"


def runs_of(config: Config, out: Path, *estimators: str, **more: Any) -> list[Run]:
    """A run for each estimator."""
    return [
        Run(
            label=word,
            config=config.with_values({"estimator": word, **more}),
            folder=out / re.sub(r"\W", "-", word),
        )
        for word in estimators
    ]


ADAM = {
    "optimizer.name": "adamw",
    "optimizer.lr": 1e-2,
    "train.checkpoint_every": 2,
    "pretrain.steps": 2,
    "pretrain.batch": 4,
}


def no_workers(*_: object) -> None:
    raise AssertionError("no worker was needed")


@pytest.mark.slow
def test_a_run_is_the_same_in_a_worker_here_and_by_itself(config: Config, tmp_path: Path) -> None:
    estimators = ("paft:q=0.5", "garl:q=0.75")
    in_workers, here = (runs_of(config, tmp_path / name, *estimators, **ADAM) for name in ("workers", "here"))
    results = run_all(in_workers, jobs=2)
    assert [result["estimator"] for result in results] == list(estimators)
    assert len(run_all(here, jobs=1)) == 2
    task = make_task(config.task, None)
    for there, run in zip(in_workers, here, strict=True):
        train(run.config, task, get_base(run.config, task), tmp_path / "alone" / run.folder.name)
        expected = content(tmp_path / "alone" / run.folder.name)
        assert expected["metrics.jsonl"][-1]["step"] == run.config.train.steps
        assert content(there.folder) == expected
        assert content(run.folder) == expected


def test_one_run_at_a_time_is_done_here_and_finished_ones_are_left_alone(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "in_workers", no_workers)
    runs, threads, calls = runs_of(config, tmp_path, "grpo", "garl:q=1"), torch.get_num_threads(), []
    first = run_all(runs, jobs=1, title="two", done=lambda: calls.append(len(calls)))
    assert torch.get_num_threads() == threads
    assert capsys.readouterr().err == "base, seed 0: ready\ngrpo: done\ngarl:q=1: done\n"
    written = {path: path.stat().st_mtime_ns for run in runs for path in run.folder.rglob("*")}
    # Whatever the number of jobs: one run is left, and needs no worker.
    (runs[0].folder / RESULT).unlink()
    again = run_all(runs, jobs=5, title="two", done=lambda: calls.append(len(calls)))
    assert [result | {"seconds": 0} for result in again] == [result | {"seconds": 0} for result in first]
    assert again[1] == first[1]
    assert calls == [0, 1, 2]
    lines = "two: 1 of 2 runs were finished before\nbase, seed 0: ready\ngrpo: done\n"
    assert capsys.readouterr().err == lines
    assert all(path.stat().st_mtime_ns == when for path, when in written.items() if path.is_relative_to(runs[1].folder))
    assert run_all(runs, jobs=5) == again
    assert run_all([], jobs=5) == []


def test_what_a_folder_holds_of_another_run_is_refused_before_any_work(
    config: Config, tmp_path: Path, cache: Path
) -> None:
    fresh, held = runs_of(config, tmp_path, "grpo", "garl:q=1")
    held.folder.mkdir()
    write_json(held.folder / "config.json", held.config.with_values({"optimizer.lr": 7.0}).as_table())
    write_json(held.folder / RESULT, {})
    with pytest.raises(UserError, match=r"another configuration: optimizer\.lr is 7\.0 there and 0\.001 here"):
        run_all([fresh, held], jobs=1)
    with pytest.raises(UserError, match=r"train\.device='cuda'"):
        run_all(runs_of(config, tmp_path, "grpo", **{"train.device": "cuda"}))
    assert not cache.exists()
    assert not fresh.folder.exists()


def test_the_first_failure_ends_the_rest_in_a_line_that_names_its_run(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = config.with_values({"lora": {"targets": ["nothing"]}})
    runs = [*runs_of(broken, tmp_path, "grpo"), *runs_of(config, tmp_path, "garl:q=1")]
    with pytest.raises(UserError, match=r"^grpo: lora.targets="):
        run_all(runs, jobs=1)
    assert not (tmp_path / "garl-q-1").exists()


class Waits(Run):
    """Nothing to train."""

    def finished(self) -> None:
        """It never is."""
        return

    def go(self, host: Host) -> dict[str, Any]:
        del host
        return {"label": self.label}


def test_runs_wait_for_their_bases_and_not_for_others(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seeds, two values of p0, with workers in name only: jobs end when the test says so."""
    log: list[str] = []

    def slowly(
        places: Sequence[Place],
        next_job: Callable[[], Job | None],
        show: Callable[[ProgressUpdate], None],
        finished: Callable[[Job, Any], None],
    ) -> None:
        def begin() -> Job:
            job = next_job()
            assert job is not None
            log.append(job.label)
            return job

        assert len(places) == 3
        first, second = begin(), begin()
        assert next_job() is None
        finished(second, None)
        run = begin()
        assert next_job() is None
        finished(run, {"label": run.label})
        finished(first, None)
        for run in (begin(), begin()):
            finished(run, {"label": run.label})
        assert next_job() is None

    monkeypatch.setattr(runner, "in_workers", slowly)
    words: list[tuple[str, dict[str, Any]]] = [
        ("a", {"pretrain.p0": 0.1}),
        ("b", {"pretrain.seed": 1}),
        ("c", {"pretrain.p0": 0.2, "optimizer.lr": 0.3}),
    ]
    runs = [Waits(label=label, config=config.with_values(values), folder=tmp_path / label) for label, values in words]
    assert run_all(runs, jobs=3) == [{"label": label} for label in "abc"]
    assert log == ["base, seed 0", "base, seed 1", "b", "a", "c"]


def test_bases_of_one_seed_are_told_apart(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        Waits(
            label=f"{digits}",
            config=config.with_values({"task.digits": digits, "pretrain.seed": seed}),
            folder=tmp_path / f"{digits}",
        )
        for digits, seed in ((2, 0), (3, 0), (4, 1))
    ]
    run_all(runs, jobs=1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == ["base 1, seed 0: ready", "base 2, seed 0: ready", "base, seed 1: ready"]


def test_a_task_is_built_once_for_runs_that_follow_each_other(config: Config) -> None:
    host = Host(lambda _: None)
    first = host.prepared(config).task
    again = host.prepared(other := config.with_values({"estimator": "grpo", "train.seed": 9}))
    assert again.task is first
    assert again.config == other
    assert host.prepared(config.with_values({"task.digits": 4})).task is not first
    assert host.prepared(config).task is not first


def test_a_result_is_that_of_the_folder(config: Config, tmp_path: Path) -> None:
    (run,) = runs_of(config, tmp_path, "grpo")
    assert run.finished() is None
    (result,) = run_all([run])
    assert read_json(run.folder / RESULT, "a run folder") == result == run.finished()
