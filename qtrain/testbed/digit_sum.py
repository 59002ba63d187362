"""The task digit_sum: sum digits modulo 10 in a rationale, and answer in a format that the base model rarely uses.

    prompt  [T]d1d2d3d4d5=<think>   rationale  s1s2s3s4s5</think>   answer  A s5 or B s5

The base model can do the sums, and it knows format A after the tag T; see `qtrain.testbed.two_formats`.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from qtrain.testbed.two_formats import Question, TwoFormats, TwoFormatsConfig


class DigitSumConfig(TwoFormatsConfig, frozen=True):
    """Table `[task]` of digit_sum.

    Attributes:
        digits: Number of digits in a prompt.
    """

    name: Literal["digit_sum"] = "digit_sum"
    digits: int = Field(default=5, ge=2, le=9)

    def budgets(self) -> tuple[int, int]:
        """Rationale: a sum per digit, closer and a spare token. Answer: format, sum and END."""
        return self.digits + 2, 3


class DigitSum(TwoFormats[DigitSumConfig]):
    """Sum digits modulo 10; the module's docstring shows the texts."""

    tag, gold, other = "T", "A", "B"

    def __init__(self, config: DigitSumConfig) -> None:
        super().__init__(config, "0123456789")

    def question(self, rng: np.random.Generator) -> Question:
        """Draw a question, uniform over the digit strings."""
        digits = "".join(map(str, rng.integers(10, size=self.config.digits)))
        sums = running_sums(digits)
        return Question(digits, digits, sums, sums[-1])

    def guess(self, question: Question, rng: np.random.Generator) -> tuple[str, str]:
        """Draw random digits for the rationale and the answer."""
        return "".join(map(str, rng.integers(10, size=len(question.rationale)))), str(rng.integers(10))


def running_sums(digits: str) -> str:
    """The correct rationale: partial sums modulo 10, one digit each ("357" -> "385")."""
    return "".join(str(total % 10) for total in np.cumsum([int(digit) for digit in digits]))
