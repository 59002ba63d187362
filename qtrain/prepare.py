"""Before a run starts: the task's records within the model's positions, and token budgets that suit both.

Whatever can be known of lengths is known here, so that no run ends in the middle over a prompt that does not fit.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from qtrain.config import Config, ModelConfig, PretrainedConfig
from qtrain.errors import UserError
from qtrain.evaluation import PROMPTS_AT_ONCE
from qtrain.plugins import source_hash
from qtrain.policy.adapters import add_adapters
from qtrain.policy.base import Base, cached_base
from qtrain.policy.device import find_device
from qtrain.policy.model import encode_examples, find_pretrained
from qtrain.rollout.memory import SHARE, ModelSize, at_once, free_bytes, readable
from qtrain.runs.checkpoint import FORMAT
from qtrain.tasks import OwnTaskConfig, Task, make_task
from qtrain.tasks.limits import PRETRAINED_RATIONALE, RANDOM_RATIONALE, RowLimits
from qtrain.tasks.qa import QATask
from qtrain.testbed.p0 import move_p0
from qtrain.testbed.pretrain import Progress, pretrain

PREPARED = ("task", "data", "model", "rollout")
"""The tables and keys of a configuration that `prepare` reads and completes."""

TRIED = 256
"""Examples of a task without records whose lengths are looked at."""


class Prepared(NamedTuple):
    """What a run starts from.

    Attributes:
        config: With both budgets.
        task: Its examples fit into the model's positions.
        notes: Lines for the terminal: counts of records, and warnings.
    """

    config: Config
    task: Task
    notes: list[str]


def prepare(config: Config) -> Prepared:
    """Build the task of a configuration and choose the budgets that it leaves open.

    Raises:
        UserError: The task cannot be built, or its rows do not fit into the model's positions.
    """
    config = config.with_values(_absolute(config))
    rollout, pretrained = config.rollout, isinstance(config.model, PretrainedConfig)
    limits = RowLimits(
        max_positions(config),
        rollout.rationale_budget,
        rollout.answer_budget,
        PRETRAINED_RATIONALE if pretrained else RANDOM_RATIONALE,
    )
    task = make_task(config.task, config.data, limits)
    if isinstance(task, QATask):
        budgets = {"rationale_budget": task.limits.rationale_budget, "answer_budget": task.limits.answer_budget}
        notes = task.dataset_lines()
        chosen = [f"rollout.{name}={value}" for name, value in budgets.items() if getattr(rollout, name) == 0]
        if chosen:
            notes.append(f"chosen for this model and these records: {', '.join(chosen)}")
        config = config.with_values({f"rollout.{name}": value for name, value in budgets.items()})
    else:
        notes = _check_lengths(task, limits, config.eval.prompts)
    if pretrained:
        notes += memory_lines(config, task)
    return Prepared(config, task, notes)


def memory_lines(config: Config, task: Task) -> list[str]:
    """What training will take of the device's memory, beside what is free; a warning where that is too little.

    Args:
        config: With both budgets; its model is pretrained.
        task: Built from it.
    """
    assert isinstance(config.model, PretrainedConfig)
    device, rollout, settings = find_device(config.train.device), config.rollout, config.train
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(_shape(config.model), trust_remote_code=False)
    if config.lora is not None:
        add_adapters(model, config.lora, settings.seed)
    size, free = ModelSize.of(model), free_bytes(device)
    prompts, gold = encode_examples(task.tokenizer, task.held_out(config.eval.prompts))
    prompt, answer = max(map(len, prompts)), max(rollout.answer_budget, *map(len, gold))
    row = rollout.rationale_budget + 1 + answer
    batch = rollout.prompts * (prompt + rollout.samples * row)
    parts = size.training_bytes(
        min(batch, settings.micro_batch_tokens or batch),
        adam=config.optimizer.name == "adamw",
        reference=settings.kl is not None,
        recompute=settings.gradient_checkpointing,
    )
    held = sum(bytes_ for name, bytes_ in parts.items() if name not in ("activations", "logits"))
    lines = [
        f"memory: {', '.join(f'{name} {readable(part)}' for name, part in parts.items())}; {readable(free)} are free"
    ]
    peak = sum(parts.values())
    if rollout.engine == "transformers":
        limit = int(rollout.cache_gib * 2**30) if rollout.cache_gib is not None else int(SHARE * max(0, free - held))
        value_bytes = 2 if settings.dtype == "bfloat16" else 4
        of_prompt, of_row = size.prompt_bytes(prompt), size.row_bytes(row, value_bytes)
        for name, count, samples in (
            ("a step", rollout.prompts, rollout.samples),
            ("an evaluation", min(PROMPTS_AT_ONCE, len(prompts)), config.eval.samples),
        ):
            room = at_once(limit, of_prompt, of_row, count, samples)
            here = room.prompts * (of_prompt + room.samples * of_row)
            lines.append(
                f"memory: the KV cache of {name} takes {readable(here)} ({room.prompts} prompts x {room.samples} "
                f"samples at a time) of {readable(count * (of_prompt + samples * of_row))} ({count} x {samples})"
            )
            peak = max(peak, held + here)
    if peak > free:
        lines.append(
            f"warning: {readable(peak)} of memory are needed and {readable(free)} are free: lower "
            f"train.micro_batch_tokens or rollout.cache_gib, set train.gradient_checkpointing=true, train adapters "
            f"([lora]), or use a larger device"
        )
    return lines


def _absolute(config: Config) -> dict[str, str]:
    """The settings that name places on this disk, as they are from any folder."""
    names = {
        "data": config.data,
        "model.pretrained": getattr(config.model, "pretrained", None),
        "task.tokenizer": getattr(config.task, "tokenizer", None),
    }
    return {
        key: str(Path(name).absolute())
        for key, name in names.items()
        if name is not None and os.path.lexists(str(name))
    }


def max_positions(config: Config) -> int | None:
    """The longest row, in tokens, that model and engine take; None where the model states none.

    Raises:
        UserError: The pretrained model's configuration cannot be read.
    """
    if isinstance(config.model, ModelConfig):
        positions: int | None = config.model.max_positions
    else:
        positions = getattr(_shape(config.model).get_text_config(), "max_position_embeddings", None)
    if positions is not None and config.rollout.engine == "vllm":
        positions -= 1  # vLLM runs a row's last token too and predicts one more
    return positions


def _shape(model: PretrainedConfig) -> transformers.PreTrainedConfig:
    name = model.pretrained
    local = find_pretrained(model)
    try:
        return AutoConfig.from_pretrained(
            name, revision=model.revision or "main", trust_remote_code=False, local_files_only=local
        )
    except Exception as error:  # the library's own, the hub's and json's
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"model.pretrained={name!r}: cannot be loaded: {reason}") from None


def _check_lengths(task: Task, limits: RowLimits, held_out: int) -> list[str]:
    """Look at examples of a task that makes its own; return warnings.

    Raises:
        UserError: A row may become longer than the model's positions.
    """
    examples = [*task.held_out(held_out), *task.batch(TRIED, np.random.default_rng(0))]
    prompts, gold = encode_examples(task.tokenizer, examples)
    if limits.positions is not None:
        beyond = max(
            len(prompt) - (limits.prompt_room(len(answer)) or 0) for prompt, answer in zip(prompts, gold, strict=True)
        )
        if beyond > 0:
            raise UserError(
                f"model.max_positions={limits.positions}: prompt, rationale budget and answer need "
                f"{limits.positions + beyond}; raise it, or shorten prompts or budgets"
            )
    unreachable = sum(len(answer) > limits.answer_budget for answer in gold)
    if not unreachable:
        return []
    return [
        f"warning: {unreachable} of {len(gold)} answers are longer than rollout.answer_budget="
        f"{limits.answer_budget} and can never be sampled; the longest has {max(map(len, gold))} tokens"
    ]


def pretraining(config: Config) -> dict[str, Any]:
    """What decides the pre-training: configurations that agree here differ in their bases' p0 alone."""
    own = {"code": source_hash(config.task.name)} if isinstance(config.task, OwnTaskConfig) else {}
    return {
        **own,
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
    base = cached_base(natural, lambda: pretrain(config, task, progress))
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

    return cached_base(moved, make)
