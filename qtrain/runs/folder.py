"""A run on disk: configuration, environment, JSONL logs, weights, checkpoints, and a result that marks it complete."""

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
from qtrain.errors import UserError
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
"""What every result has besides its scores."""

MODEL_FILES = "model"
"""A folder with the model's configuration and tokenizer, as transformers writes them."""

LOCK = ".lock"

TIMINGS = ("seconds", "tokens_per_second")
"""What differs between two runs of one configuration on one machine."""

COMPARISON = "comparison.json"
"""What a comparison's folder holds beside its run folders: the list of their results."""

PER_RUN = ("estimator", "train.seed", "pretrain.seed")
"""The keys of a configuration in which the runs of one comparison differ."""

ESCAPED = 0.05
"""Escape: the first step whose batch has a mean P above this."""


class RunFolder:
    """Writes one run. Lines of a log do not wait in memory; `finish` writes the result last, by a rename.

    Args:
        folder: Made anew, or gone on with. Logs of an interrupted run without checkpoints move to `attempts/N`.
        config: The run's configuration, prepared.
        resume: Go on with the run of this configuration that the folder holds, if it holds one. A finished run goes on
            where `train.steps` is larger than it was.

    Attributes:
        result: That of a finished run to go on with; nothing is left to do.
        attempt: Where an earlier attempt's logs were moved to, None where there were none.

    Raises:
        UserError: It holds something else, another process writes it, or it cannot be written.
    """

    def __init__(self, folder: Path, config: Config, *, resume: bool = False) -> None:
        self.folder, self._logs = folder, dict[str, BinaryIO]()
        check_free(folder, config, resume=resume)
        self._made = [path for path in (folder, *folder.parents) if not path.exists()]
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(folder / LOCK)
        try:
            # Another process may have come first.
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
        """Take up a finished run again if `train.steps` was raised; its result stays beside the new one.

        Raises:
            UserError: It diverged, or has no checkpoint to go on from.
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
        """Move the logs of an attempt that left no checkpoint to a folder of their own."""
        logs = [self.folder / name for name in LOGS]
        if any(path.exists() and path.stat().st_size for path in logs):
            before = self.folder / "attempts"
            self.attempt = before / str(1 + sum(1 for _ in before.glob("*")))
            self.attempt.mkdir(parents=True)
            for path in filter(Path.exists, logs):
                path.rename(self.attempt / path.name)

    def noted(self, name: str) -> Any:
        """What `open_logs` noted under a name when the run began; None if it did not.

        Raises:
            UserError: The note is damaged.
        """
        return read_object(self.folder / ENVIRONMENT, "a run folder").get(name)

    def open_logs(self, lengths: dict[str, int] | None, **found: Any) -> None:
        """Begin the logs, or cut them back to what they were at a checkpoint, and note what code goes on from there.

        Args:
            lengths: Of each log in bytes; None begins them, and sets aside what an earlier attempt left.
            found: What else the environment has that this run's numbers depend on.

        Raises:
            UserError: A log is shorter than that, or the folder cannot be written.
        """
        with writing(self.folder):
            now = {**environment(), **found}
            if lengths is not None:
                first = read_object(self.folder / ENVIRONMENT, "a run folder")
                before = first.get("resumed", [])
                if not isinstance(before, list):
                    raise UserError(f"{self.folder / ENVIRONMENT}: damaged: key 'resumed' is no list")
                now = {**first, "resumed": [*before, now]}
                if set(lengths) != set(LOGS):
                    raise UserError(f"{self.folder}: damaged checkpoint: it is about the logs {', '.join(lengths)}")
            wanted = {self.folder / name: 0 if lengths is None else lengths.get(name, 0) for name in LOGS}
            for path, length in wanted.items():
                if length and (not path.exists() or path.stat().st_size < length):
                    raise UserError(f"{path}: shorter than at the last checkpoint; bring it back, or begin another run")
            # Only now, with everything in order, is anything changed.
            if lengths is None:
                self._set_aside()
            for path, length in wanted.items():
                name = path.name
                log = self._logs[name] = path.open("r+b" if length else "wb", buffering=0)
                log.truncate(length)
                log.seek(length)
            write_json(self.folder / ENVIRONMENT, now)

    def write_origin(self, data: dict[str, Any], fingerprints: dict[str, str]) -> None:
        """Note the records in use, if the task reads any, and the fingerprints of what the run is made from.

        Raises:
            UserError: They cannot be written.
        """
        with writing(self.folder):
            if data:
                write_json(self.folder / DATA, data)
            write_json(self.folder / FINGERPRINTS, fingerprints)

    def log(self, name: str, **values: Any) -> None:
        """Append one line to one of LOGS.

        Raises:
            UserError: It cannot be written.
        """
        with writing(self.folder / name):
            append(self._logs[name], json.dumps(values))

    @contextmanager
    def keeping_warnings(self, step: Callable[[], int]) -> Iterator[None]:
        """Append each warning that is shown inside to the log of warnings, and show it as before.

        Python shows one from the same line with the same text once; a resumed run may show it again.

        Args:
            step: The step that a warning falls into.
        """
        with warnings.catch_warnings():
            show = warnings.showwarning

            def keep(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
                self.log(WARNINGS, step=step(), category=category.__name__, message=str(message))
                show(message, category, *where, **more)

            warnings.showwarning = keep
            yield

    def lengths(self) -> dict[str, int]:
        """Length of each log in bytes, once they are on the disk.

        Raises:
            UserError: They cannot be written.
        """
        with writing(self.folder):
            for log in self._logs.values():
                os.fsync(log.fileno())
        return {name: log.tell() for name, log in self._logs.items()}

    def finish(self, result: dict[str, Any]) -> None:
        """Write the result."""
        with writing(self.folder / RESULT):
            write_json(self.folder / RESULT, result)

    def close(self) -> None:
        """Close the logs and let others in; without a result the run counts as interrupted.

        A folder made for a run that then could not begin goes: it would only stand in the way.
        """
        begun = any(log.tell() for log in self._logs.values())
        for log in self._logs.values():
            log.close()
        if self._made and not begun and self.result is None:
            for name in (*LOGS, DATA, FINGERPRINTS, ENVIRONMENT, CONFIG, LOCK):
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / MODEL_FILES, ignore_errors=True)
            for path in self._made:
                with suppress(OSError):  # somebody else's files are in it
                    path.rmdir()
        self._lock.release()


def check_free(folder: Path, config: Config, *, resume: bool = False) -> None:
    """Refuse a folder that cannot take this run.

    Raises:
        UserError: It holds something that is no run, or without `resume` a finished run or checkpoints, or with it a
            run of another configuration.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: is a file; choose another --out")
    if not (folder / CONFIG).exists():
        # A kill may have come between the lock and the configuration.
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
"""Settings that may name a place on the disk: the same files elsewhere are the same run, which fingerprints tell."""

