"""A long run with an eye on its memory: `python tests/qtrain/soak.py --steps 2000` prints how it grows."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from reliability import TINY
from reliability_data import write_part

from qtrain.callbacks import StepFunction
from qtrain.config import Config
from qtrain.prepare import get_base
from qtrain.tasks import make_task
from qtrain.trainer import train


def resident() -> float:
    """Memory of this process in MiB, as Linux counts it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Print the memory at four moments, and the slope over the second half."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="write the measurement into this data file")
    arguments = parser.parse_args()
    steps = arguments.steps
    torch.set_num_threads(1)
    # The testbed's model and batch, with checkpoints and evaluations as often as a user would have them.
    table = {**TINY, "model": {}, "task": {"name": "digit_sum"}, "rollout": {}, "eval": {"every": 100}}
    config = Config.model_validate(table).with_values({"train.steps": steps, "train.checkpoint_every": 50})
    memory: list[float] = []

    def watch(step: int, metrics: dict[str, float]) -> None:
        del step, metrics
        memory.append(resident())

    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name
        task = make_task(config.task, config.data)
        result = train(config, task, get_base(config, task), Path(name) / "run", callbacks=[StepFunction(watch)])
    half = np.array(memory[steps // 2 :])
    slope = np.polyfit(np.arange(len(half)), half, 1)[0] * 1000
    marks = [max(0, steps * part // 4 - 1) for part in range(5)]
    at = ", ".join(f"{memory[mark]:.1f} at {mark + 1}" for mark in marks)
    sys.stdout.write(f"{result['steps']} steps in {result['seconds']:.0f} s; MiB: {at}\n")
    sys.stdout.write(f"second half: {slope:+.2f} MiB a thousand steps\n")
    if arguments.json:
        points = {"step": [mark + 1 for mark in marks], "mib": [round(memory[mark], 1) for mark in marks]}
        write_part(arguments.json, "soak", {"steps": steps, "slope": float(slope), **points})


if __name__ == "__main__":
    main()
