"""Tasks that the base model can solve, but answers in the wrong format: cold starts where only the format is missing.

    prompt  [TAG]question=<think>   rationale</think>   answer  GOLD or OTHER, and the answer's symbol

The base model writes a correct rationale with probability `right_rationales`. After the tag it knows the gold format;
without the tag it has only seen the other format. Untagged prompts with gold answers in the gold format are therefore
a cold start, whose p0 can be set as small as needed.
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
    PAD,
    SPECIAL_TOKENS,
    Demonstration,
    Example,
    Task,
    TaskConfig,
    with_special_tokens,
)

HELD_OUT_SHARE = 16
"""One in this number of questions is held out, chosen by a hash of its key."""


class TwoFormatsConfig(TaskConfig, frozen=True):
    """Settings shared by the tables `[task]` of these tasks.

    Attributes:
        variant: The prompts and answer formats of training. cold: untagged prompts, gold format. warm: tagged prompts,
            gold format. mixed: half of each batch is tagged with answers in the other format (easy), half is untagged
            with answers in the gold format (hard), so that the two conflict.
        right_rationales: Fraction of correct rationales in pre-training. The other rationales are random symbols, and
            so are their answers.
        tagged: Fraction of tagged prompts in pre-training.
        tagged_format_a: Fraction of the tagged prompts that pre-training answers in the gold format.
    """

    variant: Literal["cold", "warm", "mixed"] = "cold"
    right_rationales: float = Field(default=0.3, ge=0, le=1)
    tagged: float = Field(default=0.3, ge=0, le=1)
    tagged_format_a: float = Field(default=0.5, ge=0, le=1)


class Question(NamedTuple):
    """A question with its solution.

    Attributes:
        text: The prompt's text.
        key: The text whose hash decides whether the question is held out.
        rationale: The correct rationale.
        answer: The answer's symbol, without a format token.
    """

    text: str
    key: str
    rationale: str
    answer: str


ConfigT = TypeVar("ConfigT", bound=TwoFormatsConfig)


class TwoFormats(Task, ABC, Generic[ConfigT]):
    """Base class of these tasks. A subclass draws questions and wrong rationales.

    Attributes:
        tag: Prefix of a tagged question.
        gold: Token of the gold format.
        other: Token of the other format.
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
        """Draw a random rationale of the correct length, and a random answer independent of it."""

    def batch(self, n: int, rng: np.random.Generator) -> list[Example]:
        """Draw n independent training examples from the questions that are not held out."""
        return [self._example(self._question(rng, held_out=False), index) for index in range(n)]

    def held_out(self, n: int) -> list[Example]:
        """The first n held-out examples; for the variant mixed n hard and n easy examples."""
        rng = np.random.default_rng(0)  # the same examples in every run, whatever its seed
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
        return Example(prompt.removesuffix(self.think.opener), prompt, answer, group="easy" if easy else "")

    def _demonstration(self, rng: np.random.Generator) -> Demonstration:
        question = self._question(rng, held_out=False)
        tagged = rng.random() < self.config.tagged
        format_ = self.gold if tagged and rng.random() < self.config.tagged_format_a else self.other
        if rng.random() < self.config.right_rationales:
            rationale, answer = question.rationale, question.answer
        else:
            rationale, answer = self.guess(question, rng)
        return Demonstration(
            self._prompt(question, tagged=tagged), f"{rationale}{self.think.closer}{format_}{answer}{END}"
        )

    def _prompt(self, question: Question, *, tagged: bool) -> str:
        return f"{self.tag if tagged else ''}{question.text}={self.think.opener}"


def character_tokenizer(alphabet: str) -> PreTrainedTokenizerFast:
    """Build a tokenizer with a token for each character of `alphabet`, and the special tokens."""
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = decoders.Fuse()
    return with_special_tokens(core)
