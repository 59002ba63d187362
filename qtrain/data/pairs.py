"""Your own pairs: a question, its answer, and the text that answers it where there is one; one JSON object a line."""

import zlib
from collections.abc import Mapping

from pydantic import ConfigDict, Field

from qtrain.data.records import DataSet, Layout, Record
from qtrain.scoring import span_scores

WARM = """\
{context}{question}

Reason step by step. When you have finished reasoning, write the answer alone."""


class Pair(Layout):
    """A line; other keys are refused, so that a mistyped one is not lost in silence."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1)
    answer: str
    context: str = ""
    aliases: list[str] = Field(default_factory=list)
    id: str = ""

    def record(self) -> Record:
        """The row as a question record. Without an id the texts' checksum is it."""
        texts = "\n".join([self.context, self.question]).encode()
        name = self.id or f"{zlib.crc32(texts):08x}"
        return Record(name, self.context, self.question, self.answer, aliases=tuple(self.aliases))


def layout(row: Mapping[str, object]) -> type[Layout]:  # noqa: ARG001
    """There is one."""
    return Pair


PAIRS = DataSet(
    name="pairs",
    title="your own pairs",
    files={"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"},
    layout=layout,
    warm=WARM,
    scores=span_scores,
)
