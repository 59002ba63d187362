"""The interface of a task: prompts and gold answers for training and evaluation, and what counts as a success."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from qtrain.errors import UserError
from qtrain.schema import StrictModel
from qtrain.scoring.text import exact

THINK, END_THINK, END, PAD = "<think>", "</think>", "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (PAD, THINK, END_THINK, END)
"""Special tokens: every prompt ends in THINK, every rationale in END_THINK, every answer in END."""


class TaskConfig(StrictModel, frozen=True):  # pyright: ignore[reportGeneralTypeIssues] - tables are frozen by their settings
    """Base of every task's table `[task]`; `name` selects the task."""

    name: str

    def budgets(self) -> tuple[int, int] | None:
        """Rationale and answer budgets (tokens) with room for every right one; None where the records decide."""
        return None


@dataclass(frozen=True)
class Example:
    """A supervised pair (x*, y*).

    Attributes:
        id: Stable name of the record.
        prompt: x*, the text up to and including THINK.
        answer: y*, the gold answer without END.
        group: A part of the task that is reported by itself: its metrics carry the name as their ending (`p_at_1_easy`
            for "easy"). Success, p0 and escape without an ending are those of the examples without a group.
        aliases: Other answers that a task's own metrics accept; training and success know y* alone.
    """

    id: str
    prompt: str
    answer: str
    group: str = ""
    aliases: tuple[str, ...] = ()

    def digest(self) -> str:
        """16 hexadecimal digits that stand for the example's texts."""
        texts = json.dumps([self.id, self.prompt, self.answer, *self.aliases])
        return hashlib.sha256(texts.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Demonstration:
    """A complete text for pre-training: the loss falls on `completion` alone."""

    prompt: str
    completion: str


class Task:
    """Base class of tasks: a source of examples with its tokenizer.

    A task of your own overrides `batch` and `held_out`, sets `tokenizer`, and is named in a configuration as
    `task.name = "module:Class"`. The other keys of the table `[task]` are the arguments of its constructor; an argument
    named `tokenizer` gets that of `task.tokenizer`, by default the pretrained model's.

    Attributes:
        tokenizer: Encodes prompts and answers, and decodes what is sampled.
    """

    tokenizer: PreTrainedTokenizerFast

    def batch(self, n: int, rng: np.random.Generator) -> list[Example]:
        """Draw n training examples."""
        raise NotImplementedError

    def held_out(self, n: int) -> list[Example]:
        """The first n held-out examples of each group, in a fixed order; never drawn by `batch`."""
        raise NotImplementedError

    def demonstrations(self, n: int, rng: np.random.Generator) -> list[Demonstration]:
        """Draw n texts to pre-train a model with random weights on.

        Raises:
            UserError: The task has none.
        """
        raise UserError(
            f"pretrain.steps: {type(self).__name__} has no demonstrations to pre-train on; set pretrain.steps=0, or "
            f"take a pretrained model"
        )

    def success(self, example: Example, answer: str) -> bool:
        """Whether a sampled answer counts in evaluation, by default if it is the gold answer."""
        return exact(answer, example.answer)

    def dataset_metrics(self, example: Example, answer: str) -> dict[str, float]:
        """Further metrics of a sampled answer, each in [0, 1]; evaluation reports their means under these names."""
        return {}

    def dataset_report(self) -> dict[str, Any]:
        """What a run writes to data.json about the records it uses, as JSON values."""
        return {}

    def dataset_lines(self) -> list[str]:
        """The same in short for the terminal."""
        return []


def with_special_tokens(core: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer that transformers knows, over a core whose vocabulary holds the special tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens=[THINK, END_THINK],
        clean_up_tokenization_spaces=False,
    )
