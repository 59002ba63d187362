"""Suite `exact`: the exact moments of the estimators against simulation at equal accuracy, by `qtheory bench`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from figures.bench.case import Case, Options
from figures.bench.run import Results


def cases(options: Options, _: Path) -> list[Case]:
    """One process, which keeps to one core and takes its own turns."""
    words = ("-m", "qtheory", "bench", *(["--quick"] if options.quick else []), "--json")
    return [Case("exact", "qtheory bench", words, rounds=1)]


def rows(cases: Iterable[Case], results: Results) -> list[dict[str, Any]]:
    """As `qtheory bench` has them."""
    (case,) = cases
    (result,) = results[case.contest][case.name]
    return [{"failed": result["failed"]}] if "failed" in result else result["rows"]
