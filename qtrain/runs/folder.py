"""Write and read run folders: configuration, environment, JSONL logs, and a result that marks the run complete."""

import json
import os
import platform
import reprlib
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

from qtheory.command.files import replace_file
from qtrain.config import Config
from qtrain.errors import UserError, nearest_path
from qtrain.files import Lock, append, writing

CONFIG, ENVIRONMENT, DATA, FINGERPRINTS, METRICS, EVALS, SAMPLES, SKIPPED, WARNINGS, RESULT = (
    "config.json",
    "environment.json",
    "data.json",
    "fingerprints.json",
    "metrics.jsonl",
    "evals.jsonl",
    "samples.jsonl",
    "skipped.jsonl",
    "warnings.jsonl",
    "result.json",
)

LOGS = (METRICS, EVALS, SAMPLES, SKIPPED, WARNINGS)

RESULT_KEYS = ("estimator", "q", "seed", "p0", "steps", "escape_step", "diverged_step", "seconds")
"""Keys of every result, in addition to its scores."""

MODEL_FILES = "model"
"""The folder with the model's configuration and tokenizer in the format of transformers."""

LOCK = ".lock"

TIMINGS = ("seconds", "tokens_per_second")
"""Metrics that differ between two runs of the same configuration on the same machine."""

COMPARISON = "comparison.json"
"""The file in a comparison's folder that lists the results of its runs."""

PER_RUN = ("estimator", "train.seed", "pretrain.seed")
"""The settings that differ between the runs of a comparison."""

ESCAPED = 0.05
"""A run has escaped at the first step whose batch has a mean P above this."""


