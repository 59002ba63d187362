"""Where the check runs: the device asked for, and machine, driver and versions for its results."""

import platform
import subprocess
from typing import Any

import torch

from qtrain.errors import UserError
from qtrain.runs.folder import environment


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        UserError: It is "cuda", and torch sees no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "a build without CUDA"
        raise UserError(
            f"gpu-check: torch {torch.__version__} ({built}) sees no GPU; run it where there is one, or try the "
            f"harness itself with --device cpu --size tiny"
        )


def machine(device: str) -> dict[str, Any]:
    """What the results depend on: `qtrain.runs.folder.environment`, and device, memory_gib, driver and cuda."""
    about = {**environment(), "platform": platform.platform()}
    if device == "cpu":
        return {**about, "device": f"CPU, {platform.machine()}", "memory_gib": None, "driver": None, "cuda": None}
    return {
        **about,
        "device": torch.cuda.get_device_name(),
        "memory_gib": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1),
        "driver": _driver(),
        "cuda": torch.version.cuda,
    }


def _driver() -> str | None:
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return None
    return lines[0] if lines else None