FREE = (
    *("title", "sinks", "train.keep", "train.checkpoint_every", "train.final_checkpoint"),
    *("rollout.cache_gib", "rollout.prompts_at_once"),
)
"""Settings that do not change what is trained: a resumed run may have others."""

BUDGETS = ("rollout.rationale_budget", "rollout.answer_budget")
"""Settings that are 0 until `qtrain.prepare` chooses them."""


def check_same(config: Config, folder: Path, what: str, *, apart_from: Container[str] = ()) -> None:
    """Refuse a folder whose configuration is another one, apart from settings that may change.

    Args:
        config: What its configuration is to be. `train.steps` may be larger.
        folder: Where `config.json` is.
        what: A run or a comparison, for the error line.
        apart_from: Dotted keys that may differ.

    Raises:
        UserError: It is; the line names the first key that differs.
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
        mend = "it can only be raised" if key == "train.steps" else "give it that value"
        raise UserError(
            f"{folder}: holds a {what} of another configuration: {key} is {old!r} there and {new!r} here; {mend}, or "
            f"choose another --out"
        )


def settings_of(folder: Path, what: str = "run") -> dict[str, Any]:
    """The settings of a run or comparison, with dotted keys; those that its version did not have at their defaults.

    Raises:
        UserError: There are none, or they are damaged.
    """
    table = read_object(folder / CONFIG, f"a {what} folder")
    with suppress(ValueError, UserError):
        # Code that a folder names is not run to look at its settings.
        table = Config.model_validate(table, context={"code_allowed": False}).as_table()
    return flat(table)


def flat(table: Any, prefix: str = "") -> dict[str, Any]:
    """A table of tables as one, with dotted keys."""
    if not isinstance(table, dict):
        return {prefix.rstrip("."): table}
    return {key: value for name, part in table.items() for key, value in flat(part, f"{prefix}{name}.").items()}


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    replace_file(path, f"{json.dumps(value, indent=1)}\n".encode())


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
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def read_object(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON file of a run that holds one object.

    Args:
        path: The file.
        what: As in `read_json`.

    Raises:
        UserError: It is missing, not JSON, or holds something else.
    """
    value = read_json(path, what)
    if not isinstance(value, dict):
        raise UserError(f"{path}: damaged: a JSON object is needed, not {reprlib.repr(value)}")
    return value


def read_origin(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The records in use and the fingerprints that a run noted; {} for what it did not.

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
        UserError: There is none, or it lacks what every result has.
    """
    result = read_object(folder / RESULT, "a finished run")
    missing = [key for key in RESULT_KEYS if key not in result]
    if missing:
        raise UserError(f"{folder / RESULT}: damaged: key {missing[0]!r} is missing; delete {folder} and run again")
    return result


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a log; a last line that an interruption cut short is left out."""
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
