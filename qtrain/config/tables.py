"""The settings of a run as pydantic models, one per table, and the checks across tables."""

import hashlib
import json
import reprlib
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    Field,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from qtheory.command.names import did_you_mean
from qtrain.config.estimator import EstimatorChoice
from qtrain.config.model import AnyModelConfig, LoraConfig, ModelConfig, PretrainedConfig, model_class, model_config
from qtrain.config.reward import RewardChoice, check_name, check_usable
from qtrain.config.schedules import QSchedule, RateSchedule
from qtrain.errors import UserError
from qtrain.plugins import is_code
from qtrain.schema import MAX_BATCH, StrictModel
from qtrain.tasks import TaskConfig, task_config
from qtrain.tasks.delimiters import DEFAULT_DELIMITERS, Delimiters


class PretrainConfig(StrictModel):
    """Table `[pretrain]`: cross-entropy on the task's demonstrations (AdamW, warm-up, cosine decay), then p0 is set.

    Attributes:
        steps: Optimizer steps; 0 pre-trains nothing.
        batch: Demonstrations per step.
        lr: Highest learning rate.
        seed: Seeds the initial weights and the demonstrations.
        p0: Success probability that the base is moved to after pre-training; None leaves it as it is.
    """

    steps: int = Field(default=1600, ge=0)
    batch: int = Field(default=128, ge=1, le=MAX_BATCH)
    lr: float = Field(default=3e-3, gt=0)
    seed: int = Field(default=0, ge=0)
    p0: float | None = Field(default=None, gt=0, lt=1)


class VllmConfig(StrictModel):
    """Table `[rollout.vllm]`, for the engine vllm alone.

    Attributes:
        dtype: Type of its weights and activations.
        cache_gib: Most memory for its KV cache, in GiB.
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    cache_gib: float = Field(default=8.0, gt=0)


class RolloutConfig(StrictModel):
    """Table `[rollout]`: prompts and rationales of a step, token budgets, the engine, and how tokens are sampled.

    Attributes:
        prompts: B, prompts per step.
        prompts_at_once: Most prompts that the engine transformers samples at a time, in addition to the limit by
            `cache_gib`; None sets no limit. It does not change what is sampled.
        cache_gib: Most memory for the KV cache of the engine transformers, in GiB; by default a share of the free
            memory. If the rows of a step, or of 64 prompts of an evaluation, do not fit, they are sampled in several
            parts, which does not change what is sampled. For vLLM see `vllm.cache_gib`.
        samples: M, rationales per prompt.
        rationale_budget: Most sampled tokens of a rationale, a written closer included; when it is spent, the
            closer is forced. 0 chooses a budget that suits the task, or the model and its records (see
            `qtrain.prepare`).
        answer_budget: Most tokens of a sampled answer, END included; 0 chooses one, as for `rationale_budget`.
        engine: The engine that samples and scores (see `qtrain.rollout`).
        temperature: Temperature of the policy: it divides the logits in sampling, log w, evaluation and update alike.
        top_p: Sample from another distribution than the policy's, as does `top_k`; estimators on weights refuse that
            unless `force_sampling` is set. Sample from the smallest set of tokens whose probabilities sum to at least
            this; 1 keeps all.
        top_k: Sample from this number of the most probable tokens; None keeps all.
        force_sampling: Allow these sampling settings with estimators on weights.
        think: Opener and closer of a rationale, two texts of any number of tokens; the opener may be empty. By default
            "<think>" and "</think>", which the tokenizer must have. A rationale is closed once the model has written
            the closer's tokens; after a rationale that it has not closed, the closer (or what is missing of it) is
            forced.
        end_ends_rationale: Whether the end token, or the chat template's token for the end of a turn, ends a rationale
            (the closer is then forced). True by default for pretrained models; otherwise, they are tokens like others.
        score_closer: Whether a forced closer counts in log w and gets the answer's coefficient, so that the model
            learns to write it: w = p(closer, y*|x, z). None is true if the closer is not a token added to the
            vocabulary. Estimators on rewards give it no coefficient, since it was not sampled.
        vllm: Settings of the engine vllm.
    """

    prompts: int = Field(default=16, ge=1, le=MAX_BATCH)
    prompts_at_once: int | None = Field(default=None, ge=1)
    cache_gib: float | None = Field(default=None, gt=0)
    samples: int = Field(default=16, ge=1, le=MAX_BATCH)
    rationale_budget: int = Field(default=0, ge=0)
    answer_budget: int = Field(default=0, ge=0)
    engine: Literal["transformers", "vllm"] = "transformers"
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    force_sampling: bool = False
    think: tuple[str, str] | None = None
    end_ends_rationale: bool = False
    score_closer: bool | None = None
    vllm: VllmConfig = VllmConfig()

    @field_validator("think", mode="before")
    @classmethod
    def _check_think(cls, value: object) -> object:
        is_pair = isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(text, str) for text in value)
        if value is not None and not is_pair:
            raise ValueError('two texts are needed, opener and closer, for example ["<think>", "</think>"]')
        if isinstance(value, list | tuple) and not value[1]:
            raise ValueError('the closer may not be empty; give a text, for example ["", "\\nAnswer:"]')
        return value

    @property
    def delimiters(self) -> Delimiters:
        """Opener and closer of a rationale."""
        return DEFAULT_DELIMITERS if self.think is None else Delimiters(*self.think)

    def on_policy(self, samples: int) -> "RolloutConfig":
        """The same budgets, limits and delimiters, with `samples` from the model's own distribution to measure P."""
        return RolloutConfig(samples=samples, **{name: getattr(self, name) for name in _BOUNDS})

    def off_policy_setting(self) -> str | None:
        """The first setting that samples from another distribution than the model's, as `key=value`, or None."""
        changed = [key for key, neutral in _ON_POLICY.items() if getattr(self, key) != neutral]
        return f"rollout.{changed[0]}={getattr(self, changed[0]):g}" if changed else None


