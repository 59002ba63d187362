"""Show progress on the terminal: one bar for all runs, and one for each run in progress."""

from dataclasses import dataclass
from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from qtheory.command.console import TextConsole

console = TextConsole(stderr=True)
"""Progress and messages go to standard error, results to standard output."""


@dataclass(frozen=True)
class ProgressUpdate:
    """A progress update: step, total steps, and a short status text. `done` removes the run's bar."""

    label: str
    step: int
    steps: int
    note: str
    done: bool = False


class ProgressDisplay:
    """A live display; if standard error is not a terminal, one line per finished run instead."""

    def __init__(self, title: str, total: int, finished: int = 0) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=14),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._total = self._progress.add_task(title, total=total, completed=finished, note="runs")
        self._runs: dict[str, TaskID] = {}

    def __enter__(self) -> "ProgressDisplay":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, update: ProgressUpdate) -> None:
        """Update a run's bar."""
        if update.done:
            if update.label in self._runs:
                self._progress.remove_task(self._runs.pop(update.label))
            if not console.is_terminal:
                console.print(f"{update.label}: {update.note}", highlight=False)
            return
        if update.label not in self._runs:
            self._runs[update.label] = self._progress.add_task(update.label, total=update.steps, note="")
        self._progress.update(self._runs[update.label], completed=update.step, note=update.note)

    def run_done(self) -> None:
        """Count a run as finished."""
        self._progress.advance(self._total)
