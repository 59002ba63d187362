"""Where the runs of one command go: how many processes there are, the GPU that each sees, and its threads."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qtrain.config import Config, ModelConfig
from qtrain.policy.device import find_device

SINGLE_THREAD_WIDTH = 256
"""Models up to this width run on one thread: more threads only wait for each other."""

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Place:
    """What one process has.

    Attributes:
        gpu: The one GPU that it sees, as CUDA_VISIBLE_DEVICES names it; None leaves that variable alone.
        threads: Of torch.
    """

    gpu: str | None
    threads: int


def on_one_thread(config: Config) -> bool:
    """Whether its model is so narrow that one thread is the fastest."""
    return isinstance(config.model, ModelConfig) and config.model.hidden_size <= SINGLE_THREAD_WIDTH


def visible_gpus() -> list[str]:
    """The GPUs that torch sees, as CUDA_VISIBLE_DEVICES names them: by number, or by UUID where the user did so."""
    count = torch.cuda.device_count()
    listed = os.environ.get(VISIBLE)
    # CUDA ignores whatever follows the first name that it does not know, and so the count is what torch reports.
    names = map(str, range(count)) if listed is None else (name.strip() for name in listed.split(","))
    return list(names)[:count]


def places(configs: Sequence[Config], jobs: int | None) -> list[Place]:
    """One place for each process.

    By default there is one process a GPU where the runs compute on GPUs. On the CPU there is one a core, of one thread
    each, for models up to SINGLE_THREAD_WIDTH, and a single one with all threads as soon as one model is wider or
    pretrained.

    Args:
        configs: Of all runs.
        jobs: Processes, at most one a run. More than there are GPUs share them in turn. None takes the default.

    Returns:
        At least one place. Of a single one `gpu` is the first that torch sees, which is where "cuda" is anyway.

    Raises:
        UserError: train.device=cuda, and there is no GPU.
    """
    gpus = visible_gpus() if any(find_device(config.train.device).type == "cuda" for config in configs) else []
    narrow = all(on_one_thread(config) for config in configs)
    if jobs is None:
        jobs = len(gpus) or ((os.cpu_count() or 1) if narrow else 1)
    number = max(1, min(jobs, len(configs)))
    threads = 1 if narrow else max(1, torch.get_num_threads() // number)
    return [Place(gpus[index % len(gpus)] if gpus else None, threads) for index in range(number)]
