"""The settings of a run: one table a subject, checked by pydantic, and the conditions that tie them together."""

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
from qtrain.config.schedules import QSchedule, RateSchedule
from qtrain.errors import UserError
from qtrain.plugins import is_code
from qtrain.schema import MANY, StrictModel
from qtrain.tasks import TaskConfig, task_config


class PretrainConfig(StrictModel):
    """Cross-entropy on the task's demonstrations (AdamW, warm-up, cosine), then p0 moved to the wanted value."""

    steps: int = Field(default=1600, ge=0)
    batch: int = Field(default=128, ge=1, le=MANY)
    lr: float = Field(default=3e-3, gt=0)
    seed: int = Field(default=0, ge=0)
    p0: float | None = Field(default=None, gt=0, lt=1)


class VllmConfig(StrictModel):
    """Of the engine vllm alone: the type it computes in, and the most memory for its KV cache (GiB)."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    cache_gib: float = Field(default=8.0, gt=0)


class RolloutConfig(StrictModel):
    """Prompts per step (B), rationales per prompt (M), token budgets, and how tokens are sampled.

    `rationale_budget` counts sampled tokens, END_THINK included; once it is spent END_THINK is forced.
    `answer_budget` bounds sampled answers, END included. 0, the default of both, takes what suits the task, or the
    model and its records (see `qtrain.prepare`). `engine` samples and scores (see `qtrain.rollout`).
    `temperature`, `top_p` and `top_k` other than 1, 1 and none sample from another distribution than the model's:
    estimators on weights refuse them unless `force_sampling` is set.
    The engine `transformers` keeps the keys and values of all rows of a step, or of an evaluation's 64 prompts, in at
    most `cache_gib` GiB (by default a share of the memory that is free) and goes through fewer at a time where they do
    not fit; `prompts_at_once` bounds their number besides. Neither changes what is sampled. (vLLM bounds its cache
    itself.)
    """

    prompts: int = Field(default=16, ge=1, le=MANY)
    prompts_at_once: int | None = Field(default=None, ge=1)
    cache_gib: float | None = Field(default=None, gt=0)
    samples: int = Field(default=16, ge=1, le=MANY)
    rationale_budget: int = Field(default=0, ge=0)
    answer_budget: int = Field(default=0, ge=0)
    engine: Literal["transformers", "vllm"] = "transformers"
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    force_sampling: bool = False
    vllm: VllmConfig = VllmConfig()

    def on_policy(self, samples: int) -> "RolloutConfig":
        """The same budgets with so many samples from the model itself: for measurements, whose P is the model's."""
        kept = {name: getattr(self, name) for name in _BOUNDS}
        return RolloutConfig(samples=samples, **kept)

    def off_policy_setting(self) -> str | None:
        """The first sampling setting that leaves the model's own distribution, as `key=value`."""
        changed = [key for key, plain in _FROM_THE_MODEL.items() if getattr(self, key) != plain]
        return f"rollout.{changed[0]}={getattr(self, changed[0]):g}" if changed else None


_BOUNDS = ("rationale_budget", "answer_budget", "prompts_at_once", "cache_gib")
_FROM_THE_MODEL = {"temperature": 1.0, "top_p": 1.0, "top_k": None}


