"""The public functions of `qtrain`: load a configuration, train, evaluate, compare, roll out, export."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from qtrain import comparison, load_run, measurement
from qtrain.callbacks import Callback
from qtrain.config import Config, check_estimator, read_config
from qtrain.config.tables import check_config
from qtrain.errors import UserError
from qtrain.policy.base import initial_policy
from qtrain.policy.device import autocast
from qtrain.policy.model import encode_examples, token_ids
from qtrain.prepare import get_base, prepare
from qtrain.rollout import make_engine
from qtrain.rollout.rollouts import roll_out as sample_batch
from qtrain.tasks.base import Example, Task
from qtrain.trainer import train as train_run


def load_config(source: str | Path | Mapping[str, Any], *overrides: str, allow_code: bool = False) -> Config:
    """Read the settings of a run.

    Args:
        source: A TOML file, a run folder's config.json, or a dictionary of the same form.
        overrides: `key=value` with dotted keys, as on the command line: "optimizer.lr=1e-3".
        allow_code: Whether to import and run code that a JSON file names as module:object. Code named by a TOML file or
            a dictionary always runs.

    Raises:
        UserError: One line with the key, the fault and the nearest valid name.
    """
    if isinstance(source, Mapping):
        if overrides:
            raise UserError(f"override {overrides[0]!r}: a table has no overrides; put the value into it")
        return check_config(dict(source), "config")
    return read_config(Path(source), overrides, allow_code=allow_code)


def train(
    config: Config,
    out: str | Path,
    *,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    allow_changes: bool = False,
) -> dict[str, Any]:
    """Train one model and write its run folder; see `qtrain train`.

    Args:
        config: The settings.
        out: The run folder.
        callbacks: Called at each step and evaluation, in addition to those of the configuration.
        resume: Continue from the folder's last checkpoint, if there is one.
        allow_changes: Continue even if records, tokenizer or base weights have changed.

    Returns:
        The result: estimator, q, seed, p0, steps, escape_step, the last evaluation's scores (`p_at_1`, `maj_at_<k>`,
        `mean_log_p` in nats, ...), best_step, skipped_steps, diverged_step, diagnosis, fingerprints, seconds.

    Raises:
        UserError: A setting, record or model is invalid, or the folder holds something other than this run.
    """
    prepared, task, _ = prepare(config)
    base = get_base(prepared, task)
    return train_run(prepared, task, base, Path(out), callbacks=callbacks, resume=resume, allow_changes=allow_changes)


def evaluate(
    run: str | Path,
    *,
    checkpoint: load_run.CheckpointName = "last",
    prompts: int | None = None,
    samples: int | None = None,
    seed: int = 1,
    rewards: Sequence[str] | None = None,
    allow_code: bool = False,
    allow_changes: bool = False,
) -> dict[str, float]:
    """Evaluate a finished run's weights on held-out prompts; see `qtrain evaluate`.

    Args:
        run: The run folder.
        checkpoint: "last", or "best" for the best evaluation by maj@k.
        prompts: Held-out prompts per group; by default the number in the run's configuration.
        samples: Samples per prompt (k); by default the number in the run's configuration.
        seed: Seeds the sampling; training evaluates with 0.
        rewards: Names of rewards to report, such as "em" or "mine:score"; by default those in the run's configuration.
            Functions named here run without `allow_code`.
        allow_code: Whether to import and run code that the run folder names as module:object.
        allow_changes: Evaluate even if records, tokenizer or base weights have changed.

    Returns:
        Scores by name: `p_at_1`, `p_at_<k>`, `maj_at_<k>`, `mean_log_p` (nats), `p`, the task's metrics and those of
        rewards.

    Raises:
        UserError: The folder holds no finished run, or its records, tokenizer or base have changed.
    """
    config = load_run.finished_config(Path(run), allow_code=allow_code)
    config = measurement.with_counts(config, prompts, samples)
    return load_run.evaluate_run(
        Path(run), checkpoint, config, seed=seed, rewards=rewards, allow_changes=allow_changes
    ).scores


def compare(
    config: Config,
    estimators: Iterable[str],
    out: str | Path,
    *,
    seeds: int = 1,
    jobs: int | None = None,
) -> list[dict[str, Any]]:
    """Train several estimators from one configuration; see `qtrain compare`.

    Args:
        config: The settings of all runs.
        estimators: Names with parameters: "grpo", "garl:q=.75", "mine:clipped".
        out: The comparison's folder; it gets one run folder per estimator and seed.
        seeds: Number of seeds; base models and training use 0 to seeds - 1.
        jobs: Number of simultaneous runs; None means one per GPU, or one per core without GPUs.

    Returns:
        The rows of comparison.json, one per run.

    Raises:
        UserError: A setting is invalid, a run fails, or `out` holds something other than this comparison.
    """
    choices = [check_estimator(text) for text in estimators]
    return comparison.compare(config, choices, range(seeds), Path(out), jobs=jobs)


def measure(
    config: Config, *, prompts: int | None = None, samples: int | None = None, training: bool = False
) -> dict[str, Any]:
    """Measure where training would start, without training; see `qtrain measure`.

    Args:
        config: The settings.
        prompts: Measured prompts per group; by default `eval.prompts`.
        samples: Samples per prompt (k); by default `eval.samples`.
        training: Measure on training prompts instead of held-out ones.

    Returns:
        Plain JSON values. `p`: over prompts, the mean and median of P, the mean of log P (nats), the shares of prompts
        with P > .05 (`easy`) and with P < 1/(B M) (`unseen`), and the share of groups of M samples that hold a reward
        of 1 and one of 0. `log_w`: quantiles (nats). `log_w_spread`: mean standard deviation within a prompt (nats).
        `ess`: mean effective sample size, of k. `scores`: those of an evaluation. `p_at_1`, `exact_match`, `constant`,
        `frequent`, `distinct`, `forced`: over all samples. `tokens`: lengths. `long_answers`: share of gold answers
        beyond the answer budget. `records`: kept, cut, dropped and malformed. `step`: seconds of a rollout and of an
        update, gradient norm. `notes`: lines about records and memory. `start`: easy, rare or cold. `advice`: lines.

    Raises:
        UserError: A setting, record or model is invalid, or logits are not finite.
    """
    prepared = prepare(measurement.with_counts(config, prompts, samples))
    return measurement.measure(prepared, get_base(prepared.config, prepared.task), training=training)


def export(
    run: str | Path, out: str | Path, *, checkpoint: load_run.CheckpointName = "last", allow_code: bool = False
) -> None:
    """Write a finished run's model in the format of transformers and vLLM; see `qtrain export`.

    Args:
        run: The run folder.
        out: The new model folder.
        checkpoint: "last", or "best" for the best evaluation by maj@k.
        allow_code: Whether to import and run code that the run folder names as module:object, which adapters on a base
            made by qtrain need.

    Raises:
        UserError: The run is not finished, its base has changed, or `out` exists or cannot be written.
    """
    config = load_run.finished_config(Path(run), allow_code=allow_code)
    load_run.check_base(Path(run), config, allow_changes=False)
    load_run.export_policy(Path(run), config, load_run.weights_folder(Path(run), checkpoint), Path(out))


@dataclass(frozen=True)
class Policy:
    """A model with the task and settings needed to sample from it.

    Attributes:
        model: The weights, on their device.
        task: The source of examples, with the tokenizer.
        config: The run's settings, with the token budgets filled in.
    """

    model: PreTrainedModel
    task: Task
    config: Config

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The task's tokenizer."""
        return self.task.tokenizer


