"""What a question record is, whatever data set it comes from, and how a row is checked against a data set's layouts."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from qtrain.tasks.rows import BadRecord, JsonRow

Split = Literal["train", "dev", "test"]


@dataclass(frozen=True)
class Record:
    """A question with the text that answers it.

    Attributes:
        id: The data set's own name of it.
        context: The text, one line a sentence, table row or paragraph.
        question: The question.
        answer: The gold answer; it may be empty.
        aliases: Other answers that the official scores accept.
        kind: The data set's own word for the type of question, where it has one.
        page: What it shares with the records that must lie on the same side of a split; "" where with none.
        answerable: Whether the context answers the question.
    """

    id: str
    context: str
    question: str
    answer: str
    aliases: tuple[str, ...] = ()
    kind: str = ""
    page: str = ""
    answerable: bool = True


class Layout(BaseModel):
    """Base of the models of rows: the fields that are used, checked; others are allowed and not read."""

    model_config = ConfigDict(str_strip_whitespace=True, extra="ignore")

    def record(self) -> Record:
        """The row as a question record."""
        raise NotImplementedError


class Scores(Protocol):
    """The official scores of a data set, by name, each in [0, 1]."""

    def __call__(self, answer: str, golds: tuple[str, ...], /) -> dict[str, float]:
        """Score an answer against the gold answer and its aliases."""
        ...


@dataclass(frozen=True)
class DataSet:
    """What distinguishes a data set from another.

    Attributes:
        name: As in commands and configurations.
        title: As in its paper.
        files: Official file of each split that has answers.
        layout: The model of a row, by its content.
        warm: The warm start's prompt, with the fields `{context}` (which ends in a line break) and `{question}`.
        scores: The official scores.
        by_question: Whether a record's page is its question and context, which must not be in two splits.
    """

    name: str
    title: str
    files: Mapping[Split, str]
    layout: Callable[[Mapping[str, object]], type[Layout]]
    warm: str
    scores: Scores
    by_question: bool = False


def parse(row: JsonRow | BadRecord, data_set: DataSet) -> Record | BadRecord:
    """Check a row against a data set's layout."""
    if isinstance(row, BadRecord):
        return row
    if not isinstance(row.value, dict):
        return BadRecord(row.where, f"an object is needed, not {_json_type(row.value)}")
    try:
        return data_set.layout(row.value).model_validate(row.value).record()
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return BadRecord(row.where, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def read_records(rows: Iterator[JsonRow | BadRecord], data_set: DataSet) -> Iterator[Record | BadRecord]:
    """Check every row, and that no id comes twice: an id stands for a record in what a run writes down.

    Records that the context does not answer are left out by a filter anyway, and share ids with answerable ones in
    MuSiQue-Full: their ids are not compared.
    """
    seen: dict[str, tuple[str, Record]] = {}
    for row in rows:
        record = parse(row, data_set)
        if isinstance(record, Record) and record.answerable:
            where, first = seen.setdefault(record.id, (row.where, record))
            if first is not record:
                texts = "and so are the texts" if first == record else "whose texts are others"
                record = BadRecord(row.where, f"id: the same as that of {where}, {texts}")
        yield record


def reason_class(reason: str) -> str:
    """A reason without what differs from record to record: numbers become "*"."""
    return re.sub(r"\d+", "*", reason)


def _json_type(value: object) -> str:
    names = {bool: "a truth value", int: "a number", float: "a number", str: "a text", list: "an array"}
    return names.get(type(value), "null")


SHOWN = 5
"""Reasons, and malformed records, that the terminal shows; JSON has them all."""


@dataclass
class LoadStats:
    """Counts of records.

    Attributes:
        kept: Those that become examples.
        dropped: Those that a filter left out, by reason.
        malformed: Those that are not in the data set's layout, by reason without its numbers.
        malformed_records: Each of them, with its place.
        cut: Of those kept, how many prompts lost their beginning.
        unreachable: Well-formed ones whose y* is longer than the answer budget, kept or not.
    """

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)
    malformed_records: list[BadRecord] = field(default_factory=list)
    cut: int = 0
    unreachable: int = 0

    @property
    def records(self) -> int:
        """All of them."""
        return self.kept + self.dropped.total() + self.malformed.total()

    def note(self, reason: str, *, cut: bool = False, unreachable: bool = False) -> None:
        """Count a well-formed record: kept, or dropped for a reason."""
        self.unreachable += unreachable
        if reason:
            self.dropped[reason] += 1
        else:
            self.kept += 1
            self.cut += cut

    def note_malformed(self, bad: BadRecord) -> None:
        """Count a malformed record."""
        self.malformed[reason_class(bad.reason)] += 1
        self.malformed_records.append(bad)

    def as_table(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "records": self.records,
            "kept": self.kept,
            "cut": self.cut,
            "unreachable": self.unreachable,
            "dropped": dict(self.dropped),
            "malformed": dict(self.malformed),
            "malformed_records": [f"{bad.where}: {bad.reason}" for bad in self.malformed_records],
        }

    def __str__(self) -> str:
        parts = [f"{self.records} records", f"{self.kept} kept"]
        if self.cut:
            parts.append(f"{self.cut} of them cut to fit")
        for name, counts in (("dropped", self.dropped), ("malformed", self.malformed)):
            if counts:
                parts.append(f"{counts.total()} {name} ({_listed(counts)})")
        return ", ".join(parts)


def _listed(counts: Counter[str]) -> str:
    return "; ".join(f"{reason}: {count}" for reason, count in counts.most_common(SHOWN))
