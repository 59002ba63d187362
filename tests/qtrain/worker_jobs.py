"""Jobs that worker processes do in the tests: they tell of their process, fail, die, or wait for a signal."""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qtrain.errors import UserError
from qtrain.jobs.placement import VISIBLE, Place
from qtrain.jobs.workers import Host, Job, in_workers
from qtrain.progress import ProgressUpdate

AT_START = os.environ.get(VISIBLE)


@dataclass(frozen=True)
class Telling:
    """Tells what its process sees."""

    label: str

    def go(self, host: Host) -> dict[str, Any]:
        host.show(ProgressUpdate(self.label, 1, 2, "half"))
        return {
            "process": os.getpid(),
            "gpu": AT_START,
            "cuda": torch.cuda.is_initialized(),
            "threads": torch.get_num_threads(),
        }


@dataclass(frozen=True)
class Failing:
    """Fails as it is told."""

    label: str
    how: str

    def go(self, host: Host) -> None:
        del host
        match self.how:
            case "bad input":
                raise UserError("optimizer.lr=7: too much")
            case "disk":
                raise OSError(28, "No space left on device", "run/metrics.jsonl")
            case "memory":
                raise torch.OutOfMemoryError
            case "bug":
                print(1 // 0)  # noqa: T201
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(3)


@dataclass(frozen=True)
class Waiting:
    """Says that it waits, writes down every signal that comes, and ends its step after the first, or never.

    Attributes:
        signals: A pipe in the file system, which closes when the process ends.
        stubborn: Whether it goes on whatever comes.
    """

    label: str
    signals: Path
    stubborn: bool = False

    def go(self, host: Host) -> None:
        out, (read, write) = os.open(self.signals, os.O_WRONLY), os.pipe()

        def note(number: int, _: object) -> None:
            os.write(out, f"{signal.Signals(number).name}\n".encode())
            os.write(write, b".")

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, note)
        os.write(out, b"waits\n")
        host.show(ProgressUpdate(self.label, 1, 2, "waits"))
        os.read(read, 1)
        while self.stubborn:
            os.read(read, 1)
        os.write(out, b"whole\n")
        raise KeyboardInterrupt


def work_off(jobs: Sequence[Job], places: Sequence[Place], show: Any = lambda _: None) -> dict[str, Any]:
    """The results of jobs in workers, by label."""
    left, results = list(jobs), {}
    in_workers(
        places,
        lambda: left.pop(0) if left else None,
        show,
        lambda job, result: results.update({job.label: result}),
    )
    return results


if __name__ == "__mp_main__":
    # A worker of the program below is starting. A terminal's Ctrl-C may reach it even now, and is its parent's.
    signal.raise_signal(signal.SIGINT)

if __name__ == "__main__":
    try:
        import worker_jobs  # a class of this file as a module's, which the workers import too

        work_off([worker_jobs.Waiting("a", Path(sys.argv[1]))], [Place(None, 1)])
    except KeyboardInterrupt:
        sys.exit(130)
