"""Progress on the terminal: one bar for the whole, one for each run under way."""

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
"""Progress and remarks go to standard error; results go to standard output."""


@dataclass(frozen=True)
class ProgressUpdate:
    """What a run says of itself: step of steps, and a word on how it stands."""

    label: str
    step: int
    steps: int
    note: str
    done: bool = False


class ProgressDisplay:
    """The live display; where standard error is no terminal, one line a finished run instead."""

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
        self._whole = self._progress.add_task(title, total=total, completed=finished, note="runs")
        self._runs: dict[str, TaskID] = {}

    def __enter__(self) -> "ProgressDisplay":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, report: ProgressUpdate) -> None:
        """Show how a run stands."""
        if report.done:
            if report.label in self._runs:
                self._progress.remove_task(self._runs.pop(report.label))
            if not console.is_terminal:
                console.print(f"{report.label}: {report.note}", highlight=False)
            return
        if report.label not in self._runs:
            self._runs[report.label] = self._progress.add_task(report.label, total=report.steps, note="")
        self._progress.update(self._runs[report.label], completed=report.step, note=report.note)

    def cell_done(self) -> None:
        """Count one run of the whole as finished."""
        self._progress.advance(self._whole)
