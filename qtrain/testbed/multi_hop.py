"""Multi-hop questions: follow a chain through shuffled facts, and answer in a format that the base hardly ever uses.

    prompt  [#]ab;dc;bd;?a2=<think>   rationale  bd</think>   answer  +d or -d

A fact `ab` leads from a to b. The facts form one cycle through `facts` random symbols, in shuffled order, so that each
symbol is led from once and led to once and nothing but following the chain tells the answer: all facts off the chain
distract. The question is a start and a number of hops. The rationale is the chain, or with `stride` n every n-th
symbol of it and the last: then one token of it takes n lookups in one forward pass, and with that more layers.
The base model knows the lookups, and behind the tag # the format +; see `qtrain.testbed.two_formats`.
"""

import string
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from qtrain.testbed.two_formats import Question, TwoFormats, TwoFormatsConfig

SYMBOLS = string.ascii_letters


class MultiHopConfig(TwoFormatsConfig, frozen=True):
    """Table `[task]` of multi_hop.

    Attributes:
        symbols: How many letters facts are made of.
        facts: Facts in a prompt.
        least_hops: The fewest hops of a question; their number is uniform from there to `hops`.
        hops: The most.
        stride: The rationale's symbols are so many hops apart.
    """

    name: Literal["multi_hop"] = "multi_hop"
    symbols: int = Field(default=26, ge=3, le=len(SYMBOLS))
    facts: int = Field(default=6, ge=3)
    least_hops: int = Field(default=1, ge=1)
    hops: int = Field(default=2, ge=1, le=9)
    stride: int = Field(default=1, ge=1)

    def budgets(self) -> tuple[int, int]:
        """The longest chain, END_THINK and one to spare; format, symbol and END."""
        return -(-self.hops // self.stride) + 2, 3

    @model_validator(mode="after")
    def _sizes_that_fit(self) -> "MultiHopConfig":
        if self.facts > self.symbols:
            raise ValueError(f"facts={self.facts} need as many symbols, and there are symbols={self.symbols}")
        if self.hops >= self.facts:
            raise ValueError(f"hops={self.hops} lead round the whole cycle of facts={self.facts}; ask for fewer hops")
        if self.least_hops > self.hops:
            raise ValueError(f"least_hops={self.least_hops} are more than hops={self.hops}")
        return self


class MultiHop(TwoFormats[MultiHopConfig]):
    """The task over one configuration; see the module's first lines."""

    tag, gold, other = "#", "+", "-"

    def __init__(self, config: MultiHopConfig) -> None:
        super().__init__(config, f"{SYMBOLS[: config.symbols]};?123456789")

    def question(self, rng: np.random.Generator) -> Question:
        """Uniform over cycles, orders of the facts, starts and numbers of hops."""
        config = self.config
        cycle = [SYMBOLS[index] for index in rng.permutation(config.symbols)[: config.facts]]
        facts = [one + other for one, other in zip(cycle, [*cycle[1:], cycle[0]], strict=True)]
        hops = int(rng.integers(config.least_hops, config.hops + 1))
        asked = f"?{cycle[0]}{hops}"
        rationale = written(cycle[1 : hops + 1], config.stride)
        shuffled = "".join(f"{facts[index]};" for index in rng.permutation(config.facts))
        # Held out is the question, in whatever order its facts stand.
        return Question(shuffled + asked, "".join(sorted(facts)) + asked, rationale, rationale[-1])

    def guess(self, question: Question, rng: np.random.Generator) -> tuple[str, str]:
        """Random ones of the prompt's symbols."""
        there = question.text[: 3 * self.config.facts : 3]
        *rationale, answer = (there[index] for index in rng.integers(len(there), size=len(question.rationale) + 1))
        return "".join(rationale), answer


def written(chain: list[str], stride: int) -> str:
    """What a rationale holds of the symbols that a chain leads to ("bcdef" by 2: "cef")."""
    return "".join(chain[stride - 1 :: stride]) + (chain[-1] if len(chain) % stride else "")
