"""What making each figure costs: processor seconds, measured by `python -m figures --costs` and kept in a file."""

import json
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from figures.render import figure_files
from figures.study_data import DATA

NAME = "figure_costs.json"


def costs(names: Iterable[str], data: Path = DATA, progress: Callable[[str], None] = lambda _: None) -> bytes:
    """Make figures, and say what each took, from its data files to its three files.

    Args:
        names: Figures in the registry.
        data: Where the data files lie.
        progress: Called with each name before it is made.

    Returns:
        JSON: `command`, `python`, `machine` and `seconds`, processor seconds by name.

    Raises:
        DataError: A data file is missing or holds something else.
    """
    seconds = {}
    for name in names:
        progress(name)
        start = time.process_time()
        figure_files([name], data)
        seconds[name] = round(time.process_time() - start, 1)
    about = {
        "command": "python -m figures --costs",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "seconds": seconds,
    }
    return f"{json.dumps(about, indent=1)}\n".encode()


def known_costs(data: Path = DATA) -> dict[str, float]:
    """Processor seconds by figure, as measured before; empty where they were not, or the file holds something else."""
    try:
        known = json.loads((data / NAME).read_text(encoding="utf-8"))["seconds"]
        return {str(name): float(value) for name, value in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
