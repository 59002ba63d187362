"""Read and write the file of results: one section per benchmark, with command, commit, machine and libraries."""

import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from figures.bench.case import Case, Options
from figures.bench.run import Results
from qtrain.errors import UserError
from qtrain.files import writing
from qtrain.runs.folder import environment, write_json

RESULTS = "benchmarks.json"

Section = dict[str, Any]


def section(
    cases: Iterable[Case], results: Results, rows: list[dict[str, Any]], options: Options, left_out: list[str]
) -> Section:
    """A benchmark's rows, with the command, commit, machine and libraries that produced them."""
    libraries: dict[str, dict[str, str]] = {}
    for case in cases:
        for result in results[case.contest][case.name]:
            libraries.setdefault(case.peer or "here", result.get("libraries", {}))
    about = environment()
    gpus = {
        result["gpu"]
        for contest in results.values()
        for turns in contest.values()
        for result in turns
        if "gpu" in result
    }
    return {
        "command": about["command"],
        "commit": about["commit"],
        "machine": machine() | ({"gpu": ", ".join(sorted(gpus))} if gpus else {}),
        "libraries": {name: versions for name, versions in libraries.items() if versions},
        "threads": options.threads,
        "whole": options.whole,
        "left_out": left_out,
        "rows": rows,
    }


def machine() -> dict[str, str]:
    """Processor, cores, memory, system and Python."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{pages / 1e9:.0f} GB",
        "system": platform.system(),
        "python": platform.python_version(),
    }


def read_results(folder: Path) -> dict[str, Section]:
    """The sections of a results file; empty if there is no file.

    Raises:
        UserError: The file is not a file of results.
    """
    path = folder / RESULTS
    if not path.exists():
        return {}
    try:
        sections = json.loads(path.read_text(encoding="utf-8"))["sections"]
        if not all(isinstance(section["rows"], list) for section in sections.values()):
            raise TypeError("a section has no rows")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: is not a file of results ({error}); delete it, `python -m figures bench` makes it anew"
        ) from None
    return sections


def write_results(folder: Path, sections: dict[str, Section]) -> None:
    """Write the file atomically.

    Raises:
        UserError: The file cannot be written.
    """
    path = folder / RESULTS
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"sections": sections})
