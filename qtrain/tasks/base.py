"""The interface of a task: examples for training and evaluation, and the success criterion."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import PrivateAttr, ValidationInfo, model_validator
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from qtrain.errors import UserError
from qtrain.schema import StrictModel
from qtrain.scoring.text import exact
from qtrain.tasks.delimiters import DEFAULT_DELIMITERS, END_THINK, THINK, Delimiters

END, PAD = "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (PAD, THINK, END_THINK, END)
"""Special tokens of the package's own tokenizers; by default prompts end with THINK and rationales with END_THINK."""


class TaskConfig(StrictModel, frozen=True):  # pyright: ignore[reportGeneralTypeIssues] - tables are frozen by their settings
    """Base of every task's table `[task]`; `name` selects the task."""

    name: str
    _code_allowed: bool = PrivateAttr(default=True)

    @model_validator(mode="after")
    def _remember_whether_code_may_run(self, info: ValidationInfo) -> "TaskConfig":
        allowed = (info.context or {}).get("code_allowed", True)
        self._code_allowed = allowed  # pyright: ignore[reportAttributeAccessIssue] - private ones may be set
        return self

    @property
    def code_allowed(self) -> bool:
        """True if modules that the table names may be imported."""
        return self._code_allowed

    def budgets(self) -> tuple[int, int] | None:
        """Rationale and answer budgets (tokens) that hold every correct text; None if they depend on the records."""
        return None


@dataclass(frozen=True)
class Example:
    """A supervised pair (x*, y*).

    Attributes:
        id: Name of the example, the same in every run.
        prompt: x*, the text up to and including the opener of a rationale (`Task.think`).
        answer: y*, the gold answer without END.
        group: Name of a part of the task that is reported separately, which its metrics have as a suffix
            (`p_at_1_easy` for "easy"). Success, p0 and escape without a suffix are those of the examples without a
            group.
        aliases: Other answers that a task's own metrics accept; training and `success` use y* alone.
        messages: The chat that the prompt was made from, for rewards; None if there is none.
        columns: Further values by name, for rewards. They, and `messages`, are sent to another process by pickle.
    """

    id: str
    prompt: str
    answer: str
    group: str = ""
    aliases: tuple[str, ...] = ()
    messages: list[dict[str, str]] | None = field(default=None, hash=False)
    columns: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def digest(self) -> str:
        """Hash id, prompt, answer and aliases to 16 hexadecimal digits."""
        texts = json.dumps([self.id, self.prompt, self.answer, *self.aliases])
        return hashlib.sha256(texts.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Demonstration:
    """A complete text for pre-training; the loss is on the tokens of `completion` alone."""

    prompt: str
    completion: str


class Task:
    """Base class of tasks: a source of examples with its tokenizer.

    A task of your own overrides `batch` and `held_out` and sets `tokenizer`. A configuration names it as
    `task.name = "module:Class"`; the other keys of the table `[task]` are the arguments of its constructor. An argument
    called `tokenizer` receives the tokenizer that `task.tokenizer` names, by default that of the pretrained model.

    Attributes:
        tokenizer: Encodes prompts and answers, and decodes sampled tokens.
        think: The delimiters of a rationale, which are set when the task has been built. Prompts end with its opener.
    """

    tokenizer: PreTrainedTokenizerFast
    think: Delimiters = DEFAULT_DELIMITERS

    def batch(self, n: int, rng: np.random.Generator) -> list[Example]:
        """Draw n training examples."""
        raise NotImplementedError

    def held_out(self, n: int) -> list[Example]:
        """The first n held-out examples of each group, in a fixed order. `batch` never draws them."""
        raise NotImplementedError

    def demonstrations(self, n: int, rng: np.random.Generator) -> list[Demonstration]:
        """Draw n texts for pre-training a model with random weights.

        Raises:
            UserError: The task has no demonstrations.
        """
        raise UserError(
            f"pretrain.steps: {type(self).__name__} has no demonstrations to pre-train on; set pretrain.steps=0, or "
            f"take a pretrained model"
        )

    def success(self, example: Example, answer: str) -> bool:
        """True if a sampled answer counts as correct in evaluation; by default if it equals the gold answer."""
        return exact(answer, example.answer)

    def gold_answers(self, example: Example) -> tuple[str, ...]:
        """The texts that rewards compare a sampled answer with: the gold answer first, then the others accepted."""
        return (example.answer, *example.aliases)

    def answer_text(self, answer: str) -> str:
        """The part of a sampled answer that rewards read; by default all of it."""
        return answer

    def dataset_metrics(self, example: Example, answer: str) -> dict[str, float]:
        """Further metrics of a sampled answer, each in [0, 1]; evaluation reports their means by name."""
        return {}

    def dataset_report(self) -> dict[str, Any]:
        """JSON values about the records in use, which a run writes to data.json."""
        return {}

    def dataset_lines(self) -> list[str]:
        """A summary of `dataset_report` for the terminal, line by line."""
        return []


def with_special_tokens(core: Tokenizer) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer whose vocabulary holds the special tokens for use with transformers."""
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens=[THINK, END_THINK],
        clean_up_tokenization_spaces=False,
    )
