"""Run benchmark cases: one process each, the cases of a contest in turns, results stored as they arrive."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from figures.bench.case import Case, Result
from figures.bench.store import Store
from qtrain.progress import ProgressDisplay, ProgressUpdate

ENOUGH = 30.0
"""Seconds of measured work after which a case takes no further turn."""

LIMIT = 1200.0
"""Seconds after which a process is killed."""

Results = dict[str, dict[str, list[Result]]]
"""Results by contest and case name, one per turn."""


def run_cases(cases: Sequence[Case], store: Store, board: ProgressDisplay, threads: int) -> Results:
    """Run the cases whose results are not stored yet.

    Args:
        cases: The cases, grouped by contest.
        store: Stores every result.
        board: Shows the progress, one step per case.
        threads: Value of OMP_NUM_THREADS in the processes.

    Returns:
        All results; a case that failed has a single result, with the reason.
    """
    results: Results = {}
    for contest, group in groupby(cases, lambda case: case.contest):
        by_name = results[contest] = _contest(list(group), store, board, threads)
        for name, turns in by_name.items():
            note = turns[-1].get("failed") or f"{len(turns)} turn{'s' * (len(turns) > 1)}"
            board.show(ProgressUpdate(f"{contest}, {name}", 1, 1, str(note), done=True))
            board.run_done()
    return results


def _contest(cases: list[Case], store: Store, board: ProgressDisplay, threads: int) -> dict[str, list[Result]]:
    by_name: dict[str, list[Result]] = {case.name: [] for case in cases}
    for turn in range(max(case.rounds for case in cases)):
        for case in cases:
            turns = by_name[case.name]
            if turn >= case.rounds or any("failed" in result for result in turns) or _spent(turns) > ENOUGH:
                continue
            label = f"{case.contest}, {case.name}"
            board.show(ProgressUpdate(label, turn, case.rounds, "measuring"))
            result = store.get(case, turn)
            if result is None:
                result = measured(case, threads)
                store.add(case, turn, result)
            turns.append(result)
    return by_name


def _spent(turns: Iterable[Result]) -> float:
    return sum(sum(result.get("seconds", ())) for result in turns)


def measured(case: Case, threads: int) -> Result:
    """Run one process to its end; it is killed if this process is interrupted."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "errors").open("w+b") as errors:
        path = Path(folder) / "result.json"
        process = subprocess.Popen(
            case.command(path),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # its workers are killed with it
        )
        try:
            status = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            return {"failed": f"took more than {LIMIT:.0f} s"}
        finally:
            _end(process)
        if status == 0 and path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
        killed = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
        if status == -signal.SIGKILL:
            killed += "; out of memory?"
        return {"failed": lines[-1] if lines and status > 0 else killed}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its children at once: nothing is lost, since it writes only its result."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
