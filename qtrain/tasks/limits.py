"""How long a row may become: the model's positions, the token budgets, and what they leave for a prompt."""

from typing import NamedTuple

MOST_ANSWER_TOKENS = 256
"""The longest answer, END included, that a budget is chosen for; longer ones need `rollout.answer_budget`."""

PRETRAINED_RATIONALE, RANDOM_RATIONALE = 512, 32
"""Rationale budgets chosen for a pretrained model, and for one with random weights, which has nothing to say."""


class RowLimits(NamedTuple):
    """Bounds on a row of prompt, rationale, END_THINK and answer, in tokens.

    Attributes:
        positions: The longest row that model and engine take; None sets no bound.
        rationale_budget: Most tokens of a rationale, END_THINK included; 0 until `resolved` chooses it.
        answer_budget: Most tokens of an answer, END included; 0 until `resolved` chooses it.
        suggested_rationale: The rationale budget to choose where positions allow it.
    """

    positions: int | None = None
    rationale_budget: int = 0
    answer_budget: int = 0
    suggested_rationale: int = RANDOM_RATIONALE

    def resolved(self, longest_answer: int) -> "RowLimits":
        """Choose the budgets that are 0, so that half of the positions are left for the prompt.

        Args:
            longest_answer: Tokens of the longest y* of the records in use, END included.
        """
        share = 2**62 if self.positions is None else max(1, self.positions // 4)
        return self._replace(
            rationale_budget=self.rationale_budget or min(self.suggested_rationale, share),
            answer_budget=self.answer_budget or min(longest_answer, MOST_ANSWER_TOKENS, share),
        )

    def prompt_room(self, answer_tokens: int) -> int | None:
        """Most tokens of a prompt with this length of y*; None where nothing bounds it, below 1 where none fits."""
        if self.positions is None:
            return None
        # One more for an END_THINK that is forced.
        return self.positions - self.rationale_budget - 1 - max(self.answer_budget, answer_tokens)


NO_LIMITS = RowLimits()
"""Of a task without a model, as the data commands look at it."""