class RunFolder:
    """Write the folder of one run. Log lines are written at once; `finish` writes the result last, by a rename.

    Args:
        folder: The run folder, new or existing. Logs of an interrupted run without checkpoints move to `attempts/N`.
        config: The run's configuration, prepared.
        resume: Continue the folder's run, if there is one with this configuration. A finished run continues if
            `train.steps` has been raised.

    Attributes:
        result: The result of a finished run, for which nothing is left to do; None otherwise.
        attempt: The folder to which the logs of an earlier attempt were moved, None if there were none.

    Raises:
        UserError: The folder holds something else, another process writes it, or it cannot be written.
    """

    def __init__(self, folder: Path, config: Config, *, resume: bool = False) -> None:
        self.folder, self._logs = folder, dict[str, BinaryIO]()
        check_free(folder, config, resume=resume)
        self._created = [path for path in (folder, *folder.parents) if not path.exists()]
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(folder / LOCK)
        try:
            # Checked again under the lock: another process may have come first.
            check_free(folder, config, resume=resume)
            self.attempt: Path | None = None
            self.result = read_result(folder) if (folder / RESULT).exists() else None
            if self.result is not None:
                self._extend(self.result, config)
            if self.result is None:
                with writing(folder):
                    for stale in folder.glob(".*.partial"):
                        stale.unlink()
                    write_json(folder / CONFIG, config.as_table())
        except BaseException:
            self._lock.release()
            raise

    def _extend(self, result: dict[str, Any], config: Config) -> None:
        """Reopen a finished run if `train.steps` has been raised; the old result is renamed and kept.

        Raises:
            UserError: The run diverged, or has no checkpoint to resume from.
        """
        if config.train.steps <= settings_of(self.folder)["train.steps"]:
            return
        if result["diverged_step"] is not None:
            raise UserError(
                f"{self.folder}: diverged at step {result['diverged_step']}; there is nothing to go on from"
            )
        if not any(self.folder.glob("checkpoints/step-*")):
            raise UserError(
                f"{self.folder}: has no checkpoint to go on from to train.steps={config.train.steps} (see "
                f"train.final_checkpoint); choose another --out"
            )
        with writing(self.folder / RESULT):
            (self.folder / RESULT).rename(self.folder / f"result-at-{result['steps']}.json")
        self.result = None

    def _set_aside(self) -> None:
        """Move the logs of an attempt that left no checkpoint to `attempts/N`."""
        logs = [self.folder / name for name in LOGS]
        if any(path.exists() and path.stat().st_size for path in logs):
            attempts = self.folder / "attempts"
            self.attempt = attempts / str(1 + sum(1 for _ in attempts.glob("*")))
            self.attempt.mkdir(parents=True)
            for path in filter(Path.exists, logs):
                path.rename(self.attempt / path.name)

    def noted(self, name: str) -> Any:
        """Read a value that `open_logs` wrote at the start of the run; None if it did not.

        Raises:
            UserError: The file is damaged.
        """
        return read_object(self.folder / ENVIRONMENT, "a run folder").get(name)

    def open_logs(self, lengths: dict[str, int] | None, **notes: Any) -> None:
        """Start the logs, or truncate them to a checkpoint, and write the environment.

        Args:
            lengths: Length of each log in bytes at the checkpoint; None starts new logs, after
                moving those of an earlier attempt to `attempts/N`.
            notes: Further values for environment.json on which this run's numbers depend.

        Raises:
            UserError: A log is shorter than that, or the folder cannot be written.
        """
        with writing(self.folder):
            now = {**environment(), **notes}
            if lengths is not None:
                first = read_object(self.folder / ENVIRONMENT, "a run folder")
                resumed = first.get("resumed", [])
                if not isinstance(resumed, list):
                    raise UserError(f"{self.folder / ENVIRONMENT}: damaged: key 'resumed' is no list")
                now = {**first, "resumed": [*resumed, now]}
                if set(lengths) != set(LOGS):
                    raise UserError(f"{self.folder}: damaged checkpoint: it is about the logs {', '.join(lengths)}")
            targets = {self.folder / name: 0 if lengths is None else lengths.get(name, 0) for name in LOGS}
            for path, length in targets.items():
                if length and (not path.exists() or path.stat().st_size < length):
                    raise UserError(f"{path}: shorter than at the last checkpoint; bring it back, or begin another run")
            # Nothing is changed before all checks have passed.
            if lengths is None:
                self._set_aside()
            for path, length in targets.items():
                name = path.name
                log = self._logs[name] = path.open("r+b" if length else "wb", buffering=0)
                log.truncate(length)
                log.seek(length)
            write_json(self.folder / ENVIRONMENT, now)

    def write_origin(self, data: dict[str, Any], fingerprints: dict[str, str]) -> None:
        """Write the report on the records in use, if the task has any, and the run's fingerprints.

        Raises:
            UserError: The files cannot be written.
        """
        with writing(self.folder):
            if data:
                write_json(self.folder / DATA, data)
            write_json(self.folder / FINGERPRINTS, fingerprints)

    def log(self, name: str, **values: Any) -> None:
        """Append one line to one of LOGS.

        Raises:
            UserError: The log cannot be written.
        """
        with writing(self.folder / name):
            append(self._logs[name], json.dumps(values))

    @contextmanager
    def keeping_warnings(self, step: Callable[[], int]) -> Iterator[None]:
        """Inside this context, log every warning that Python shows, and show it as usual.

        Python shows a warning with the same text from the same line once; a resumed run may show it again.

        Args:
            step: Returns the current step.
        """
        with warnings.catch_warnings():
            show = warnings.showwarning

            def log_and_show(message: Warning | str, category: type[Warning], *location: Any, **options: Any) -> None:
                self.log(WARNINGS, step=step(), category=category.__name__, message=str(message))
                show(message, category, *location, **options)

            warnings.showwarning = log_and_show
            yield

    def lengths(self) -> dict[str, int]:
        """Flush the logs to the disk, and return the length of each in bytes.

        Raises:
            UserError: The logs cannot be written.
        """
        with writing(self.folder):
            for log in self._logs.values():
                os.fsync(log.fileno())
        return {name: log.tell() for name, log in self._logs.items()}

    def finish(self, result: dict[str, Any]) -> None:
        """Write the result, which marks the run complete."""
        with writing(self.folder / RESULT):
            write_json(self.folder / RESULT, result)

    def close(self) -> None:
        """Close the logs and release the lock; without a result the run counts as interrupted.

        If the folder was created for a run that never started, it is removed, as it would block the next attempt.
        """
        begun = any(log.tell() for log in self._logs.values())
        for log in self._logs.values():
            log.close()
        if self._created and not begun and self.result is None:
            for name in (*LOGS, DATA, FINGERPRINTS, ENVIRONMENT, CONFIG, LOCK):
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / MODEL_FILES, ignore_errors=True)
            for path in self._created:
                with suppress(OSError):  # it contains other files
                    path.rmdir()
        self._lock.release()


