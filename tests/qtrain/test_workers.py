"""Worker processes: their GPU and threads, what stops them, and that none outlives its parent."""

import multiprocessing
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import worker_jobs
from worker_jobs import Failing, Telling, Waiting, work_off

from qtrain.errors import UserError
from qtrain.jobs import workers
from qtrain.jobs.placement import VISIBLE, Place
from qtrain.jobs.workers import Host, in_this_process, perform
from qtrain.progress import ProgressUpdate

PLAIN = Place(None, 1)


@pytest.fixture(autouse=True)
def nobody_left() -> Any:
    """No worker may be there when a test ends."""
    yield
    assert multiprocessing.active_children() == []


@pytest.fixture
def signals(tmp_path: Path) -> Path:
    """A pipe in the file system."""
    os.mkfifo(tmp_path / "signals")
    return tmp_path / "signals"


def test_each_worker_has_its_own_gpu_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "GPU-1,GPU-2")
    shown: list[ProgressUpdate] = []
    results = work_off([Telling("a"), Telling("b")], [Place("GPU-1", 1), Place("GPU-2", 2)], shown.append)
    assert [(results[name]["gpu"], results[name]["threads"]) for name in "ab"] == [("GPU-1", 1), ("GPU-2", 2)]
    assert not results["a"]["cuda"]
    assert len({os.getpid(), results["a"]["process"], results["b"]["process"]}) == 3
    assert {report.label for report in shown} == {"a", "b"}
    assert os.environ[VISIBLE] == "GPU-1,GPU-2"


def test_the_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    with workers._environment(Place("3", 1)):
        assert os.environ[VISIBLE] == "3"
    assert VISIBLE not in os.environ
    with workers._environment(PLAIN):
        assert VISIBLE not in os.environ


@pytest.mark.parametrize(
    ("how", "kind", "line"),
    [
        ("bad input", UserError, "^a: optimizer.lr=7: too much$"),
        ("disk", UserError, "^a: .*No space left on device.*metrics.jsonl"),
        ("memory", UserError, "^a: the GPU's memory is full; lower train.micro_batch_tokens"),
        ("bug", ZeroDivisionError, "division"),
    ],
)
def test_a_failure_names_its_job(how: str, kind: type[Exception], line: str) -> None:
    with pytest.raises(kind, match=line) as failure:
        perform(Failing("a", how), Host(lambda _: None))
    assert kind is UserError or failure.value.__notes__ == ["This happened in a."]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "kind", "line"),
    [
        ("bad input", UserError, "^a: optimizer.lr=7: too much$"),
        ("bug", RuntimeError, r"1 // 0(.|\n)*ZeroDivisionError(.|\n)*in a"),
        ("killed", UserError, "^a: its process was ended by SIGKILL; if memory ran out, fewer --jobs"),
        ("exit", UserError, "^a: its process ended with status 3$"),
    ],
)
def test_the_first_failure_stops_the_others(how: str, kind: type[Exception], line: str, signals: Path) -> None:
    def fail_when_the_other_waits(report: ProgressUpdate) -> None:
        if report.label == "b":
            left.append(Failing("a", how))

    left: list[Any] = [Waiting("b", signals)]
    reader = os.open(signals, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(kind, match=line):
        workers.in_workers(
            [PLAIN, PLAIN], lambda: left.pop(0) if left else None, fail_when_the_other_waits, lambda *_: None
        )
    # The other one was asked once, and ended its step.
    assert os.read(reader, 100).decode().split() == ["waits", "SIGTERM", "whole"]
    os.close(reader)


def test_an_interrupt_lets_the_workers_end_their_step(signals: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
    reader = os.open(signals, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(KeyboardInterrupt):
        work_off([Waiting("a", signals), Telling("b")], [PLAIN], lambda _: signal.raise_signal(signal.SIGINT))
    assert os.read(reader, 100).decode().split() == ["waits", "SIGTERM", "whole"]
    os.close(reader)
    assert capsys.readouterr().err == "stopping after this step: a (Ctrl-C stops at once)\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before[0])
    assert signal.getsignal(signal.SIGTERM) is before[1]


@pytest.mark.slow
def test_a_second_interrupt_ends_even_the_stubborn(signals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "GRACE", 0.1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    reader = os.open(signals, os.O_RDONLY | os.O_NONBLOCK)

    def twice(_: ProgressUpdate) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        work_off([Waiting("a", signals, stubborn=True)], [PLAIN], twice)
    assert "whole" not in os.read(reader, 100).decode()
    os.close(reader)
    signal.signal(signal.SIGINT, before)


def start(signals: Path) -> subprocess.Popen[str]:
    """A process whose worker waits, in its own session as if it had its own terminal."""
    # A shell that runs the tests in the background has them ignore Ctrl-C, and so would this process.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    words = [sys.executable, worker_jobs.__file__, str(signals)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heed)


@pytest.mark.slow
@pytest.mark.timeout(120)  # of a pipe that nobody opens
def test_ctrl_c_in_a_terminal_reaches_a_worker_once(signals: Path) -> None:
    process = start(signals)
    with signals.open() as pipe:
        assert pipe.readline() == "waits\n"
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate()
        assert pipe.read().split() == ["SIGTERM", "whole"]
    assert process.returncode == 130
    assert "Traceback" not in error


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_worker_ends_with_its_killed_parent(signals: Path) -> None:
    process = start(signals)
    with signals.open() as pipe:
        assert pipe.readline() == "waits\n"
        process.kill()
        process.communicate()
        assert pipe.read() == ""  # which comes with the worker's end


def test_jobs_in_this_process_follow_each_other() -> None:
    threads, done = torch.get_num_threads(), []
    left = [Telling("a"), Telling("b")]
    in_this_process(
        Place("9", threads + 1), lambda: left.pop(0) if left else None, lambda _: None, lambda *both: done.append(both)
    )
    assert [job.label for job, _ in done] == ["a", "b"]
    assert all((result["process"], result["threads"]) == (os.getpid(), threads + 1) for _, result in done)
    assert torch.get_num_threads() == threads