class OptimizerConfig(StrictModel):
    """Plain SGD or AdamW without weight decay; `clip` bounds the gradient's norm where it is given.

    `schedule` says how `lr` changes.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=1e-3, gt=0)
    eps: float = Field(default=1e-8, gt=0)
    clip: float | None = Field(default=None, gt=0)
    schedule: RateSchedule = RateSchedule()


class TrainConfig(StrictModel):
    """Length and seed of training.

    `stop_at_p` ends it once the batch's mean P exceeds that value. `relative_weights` puts the weights in units of the
    batch's largest one before the estimator sees them: one common factor on all coefficients (QC-6).

    `checkpoint_every` so many steps the run writes all that `--resume` needs, and after each evaluation that is the
    best so far (maj@k); the last `keep` checkpoints and the best one stay. `final_checkpoint` writes one at the end
    too, so that a finished run can go on to more `steps`. A step without a finite gradient is skipped; `skip_limit` of
    them in a row end the run. `micro_batch_tokens` bounds the tokens of one forward and backward pass,
    a prompt counted once for all its rows (beside a prompt of more than half of it, rows still have half); it does not
    change the result. A batch that cannot be longer is run forward once, and its log w are those of that pass (see
    `qtrain.step.in_one_pass`). `gradient_checkpointing` computes activations twice instead of keeping them. `dtype`
    bfloat16 is autocast: weights, logits and log-probabilities stay in float32. `kl` is the weight of
    KL(p(z|x) || the base's). `device` auto is the GPU where there is one.
    """

    @model_validator(mode="before")
    @classmethod
    def _without_what_callbacks_do_now(cls, table: Any) -> Any:
        """Run folders of older versions have two more keys, nearly always null."""
        gone = {"score_norm_nats", "baseline_gain_every"}
        return {key: value for key, value in table.items() if key not in gone} if isinstance(table, dict) else table

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
    """Held-out prompts (of each kind) and samples a prompt, every so many steps and at both ends."""

    every: int = Field(default=25, ge=1)
    prompts: int = Field(default=64, ge=1, le=MANY)
    samples: int = Field(default=16, ge=1, le=MANY)


class Config(StrictModel):
    """Everything that decides a run.

    `title` heads its section of a report (by default `name`). `data` is where the records of a task that reads any lie.
    `q` says how the estimator's q changes. `sinks` get each step's metrics besides the run folder. `lora` trains
    adapters in place of all weights. `callbacks` are `qtrain.Callback` classes of your own, as module:Class.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    title: str | None = None
    data: Path | None = None
    estimator: EstimatorChoice = EstimatorChoice.parse("garl:q=1")
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
    def _with_a_pretrained_model(cls, table: Any) -> Any:
        """Its tokenizer is the task's default, and there is nothing to pre-train."""
        model = table.get("model") if isinstance(table, dict) else None
        if not isinstance(model, dict) or "pretrained" not in model:
            return table
        table = {**table}
        if isinstance(table.setdefault("pretrain", {}), dict):
            table["pretrain"] = {"steps": 0} | table["pretrain"]
        if isinstance(table.get("task"), dict) and table["task"].get("tokenizer") is None:
            shared = {"tokenizer": model["pretrained"], "tokenizer_revision": model.get("revision")}
            table["task"] = table["task"] | shared
        return table

    @model_validator(mode="before")
    @classmethod
    def _with_the_budgets_of_its_task(cls, table: Any) -> Any:
        """Where lengths do not depend on records."""
        rollout = table.get("rollout", {}) if isinstance(table, dict) else None
        if isinstance(rollout, RolloutConfig):
            rollout = rollout.model_dump()
        if not isinstance(rollout, dict) or "task" not in table:
            return table
        try:
            budgets = task_config(table["task"]).budgets()
        except (UserError, ValidationError):
            return table  # the table's own validator says it
        if budgets is None:
            return table
        names = ("rationale_budget", "answer_budget")
        chosen = {name: rollout.get(name) or budget for name, budget in zip(names, budgets, strict=True)}
        return {**table, "rollout": rollout | chosen}

    @field_validator("model", mode="before")
    @classmethod
    def _model(cls, table: object) -> AnyModelConfig:
        return model_config(table)

    @field_validator("task", mode="before")
    @classmethod
    def _task(cls, table: object, info: ValidationInfo) -> TaskConfig:
        return task_config(table, code_allowed=_allows_code(info))

    @field_validator("callbacks")
    @classmethod
    def _callbacks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
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
        """Whether what it names as module:object may be imported."""
        return self._code_allowed

    @model_validator(mode="after")
    def _pretrained_models_are_not_pre_trained(self) -> "Config":
        if isinstance(self.model, PretrainedConfig) and (self.pretrain.steps or self.pretrain.p0 is not None):
            key = "p0" if self.pretrain.p0 is not None else "steps"
            raise ValueError(f"pretrain.{key}: model.pretrained has its weights already; leave it out")
        if isinstance(self.model, PretrainedConfig) and "tokenizer" not in type(self.task).model_fields:
            raise ValueError(f"model.pretrained: task {self.task.name!r} has its own tokenizer; give sizes instead")
        return self

    @model_validator(mode="after")
    def _groups_that_can_be_compared(self) -> "Config":
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
    def _weights_where_they_are_used(self) -> "Config":
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
    def _schedules_that_fit(self) -> "Config":
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
    def _sampling_that_the_estimator_stands(self) -> "Config":
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
                f"rollout.engine='vllm': {self.estimator} reads the whole distribution behind each token, which vLLM "
                f"does not give; use rollout.engine=transformers"
            )
        return self

    def with_values(self, values: dict[str, Any], *, where: str = "overrides") -> "Config":
        """A copy with dotted keys replaced ({"optimizer.lr": 0.1}), checked as a whole again."""
        table = self.as_table()
        for key, value in values.items():
            set_dotted(table, key, value)
        return checked(table, where, code_allowed=self.code_allowed)

    def without_code(self) -> "Config":
        """The same settings, of which nothing that is named as module:object may be imported."""
        return checked(self.as_table(), "config", code_allowed=False)

    def as_table(self) -> dict[str, Any]:
        """Plain JSON values; `Config.model_validate` reads them back."""
        return self.model_dump(mode="json")


def config_hash(table: dict[str, Any]) -> str:
    """Twelve hex digits that stand for a table of plain JSON values."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:12]


def _allows_code(info: ValidationInfo) -> bool:
    return (info.context or {}).get("code_allowed", True)


def checked(table: dict[str, Any], where: str, *, code_allowed: bool = True) -> Config:
    """Check a table of settings.

    Args:
        table: Plain values.
        where: Where they come from, for the error line.
        code_allowed: Whether what they name as module:object may be imported.

    Raises:
        UserError: One line naming the key, what is wrong and the nearest valid name.
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
    # What two keys together break has no place of its own, and names both.
    return f"{key} = {reprlib.repr(first['input'])}: {message}" if key else message


def _valid_keys(place: list[str], table: dict[str, Any]) -> list[str]:
    if place == ["task"]:
        return list(type(task_config({"name": table["task"]["name"]})).model_fields)
    if place == ["model"]:
        return list(model_class(table["model"]).model_fields)
    model: Any = Config
    for part in place:
        kinds = model.model_fields[part].annotation
        # Of `Table | None` the table.
        model = next(one for one in get_args(kinds) or (kinds,) if one is not type(None))
    return list(model.model_fields)


def set_dotted(table: dict[str, Any], key: str, value: Any) -> None:
    """Put a value into a table of tables under a dotted key.

    Raises:
        UserError: A part of the key names a value.
    """
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise UserError(f"override {key!r}: {parent!r} is a value, not a table")
    table[last] = value
