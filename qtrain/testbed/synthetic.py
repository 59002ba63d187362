"""What tasks that make their own examples have in common: exact match, and no records to tell of."""

from typing import Any

from qtrain.scoring import exact
from qtrain.tasks.base import Example


class MadeExamples:
    """The part of `qtrain.tasks.base.Task` that is the same for all of them."""

    def success(self, example: Example, answer: str) -> bool:
        """Exact match."""
        return exact(answer, example.answer)

    def official_scores(self, example: Example, answer: str) -> dict[str, float]:
        """There are none."""
        return {}

    def data_log(self) -> dict[str, Any]:
        """Examples are made on the spot."""
        return {}

    def data_lines(self) -> list[str]:
        """Likewise."""
        return []
