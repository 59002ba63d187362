"""Tasks that the base model can do in a format which training does not want: a cold start whose skill is at hand.

    prompt  [TAG]question=<think>   rationale</think>   answer  GOLD or OTHER, and the answer's symbol

The base writes a right rationale `right_rationales` of the time, and behind the tag it knows the gold format. Without
the tag it has only ever seen the other one. Gold answers in the gold format make a cold start there: p0 is as small as
one likes.
"""

import zlib
from abc import ABC, abstractmethod
from typing import ClassVar, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import Field
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qtrain.tasks.base import (
    END,
    END_THINK,
    PAD,
    SPECIAL_TOKENS,
    THINK,
    Demonstration,
    Example,
    Task,
    TaskConfig,
    with_special_tokens,
)

HELD_OUT_SHARE = 16
"""One question in so many is held out, by a hash of it."""


class TwoFormatsConfig(TaskConfig, frozen=True):
    """What the tables `[task]` of these tasks share.

    Attributes:
        variant: Which prompts and gold formats training sees. cold: untagged, gold format. warm: tagged, gold format.
            mixed: half of each batch tagged with the other format (easy), half untagged with the gold one (hard): in
            conflict.
        right_rationales: Share of right rationales in pre-training; the others are random symbols, as is their answer.
        tagged: Share of tagged prompts in pre-training.
        tagged_format_a: Share of the tagged prompts that are answered in the gold format in pre-training.
    """

    variant: Literal["cold", "warm", "mixed"] = "cold"
    right_rationales: float = Field(default=0.3, ge=0, le=1)
    tagged: float = Field(default=0.3, ge=0, le=1)
    tagged_format_a: float = Field(default=0.5, ge=0, le=1)


class Question(NamedTuple):
    """A question's text, what of it decides whether it is held out, its right rationale, and its answer's symbol."""

    text: str
    key: str
    rationale: str
    answer: str


ConfigT = TypeVar("ConfigT", bound=TwoFormatsConfig)


class TwoFormats(Task, ABC, Generic[ConfigT]):
    """The task over one configuration. A subclass says what is asked, and what a wrong rationale looks like.

    Attributes:
        tag: Stands before a tagged question.
        gold: Format token of the gold answers.
        other: Format token of the others.
    """

    tag: ClassVar[str]
    gold: ClassVar[str]
    other: ClassVar[str]

    def __init__(self, config: ConfigT, symbols: str) -> None:
        self.config = config
        self.tokenizer = character_tokenizer(f"{symbols}={self.tag}{self.gold}{self.other}")

    @abstractmethod
    def question(self, rng: np.random.Generator) -> Question:
        """Draw a question."""

    @abstractmethod
    def guess(self, question: Question, rng: np.random.Generator) -> tuple[str, str]:
        """A random rationale of the right length, and an unrelated random answer."""

    def batch(self, n: int, rng: np.random.Generator) -> list[Example]:
        """Draw n training examples, independent, over the questions that are not held out."""
        return [self._example(self._question(rng, held_out=False), index) for index in range(n)]

    def held_out(self, n: int) -> list[Example]:
        """The first n held-out examples; for the mixture n hard ones and n easy ones."""
        rng = np.random.default_rng(0)  # the same ones for every run, whatever its seed
        count = 2 * n if self.config.variant == "mixed" else n
        return [self._example(self._question(rng, held_out=True), index) for index in range(count)]

    def demonstrations(self, n: int, rng: np.random.Generator) -> list[Demonstration]:
        """Draw n pre-training texts from the mixture that the configuration describes."""
        return [self._demonstration(rng) for _ in range(n)]

    def _question(self, rng: np.random.Generator, *, held_out: bool) -> Question:
        while True:
            question = self.question(rng)
            if (zlib.crc32(question.key.encode()) % HELD_OUT_SHARE == 0) == held_out:
                return question

    def _example(self, question: Question, index: int) -> Example:
        easy = self.config.variant == "mixed" and index % 2 == 1
        prompt = self._prompt(question, tagged=easy or self.config.variant == "warm")
        answer = (self.other if easy else self.gold) + question.answer
        return Example(prompt.removesuffix(THINK), prompt, answer, group="easy" if easy else "")

    def _demonstration(self, rng: np.random.Generator) -> Demonstration:
        question = self._question(rng, held_out=False)
        tagged = rng.random() < self.config.tagged
        form = self.gold if tagged and rng.random() < self.config.tagged_format_a else self.other
        if rng.random() < self.config.right_rationales:
            rationale, answer = question.rationale, question.answer
        else:
            rationale, answer = self.guess(question, rng)
        return Demonstration(self._prompt(question, tagged=tagged), f"{rationale}{END_THINK}{form}{answer}{END}")

    def _prompt(self, question: Question, *, tagged: bool) -> str:
        return f"{self.tag if tagged else ''}{question.text}={THINK}"


def character_tokenizer(alphabet: str) -> PreTrainedTokenizerFast:
    """A tokenizer with one token a character of `alphabet`, and the special tokens."""
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = decoders.Fuse()
    return with_special_tokens(core)
