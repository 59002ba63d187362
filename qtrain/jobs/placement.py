"""Choose the number of processes for the runs of a command, and each process's GPU and threads."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qtrain.config import Config, ModelConfig
from qtrain.policy.device import find_device

SINGLE_THREAD_WIDTH = 256
"""Largest hidden size of models that run on one thread, where more threads only wait for each other."""

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Place:
    """The resources of one process.

    Attributes:
        gpu: The one GPU that it sees, as CUDA_VISIBLE_DEVICES names it; None leaves that variable unchanged.
        threads: Number of torch's threads.
    """

    gpu: str | None
    threads: int


def on_one_thread(config: Config) -> bool:
    """Whether the model is so narrow that one thread is fastest."""
    return isinstance(config.model, ModelConfig) and config.model.hidden_size <= SINGLE_THREAD_WIDTH


def visible_gpus() -> list[str]:
    """The GPUs that torch sees, as CUDA_VISIBLE_DEVICES names them: by number, or by UUID if the user set UUIDs."""
    count = torch.cuda.device_count()
    listed = os.environ.get(VISIBLE)
    # CUDA ignores all names after the first unknown one, so the count is the one that torch reports.
    names = map(str, range(count)) if listed is None else (name.strip() for name in listed.split(","))
    return list(names)[:count]


def places(configs: Sequence[Config], jobs: int | None) -> list[Place]:
    """Choose the place of each process.

    By default there is one process per GPU if the runs compute on GPUs. On the CPU there is one single-threaded process
    per core if all models are at most SINGLE_THREAD_WIDTH wide; if a model is wider or pretrained, there is one process
    with all threads.

    Args:
        configs: The configurations of all runs.
        jobs: Number of processes, at most one per run; if there are more than GPUs, they share them in turn. None means
            the default.

    Returns:
        At least one place. A single place has the first GPU that torch sees, which is the device "cuda" anyway.

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
