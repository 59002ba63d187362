"""Write, find and restore checkpoints, from which a run resumes bit for bit.

A checkpoint is a folder `checkpoints/step-N` of the run, created by one rename. It contains `model.safetensors`,
`state.safetensors` (the optimiser's tensors and the token generator's state), `state.json`, and `manifest.json` with
the SHA-256 of these three files, so that damage is found before training continues. Nothing is ever unpickled.
"""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.errors import UserError
from qtrain.files import sync, writing
from qtrain.policy.weights import load_weights, save_model_weights, write_tensors
from qtrain.runs.state import RandomStates, RunState

FOLDER = "checkpoints"
MODEL, TENSORS, STATE, MANIFEST = "model.safetensors", "state.safetensors", "state.json", "manifest.json"
FORMAT = 1

_GENERATOR = "generator.tokens"


class _Record(BaseModel):
    """The content of state.json: the run's progress, numpy generators, log lengths in bytes, and fingerprints.

    Checkpoints of older versions have no fingerprints.
    """

    model_config = ConfigDict(extra="forbid")

    format: int
    state: RunState
    generators: dict[str, dict[str, Any]]
    logs: dict[str, NonNegativeInt]
    fingerprints: dict[str, str] = {}


def write_checkpoint(
    run: Path,
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    random_states: RandomStates,
    state: RunState,
    logs: dict[str, int],
    *,
    keep: int,
    fingerprints: dict[str, str] | None = None,
) -> None:
    """Write the checkpoint of `state.step`, then remove old checkpoints.

    Args:
        run: The run folder.
        model: The model, for its weights.
        optimizer: The optimiser, for its tensors; its settings come from the configuration.
        random_states: The random generators.
        state: The run's progress.
        logs: Length of each log in bytes.
        keep: Number of latest checkpoints to keep, in addition to that of the best evaluation.
        fingerprints: From `qtrain.runs.provenance.fingerprints`.

    Raises:
        UserError: The checkpoint cannot be written; earlier checkpoints are intact.
    """
    parent, folder_name = run / FOLDER, _name(state.step)
    partial = parent / f".partial-{folder_name}"
    record = _Record(
        format=FORMAT,
        state=state,
        generators={name: dict(rng.bit_generator.state) for name, rng in random_states.numpy.items()},
        logs=logs,
        fingerprints=fingerprints or {},
    )
    with writing(parent / folder_name):
        parent.mkdir(exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            save_model_weights(partial / MODEL, model)
            write_tensors(partial / TENSORS, {**_tensors(optimizer), _GENERATOR: random_states.tokens.get_state()})
            (partial / STATE).write_text(json.dumps(record.model_dump()), encoding="utf-8")
            sums = {file: _sum(partial / file) for file in (MODEL, TENSORS, STATE)}
            (partial / MANIFEST).write_text(json.dumps(sums), encoding="utf-8")
            for file in (*sums, MANIFEST, "."):
                sync(partial / file)
            partial.rename(parent / folder_name)
            sync(parent)
        except Exception:
            # Free the space, which a full disk needs.
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _prune(parent, keep, state.best_step)


def checkpoint_folder(run: Path, step: int) -> Path:
    """The folder of a step's checkpoint, which exists if the checkpoint was kept."""
    return run / FOLDER / _name(step)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that has passed the check for damage.

    Attributes:
        folder: Its folder.
        state: The run's progress at the checkpoint.
        logs: Length of each log at the checkpoint, in bytes.
        fingerprints: Those of the run's records, tokenizer and base weights.
        generators: States of the numpy generators by name.
    """

    folder: Path
    state: RunState
    logs: dict[str, int]
    fingerprints: dict[str, str]
    generators: dict[str, dict[str, Any]]

    def restore(
        self, model: PreTrainedModel, optimizer: torch.optim.Optimizer, random_states: RandomStates
    ) -> RunState:
        """Restore model, optimiser and generators in place, and return the run's progress.

        Raises:
            UserError: The checkpoint does not match them.
        """
        load_weights(model, self.folder)
        try:
            tensors = load_file(self.folder / TENSORS)
            random_states.tokens.set_state(tensors.pop(_GENERATOR))
            _restore_optimizer(optimizer, tensors)
            for name, rng in random_states.numpy.items():
                rng.bit_generator.state = self.generators[name]
                if rng.bit_generator.state != self.generators[name]:
                    raise ValueError(f"generator {name!r} cannot be in the state given")
        except Exception as error:
            # safetensors, torch and numpy each raise their own exceptions for tensors that do not match.
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{self.folder}: not a checkpoint of this configuration: {reason}") from None
        return self.state


def latest_checkpoint(run: Path, *, keep: int) -> Checkpoint | None:
    """Find the last checkpoint of a run, and delete checkpoints half written or half removed when a process was killed.

    Args:
        run: The run folder.
        keep: As in `write_checkpoint`.

    Returns:
        The checkpoint, None if there is none.

    Raises:
        UserError: The checkpoint is damaged, or the folder cannot be written.
    """
    for leftover in (run / FOLDER).glob(".*-step-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    steps = _steps(run / FOLDER)
    if not steps:
        return None
    checkpoint = _read(steps[max(steps)])
    with writing(run / FOLDER):
        _prune(run / FOLDER, keep, checkpoint.state.best_step)
    return checkpoint


def _read(folder: Path) -> Checkpoint:
    try:
        sums = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for file in (MODEL, TENSORS, STATE):
            if _sum(folder / file) != sums[file]:
                raise ValueError(f"{file} is not what was written")
        record = _Record.model_validate(json.loads((folder / STATE).read_text(encoding="utf-8")))
        if record.format != FORMAT:
            raise ValueError(f"its format is {record.format}, and this version reads {FORMAT}")
        if folder.name != _name(record.state.step):
            raise ValueError(f"its state is that of step {record.state.step}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        reason = "state.json is not in order" if isinstance(error, ValidationError) else lines[0]
        raise UserError(
            f"{folder}: damaged checkpoint: {reason}; delete this folder, and --resume goes on from the one before"
        ) from None
    return Checkpoint(folder, record.state, record.logs, record.fingerprints, record.generators)


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _steps(parent: Path) -> dict[int, Path]:
    matches = {re.fullmatch(r"step-(\d{8,})", path.name): path for path in parent.glob("step-*")}
    return {int(match[1]): path for match, path in matches.items() if match}


def _prune(parent: Path, keep: int, best: int | None) -> None:
    steps = _steps(parent)
    for step in sorted(steps)[:-keep]:
        if step != best:
            # Renamed first, so that a kill never leaves a partial checkpoint under a valid name.
            old = steps[step].rename(parent / f".old-{steps[step].name}")
            shutil.rmtree(old)


def _tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors, by parameter index and name."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{number}.{name}": value.contiguous()
        for number, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        _, number, name = key.split(".")
        expected = parameters[int(number)].shape
        if value.shape not in (expected, torch.Size()):
            raise ValueError(f"{key} has shape {tuple(value.shape)} instead of {tuple(expected)}")
        if value.dtype != torch.float32:
            raise ValueError(f"{key} is {value.dtype} instead of torch.float32")
        state.setdefault(int(number), {})[name] = value
    if len({frozenset(values) for values in state.values()}) > 1 or len(state) not in (0, len(parameters)):
        raise ValueError("some of the optimiser's tensors are missing, or there are too many")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
