"""Prepare a run: build its task and base model, choose token budgets, and check lengths and memory.

All lengths are checked here, so that no run fails halfway over a prompt that does not fit.
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
from qtrain.forward.support import partial_attention
from qtrain.plugins import source_hash
from qtrain.policy.adapters import add_adapters
from qtrain.policy.base import Base, cached_base
from qtrain.policy.device import find_device
from qtrain.policy.model import encode_examples, find_pretrained, token_ids
from qtrain.rollout.memory import SHARE, ModelSize, at_once, free_bytes, readable
from qtrain.runs.checkpoint import FORMAT
from qtrain.tasks import OwnTaskConfig, Task, make_task
from qtrain.tasks.delimiters import DEFAULT_DELIMITERS
from qtrain.tasks.limits import PRETRAINED_RATIONALE, RANDOM_RATIONALE, RowLimits
from qtrain.tasks.qa import QATask
from qtrain.tasks.tokenizer import lacks_begin_token
from qtrain.testbed.p0 import move_p0
from qtrain.testbed.pretrain import Progress, pretrain

PREPARED = ("task", "data", "model", "rollout")
"""The top-level keys of a configuration that `prepare` reads and completes."""

TRIED = 256
"""Number of training examples whose lengths are checked, for a task that generates its examples."""


class Prepared(NamedTuple):
    """A configuration ready to run.

    Attributes:
        config: The settings, with both token budgets filled in.
        task: The task, whose examples fit into the model's positions.
        notes: Lines for the terminal: counts of records, and warnings.
    """

    config: Config
    task: Task
    notes: list[str]


def prepare(config: Config) -> Prepared:
    """Build the task of a configuration and choose the token budgets that it leaves open.

    Raises:
        UserError: The task cannot be built, its sequences do not fit into the model's positions, or a reward cannot be
            computed here.
    """
    config.check_rewards()
    config = config.with_values(_absolute_paths(config))
    rollout, limits = config.rollout, row_limits(config)
    task = make_task(config.task, config.data, limits, rollout.delimiters)
    if isinstance(task, QATask):
        budgets = {"rationale_budget": task.limits.rationale_budget, "answer_budget": task.limits.answer_budget}
        notes = task.dataset_lines()
        chosen = [f"rollout.{name}={value}" for name, value in budgets.items() if getattr(rollout, name) == 0]
        if chosen:
            notes.append(f"chosen for this model and these records: {', '.join(chosen)}")
        config = config.with_values({f"rollout.{name}": value for name, value in budgets.items()})
    else:
        notes = _check_examples(task, limits, config)
    if isinstance(config.model, PretrainedConfig):
        notes += memory_lines(config, task)
        prompt = task.held_out(1)[0].prompt
        if lacks_begin_token(task.tokenizer, prompt):
            notes.append(
                f"warning: the model's texts begin with {task.tokenizer.bos_token!r}, and these prompts do not: use a "
                "chat template that writes it (task.variant=warm)"
            )
    return Prepared(config, task, notes)


def row_limits(config: Config) -> RowLimits:
    """The limits on a row before budgets that are left open (0) are chosen.

    Raises:
        UserError: The pretrained model's configuration cannot be read.
    """
    return RowLimits(
        max_positions(config),
        config.rollout.rationale_budget,
        config.rollout.answer_budget,
        PRETRAINED_RATIONALE if isinstance(config.model, PretrainedConfig) else RANDOM_RATIONALE,
    )


def memory_lines(config: Config, task: Task) -> list[str]:
    """Estimate the memory that training needs, with a warning if it exceeds the free memory.

    The weights are not read, so that a model that is found to need padded rows by its trial alone
    (`qtrain.forward.support`) counts as packed here, and takes more.

    Args:
        config: With both token budgets; its model is pretrained.
        task: Built from `config`.

    Returns:
        Lines for the terminal.
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
    row = rollout.rationale_budget + len(token_ids(task.tokenizer, rollout).closer) + answer
    # Every row of a model that cannot be packed has its own prompt, in the update and in the cache.
    own_row = row if partial_attention(model) is None else prompt + row
    batch = rollout.prompts * ((prompt if own_row == row else 0) + rollout.samples * own_row)
    parts = size.training_bytes(
        min(batch, settings.micro_batch_tokens or batch),
        adam=config.optimizer.name == "adamw",
        reference=settings.kl is not None,
        recompute=settings.gradient_checkpointing,
    )
    resident = sum(bytes_ for name, bytes_ in parts.items() if name not in ("activations", "logits"))
    lines = [
        f"memory: {', '.join(f'{name} {readable(part)}' for name, part in parts.items())}; {readable(free)} are free"
    ]
    peak = sum(parts.values())
    if rollout.engine == "transformers":
        limit = (
            int(rollout.cache_gib * 2**30) if rollout.cache_gib is not None else int(SHARE * max(0, free - resident))
        )
        value_bytes = 2 if settings.dtype == "bfloat16" else 4
        of_prompt, of_row = size.prompt_bytes(prompt), size.row_bytes(own_row, value_bytes)
        for name, count, samples in (
            ("a step", rollout.prompts, rollout.samples),
            ("an evaluation", min(PROMPTS_AT_ONCE, len(prompts)), config.eval.samples),
        ):
            room = at_once(limit, of_prompt, of_row, count, samples)
            cache = room.prompts * (of_prompt + room.samples * of_row)
            lines.append(
                f"memory: the KV cache of {name} takes {readable(cache)} ({room.prompts} prompts x {room.samples} "
                f"samples at a time) of {readable(count * (of_prompt + samples * of_row))} ({count} x {samples})"
            )
            peak = max(peak, resident + cache)
    if peak > free:
        lines.append(
            f"warning: {readable(peak)} of memory are needed and {readable(free)} are free: lower "
            f"train.micro_batch_tokens or rollout.cache_gib, set train.gradient_checkpointing=true, train adapters "
            f"([lora]), or use a larger device"
        )
    return lines


