"""The task multi_hop: follow a chain of shuffled facts, and answer in a format that the base model rarely uses.

    prompt  [#]ab;dc;bd;?a2=<think>   rationale  bd</think>   answer  +d or -d

A fact `ab` leads from a to b. The facts form a cycle through `facts` random symbols and are listed in random order.
Each symbol occurs once at the start and once at the end of a fact, so that only following the chain gives the answer;
the facts off the chain are distractors. The question is a start and a number of hops. The rationale is the chain, or
with `stride` n every n-th symbol of the chain and the last one: then each token takes n lookups in one forward pass,
and therefore more layers.
The base model can do the lookups, and it knows the format + after the tag #; see `qtrain.testbed.two_formats`.
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
        symbols: Number of letters that facts are made of.
        facts: Number of facts in a prompt.
        least_hops: Fewest hops of a question; the number is uniform between `least_hops` and `hops`.
        hops: Most hops of a question.
        stride: Number of hops between successive symbols of the rationale.
    """

    name: Literal["multi_hop"] = "multi_hop"
    symbols: int = Field(default=26, ge=3, le=len(SYMBOLS))
    facts: int = Field(default=6, ge=3)
    least_hops: int = Field(default=1, ge=1)
    hops: int = Field(default=2, ge=1, le=9)
    stride: int = Field(default=1, ge=1)

    def budgets(self) -> tuple[int, int]:
        """Rationale: the longest chain, closer and a spare token. Answer: format, symbol and END."""
        return -(-self.hops // self.stride) + 2, 3

    @model_validator(mode="after")
    def _check_sizes(self) -> "MultiHopConfig":
        if self.facts > self.symbols:
            raise ValueError(f"facts={self.facts} need as many symbols, and there are symbols={self.symbols}")
        if self.hops >= self.facts:
            raise ValueError(f"hops={self.hops} lead round the whole cycle of facts={self.facts}; ask for fewer hops")
        if self.least_hops > self.hops:
            raise ValueError(f"least_hops={self.least_hops} are more than hops={self.hops}")
        return self


class MultiHop(TwoFormats[MultiHopConfig]):
    """Multi-hop questions; the module's docstring shows the texts."""

    tag, gold, other = "#", "+", "-"

    def __init__(self, config: MultiHopConfig) -> None:
        super().__init__(config, f"{SYMBOLS[: config.symbols]};?123456789")

    def question(self, rng: np.random.Generator) -> Question:
        """Draw a question, uniform over cycles, orders of the facts, starts and numbers of hops."""
        config = self.config
        cycle = [SYMBOLS[index] for index in rng.permutation(config.symbols)[: config.facts]]
        facts = [start + end for start, end in zip(cycle, [*cycle[1:], cycle[0]], strict=True)]
        hops = int(rng.integers(config.least_hops, config.hops + 1))
        query = f"?{cycle[0]}{hops}"
        rationale = write_rationale(cycle[1 : hops + 1], config.stride)
        shuffled = "".join(f"{facts[index]};" for index in rng.permutation(config.facts))
        # The key sorts the facts, so that a question is held out in every order of its facts.
        return Question(shuffled + query, "".join(sorted(facts)) + query, rationale, rationale[-1])

    def guess(self, question: Question, rng: np.random.Generator) -> tuple[str, str]:
        """Draw random symbols of the prompt for the rationale and the answer."""
        symbols = question.text[: 3 * self.config.facts : 3]
        *rationale, answer = (symbols[index] for index in rng.integers(len(symbols), size=len(question.rationale) + 1))
        return "".join(rationale), answer


def write_rationale(chain: list[str], stride: int) -> str:
    """Write every `stride`-th symbol of a chain and the last one ("bcdef" with stride 2: "cef")."""
    return "".join(chain[stride - 1 :: stride]) + (chain[-1] if len(chain) % stride else "")
