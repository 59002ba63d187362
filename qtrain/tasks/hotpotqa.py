"""HotPotQA (Yang et al. 2018), distractor setting: two-hop questions over ten paragraphs, two of them relevant."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from qtrain.scoring import hotpotqa_scores
from qtrain.tasks.records import DataSet, Layout, Record

WARM = """\
Read the paragraphs and answer the question. The answer needs facts from two of them; the others do not matter. \
Reason step by step before you answer.

{context}
Question: {question}

When you have finished reasoning, write the answer alone: a name, a date, a number or a short phrase, or yes or no."""


class _Question(Layout):
    """The fields that both layouts share."""

    question: str = Field(min_length=1)
    answer: str
    type: str = ""

    def make_record(self, id_: str, paragraphs: list[tuple[str, list[str]]]) -> Record:
        """Make a record whose context has one line per paragraph: its title, then its sentences."""
        lines = [f"{title}: {' '.join(sentences)}" for title, sentences in paragraphs]
        return Record(id_, "\n".join(lines), self.question, self.answer, kind=self.type)


class Official(_Question):
    """A record of the official files: `context` is a list of [title, sentences]."""

    id: str = Field(alias="_id", min_length=1)
    context: list[tuple[str, list[str]]] = Field(min_length=1)

    def record(self) -> Record:
        """The row as a question record."""
        return self.make_record(self.id, self.context)


class Paragraphs(BaseModel):
    """Field `context` of the hub's layout: the titles, and a list of sentences for each."""

    model_config = ConfigDict(str_strip_whitespace=True)
    title: list[str] = Field(min_length=1)
    sentences: list[list[str]]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.title) != len(self.sentences):
            raise ValueError(f"{len(self.title)} titles and {len(self.sentences)} lists of sentences")
        return self


class Hub(_Question):
    """A row of the hub's copy."""

    id: str = Field(min_length=1)
    context: Paragraphs

    def record(self) -> Record:
        """The row as a question record."""
        return self.make_record(self.id, list(zip(self.context.title, self.context.sentences, strict=True)))


def layout(row: Mapping[str, object]) -> type[Layout]:
    """Choose the layout of a row: the hub's rows have columns in `context`, and `id` instead of `_id`."""
    return Hub if isinstance(row.get("context"), dict) or ("id" in row and "_id" not in row) else Official


HOTPOTQA = DataSet(
    name="hotpotqa",
    title="HotPotQA",
    files={"train": "hotpot_train_v1.1.json", "dev": "hotpot_dev_distractor_v1.json"},
    layout=layout,
    warm=WARM,
    scores=hotpotqa_scores,
)