def _absolute_paths(config: Config) -> dict[str, str]:
    """The settings that are existing paths, made absolute: they stay valid in any working directory."""
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
    """The longest sequence, in tokens, that model and engine accept; None if the model states no limit.

    Raises:
        UserError: The pretrained model's configuration cannot be read.
    """
    if isinstance(config.model, ModelConfig):
        positions: int | None = config.model.max_positions
    else:
        positions = getattr(_shape(config.model).get_text_config(), "max_position_embeddings", None)
    if positions is not None and config.rollout.engine == "vllm":
        positions -= 1  # vLLM also runs the last token of a sequence, and predicts one more
    return positions


def _shape(model: PretrainedConfig) -> transformers.PreTrainedConfig:
    name = model.pretrained
    local = find_pretrained(model)
    try:
        return AutoConfig.from_pretrained(
            name, revision=model.revision or "main", trust_remote_code=False, local_files_only=local
        )
    except Exception as error:  # exceptions of transformers, the hub and json
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"model.pretrained={name!r}: cannot be loaded: {reason}") from None


def _check_examples(task: Task, limits: RowLimits, config: Config) -> list[str]:
    """Check lengths and delimiters of a task that generates its examples.

    Returns:
        Warnings.

    Raises:
        UserError: A sequence may become longer than the model's positions, or a prompt lacks the opener.
    """
    limits = limits._replace(closer_tokens=len(token_ids(task.tokenizer, config.rollout).closer))
    examples = [*task.held_out(config.eval.prompts), *task.batch(TRIED, np.random.default_rng(0))]
    if config.rollout.think is not None:
        for example in examples:
            if not example.prompt.endswith(task.think.opener):
                raise UserError(
                    f"rollout.think: prompts of task {config.task.name!r} end in {example.prompt[-20:]!r} and not in "
                    f"{task.think.opener!r}; end them with self.think.opener"
                )
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


def pretraining_key(config: Config) -> dict[str, Any]:
    """The settings that determine pre-training: the bases of equal keys differ in p0 alone."""
    code = {"code": source_hash(config.task.name)} if isinstance(config.task, OwnTaskConfig) else {}
    # Demonstrations contain the delimiters. The key of the default ones is that of older versions.
    delimiters = config.rollout.delimiters
    return {
        **code,
        **({} if delimiters == DEFAULT_DELIMITERS else {"think": list(delimiters)}),
        "format": FORMAT,
        "task": config.task.model_dump(mode="json", exclude={"variant"}),
        "model": config.model.model_dump(mode="json"),
        "pretrain": config.pretrain.model_dump(mode="json", exclude={"p0"}),
    }


def get_base(config: Config, task: Task, *, progress: Progress | None = None) -> Base:
    """Find a configuration's base model in the cache, or pre-train it.

    Two folders are cached: the pre-trained model, and the model whose p0 was then moved, so that a scan over p0
    pre-trains once. A pretrained model is used as it is.

    Args:
        config: `task`, `model`, `pretrain` and, for p0, the `rollout` budgets determine the base model. It is trained
            on `train.device`.
        task: Built from `config`.
        progress: Called at each pre-training step.
    """
    if isinstance(config.model, PretrainedConfig):
        return Base(Path(config.model.pretrained), config.model.model_dump(mode="json"))
    natural = {**pretraining_key(config), "vocabulary": len(task.tokenizer)}
    base = cached_base(natural, lambda: pretrain(config, task, progress))
    if config.pretrain.p0 is None:
        return base
    # Settings of the policy; the key of their defaults is that of older versions.
    policy = {"temperature": 1.0, "end_ends_rationale": False}
    changed = {name for name, default in policy.items() if getattr(config.rollout, name) != default}
    moved = {
        **natural,
        "p0": config.pretrain.p0,
        # p0 is measured on the training prompts, which depend on the variant.
        "task": config.task.model_dump(mode="json"),
        "rollout": config.rollout.model_dump(mode="json", include={"rationale_budget", "answer_budget", *changed}),
    }

    def make() -> tuple[PreTrainedModel, dict]:
        model = base.load(config, task)
        model.to(find_device(config.train.device))  # pyright: ignore[reportArgumentType]
        about = {key: value for key, value in base.about.items() if key not in ("hash", "made_from")}
        return model, {**about, **move_p0(model, task, config)}

    return cached_base(moved, make)
