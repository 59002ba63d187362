"""Running cases: one process each, contests in turns, results kept as they come."""

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
"""Seconds after which a process is given up."""

Results = dict[str, dict[str, list[Result]]]
"""By contest, then by name: one result a turn."""


def run_cases(cases: Sequence[Case], store: Store, board: ProgressDisplay, threads: int) -> Results:
    """Run what is not kept yet.

    Args:
        cases: Those of a contest stand together.
        store: Keeps every result.
        board: Shows how it goes; one step a case.
        threads: For the libraries that read their number from the environment.

    Returns:
        All results; a case that failed has one, which says why.
    """
    results: Results = {}
    for contest, group in groupby(cases, lambda case: case.contest):
        found = results[contest] = _contest(list(group), store, board, threads)
        for name, turns in found.items():
            note = turns[-1].get("failed") or f"{len(turns)} turn{'s' * (len(turns) > 1)}"
            board.show(ProgressUpdate(f"{contest}, {name}", 1, 1, str(note), done=True))
            board.run_done()
    return results


def _contest(cases: list[Case], store: Store, board: ProgressDisplay, threads: int) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {case.name: [] for case in cases}
    for turn in range(max(case.rounds for case in cases)):
        for case in cases:
            turns = found[case.name]
            if turn >= case.rounds or any("failed" in one for one in turns) or _spent(turns) > ENOUGH:
                continue
            label = f"{case.contest}, {case.name}"
            board.show(ProgressUpdate(label, turn, case.rounds, "measuring"))
            result = store.get(case, turn)
            if result is None:
                result = measured(case, threads)
                store.put(case, turn, result)
            turns.append(result)
    return found


def _spent(turns: Iterable[Result]) -> float:
    return sum(sum(one.get("seconds", ())) for one in turns)


def measured(case: Case, threads: int) -> Result:
    """Run one process to its end; whatever ends this one ends that one too."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "errors").open("w+b") as errors:
        path = Path(folder) / "result.json"
        process = subprocess.Popen(
            case.command(path),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # its workers end with it
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
    """End the process and those it started, at once: it writes nothing but its result."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