_BOUNDS = (
    "rationale_budget",
    "answer_budget",
    "prompts_at_once",
    "cache_gib",
    "think",
    "end_ends_rationale",
    "score_closer",
    "temperature",
)
_WRITTEN = {"prompts", "top_k", "force_sampling"}
"""Keys that a run folder of any version has. Runs of versions without `end_ends_rationale` keep their behaviour."""
_ON_POLICY = {"top_p": 1.0, "top_k": None}


class OptimizerConfig(StrictModel):
    """Table `[optimizer]`: plain SGD, or AdamW without weight decay.

    Attributes:
        name: sgd or adamw.
        lr: Learning rate before the schedule.
        eps: AdamW's epsilon.
        clip: Largest norm of the gradient; None does not clip.
        schedule: How the learning rate changes over the steps.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=1e-3, gt=0)
    eps: float = Field(default=1e-8, gt=0)
    clip: float | None = Field(default=None, gt=0)
    schedule: RateSchedule = RateSchedule()


class TrainConfig(StrictModel):
    """Table `[train]`: length of training, checkpoints, and how the gradient is computed.

    Attributes:
        steps: Training steps.
        seed: Seeds the examples of each step, sampling, the estimator and new adapters.
        stop_at_p: End training after the first step whose batch has a mean P above this value.
        relative_weights: Divide the weights by the largest of the batch before the estimator reads them, which puts one
            common factor on all coefficients (QC-6).
        checkpoint_every: Write a checkpoint, which holds all that `--resume` needs, after this number of steps, and
            after each evaluation that is the best so far by maj@k. None writes none of these.
        keep: Number of latest checkpoints to keep, besides the best one.
        final_checkpoint: Also write a checkpoint at the end, so that a finished run can be resumed with more `steps`.
        skip_limit: End the run after this number of consecutive steps without a finite gradient. Such steps are
            skipped.
        micro_batch_tokens: Most tokens of a micro-batch, one forward and backward pass; None sets no limit. A prompt
            counts once for all its rows, and rows after a prompt longer than half the limit may still take half. The
            limit does not change the result. If the longest possible batch fits into one pass, the log w of that pass
            are used, and the engine does not score (see `qtrain.step`).
        gradient_checkpointing: Recompute activations in the backward pass instead of keeping them in memory.
        dtype: bfloat16 is autocast: weights, logits and log-probabilities stay in float32.
        kl: Weight of the penalty KL(p(z|x) || p_base(z|x)); None leaves it out.
        device: auto is the GPU if there is one.
    """

    @model_validator(mode="before")
    @classmethod
    def _drop_former_keys(cls, table: Any) -> Any:
        """Accept run folders of older versions, which have two more keys; callbacks do their work now."""
        former = {"score_norm_nats", "baseline_gain_every"}
        return {key: value for key, value in table.items() if key not in former} if isinstance(table, dict) else table

    steps: int = Field(default=300, ge=1)
    seed: int = Field(default=0, ge=0)
    stop_at_p: float | None = Field(default=None, gt=0, lt=1)
    relative_weights: bool = False
    checkpoint_every: int | None = Field(default=None, ge=1)
    keep: int = Field(default=2, ge=1)
    final_checkpoint: bool = True
    skip_limit: int = Field(default=3, ge=1)
    micro_batch_tokens: int | None = Field(default=4096, ge=1)
    gradient_checkpointing: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"
    kl: float | None = Field(default=None, gt=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class EvalConfig(StrictModel):
    """Table `[eval]`: evaluation on held-out prompts, before the first step, after the last one and in between.

    Attributes:
        every: Steps between evaluations.
        prompts: Held-out prompts, for each group of examples.
        samples: Sampled answers per prompt, the k of maj@k.
        rewards: Rewards whose means are reported besides that of `reward`, by the same names.
    """

    every: int = Field(default=25, ge=1)
    prompts: int = Field(default=64, ge=1, le=MAX_BATCH)
    samples: int = Field(default=16, ge=1, le=MAX_BATCH)
    rewards: tuple[str, ...] = ()

    @field_validator("rewards")
    @classmethod
    def _check_rewards(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in names:
            check_name(name, code_allowed=_allows_code(info))
        return names


class Config(StrictModel):
    """All settings of a run.

    Attributes:
        name: Short name, in lower case.
        title: Heading of the run's section in a report; by default `name`.
        data: File or folder of the records, for tasks that read records.
        estimator: The gradient estimator and its parameters, for example "garl:q=.75".
        reward: How sampled answers are scored, in training by estimators that read rewards and in evaluation: exact,
            contains, em, f1, numeric, math, module:function, or a table of weights by name. None is 1 for the tokens of
            y* in training, and the task's own rule in evaluation (see docs/scores.md).
        reward_timeout: Most seconds of one call of a reward that runs in a process (math, module:function).
        task: The task and its settings.
        model: Sizes of a model with random weights, or a pretrained model.
        lora: Train low-rank adapters instead of all weights.
        pretrain: Pre-training of a model with random weights.
        rollout: Sampling of rationales and answers.
        optimizer: The optimizer and its learning rate.
        train: Length of training, checkpoints, and how the gradient is computed.
        eval: When and on what the model is evaluated.
        q: How the estimator's q changes over the steps.
        sinks: Where metrics are sent in addition to the run folder.
        callbacks: Your own `qtrain.Callback` classes, each as module:Class.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    title: str | None = None
    data: Path | None = None
    estimator: EstimatorChoice = EstimatorChoice.parse("garl:q=1")
    reward: RewardChoice | None = None
    reward_timeout: float = Field(default=10.0, gt=0)
    task: SerializeAsAny[TaskConfig]
    model: AnyModelConfig = ModelConfig()
    lora: LoraConfig | None = None
    pretrain: PretrainConfig = PretrainConfig()
    rollout: RolloutConfig = RolloutConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()
    q: QSchedule = QSchedule()
    sinks: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ()
    callbacks: tuple[str, ...] = ()
    _code_allowed: bool = PrivateAttr(default=True)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_for_pretrained_model(cls, table: Any) -> Any:
        """With a pretrained model, take its tokenizer, skip pre-training, and let END end rationales, unless set."""
        model = table.get("model") if isinstance(table, dict) else None
        if not isinstance(model, dict) or "pretrained" not in model:
            return table
        table = {**table}
        if isinstance(table.setdefault("pretrain", {}), dict):
            table["pretrain"] = {"steps": 0} | table["pretrain"]
        if isinstance(table.get("task"), dict) and table["task"].get("tokenizer") is None:
            tokenizer = {"tokenizer": model["pretrained"], "tokenizer_revision": model.get("revision")}
            table["task"] = table["task"] | tokenizer
        rollout = table.setdefault("rollout", {})
        if isinstance(rollout, dict) and not rollout.keys() >= _WRITTEN:
            table["rollout"] = {"end_ends_rationale": True} | rollout
        return table

    @model_validator(mode="before")
    @classmethod
    def _fill_in_budgets(cls, table: Any) -> Any:
        """Take budgets of 0 from the task, if it knows them without reading records."""
        rollout = table.get("rollout", {}) if isinstance(table, dict) else None
        if isinstance(rollout, RolloutConfig):
            rollout = rollout.model_dump()
        if not isinstance(rollout, dict) or "task" not in table:
            return table
        try:
            budgets = task_config(table["task"]).budgets()
        except (UserError, ValidationError):
            return table  # the task's own validator reports the error
        if budgets is None:
            return table
        names = ("rationale_budget", "answer_budget")
        chosen = {name: rollout.get(name) or budget for name, budget in zip(names, budgets, strict=True)}
        return {**table, "rollout": rollout | chosen}

    @field_validator("model", mode="before")
    @classmethod
    def _check_model(cls, table: object) -> AnyModelConfig:
        return model_config(table)

    @field_validator("task", mode="before")
    @classmethod
    def _check_task(cls, table: object, info: ValidationInfo) -> TaskConfig:
        return task_config(table, code_allowed=_allows_code(info))

    @field_validator("callbacks")
    @classmethod
    def _check_callbacks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not is_code(name):
                raise ValueError(f"{name!r}: name a callback as module:Class")
        return names

    @model_validator(mode="after")
    def _remember_whether_code_may_run(self, info: ValidationInfo) -> "Config":
        self._code_allowed = _allows_code(info)
        return self

    @property
    def code_allowed(self) -> bool:
        """True if objects that the settings name as module:object may be imported."""
        return self._code_allowed

    @model_validator(mode="after")
    def _check_pretrained(self) -> "Config":
        if isinstance(self.model, PretrainedConfig) and (self.pretrain.steps or self.pretrain.p0 is not None):
            key = "p0" if self.pretrain.p0 is not None else "steps"
            raise ValueError(f"pretrain.{key}: model.pretrained has its weights already; leave it out")
        if isinstance(self.model, PretrainedConfig) and "tokenizer" not in type(self.task).model_fields:
            raise ValueError(f"model.pretrained: task {self.task.name!r} has its own tokenizer; give sizes instead")
        return self

    @model_validator(mode="after")
    def _check_group_size(self) -> "Config":
        if not self.estimator.may_run:
            return self
        if self.rollout.samples < (least := self.estimator.least_samples):
            raise ValueError(
                f"rollout.samples={self.rollout.samples}: {self.estimator} is about sets of {least} samples; give at "
                f"least {least}"
            )
        if self.rollout.samples == 1 and self.estimator.is_silent_alone:
            raise ValueError(
                f"rollout.samples=1: {self.estimator} compares the samples of one prompt, so that one alone never "
                f"moves the model; at least 2 are needed"
            )
        return self

    @model_validator(mode="after")
    def _check_reward(self) -> "Config":
        if self.reward is None or not self.estimator.may_run or not self.estimator.spec.binary_reward:
            return self
        if reason := self.reward.graded():
            raise ValueError(
                f"reward={str(self.reward)!r}: {self.estimator} is defined for rewards of 0 or 1, and {reason}; take "
                f"another reward, or an estimator on graded ones (grpo, dr_grpo, rloo)"
            )
        return self

    def check_rewards(self) -> None:
        """Check that the rewards of `reward` and `eval.rewards` can be computed here.

        Raises:
            UserError: A reward needs a package that is not installed, or is code that may not run.
        """
        for name in [*dict(self.reward.weights if self.reward else ()), *self.eval.rewards]:
            check_usable(name, code_allowed=self.code_allowed)

    @model_validator(mode="after")
    def _check_relative_weights(self) -> "Config":
        if not self.estimator.may_run:
            return self
        if self.train.relative_weights and self.estimator.needs_reward:
            raise ValueError(
                f"train.relative_weights is about weights, and {self.estimator} reads rewards; leave it out"
            )
        if self.train.relative_weights and not self.estimator.scales_together:
            raise ValueError(
                f"train.relative_weights: {self.estimator} has no common factor to scale by, as its coefficients do "
                "not scale with the weights; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _check_schedules(self) -> "Config":
        steps, rate = self.train.steps, self.optimizer.schedule
        if self.q.kind != "constant" and self.estimator.may_run:
            if "q" not in self.estimator.spec.parameters:
                raise ValueError(f"q.kind={self.q.kind!r}: {self.estimator} has no parameter q; try garl:q=1, paft:q=1")
            if not self.q.reads_p:
                self.estimator.with_q(self.q.end)
        for key, at in {"q.at": self.q.at, "optimizer.schedule.at": rate.at}.items():
            if at is not None and at > steps:
                raise ValueError(f"{key}={at}: there are only train.steps={steps}")
        if rate.warmup >= steps:
            raise ValueError(f"optimizer.schedule.warmup={rate.warmup}: leave some of train.steps={steps} after it")
        if rate.at is not None and rate.at <= rate.warmup:
            raise ValueError(f"optimizer.schedule.at={rate.at}: the warm-up of {rate.warmup} steps comes first")
        return self

    @model_validator(mode="after")
    def _check_sampling(self) -> "Config":
        setting = self.rollout.off_policy_setting()
        if not self.estimator.may_run:
            return self
        if setting and not self.estimator.needs_reward and not self.rollout.force_sampling:
            raise ValueError(
                f"{setting}: {self.estimator} takes the mean weight for P, which holds only for rationales drawn "
                f"from the model itself (Prop 6.2); leave it out, or set rollout.force_sampling=true"
            )
        if setting and self.train.stop_at_p is not None:
            raise ValueError(f"{setting}: train.stop_at_p reads the P of a batch, which is then not the model's")
        if self.rollout.engine == "vllm" and self.estimator.needs_score_norm:
            raise ValueError(
                f"rollout.engine='vllm': {self.estimator} needs the full distribution at each token, which vLLM "
                f"does not give; use rollout.engine=transformers"
            )
        return self

    def with_values(self, values: dict[str, Any], *, where: str = "overrides") -> "Config":
        """A copy with dotted keys replaced ({"optimizer.lr": 0.1}), checked again.

        Args:
            values: New values by dotted key.
            where: Source of the values, for the error message.

        Raises:
            UserError: The result is not a valid configuration.
        """
        table = self.as_table()
        if "task.name" in values:  # another task may lack keys of this one, so that only those that are set are kept
            table["task"] = self.task.model_dump(mode="json", exclude_defaults=True)
        for key, value in values.items():
            set_dotted(table, key, value)
        return check_config(table, where, code_allowed=self.code_allowed)

    def without_code(self) -> "Config":
        """The same settings, with permission to import objects named as module:object withdrawn."""
        return check_config(self.as_table(), "config", code_allowed=False)

    def as_table(self) -> dict[str, Any]:
        """The settings as plain JSON values, which `Config.model_validate` reads back."""
        return self.model_dump(mode="json")


def config_hash(table: dict[str, Any]) -> str:
    """Hash a table of plain JSON values to 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:12]


def _allows_code(info: ValidationInfo) -> bool:
    return (info.context or {}).get("code_allowed", True)


def check_config(table: dict[str, Any], where: str, *, code_allowed: bool = True) -> Config:
    """Check a table of settings.

    Args:
        table: Plain JSON or TOML values.
        where: Source of the values, for the error message.
        code_allowed: Whether objects that the settings name as module:object may be imported.

    Raises:
        UserError: One line that names the key, the mistake and the nearest valid name.
    """
    try:
        return Config.model_validate(table, context={"code_allowed": code_allowed})
    except ValidationError as error:
        raise UserError(f"{where}: {_one_line(error, table)}") from None
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _one_line(error: ValidationError, table: dict[str, Any]) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    key = ".".join(place)
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {did_you_mean(place[-1], _valid_keys(place[:-1], table))}"
    if first["type"] == "missing":
        return f"key {key!r} is missing; add it"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in {"string_type", "path_type"} and isinstance(first["input"], int | float):
        message += f"; text needs quotes, in a shell '{key}=\"{first['input']}\"'"
    # The message of a check across keys names the keys itself.
    return f"{key} = {reprlib.repr(first['input'])}: {message}" if key else message


def _valid_keys(place: list[str], table: dict[str, Any]) -> list[str]:
    if place == ["task"]:
        return list(type(task_config({"name": table["task"]["name"]})).model_fields)
    if place == ["model"]:
        return list(model_class(table["model"]).model_fields)
    model: Any = Config
    for part in place:
        kinds = model.model_fields[part].annotation
        # Of `Table | None` take the table.
        model = next(kind for kind in get_args(kinds) or (kinds,) if kind is not type(None))
    return list(model.model_fields)


def set_dotted(table: dict[str, Any], key: str, value: Any) -> None:
    """Set a value in nested tables by its dotted key.

    Raises:
        UserError: A part of the key before the last names a value, not a table.
    """
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise UserError(f"override {key!r}: {parent!r} is a value, not a table")
    table[last] = value
