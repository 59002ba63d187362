"""Table `[task]` of the tasks on question records: the form of prompts, filters, splits, sources and columns."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from qtrain.tasks.base import TaskConfig
from qtrain.tasks.data_sets import data_set
from qtrain.tasks.extract import check_extract, make_extractor
from qtrain.tasks.load import OnBadRecord
from qtrain.tasks.pairs import PAIRS, Columns
from qtrain.tasks.prompts import Variant
from qtrain.tasks.records import DataSet
from qtrain.tasks.splits import Half


class QAConfig(TaskConfig, frozen=True):
    r"""Table `[task]` of finqa, hotpotqa, musique and pairs.

    Attributes:
        variant: cold shows the input alone; warm adds a task description and the answer's format.
        tokenizer: Folder of a pretrained tokenizer or its id on the hub; by default that of `model.pretrained`, or
            without a pretrained model a byte tokenizer.
        tokenizer_revision: A branch, tag or commit of the tokenizer on the hub.
        answer_prefix: Text that the model writes between END_THINK and the answer; it is part of y*. For Qwen3 it is
            two line breaks, "\n\n" in TOML and task.answer_prefix="\n\n" in a shell (bash); white space counts.
        max_prompt_tokens: Longest prompt, THINK included. If the model's positions leave less room after the budgets,
            that room is the limit.
        long_prompts: Treatment of longer prompts. cut removes the beginning of the context (for FinQA the text before
            the table goes first) and keeps the question whole; drop leaves the record out; fail stops at the first
            one. A record whose question alone is too long is left out under cut and drop.
        max_answer_tokens: Longest y*, END included; records with a longer one are left out. None sets no limit.
        long_answers: Treatment of records whose y* is longer than `rollout.answer_budget`, so that no sampled answer
            can equal it. drop leaves them out; keep trains and evaluates on them nevertheless; fail stops at the first
            one.
        empty_answers: Keep records with an empty gold answer, whose y* is END alone.
        on_bad_record: fail stops at the first record that is not in the data set's layout; skip counts it.
        train_size: Number of training records, drawn with `split_seed`; None takes all.
        held_out_size: Number of held-out records, drawn with `split_seed`; None takes all.
        split_seed: Seeds the draws of `train_size` and `held_out_size`.
        held_out_split: The split of the official files or of the hub to evaluate on. If a folder of pairs has no dev
            file, its test file is read.
        held_out_half: Evaluate on one half of the held-out records alone, divided by a hash of the page or id. For data
            sets with a single official split besides training, use validation to choose a checkpoint and test to
            report it. None takes both halves.
        hub: Repository on the hub, read if no data=PATH is given.
        hub_subset: Name of the repository's configuration, if it has several.
        hub_revision: A branch, tag or commit of the repository.
    """

    name: str
    variant: Variant = "cold"
    tokenizer: Path | None = None
    tokenizer_revision: str | None = None
    answer_prefix: str = ""
    max_prompt_tokens: int = Field(default=1024, ge=2)
    long_prompts: Literal["cut", "drop", "fail"] = "cut"
    max_answer_tokens: int | None = Field(default=None, ge=1)
    long_answers: Literal["drop", "keep", "fail"] = "drop"
    empty_answers: bool = False
    on_bad_record: OnBadRecord = "fail"
    train_size: int | None = Field(default=None, ge=1)
    held_out_size: int | None = Field(default=None, ge=1)
    split_seed: int = Field(default=0, ge=0)
    held_out_split: Literal["dev", "test"] = "dev"
    held_out_half: Half | None = None
    hub: str | None = None
    hub_subset: str | None = None
    hub_revision: str | None = None

    def data_set(self) -> DataSet:
        """The data set as these settings describe it.

        Raises:
            UserError: The settings name code that cannot be imported or may not run.
        """
        return data_set(self.name)


class FinQAConfig(QAConfig, frozen=True):
    """Table `[task]` of finqa."""

    name: Literal["finqa"] = "finqa"


class HotPotQAConfig(QAConfig, frozen=True):
    """Table `[task]` of hotpotqa."""

    name: Literal["hotpotqa"] = "hotpotqa"


class MuSiQueConfig(QAConfig, frozen=True):
    """Table `[task]` of musique."""

    name: Literal["musique"] = "musique"


class PairsConfig(QAConfig, frozen=True):
    """Table `[task]` of pairs.

    Attributes:
        prompt: Column of the question, or of a chat (a list of turns with `role` and `content`). A row without it may
            have its chat in the column `messages`.
        answer: Column of the gold answer. A chat without it is answered by the assistant's last turn.
        context: Column of the text that answers the question. It is optional, and cut if the prompt is too long.
        aliases: Column of a list of other answers that evaluation accepts. It is optional.
        extract: Finds the gold answer inside the answer column's text: boxed (the last one), after_hashes (after the
            last ####), regex:PATTERN (the first match, or its group) or module:function of your own, which gets the
            column's value and returns the answer or None. Records without an answer are malformed.
    """

    name: Literal["pairs"] = "pairs"
    prompt: str = Field(default="question", min_length=1)
    answer: str = Field(default="answer", min_length=1)
    context: str = Field(default="context", min_length=1)
    aliases: str = Field(default="aliases", min_length=1)
    extract: str | None = None

    @field_validator("extract")
    @classmethod
    def _check_extract(cls, name: str | None) -> str | None:
        return None if name is None else check_extract(name)

    @model_validator(mode="after")
    def _check_columns(self) -> "PairsConfig":
        names = [self.prompt, self.answer, self.context, self.aliases]
        if len(set(names)) < len(names):
            raise ValueError(f"prompt, answer, context, aliases: {', '.join(names)} must be four different columns")
        return self

    def data_set(self) -> DataSet:
        """The data set with these columns and this extractor; see `QAConfig.data_set`."""
        extract = None if self.extract is None else make_extractor(self.extract, code_allowed=self.code_allowed)
        columns = Columns(self.prompt, self.answer, self.context, self.aliases)
        return PAIRS.configured(columns, extract, self.extract or "")
