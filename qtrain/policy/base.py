"""Load base models and the initial policy, cache base models made by qtrain, and compute their fingerprints."""

import functools
import hashlib
import json
import os
import reprlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from transformers import PreTrainedModel

from qtrain.config import Config, PretrainedConfig, config_hash
from qtrain.errors import UserError
from qtrain.policy.adapters import add_adapters
from qtrain.policy.device import find_device
from qtrain.policy.model import load_pretrained, new_model
from qtrain.policy.weights import load_weights, save_model_weights
from qtrain.tasks import Task


@dataclass(frozen=True)
class Base:
    """A base model: `model.safetensors` and `base.json` in the cache, or a pretrained model.

    Attributes:
        folder: Its folder; for a pretrained model its folder or its id on the hub.
        about: The content of base.json: hash, configuration, final loss, measured p0, seconds.
    """

    folder: Path
    about: dict

    def fingerprint(self) -> str:
        """A hash of the weight files, or the hub's commit."""
        return base_fingerprint(self.folder, self.about.get("revision"))

    def load(self, config: Config, task: Task) -> PreTrainedModel:
        """Load the model on the CPU.

        Raises:
            UserError: The weights cannot be read, or belong to another configuration.
        """
        if isinstance(config.model, PretrainedConfig):
            return load_pretrained(config.model, task.tokenizer)
        model = new_model(config.model, task.tokenizer, seed=0)
        load_weights(model, self.folder)
        return model


def initial_policy(config: Config, task: Task, base: Base) -> PreTrainedModel:
    """Load the policy at the start of training, on its device.

    Raises:
        UserError: The base cannot be loaded, does not match the task's tokenizer, or has no layer for the adapters.
    """
    model = base.load(config, task)
    if config.lora is not None:
        add_adapters(model, config.lora, config.train.seed)
    return model.to(find_device(config.train.device))  # pyright: ignore[reportArgumentType]


def cache_folder() -> Path:
    """The cache of base models: `$XDG_CACHE_HOME/qcontinuum/bases`, by default below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qcontinuum" / "bases"


def cached_base(key: dict, make: Callable[[], tuple[PreTrainedModel, dict]]) -> Base:
    """Find the base model of a key in the cache, or make it.

    Args:
        key: Plain JSON values that determine the base model.
        make: Returns the model and the content of its base.json.

    Raises:
        UserError: The cache cannot be read or written.
    """
    name = config_hash(key)
    folder = cache_folder() / name
    if not (folder / "base.json").exists():
        model, about = make()
        write_model(folder, model, {"hash": name, "made_from": key, **about})
    about_path = folder / "base.json"
    try:
        about = json.loads(about_path.read_text(encoding="utf-8"))
        if not isinstance(about, dict):
            raise ValueError(f"a JSON object is needed, not {reprlib.repr(about)}")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{about_path}: not readable ({error}); delete {folder} and run again") from None
    return Base(folder, about)


def write_model(folder: Path, model: PreTrainedModel, about: dict) -> None:
    """Write a base model completely or not at all.

    Args:
        folder: Created by one rename. If another process has created it in the meantime, it is left as it is.
        model: Its weights are written to `model.safetensors`.
        about: Written to `base.json`.

    Raises:
        UserError: The folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as partial:
            new = Path(partial) / "model"
            new.mkdir()
            save_model_weights(new / "model.safetensors", model)
            (new / "base.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
            try:
                new.rename(folder)
            except OSError:
                if not (folder / "base.json").exists():
                    raise
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from None


def base_fingerprint(folder: Path, revision: str | None = None) -> str:
    """The fingerprint of base weights.

    Args:
        folder: A folder with safetensors; or an id on the hub, whose commit is the fingerprint.
        revision: A branch, tag or commit on the hub.
    """
    files = sorted(folder.glob("*.safetensors"))
    if files:
        shape = folder / "config.json"
        return short_hash(*map(_file_hash, files), *([_file_hash(shape)] if shape.exists() else []))
    try:
        cached = try_to_load_from_cache(str(folder), "config.json", revision=revision or "main")
    except HFValidationError:  # the path of a folder, not an id
        return "unknown"
    return f"commit {Path(cached).parent.name}" if isinstance(cached, str) else "unknown"


def _file_hash(path: Path) -> str:
    about = path.stat()
    return _hash_of(path, about.st_size, about.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _hash_of(path: Path, size: int, changed: int) -> str:
    """Large files are read once per process, unless their size or time of change differs."""
    del size, changed
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_hash(*texts: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
