"""Suite `exact`: exact moments against simulation at equal accuracy, by `python -m figures speed`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from figures.bench.case import Case, Options
from figures.bench.run import Results


def cases(options: Options, _: Path) -> list[Case]:
    """A single process, which uses one core and interleaves its own repeats."""
    arguments = ("-m", "figures", "speed", *(["--quick"] if options.quick else []), "--json")
    return [Case("exact", "exact moments", arguments, rounds=1)]


def rows(cases: Iterable[Case], results: Results) -> list[dict[str, Any]]:
    """The rows of `python -m figures speed`."""
    (case,) = cases
    (result,) = results[case.contest][case.name]
    return [{"failed": result["failed"]}] if "failed" in result else result["rows"]
