"""Base models: where a policy starts from, the cache of those that are made here, and their fingerprints."""

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
    """A base model: `model.safetensors` and `base.json` in the cache, or a pretrained model where that lies.

    Attributes:
        folder: Where; of a pretrained model its folder or its id on the hub.
        about: What base.json says: hash, configuration, final loss, measured p0, seconds.
    """

    folder: Path
    about: dict

    def fingerprint(self) -> str:
        """A hash of the weights' files, or the commit of the hub's."""
        return base_fingerprint(self.folder, self.about.get("revision"))

    def load(self, config: Config, task: Task) -> PreTrainedModel:
        """The model with these weights, on the CPU.

        Raises:
            UserError: They cannot be read, or are another configuration's.
        """
        if isinstance(config.model, PretrainedConfig):
            return load_pretrained(config.model, task.tokenizer)
        model = new_model(config.model, task.tokenizer, seed=0)
        load_weights(model, self.folder)
        return model


def initial_policy(config: Config, task: Task, base: Base) -> PreTrainedModel:
    """The policy at the start of training, on its device.

    Raises:
        UserError: The base cannot be loaded, does not fit the task's tokenizer, or has no layer for the adapters.
    """
    model = base.load(config, task)
    if config.lora is not None:
        add_adapters(model, config.lora, config.train.seed)
    return model.to(find_device(config.train.device))  # pyright: ignore[reportArgumentType]


def cache_folder() -> Path:
    """Where bases are kept: `$XDG_CACHE_HOME/qcontinuum/bases`, by default below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qcontinuum" / "bases"


def cached_base(key: dict, make: Callable[[], tuple[PreTrainedModel, dict]]) -> Base:
    """The base of a key from the cache, made where it is missing.

    Args:
        key: Plain JSON values that decide the base.
        make: Returns the model and what is known of it.

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
    """Write weights and what is known of them, whole or not at all.

    Args:
        folder: Made by one rename; a folder that another process made meanwhile is kept.
        model: Its weights go to `model.safetensors`.
        about: Goes to `base.json`.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as partial:
            made = Path(partial) / "model"
            made.mkdir()
            save_model_weights(made / "model.safetensors", model)
            (made / "base.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
            try:
                made.rename(folder)
            except OSError:
                if not (folder / "base.json").exists():
                    raise
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from None


def base_fingerprint(folder: Path, revision: str | None = None) -> str:
    """The fingerprint of base weights.

    Args:
        folder: Holds safetensors; or what is no folder here: an id on the hub, whose commit is the fingerprint.
        revision: Of the hub's.
    """
    files = sorted(folder.glob("*.safetensors"))
    if files:
        shape = folder / "config.json"
        return short_hash(*map(_file_hash, files), *([_file_hash(shape)] if shape.exists() else []))
    try:
        cached = try_to_load_from_cache(str(folder), "config.json", revision=revision or "main")
    except HFValidationError:  # a folder, not an id
        return "unknown"
    return f"commit {Path(cached).parent.name}" if isinstance(cached, str) else "unknown"


def _file_hash(path: Path) -> str:
    about = path.stat()
    return _hash_of(path, about.st_size, about.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _hash_of(path: Path, size: int, changed: int) -> str:
    """Large files are read once a process, as long as nobody writes them."""
    del size, changed
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_hash(*texts: str) -> str:
    """16 hexadecimal digits of some texts' hash."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
