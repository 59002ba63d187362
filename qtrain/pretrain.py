"""The base model: cross-entropy on demonstrations, p0 moved to the wanted value, cached by its configuration's hash."""

import json
import math
import os
import reprlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, get_cosine_schedule_with_warmup

from qtrain.config import Config, config_hash
from qtrain.device import find_device
from qtrain.errors import UserError
from qtrain.log_weights import row_log_probs
from qtrain.model import encode, load_pretrained, new_model, token_ids
from qtrain.model_config import PretrainedConfig
from qtrain.p0 import move_p0
from qtrain.provenance import base_fingerprint
from qtrain.tasks import Task
from qtrain.weights import load_weights, write_weights

Progress = Callable[[int, int, float], None]
"""Called with (step, steps, loss in nats a text)."""

WARMUP_STEPS = 100

# Part of every base's hash: raise it when a change here or in a task's demonstrations makes other weights.
FORMAT = 1


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


def cache_folder() -> Path:
    """Where bases are kept: `$XDG_CACHE_HOME/qcontinuum/bases`, by default below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qcontinuum" / "bases"


def pretraining(config: Config) -> dict[str, Any]:
    """What decides the pre-training: configurations that agree here differ in their bases' p0 alone."""
    return {
        "format": FORMAT,
        "task": config.task.model_dump(mode="json", exclude={"variant"}),
        "model": config.model.model_dump(mode="json"),
        "pretrain": config.pretrain.model_dump(mode="json", exclude={"p0"}),
    }


def get_base(config: Config, task: Task, *, progress: Progress | None = None) -> Base:
    """The base model of a configuration, from the cache or made now.

    Two folders are cached: the pre-trained model, and the one whose p0 was moved, so that a scan over p0 pre-trains
    once. A pretrained model is taken as it is.

    Args:
        config: Its `task`, `model`, `pretrain` and, for p0, `rollout` budgets decide the base, which is made on
            `train.device`.
        task: Built from `config`.
        progress: Told about each pre-training step.
    """
    if isinstance(config.model, PretrainedConfig):
        return Base(Path(config.model.pretrained), config.model.model_dump(mode="json"))
    natural = {**pretraining(config), "vocabulary": len(task.tokenizer)}
    base = _cached(natural, lambda: _pretrain(config, task, progress))
    if config.pretrain.p0 is None:
        return base
    moved = {
        **natural,
        "p0": config.pretrain.p0,
        # p0 is that of the prompts one trains on, which depends on the variant.
        "task": config.task.model_dump(mode="json"),
        "rollout": config.rollout.model_dump(mode="json", include={"rationale_budget", "answer_budget"}),
    }

    def make() -> tuple[PreTrainedModel, dict]:
        model = base.load(config, task)
        model.to(find_device(config.train.device))  # pyright: ignore[reportArgumentType]
        about = {key: value for key, value in base.about.items() if key not in ("hash", "made_from")}
        return model, {**about, **move_p0(model, task, config)}

    return _cached(moved, make)


def _pretrain(config: Config, task: Task, progress: Progress | None) -> tuple[PreTrainedModel, dict]:
    settings = config.pretrain
    model: PreTrainedModel = new_model(config.model, task.tokenizer, settings.seed)
    model.to(find_device(config.train.device))  # pyright: ignore[reportArgumentType]
    ids = token_ids(task.tokenizer)
    rng = np.random.default_rng([settings.seed, FORMAT])
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, betas=(0.9, 0.95), weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, WARMUP_STEPS, settings.steps)
    start = time.perf_counter()
    loss = math.nan
    for step in range(settings.steps):
        batch = task.demonstrations(settings.batch, rng)
        log_probs = row_log_probs(
            model,
            ids,
            encode(task.tokenizer, [text.prompt for text in batch]),
            encode(task.tokenizer, [text.completion for text in batch]),
            [False] * len(batch),
            [[]] * len(batch),
        )
        mean = -log_probs.rationale_N.mean()
        optimizer.zero_grad()
        mean.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        loss = float(mean.detach())
        if not math.isfinite(loss):
            # Before anything is cached: a broken base would be found again by every later run.
            raise UserError(f"pre-training diverged at step {step + 1}: lower pretrain.lr={settings.lr:g}")
        if progress:
            progress(step + 1, settings.steps, loss)
    return model, {
        "pretrain_loss": None if math.isnan(loss) else loss,
        "pretrain_seconds": time.perf_counter() - start,
    }


def _cached(key: dict, make: Callable[[], tuple[PreTrainedModel, dict]]) -> Base:
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
            write_weights(made / "model.safetensors", model)
            (made / "base.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
            try:
                made.rename(folder)
            except OSError:
                if not (folder / "base.json").exists():
                    raise
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from None