def load_policy(
    source: Config | str | Path, *, checkpoint: load_run.CheckpointName = "last", allow_code: bool = False
) -> Policy:
    """Load the initial model of a configuration, or the trained model of a run folder.

    Args:
        source: A configuration, for its base model; or a run folder, for its trained weights.
        checkpoint: For a run folder: "last", or "best" for the best evaluation by maj@k.
        allow_code: Whether to import and run code that a run folder names as module:object.

    Raises:
        UserError: The model or the run cannot be read.
    """
    if isinstance(source, Config):
        config, task, _ = prepare(source)
        return Policy(initial_policy(config, task, get_base(config, task)), task, config)
    run = Path(source)
    config, task, _ = prepare(load_run.finished_config(run, allow_code=allow_code))
    return Policy(load_run.trained_policy(config, task, load_run.weights_folder(run, checkpoint)), task, config)


@dataclass(frozen=True)
class Rollout:
    """The M rationales sampled for one example.

    Attributes:
        example: Prompt and gold answer.
        rationales: M texts, up to and including the delimiter.
        answers: M sampled answers; None unless requested.
        log_w: (M,) log p(y*|x, z) of the gold answer after each rationale, in nats.
        truncated: (M,) whether the rationale was truncated at the token budget.
    """

    example: Example
    rationales: list[str]
    answers: list[str] | None
    log_w: np.ndarray
    truncated: np.ndarray


def roll_out(
    policy: Policy, examples: Sequence[Example], *, samples: int | None = None, answers: bool = False, seed: int = 0
) -> list[Rollout]:
    """Sample rationales and compute the log-likelihood of the gold answer after each.

    Args:
        policy: From `load_policy`.
        examples: For example `policy.task.held_out(8)`.
        samples: Rationales per prompt (M); by default the configuration's.
        answers: Whether to sample an answer after each rationale.
        seed: Seeds the sampling.

    Returns:
        One rollout per example.

    Raises:
        UserError: A prompt is too long for the model.
    """
    config, tokenizer = policy.config, policy.tokenizer
    settings = config.rollout.model_copy(update={"samples": samples or config.rollout.samples})
    engine = make_engine(settings, policy.model, token_ids(tokenizer, settings))
    generator = torch.Generator(engine.device).manual_seed(seed)
    with autocast(config.train.dtype, policy.model.device):
        batch = sample_batch(engine, *encode_examples(tokenizer, examples), settings, generator, sample_answers=answers)
    rationales = tokenizer.batch_decode(batch.rationales)
    texts = None if batch.answers is None else tokenizer.batch_decode(batch.answers, skip_special_tokens=True)
    groups = [slice(index * settings.samples, (index + 1) * settings.samples) for index in range(len(examples))]
    return [
        Rollout(
            example,
            rationales[group],
            None if texts is None else texts[group],
            batch.log_w_BM[index].numpy(),
            batch.truncated_BM[index].numpy(),
        )
        for index, (example, group) in enumerate(zip(examples, groups, strict=True))
    ]
