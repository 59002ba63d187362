"""Your own pairs: JSON lines with a question, its answer and optionally a context."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from qtrain.scoring import span_scores
from qtrain.tasks.records import DataSet, Layout, Record

WARM = """\
{context}{question}

Reason step by step. When you have finished reasoning, write the answer alone."""


def _number_as_text(value: object) -> object:
    return json.dumps(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_number_as_text)]


class Pair(Layout):
    """A line of the file. Other keys are refused, so that a mistyped key is not silently ignored.

    A number is read as its JSON text, null as a missing key, and a null answer as an empty answer.
    """

    model_config = ConfigDict(extra="forbid")

    question: Text = Field(min_length=1)
    answer: Text
    context: Text = ""
    aliases: list[Text] = Field(default_factory=list)
    id: Text = ""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, row: dict[str, object]) -> dict[str, object]:
        texts = {key: value for key, value in row.items() if value is not None}
        return {"answer": ""} | texts if "answer" in row else texts

    def record(self) -> Record:
        """The row as a question record; if it has no id, a hash of its texts is the id.

        Records with the same question and context are on the same side of a split.
        """
        page = _digest(self.context, self.question)
        id_ = self.id or _digest(self.context, self.question, self.answer, *self.aliases)
        return Record(id_, self.context, self.question, self.answer, aliases=tuple(self.aliases), page=page)


def _digest(*texts: str) -> str:
    """Hash texts to 16 hexadecimal digits: among a billion records, two share a hash with a probability of 3 %."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def layout(row: Mapping[str, object]) -> type[Layout]:  # noqa: ARG001
    """Choose the layout of a row: there is only one."""
    return Pair


PAIRS = DataSet(
    name="pairs",
    title="your own pairs",
    files={"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"},
    layout=layout,
    warm=WARM,
    scores=span_scores,
    by_question=True,
)
