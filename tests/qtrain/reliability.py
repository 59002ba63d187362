"""Kills runs and lets them go on: at random moments, and at every operation on a file. For the tests, and a command.

`python tests/qtrain/reliability.py --kills 100 --operations` prints where the kills fell, and how many runs ended as
the one that nobody killed, bit for bit.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from reliability_data import write_part

from qtrain.config import Config
from qtrain.policy.base import Base
from qtrain.prepare import get_base
from qtrain.runs.folder import EVALS, METRICS, RESULT, SAMPLES, SKIPPED, TIMINGS, read_jsonl
from qtrain.tasks import make_task

TINY = {
    "name": "tiny",
    "estimator": "paft:q=0.5",
    "task": {"name": "digit_sum", "variant": "mixed", "digits": 3},
    "model": {
        "hidden_size": 16,
        "intermediate_size": 24,
        "layers": 1,
        "heads": 2,
        "key_value_heads": 1,
        "head_dim": 8,
        "max_positions": 32,
    },
    "pretrain": {"steps": 0},
    "rollout": {"prompts": 4, "samples": 6, "rationale_budget": 5},
    "optimizer": {"name": "adamw", "lr": 1e-2, "schedule": {"kind": "cosine", "warmup": 2}},
    "train": {"steps": 8, "checkpoint_every": 2, "keep": 1},
    "eval": {"every": 3, "prompts": 2, "samples": 4},
}
"""A run with most of what a checkpoint must hold: Adam's moments, generators in use, a schedule, logs that grow."""

FILE_EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "fcntl.flock", "shutil.rmtree"}
"""Python announces these to its audit hooks before they happen."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["qtrain.trainer"])


def start(
    config: Config, base: Base, folder: Path, *, killed_at: int | None = None, killed_after: float | None = None
) -> BaseProcess:
    """Begin a run, or go on with it, in a process of its own.

    Args:
        config: The run's.
        base: Where it starts.
        folder: The run folder.
        killed_at: It is to kill itself just before its file operation of this number in the folder.
        killed_after: It is to kill itself after so many seconds of computing, wherever that is.
    """
    process = _context.Process(target=_run, args=(config.as_table(), base, folder, killed_at, killed_after))
    process.start()
    return process


def _run(table: dict[str, Any], base: Base, folder: Path, killed_at: int | None, killed_after: float | None) -> None:
    import torch

    from qtrain.trainer import train

    torch.set_num_threads(1)
    config = Config.model_validate(table)
    task = make_task(config.task, config.data)
    if killed_at is not None:
        _kill_at(killed_at, folder)
    if killed_after is not None:
        threading.Thread(target=_kill_after, args=(killed_after,), daemon=True).start()
    train(config, task, base, folder, resume=True)
    folder.with_suffix(".seconds").write_text(str(time.process_time()))


def _kill_at(number: int, folder: Path) -> None:
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        # A lock's argument is a descriptor, everything else's a path.
        if event in FILE_EVENTS and (event == "fcntl.flock" or str(arguments[0]).startswith(str(folder))):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _kill_after(seconds: float) -> None:
    # Computing, not waiting: on a busy machine a moment by the clock would nearly always be an early one. The last
    # stretch is by the clock, so that a kill may fall into waiting for the disk.
    while time.process_time() < seconds:
        threading.Event().wait(0.002)
    threading.Event().wait(0.01 * (seconds * 1e4 % 1))
    os.kill(os.getpid(), signal.SIGKILL)


def content(folder: Path) -> dict[str, Any]:
    """All that must not depend on kills: logs and result without timings, and the weights' bytes."""

    def untimed(row: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in row.items() if key not in TIMINGS}

    return {
        **{name: [untimed(row) for row in read_jsonl(folder / name)] for name in (METRICS, EVALS, SAMPLES, SKIPPED)},
        RESULT: untimed(json.loads((folder / RESULT).read_text())),
        "weights": (folder / "model.safetensors").read_bytes(),
        "checkpoints": sorted(path.name for path in folder.glob("checkpoints/*")),
    }


def finish(config: Config, base: Base, folder: Path) -> float:
    """Let a run go on to its end, undisturbed. Returns its seconds of computing."""
    assert not _killed(start(config, base, folder))
    return float(folder.with_suffix(".seconds").read_text())


def kill_at_operation(config: Config, base: Base, folder: Path, number: int) -> bool:
    """Kill a run just before its file operation of this number. Returns whether it had so many."""
    return _killed(start(config, base, folder, killed_at=number))


def _killed(process: BaseProcess) -> bool:
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), f"the run ended with status {process.exitcode}"
    return process.exitcode != 0


def kill_at_random(
    config: Config, base: Base, folder: Path, rng: np.random.Generator, longest: float, most: int
) -> list[str]:
    """Kill a run at random moments until it gets through, or has been killed so often. Returns where the kills fell."""
    places: list[str] = []
    while len(places) < most and _killed(start(config, base, folder, killed_after=rng.uniform(0, longest))):
        places.append(_place(folder))
    finish(config, base, folder)
    return places


def _place(folder: Path) -> str:
    if any(folder.glob("checkpoints/.*")):
        return "while a checkpoint was written or removed"
    if (folder / RESULT).exists():
        return "behind the result"
    if any(folder.glob("checkpoints/step-*")):
        return "behind the first checkpoint"
    return "before the first checkpoint"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="kills at random moments")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--operations", action="store_true", help="also kill once at every operation on a file")
    parser.add_argument("--json", type=Path, help="write the counts into this data file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name).resolve()
        os.environ["XDG_CACHE_HOME"] = str(work / "cache")
        # With two steps between checkpoints, and with none: most of such a run's time goes into writing them.
        configs = [Config.model_validate(TINY).with_values({"train.checkpoint_every": every}) for every in (2, 1)]
        base = get_base(configs[0], make_task(configs[0].task, None))
        wanted, longest = [], []
        for index, config in enumerate(configs):
            longest.append(finish(config, base, work / f"whole-{index}"))
            wanted.append(content(work / f"whole-{index}"))
        rng, places, runs, identical = np.random.default_rng(arguments.seed), Counter[str](), 0, 0
        while places.total() < arguments.kills:
            folder, which = work / f"run-{runs}", runs % 2
            found = kill_at_random(configs[which], base, folder, rng, longest[which], most=1)
            places.update(found)
            identical += bool(found) and content(folder) == wanted[which]
            runs += 1
        sys.stdout.write(f"{places.total()} runs killed at a random moment: {identical} ended bit-identical\n")
        for place, count in places.most_common():
            sys.stdout.write(f"  {count:4d} {place}\n")
        same = number = 0
        if arguments.operations:
            while kill_at_operation(configs[0], base, work / f"operation-{number}", number + 1):
                finish(configs[0], base, work / f"operation-{number}")
                same += content(work / f"operation-{number}") == wanted[0]
                number += 1
            sys.stdout.write(f"{number} runs killed at one operation on a file each: {same} ended bit-identical\n")
        if arguments.json:
            counts = {"kills": places.total(), "identical": identical, "places": dict(places.most_common())}
            counts |= {"operations": number, "identical_after_operations": same}
            write_part(arguments.json, "kills", {"seed": arguments.seed, **counts})
        sys.exit((identical, same) != (places.total(), number))


if __name__ == "__main__":
    main()
