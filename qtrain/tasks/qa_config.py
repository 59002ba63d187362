"""Table `[task]` of the tasks on question records: how they are put, which are left out, where they come from."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from qtrain.tasks.base import TaskConfig
from qtrain.tasks.load import OnBadRecord
from qtrain.tasks.prompts import Variant
from qtrain.tasks.splits import Half


class QAConfig(TaskConfig, frozen=True):
    r"""Table `[task]` of finqa, hotpotqa, musique and pairs.

    Attributes:
        variant: cold shows the input alone; warm adds a task description and the answer's format.
        tokenizer: Folder of a pretrained tokenizer or its id on the hub; by default that of `model.pretrained`, without
            which one token is a byte.
        tokenizer_revision: Its branch, tag or commit on the hub.
        answer_prefix: What the model writes between END_THINK and the answer: part of y*. Qwen3's are two line breaks,
            "\n\n" in TOML and in a shell task.answer_prefix="\n\n" (bash); white space counts.
        max_prompt_tokens: Longest prompt, THINK included. Where the model's positions leave less room beside the
            budgets, that room is the limit.
        long_prompts: cut takes the beginning of a longer one's context away (for FinQA the text before the table
            goes first), so that the question stays whole; drop leaves the record out; fail refuses the first. A record
            whose question alone is too long is left out, or under fail refused.
        max_answer_tokens: Longest y*, END included; longer ones are left out. None sets no limit.
        long_answers: Of records whose y* is longer than `rollout.answer_budget`, so that no sampled answer can be it:
            drop leaves them out, keep trains and evaluates on them all the same, fail refuses the first.
        empty_answers: Whether records without a gold answer are kept. Their y* is END alone.
        on_bad_record: fail stops at the first record that is not in the data set's layout; skip counts it.
        train_size: Training records, drawn by `split_seed`; None takes all.
        held_out_size: Held-out records, likewise.
        split_seed: Seeds both.
        held_out_split: The split to evaluate on, of the official files or of the hub.
        held_out_half: Evaluate on one half of it alone, by a hash of the page or id: validation to choose a
            checkpoint, test to report it, where the official split with answers is one. None takes both.
        hub: Repository on the hub, read where no data=PATH is given.
        hub_subset: Its configuration, where it has several.
        hub_revision: Its branch, tag or commit.
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
    """Table `[task]` of pairs."""

    name: Literal["pairs"] = "pairs"