def check_free(folder: Path, config: Config, *, resume: bool = False) -> None:
    """Check that a folder can be used for a run.

    Raises:
        UserError: The folder holds something other than a run; or, without `resume`, a finished run or checkpoints;
            or, with `resume`, a run of another configuration.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: is a file; choose another --out")
    if not (folder / CONFIG).exists():
        # A process may have been killed after it created the lock and before it wrote the configuration.
        if any(path.name != LOCK and path.suffix != ".partial" for path in folder.iterdir()):
            raise UserError(f"{folder}: is not empty and not a run folder; choose another --out")
        return
    finished, begun = (folder / RESULT).exists(), any(folder.glob("checkpoints/step-*"))
    if not resume and finished:
        raise UserError(f"{folder}: holds a finished run; choose another --out or delete it")
    if not resume and begun:
        raise UserError(f"{folder}: holds the checkpoints of an interrupted run; add --resume, or choose another --out")
    if resume and (finished or begun):
        check_same(config, folder, "run")


PATHS = ("data", "model.pretrained", "task.tokenizer")
"""Settings that may be paths. The same files at another path are the same run, as fingerprints show."""

FREE = (
    *("title", "sinks", "train.keep", "train.checkpoint_every", "train.final_checkpoint"),
    *("rollout.cache_gib", "rollout.prompts_at_once"),
)
"""Settings that do not affect the trained weights, so that a resumed run may change them."""

BUDGETS = ("rollout.rationale_budget", "rollout.answer_budget")
"""Settings that are 0 until `qtrain.prepare` chooses a value."""


def check_same(config: Config, folder: Path, what: str, *, apart_from: Container[str] = ()) -> None:
    """Check that a folder's configuration equals this one, except for settings that may change.

    Args:
        config: The expected configuration. Its `train.steps` may be larger than the folder's.
        folder: The folder with `config.json`.
        what: "run" or "comparison", for the error line.
        apart_from: Dotted keys that may differ.

    Raises:
        UserError: The configurations differ; the line names the first such key.
    """
    before, now = settings_of(folder, what), flat(config.as_table())
    has_fingerprints = (folder / FINGERPRINTS).exists()
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if old == new or key in FREE or key in apart_from or (key in BUDGETS and new == 0):
            continue
        if (
            key in PATHS
            and None not in (old, new)
            and (has_fingerprints or Path(str(old)).absolute() == Path(str(new)).absolute())
        ):
            continue
        if key == "train.steps" and new is not None and new > old:
            continue
        remedy = "it can only be raised" if key == "train.steps" else "give it that value"
        raise UserError(
            f"{folder}: holds a {what} of another configuration: {key} is {old!r} there and {new!r} here; {remedy}, or "
            f"choose another --out"
        )


def settings_of(folder: Path, what: str = "run") -> dict[str, Any]:
    """The settings of a run or comparison by dotted key; settings that its version lacked have their defaults.

    Raises:
        UserError: config.json is missing or damaged.
    """
    table = read_object(folder / CONFIG, f"a {what} folder")
    with suppress(ValueError, UserError):
        # Reading the settings does not run code that the folder names.
        table = Config.model_validate(table, context={"code_allowed": False}).as_table()
    return flat(table)


def flat(table: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested tables into one with dotted keys."""
    if not isinstance(table, dict):
        return {prefix.rstrip("."): table}
    return {key: value for name, part in table.items() for key, value in flat(part, f"{prefix}{name}.").items()}


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file completely or not at all."""
    replace_file(path, f"{json.dumps(value, indent=1)}\n".encode())


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file of a run.

    Args:
        path: The file.
        what: What the user expected the folder to be, for the error line.

    Raises:
        UserError: The file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path.parent.exists():
            raise UserError(f"{path.parent}: is not {what} ({path.name} is missing)") from None
        near = nearest_path(path.parent)
        hint = f"did you mean {near}?" if near else f"give the folder of {what}"
        raise UserError(f"{path.parent}: no such folder; {hint}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def read_object(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON file of a run that must hold one object.

    Args:
        path: The file.
        what: As in `read_json`.

    Raises:
        UserError: The file is missing, not JSON, or holds something else.
    """
    value = read_json(path, what)
    if not isinstance(value, dict):
        raise UserError(f"{path}: damaged: a JSON object is needed, not {reprlib.repr(value)}")
    return value


def read_origin(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a run's report on its records and its fingerprints; {} for a missing file.

    Raises:
        UserError: A file is damaged.
    """
    data, fingerprints = (
        read_object(folder / name, "a run folder") if (folder / name).exists() else {} for name in (DATA, FINGERPRINTS)
    )
    return data, fingerprints


def read_result(folder: Path) -> dict[str, Any]:
    """Read the result of a finished run.

    Raises:
        UserError: The result is missing, or lacks one of RESULT_KEYS.
    """
    result = read_object(folder / RESULT, "a finished run")
    missing = [key for key in RESULT_KEYS if key not in result]
    if missing:
        raise UserError(f"{folder / RESULT}: damaged: key {missing[0]!r} is missing; delete {folder} and run again")
    return result


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a log, without a last line that an interruption cut short.

    Raises:
        UserError: The log cannot be read, or another line is not JSON.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    rows, lines = [], text.splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            if number < len(lines) or text.endswith("\n"):
                raise UserError(f"{path}, line {number}: not JSON; the log is damaged") from None
    return rows


def environment() -> dict[str, Any]:
    """The content of environment.json: command, code version, libraries and machine."""
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
    """The start of a command line that calls this program again: its script's name, or `python -m` and its module."""
    script = Path(sys.argv[0])
    return ["python", "-m", script.parent.name] if script.name == "__main__.py" else [script.name]


def code_version() -> str:
    """The commit of the checkout with this code ("-dirty" with local changes); without a checkout the release."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return f"release {metadata.version('qcontinuum')}"
