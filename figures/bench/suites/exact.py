"""Suite `exact`: exact moments against simulation at equal accuracy, by `python -m figures speed`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from figures.bench.case import Case, Options
from figures.bench.run import Results


def cases(options: Options, _: Path) -> list[Case]:
    """One process, which keeps to one core and takes its own turns."""
    words = ("-m", "figures", "speed", *(["--quick"] if options.quick else []), "--json")
    return [Case("exact", "exact moments", words, rounds=1)]


def rows(cases: Iterable[Case], results: Results) -> list[dict[str, Any]]:
    """As `python -m figures speed` has them."""
    (case,) = cases
    (result,) = results[case.contest][case.name]
    return [{"failed": result["failed"]}] if "failed" in result else result["rows"]
