"""Gives malformed inputs to the commands: each must end in one line and exit status 2, and leave all as it was.

`python tests/qtrain/malformed.py --cases 500 --seed 1` prints what became of each kind. A case is a copy of a folder of
good inputs (`good_inputs.py`) with one thing broken: by construction (a field of the wrong type, a header that lies) or
by a cut or a flipped bit, which is drawn until a check that does not use the code under test (the standard library's
JSON and TOML, the safetensors format's own text, checksums) says that it is damage. No case comes twice.
"""

import argparse
import contextlib
import hashlib
import io
import os
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import broken_data
import broken_runs
import broken_settings
import matplotlib.font_manager  # noqa: F401  (it caches a list of fonts once: not in a case's folder)
import numpy as np
from broken_files import CANARY, Rng
from good_inputs import make_good_inputs, use_cache
from reliability_data import write_part

from qtrain.cli import main as qtrain

Recipe = Callable[[Rng, Path], list[str]]
"""Breaks something in a folder of good inputs, and returns the command that must refuse it."""

KINDS: dict[str, Recipe] = {
    "configurations in TOML": broken_settings.toml_file,
    "configurations in JSON": broken_settings.json_file,
    "overrides": broken_settings.override,
    "names of files": broken_settings.name_of_a_file,
    "records": broken_data.records,
    "data files": broken_data.data_files,
    "tokenizer folders": broken_data.tokenizer_folder,
    "cached bases": broken_runs.cached_base,
    "weights of a run": broken_runs.run_weights,
    "runs to evaluate": broken_runs.evaluate_folder,
    "runs to report": broken_runs.report_folder,
    "runs to resume": broken_runs.resumed_folder,
    "damaged checkpoints": broken_runs.checkpoint,
    "forged checkpoints": broken_runs.forged_checkpoint,
}


LONGEST = 5.0
"""Seconds of computing that a refusal may take; most take hundredths."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        kind: One of KINDS.
        seed: Of its generator: `cases` with it makes the case again.
        words: The command.
        status: Its exit status, None where an exception came out.
        error: What it wrote to standard error, or the exception's traceback.
        left: What it made, changed or removed.
        executed: Whether code from a file ran.
    """

    kind: str
    seed: tuple[int, ...]
    words: tuple[str, ...]
    status: int | None
    error: str
    left: tuple[str, ...]
    executed: bool

    @property
    def one_line(self) -> bool:
        """Whether it ended as it must, whatever it left."""
        lines = self.error.splitlines()
        return self.status == 2 and len(lines) == 1 and lines[0].startswith("qtrain: ")

    @property
    def clean(self) -> bool:
        """Whether everything is as it must be."""
        return self.one_line and not self.left and not self.executed


def run_cases(count: int, seed: int, work: Path, good: Path) -> Iterator[Outcome]:
    """Run so many cases, the kinds in turn.

    Args:
        count: Cases.
        seed: Seeds them.
        work: An empty folder for copies, one at a time.
        good: A folder made by `make_good_inputs`.
    """
    seen = set[str]()
    for index in range(count):
        kind = list(KINDS)[index % len(KINDS)]
        for draw in range(1_000):
            here = work / "case"
            shutil.copytree(good, here, symlinks=True)
            key = (seed, index, draw)
            words = _broken(KINDS[kind], key, here)
            before = snapshot(here)
            key_of_it = hashlib.sha256(repr((words, sorted(before.items()))).encode("utf-8", "replace")).hexdigest()
            if key_of_it not in seen:
                seen.add(key_of_it)
                yield _run(kind, key, words, here, before)
                shutil.rmtree(here)
                break
            shutil.rmtree(here)
        else:
            raise AssertionError(f"{kind}: no more than {index // len(KINDS)} cases of it differ")


def _broken(recipe: Recipe, key: tuple[int, ...], here: Path) -> list[str]:
    with contextlib.chdir(here):
        return recipe(np.random.default_rng(key), here)


def snapshot(folder: Path) -> dict[str, str]:
    """Everything below a folder by name: files by their content's sum, links by where they point."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(root, name)
            what = f"link {path.readlink()}" if path.is_symlink() else "folder" if path.is_dir() else _sum(path)
            found[str(path.relative_to(folder))] = what
    return found


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if os.access(path, os.R_OK) else "unreadable"


def _run(kind: str, seed: tuple[int, ...], words: list[str], here: Path, before: dict[str, str]) -> Outcome:
    use_cache(here)
    status, error = run_command(words, here)
    after = snapshot(here)
    left = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return Outcome(kind, seed, tuple(words), status, error, tuple(left), executed=CANARY in after)


def run_command(words: Sequence[str], here: Path) -> tuple[int | None, str]:
    """Run a command in this process. Returns its exit status, and all that came to standard error."""
    status: int | None = None
    with (
        contextlib.chdir(here),
        contextlib.redirect_stdout(io.StringIO()),
        _standard_error() as error,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("always")  # on the terminal a warning would be one more line
        try:
            with _limited():
                qtrain(words)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else None
        except Exception:
            sys.stderr.write(traceback.format_exc())
    return status, "".join(error)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Make an endless computation an exception."""

    def stop(number: int, frame: object) -> None:
        raise RuntimeError(f"no end after {LONGEST} s of computing")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextlib.contextmanager
def _standard_error() -> Iterator[list[str]]:
    """Collect what goes to standard error, past Python's own stream too: libraries log to the one they began with."""
    said: list[str] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace") as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            with contextlib.redirect_stderr(file):
                yield said
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.flush()
            file.seek(0)
            said.append(file.read())


def _told(outcome: Outcome) -> str:
    """A case that did not end as it must, in a few lines."""
    words = " ".join(word if len(word) < 60 else f"{word[:50]}... ({len(word)} characters)" for word in outcome.words)
    said = [line[:300] for line in outcome.error.splitlines()[-6:]]
    facts = f"status {outcome.status}, left {list(outcome.left)[:6]}, executed {outcome.executed}"
    return "\n    ".join([f"{outcome.kind} {outcome.seed}: {words!r}", facts, *said])


@dataclass
class LoadStats:
    """Counts of one kind's cases."""

    kind: str
    cases: int = 0
    one_line: int = 0
    tracebacks: int = 0
    left_something: int = 0
    executed: int = 0

    def note(self, outcome: Outcome) -> None:
        """Count a case."""
        self.cases += 1
        self.one_line += outcome.one_line
        self.tracebacks += outcome.status is None or "Traceback" in outcome.error
        self.left_something += bool(outcome.left)
        self.executed += outcome.executed


def main() -> None:
    """Print the table, and every case that did not end as it must. Exit status 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the counts into this data file")
    arguments = parser.parse_args()
    load_stats = {kind: LoadStats(kind) for kind in KINDS}
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        work = Path(name).resolve()
        good = work / "good"
        good.mkdir()
        use_cache(good)
        make_good_inputs(good)
        for outcome in run_cases(arguments.cases, arguments.seed, work, good):
            load_stats[outcome.kind].note(outcome)
            if not outcome.clean:
                bad += 1
                sys.stdout.write(f"{_told(outcome)}\n")
    rows: list[dict[str, Any]] = [asdict(tally) for tally in load_stats.values()]
    for row in rows:
        sys.stdout.write(
            "  ".join(f"{value:>14}" if key != "kind" else f"{value:<24}" for key, value in row.items()) + "\n"
        )
    sys.stdout.write(
        f"{arguments.cases} malformed inputs: {arguments.cases - bad} refused in one line without a trace\n"
    )
    if arguments.json:
        write_part(arguments.json, "malformed", {"seed": arguments.seed, "rows": rows})
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
