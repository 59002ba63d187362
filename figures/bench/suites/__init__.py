"""The benchmarks by name: the processes of each, and the table rows made from their results."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from figures.bench.case import Case, Options
from figures.bench.run import Results
from figures.bench.suites import demo, exact, growth, paft, rollout, step, update


class Suite(NamedTuple):
    """A benchmark.

    Attributes:
        what: One line that says what is measured.
        cases: Maps the options, and a folder for files shared by contenders, to the processes.
        rows: Maps the cases that were run and their results to the rows of the table.
    """

    what: str
    cases: Callable[[Options, Path], list[Case]]
    rows: Callable[[list[Case], Results], list[dict[str, Any]]]


SUITES = {
    "update": Suite("an update against TRL's GRPOTrainer and against padded rows", update.cases, update.rows),
    "step": Suite("whole training steps at Qwen3-0.6B's shape, for a GPU", step.cases, step.rows),
    "paft": Suite("what training each resampled rationale once saves", paft.cases, paft.rows),
    "rollout": Suite("sampled tokens a second: our engines, generate(), vLLM", rollout.cases, rollout.rows),
    "growth": Suite("how an update's cost grows with each length", growth.cases, growth.rows),
    "exact": Suite("exact moments against simulation at equal accuracy", exact.cases, exact.rows),
    "demo": Suite("where the time of a testbed's step and of `make demo` goes", demo.cases, demo.rows),
}
