"""The file of results: a section a benchmark, with the command, code, machine and libraries behind its numbers."""

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
    """A benchmark's rows and what they depend on."""
    libraries: dict[str, dict[str, str]] = {}
    for case in cases:
        for one in results[case.contest][case.name]:
            libraries.setdefault(case.peer or "here", one.get("libraries", {}))
    about = environment()
    gpus = {one["gpu"] for turns in results.values() for found in turns.values() for one in found if "gpu" in one}
    return {
        "command": about["command"],
        "commit": about["commit"],
        "machine": machine() | ({"gpu": ", ".join(sorted(gpus))} if gpus else {}),
        "libraries": {name: found for name, found in libraries.items() if found},
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
    """The sections of a results file; none where there is no file.

    Raises:
        UserError: It is something else.
    """
    path = folder / RESULTS
    if not path.exists():
        return {}
    try:
        sections = json.loads(path.read_text(encoding="utf-8"))["sections"]
        if not all(isinstance(one["rows"], list) for one in sections.values()):
            raise TypeError("a section has no rows")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: is not a file of results ({error}); delete it, `python -m figures bench` makes it anew"
        ) from None
    return sections


def write_results(folder: Path, sections: dict[str, Section]) -> None:
    """Write the file whole or not at all.

    Raises:
        UserError: It cannot be written.
    """
    path = folder / RESULTS
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"sections": sections})
