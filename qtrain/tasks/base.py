"""What a task is: where prompts and gold answers come from, and what counts as a success."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from qtrain.schema import Table

THINK, END_THINK, END, PAD = "<think>", "</think>", "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (PAD, THINK, END_THINK, END)
"""Special tokens: every prompt ends in THINK, every rationale in END_THINK, every answer in END."""


class TaskConfig(Table, frozen=True):  # pyright: ignore[reportGeneralTypeIssues] - tables are frozen by their settings
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
        easy: Whether it belongs to the easy half of a mixture. Success, p0 and escape are reported for the others.
        aliases: Other answers that a task's official scores accept; training and success know y* alone.
    """

    id: str
    prompt: str
    answer: str
    easy: bool = False
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


class Task(Protocol):
    """One source of examples, with its own tokenizer."""

    tokenizer: PreTrainedTokenizerFast

    def batch(self, n: int, rng: np.random.Generator) -> list[Example]:
        """Draw n training examples."""
        ...

    def held_out(self, n: int) -> list[Example]:
        """The first n held-out examples of each kind, in a fixed order; never drawn by `batch`."""
        ...

    def demonstrations(self, n: int, rng: np.random.Generator) -> list[Demonstration]:
        """Draw n texts to pre-train on. A task without any raises UserError."""
        ...

    def success(self, example: Example, answer: str) -> bool:
        """Whether a sampled answer counts in evaluation; training rewards are exact match of the tokens."""
        ...

    def official_scores(self, example: Example, answer: str) -> dict[str, float]:
        """What the data set's own evaluation says of a sampled answer, each in [0, 1]; {} where it has none."""
        ...

    def data_log(self) -> dict[str, Any]:
        """What a run writes down of the records it uses, as JSON values; {} where examples are made on the spot."""
        ...

    def data_lines(self) -> list[str]:
        """The same in short for the terminal."""
        ...


def with_special_tokens(core: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer that transformers knows, over a core whose vocabulary holds the special tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens=[THINK, END_THINK],
        clean_up_tokenization_spaces=False,
    )
