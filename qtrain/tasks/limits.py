"""Limits on the length of a row: the model's positions, the token budgets, and the room left for a prompt."""

from typing import NamedTuple

MAX_CHOSEN_ANSWER_BUDGET = 256
"""The largest answer budget, in tokens, that is chosen automatically; longer answers need `rollout.answer_budget`."""

PRETRAINED_RATIONALE, RANDOM_RATIONALE = 512, 32
"""Rationale budgets that are chosen for a pretrained model, and for a model with random weights."""


class RowLimits(NamedTuple):
    """Limits on a row of prompt, rationale, closer and answer, in tokens.

    Attributes:
        positions: The longest row that model and engine accept; None sets no limit.
        rationale_budget: Most tokens of a rationale, a written closer included; 0 until `resolved` chooses it.
        answer_budget: Most tokens of an answer, END included; 0 until `resolved` chooses it.
        suggested_rationale: The rationale budget that is chosen if the positions allow it.
        closer_tokens: Tokens that are added if the closer is forced.
    """

    positions: int | None = None
    rationale_budget: int = 0
    answer_budget: int = 0
    suggested_rationale: int = RANDOM_RATIONALE
    closer_tokens: int = 1

    def resolved(self, longest_answer: int) -> "RowLimits":
        """Choose the budgets that are 0, such that they leave half of the positions for the prompt.

        Args:
            longest_answer: Tokens of the longest y* of the records in use, END included.
        """
        share = 2**62 if self.positions is None else max(1, self.positions // 4)
        return self._replace(
            rationale_budget=self.rationale_budget or min(self.suggested_rationale, share),
            answer_budget=self.answer_budget or min(longest_answer, MAX_CHOSEN_ANSWER_BUDGET, share),
        )

    def prompt_room(self, answer_tokens: int) -> int | None:
        """Most tokens of a prompt for this length of y*; None if unlimited, below 1 if no prompt fits."""
        if self.positions is None:
            return None
        return self.positions - self.rationale_budget - self.closer_tokens - max(self.answer_budget, answer_tokens)


NO_LIMITS = RowLimits()
"""For a task without a model, as in the data commands."""
