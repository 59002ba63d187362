"""A run on disk: configuration, environment, JSONL logs, weights, and a result that marks it complete."""

import json
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from qtrain.config import Config
from qtrain.errors import UserError

CONFIG, ENVIRONMENT, METRICS, EVALS, SAMPLES, RESULT = (
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "evals.jsonl",
    "samples.jsonl",
    "result.json",
)


COMPARISON = "comparison.json"
"""What a comparison's folder holds beside its run folders: the list of their results."""

ESCAPED = 0.05
"""Escape: the first step whose batch has a mean P above this."""


class RunFolder:
    """Writes one run. Logs are flushed line by line; `finish` writes the result last, by a rename.

    Args:
        folder: Made anew. What an interrupted run left there is replaced, a finished run never.

    Raises:
        UserError: It holds a finished run or something that is no run, or it cannot be written.
    """

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        check_free(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in (METRICS, EVALS, SAMPLES):
                (folder / name).unlink(missing_ok=True)
            write_json(folder / CONFIG, config.as_table())
            write_json(folder / ENVIRONMENT, environment())
            self._logs = {name: (folder / name).open("w", encoding="utf-8") for name in (METRICS, EVALS, SAMPLES)}
        except OSError as error:
            raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from None

    def log(self, name: str, **values: Any) -> None:
        """Append one line to METRICS, EVALS or SAMPLES."""
        self._logs[name].write(json.dumps(values) + "\n")
        self._logs[name].flush()

    def finish(self, result: dict[str, Any]) -> None:
        """Close the logs and write the result."""
        self.close()
        write_json(self.folder / RESULT, result)

    def close(self) -> None:
        """Close the logs; without a result the run counts as interrupted."""
        for log in self._logs.values():
            log.close()


def check_free(folder: Path) -> None:
    """Refuse a folder that holds a finished run or something that is no run.

    Raises:
        UserError: It does.
    """
    if folder.is_file():
        raise UserError(f"{folder}: is a file; choose another --out")
    if (folder / RESULT).exists():
        raise UserError(f"{folder}: holds a finished run; choose another --out or delete it")
    if folder.exists() and any(folder.iterdir()) and not (folder / CONFIG).exists():
        raise UserError(f"{folder}: is not empty and not a run folder; choose another --out")


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file of a run.

    Args:
        path: The file.
        what: What the user meant it to be, for the error line.

    Raises:
        UserError: It is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path.parent}: is not {what} ({path.name} is missing)") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a log; a last line that an interruption cut short is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise UserError(f"{path}, line {number}: not JSON; the log is damaged") from None
    return rows


def environment() -> dict[str, Any]:
    """What a run's numbers depend on besides its configuration: code version, libraries, machine, command."""
    return {
        "command": shlex.join([*program(), *sys.argv[1:]]),
        "commit": code_version(),
        "python": platform.python_version(),
        "libraries": {
            name: metadata.version(name) for name in ("qcontinuum", "torch", "transformers", "numpy", "scipy")
        },
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def program() -> list[str]:
    """How this program was called, to call it again: by its script's name or as a module."""
    script = Path(sys.argv[0])
    return ["python", "-m", script.parent.name] if script.name == "__main__.py" else [script.name]


def code_version() -> str:
    """The commit of the checkout that this code runs from ("-dirty" with local changes), else the release."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return f"release {metadata.version('qcontinuum')}"
