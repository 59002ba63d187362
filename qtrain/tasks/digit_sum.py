"""The testbed: sum digits modulo 10 through a rationale, and answer in a format that the base model hardly ever uses.

    prompt  [T]d1d2d3d4d5=<think>   rationale  s1s2s3s4s5</think>   answer  A s5 or B s5

The base model knows the sums (it writes a right rationale `right_rationales` of the time) and, behind the tag T, it
knows format A. Without the tag it has only ever seen format B. Gold answers in format A make a cold start there: the
skill is at hand, the format is out of reach, and p0 is as small as one likes.
"""

import zlib
from typing import Any, Literal

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
    TaskConfig,
    with_special_tokens,
)

HELD_OUT_SHARE = 16
"""One digit string in so many is held out, by a hash of its digits."""


class DigitSumConfig(TaskConfig, frozen=True):
    """Table `[task]` of digit_sum.

    Attributes:
        variant: Which prompts and gold formats training sees. cold: untagged, gold A. warm: tagged, gold A.
            mixed: half of each batch tagged with gold B (easy), half untagged with gold A (hard): in conflict.
        digits: Digits in a prompt.
        right_rationales: Share of right rationales in pre-training; the others are random digits and a random answer.
        tagged: Share of tagged prompts in pre-training.
        tagged_format_a: Share of the tagged prompts that are answered in format A in pre-training.
    """

    name: Literal["digit_sum"] = "digit_sum"
    variant: Literal["cold", "warm", "mixed"] = "cold"
    digits: int = Field(default=5, ge=2, le=9)
    right_rationales: float = Field(default=0.3, ge=0, le=1)
    tagged: float = Field(default=0.3, ge=0, le=1)
    tagged_format_a: float = Field(default=0.5, ge=0, le=1)


class DigitSum:
    """The task over one configuration; see the module's first lines."""

    def __init__(self, config: DigitSumConfig) -> None:
        self.config = config
        self.tokenizer = character_tokenizer("0123456789=TAB")

    def batch(self, n: int, rng: np.random.Generator) -> list[Example]:
        """Draw n training examples, independent and uniform over the digit strings that are not held out."""
        return [self._example(self._digits(rng, held_out=False), index) for index in range(n)]

    def held_out(self, n: int) -> list[Example]:
        """The first n held-out examples; for the mixture n hard ones and n easy ones."""
        rng = np.random.default_rng(0)  # the same ones for every run, whatever its seed
        count = 2 * n if self.config.variant == "mixed" else n
        return [self._example(self._digits(rng, held_out=True), index) for index in range(count)]

    def demonstrations(self, n: int, rng: np.random.Generator) -> list[Demonstration]:
        """Draw n pre-training texts from the mixture that the configuration describes."""
        return [self._demonstration(rng) for _ in range(n)]

    def success(self, example: Example, answer: str) -> bool:
        """Exact match."""
        return answer == example.answer

    def official_scores(self, example: Example, answer: str) -> dict[str, float]:  # noqa: ARG002
        """There are none."""
        return {}

    def data_log(self) -> dict[str, Any]:
        """Examples are made on the spot."""
        return {}

    def data_lines(self) -> list[str]:
        """Likewise."""
        return []

    def _digits(self, rng: np.random.Generator, *, held_out: bool) -> str:
        while True:
            digits = "".join(map(str, rng.integers(10, size=self.config.digits)))
            if (zlib.crc32(digits.encode()) % HELD_OUT_SHARE == 0) == held_out:
                return digits

    def _example(self, digits: str, index: int) -> Example:
        easy = self.config.variant == "mixed" and index % 2 == 1
        tagged = easy or self.config.variant == "warm"
        prompt = f"{'T' if tagged else ''}{digits}="
        return Example(prompt, prompt + THINK, ("B" if easy else "A") + running_sums(digits)[-1], easy)

    def _demonstration(self, rng: np.random.Generator) -> Demonstration:
        digits = self._digits(rng, held_out=False)
        tagged = rng.random() < self.config.tagged
        letter = "A" if tagged and rng.random() < self.config.tagged_format_a else "B"
        if rng.random() < self.config.right_rationales:
            rationale = running_sums(digits)
            last = rationale[-1]
        else:
            rationale = "".join(map(str, rng.integers(10, size=len(digits))))
            last = str(rng.integers(10))
        return Demonstration(f"{'T' if tagged else ''}{digits}={THINK}", f"{rationale}{END_THINK}{letter}{last}{END}")


def running_sums(digits: str) -> str:
    """The right rationale: partial sums modulo 10, one digit each ("357" -> "385")."""
    return "".join(str(total % 10) for total in np.cumsum([int(digit) for digit in digits]))


def character_tokenizer(alphabet: str) -> PreTrainedTokenizerFast:
    """A tokenizer with one token a character of `alphabet`, and the special tokens."""
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = decoders.Fuse()
    return with_special_tokens(core)
