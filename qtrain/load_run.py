"""Load a finished run: its configuration and its last or best weights, to evaluate or export them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from qtrain.config import Config, ModelConfig, PretrainedConfig, read_config
from qtrain.config.reward import check_typed
from qtrain.errors import UserError
from qtrain.evaluation import Evaluation, evaluate
from qtrain.files import give_usual_mode
from qtrain.policy.adapters import add_adapters
from qtrain.policy.base import base_fingerprint, initial_policy
from qtrain.policy.device import autocast, find_device, use_float32_head
from qtrain.policy.model import empty_model, load_pretrained, new_model, token_ids
from qtrain.policy.weights import load_weights, merged_state_dict, trained_weights
from qtrain.prepare import get_base, prepare
from qtrain.rewards.score import open_rewards
from qtrain.rollout import make_engine
from qtrain.rollout.memory import ModelSize, cache_limit
from qtrain.runs.checkpoint import checkpoint_folder
from qtrain.runs.folder import CONFIG, MODEL_FILES, read_origin, read_result
from qtrain.runs.provenance import BASE, TOKENIZER, check_unchanged, fingerprints
from qtrain.tasks import make_task
from qtrain.tasks.base import Task
from qtrain.tasks.tokenizer import load_tokenizer

CheckpointName = Literal["last", "best"]
"""The weights at the end of training, or those of the best evaluation by maj@k."""


def finished_config(run: Path, *, allow_code: bool = False) -> Config:
    """Read the configuration of a finished run.

    Args:
        run: The run folder.
        allow_code: Whether to import and run code that it names as module:object.

    Raises:
        UserError: The folder holds no finished run.
    """
    read_result(run)
    return read_config(run / CONFIG, allow_code=allow_code)


def weights_folder(run: Path, checkpoint: CheckpointName) -> Path:
    """The folder with a finished run's `model.safetensors`.

    Raises:
        UserError: The best evaluation's weights were not kept.
    """
    result = read_result(run)
    best = result.get("best_step")
    if checkpoint == "last" or best == result["steps"]:
        return run
    folder = checkpoint_folder(run, best or 0)
    if best is None or not folder.is_dir():
        raise UserError(f"{run}: the weights of its best evaluation were not kept; train with train.checkpoint_every")
    return folder


def check_base(run: Path, config: Config, *, allow_changes: bool) -> None:
    """Check that the base model of adapters has not changed since they were trained.

    Args:
        run: The run folder.
        config: The run's configuration; `model.pretrained` may be another path to the same base.
        allow_changes: Skip the check.

    Raises:
        UserError: The base's weights have changed.
    """
    _, before = read_origin(run)
    if config.lora is not None and isinstance(config.model, PretrainedConfig) and not allow_changes:
        now = base_fingerprint(Path(config.model.pretrained), config.model.revision)
        check_unchanged(run, {key: before[key] for key in before if key == BASE}, {BASE: now})


def evaluate_run(
    run: Path,
    checkpoint: CheckpointName,
    config: Config,
    *,
    seed: int,
    rewards: Sequence[str] | None = None,
    allow_changes: bool = False,
) -> Evaluation:
    """Evaluate a run's weights, in the precision of its training.

    Args:
        run: The run folder.
        checkpoint: The last or the best weights.
        config: The run's configuration, with any changes to `eval`, `rollout`, `task`, `model` or `data`. Held-out
            records must be the run's unless `task` differs.
        seed: Seeds the sampling.
        rewards: Replaces `eval.rewards`. The user has typed them, so that functions among them run in any case.
        allow_changes: Evaluate even if records, tokenizer or base have changed.

    Raises:
        UserError: They have changed, or something cannot be read.
    """
    if rewards is not None:
        check_typed(rewards)
        config = config.with_values({"eval.rewards": []})
    check_base(run, config, allow_changes=allow_changes)
    config, task, _ = prepare(config)
    data_before, fingerprints_before = read_origin(run)
    if not allow_changes:
        changed_task = _without_paths(config) != _without_paths(finished_config(run))
        keys = (TOKENIZER,) if changed_task else (TOKENIZER, "held_out")
        expected = {key: fingerprints_before[key] for key in keys if key in fingerprints_before}
        data = task.dataset_report()
        check_unchanged(run, expected, fingerprints(data, task.tokenizer, base=""), data_before, data)
    model = trained_policy(config, task, weights_folder(run, checkpoint))
    if config.train.dtype == "bfloat16":
        use_float32_head(model)
    cache_bytes = cache_limit(model.device, ModelSize.of(model), config.rollout.cache_gib, adam=False)
    engine = make_engine(config.rollout, model, token_ids(task.tokenizer, config.rollout), cache_bytes=cache_bytes)
    with autocast(config.train.dtype, model.device), open_rewards(config, rewards) as opened:
        return evaluate(engine, task, config, seed=seed, rewards=opened)


def _without_paths(config: Config) -> dict[str, Any]:
    return config.task.model_dump(exclude={"tokenizer"})


def trained_policy(config: Config, task: Task, folder: Path) -> PreTrainedModel:
    """Load the policy with the weights of a run or one of its checkpoints.

    Args:
        config: The run's configuration.
        task: Built from `config`.
        folder: Contains `model.safetensors`.

    Raises:
        UserError: The weights are missing, damaged, or of another configuration.
    """
    if config.lora is None and isinstance(config.model, ModelConfig):
        # The file holds all weights, so that no base model is needed.
        model: PreTrainedModel = new_model(config.model, task.tokenizer, seed=0)
        model.to(find_device(config.train.device))  # pyright: ignore[reportArgumentType]
    else:
        model = initial_policy(config, task, get_base(config, task))
    load_weights(model, folder)
    return model


def export_policy(run: Path, config: Config, folder: Path, out: Path, *, force: bool = False) -> None:
    """Write a model folder for transformers and vLLM: weights with the adapters merged, and the tokenizer.

    Neither the task nor its data are needed; the base is needed only if the run has adapters.

    Args:
        run: The run folder.
        config: The run's configuration; `model.pretrained` may be another path to the same base.
        folder: Contains the trained `model.safetensors`.
        out: The new folder, created by one rename.
        force: Export weights even if they are not finite.

    Raises:
        UserError: The weights cannot be read or are not finite; or `out` exists, cannot be written, or its name is
            not valid UTF-8.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; choose another folder")
    model, tokenizer = _finished_policy(run / MODEL_FILES, config, folder)
    for name, tensor in trained_weights(model).items():
        if not force and not tensor.isfinite().all():
            raise UserError(f"{folder}: {name} is not finite: the run has diverged (--force exports it all the same)")
    partial = out.with_name(f".{out.name}.partial")
    logging.disable_progress_bar()
    try:
        model.save_pretrained(partial, state_dict=dict(merged_state_dict(model)))
        tokenizer.save_pretrained(partial)
        for path in partial.glob("*.safetensors"):
            give_usual_mode(path)
        partial.rename(out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}") from None
    except UnicodeError:
        # The tokenizers library accepts only paths in UTF-8.
        raise UserError(f"{out}: cannot be written: its name is no text in UTF-8; choose another folder") from None


def _finished_policy(files: Path, config: Config, folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A finished run's policy and tokenizer, from the run's model files if they are sufficient."""
    if config.lora is None and files.is_dir():
        tokenizer, model = load_tokenizer(files), empty_model(files)
    elif isinstance(config.model, PretrainedConfig) and files.is_dir():
        tokenizer = load_tokenizer(files)
        model = load_pretrained(config.model, tokenizer)
        assert config.lora is not None
        add_adapters(model, config.lora, config.train.seed)
    else:
        # The run has adapters on a base model made by qtrain, or is from an older version without model files.
        task = make_task(config.task, config.data, think=config.rollout.delimiters)
        return trained_policy(config, task, folder), task.tokenizer
    load_weights(model, folder)
    return model, tokenizer
