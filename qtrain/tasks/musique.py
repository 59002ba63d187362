"""MuSiQue (Trivedi et al. 2022): questions of two to four hops over twenty paragraphs.

The rows of the hub's copy have the layout of the official files.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from qtrain.scoring import span_scores
from qtrain.tasks.records import DataSet, Layout, Record

WARM = """\
Read the paragraphs and answer the question. The answer needs facts from two to four of them; the others do not \
matter. Reason step by step before you answer.

{context}
Question: {question}

When you have finished reasoning, write the answer alone: a name, a date, a number or a short phrase."""


class Paragraph(BaseModel):
    """An item of the field `paragraphs`."""

    model_config = ConfigDict(str_strip_whitespace=True)
    title: str
    paragraph_text: str


class Official(Layout):
    """A line of the official files."""

    id: str = Field(min_length=1)
    paragraphs: list[Paragraph] = Field(min_length=1)
    question: str = Field(min_length=1)
    answer: str
    answer_aliases: list[str]
    answerable: StrictBool = True

    def record(self) -> Record:
        """The row as a question record, whose kind is the number of hops at the beginning of the id."""
        return Record(
            self.id,
            "\n".join(f"{paragraph.title}: {paragraph.paragraph_text}" for paragraph in self.paragraphs),
            self.question,
            self.answer,
            aliases=tuple(self.answer_aliases),
            kind=self.id.partition("__")[0] if "__" in self.id else "",
            answerable=self.answerable,
        )


def layout(row: Mapping[str, object]) -> type[Layout]:  # noqa: ARG001
    """Choose the layout of a row: there is only one."""
    return Official


MUSIQUE = DataSet(
    name="musique",
    title="MuSiQue",
    files={"train": "musique_ans_v1.0_train.jsonl", "dev": "musique_ans_v1.0_dev.jsonl"},
    layout=layout,
    warm=WARM,
    scores=span_scores,
)
