"""FinQA (Chen et al. 2021): questions about a page of a financial report with text and a table."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from qtrain.scoring import numeric_scores
from qtrain.tasks.records import DataSet, Layout, Record

WARM = """\
Read the page of a financial report and answer the question about it. Reason step by step before you answer.

{context}
Question: {question}

When you have finished reasoning, write the answer alone: a number (with % if it is a percentage), or yes or no."""


class _Page(Layout):
    """The fields that both layouts share."""

    id: str = Field(min_length=1)
    pre_text: list[str]
    post_text: list[str]
    table: list[list[str]]

    def make_record(self, question: str, answer: str) -> Record:
        """Make a record whose context is the text before the table, the table's rows, and the text after it."""
        rows = [" | ".join(row) for row in self.table]
        # An id consists of the page's name, "-" and a number.
        page, _, number = self.id.rpartition("-")
        return Record(
            self.id, "\n".join([*self.pre_text, *rows, *self.post_text]), question, answer, page=page or number
        )


class Question(BaseModel):
    """Field `qa` of the official layout."""

    model_config = ConfigDict(str_strip_whitespace=True)
    question: str = Field(min_length=1)
    answer: str


class Official(_Page):
    """A record of train.json, dev.json or test.json."""

    qa: Question

    def record(self) -> Record:
        """The row as a question record."""
        return self.make_record(self.qa.question, self.qa.answer)


class Hub(_Page):
    """A row of the hub's copy, which has the fields of `qa` at the top level."""

    question: str = Field(min_length=1)
    answer: str

    def record(self) -> Record:
        """The row as a question record."""
        return self.make_record(self.question, self.answer)


def layout(row: Mapping[str, object]) -> type[Layout]:
    """Choose the layout of a row: the hub's rows have `question` at the top level."""
    return Hub if "question" in row and "qa" not in row else Official


FINQA = DataSet(
    name="finqa",
    title="FinQA",
    files={"train": "train.json", "dev": "dev.json", "test": "test.json"},
    layout=layout,
    warm=WARM,
    scores=numeric_scores,
)
