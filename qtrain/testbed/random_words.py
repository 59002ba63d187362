"""The task random_words: random texts of any vocabulary size and length, for measuring speed and memory."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer, models, pre_tokenizers

from qtrain.tasks.base import PAD, SPECIAL_TOKENS, Example, Task, TaskConfig, with_special_tokens


class RandomWordsConfig(TaskConfig, frozen=True):
    """Table `[task]` of random_words.

    Attributes:
        vocabulary: Number of tokens, special tokens included.
        prompt_tokens: Length of every prompt, THINK included.
        answer_tokens: Length of every gold answer, END included.
    """

    name: Literal["random_words"] = "random_words"
    vocabulary: int = Field(default=1000, ge=len(SPECIAL_TOKENS) + 2)
    prompt_tokens: int = Field(default=100, ge=2)
    answer_tokens: int = Field(default=16, ge=2)

    def budgets(self) -> tuple[int, int]:
        """The answer's length for both, since there is nothing to reason about."""
        return self.answer_tokens, self.answer_tokens


class RandomWords(Task):
    """Random words w0, w1, ..., each of them one token."""

    def __init__(self, config: RandomWordsConfig) -> None:
        self.config = config
        self.num_words = config.vocabulary - len(SPECIAL_TOKENS)
        names = [*SPECIAL_TOKENS, *(f"w{index}" for index in range(self.num_words))]
        core = Tokenizer(models.WordLevel({name: index for index, name in enumerate(names)}, unk_token=PAD))
        core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        self.tokenizer = with_special_tokens(core)

    def batch(self, n: int, rng: np.random.Generator) -> list[Example]:
        """Draw n training examples, uniform over the texts that do not begin with w0."""
        return [self._example(rng, held_out=False) for _ in range(n)]

    def held_out(self, n: int) -> list[Example]:
        """The first n held-out examples, random texts that begin with w0, in a fixed order."""
        rng = np.random.default_rng(0)
        return [self._example(rng, held_out=True) for _ in range(n)]

    def _example(self, rng: np.random.Generator, *, held_out: bool) -> Example:
        first = 0 if held_out else int(rng.integers(1, self.num_words))
        prompt = self._text([first, *rng.integers(self.num_words, size=self.config.prompt_tokens - 2)])
        answer = self._text(rng.integers(self.num_words, size=self.config.answer_tokens - 1))
        return Example(prompt, prompt + self.think.opener, answer)

    def _text(self, indices: Iterable[int]) -> str:
        return " ".join(f"w{index}" for index in indices)
