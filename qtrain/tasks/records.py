"""Question records, the description of a data set, and the check of a row against the data set's layout."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from qtrain.tasks.rows import BadRecord, JsonRow

Split = Literal["train", "dev", "test"]


class Turn(NamedTuple):
    """A turn of a chat, in the form that chat templates take.

    Attributes:
        role: system, user or assistant.
        content: Its text.
    """

    role: str
    content: str


@dataclass(frozen=True)
class Record:
    """A question with the text that answers it, from any data set.

    Attributes:
        id: The record's id in the data set.
        context: The text, one line per sentence, table row or paragraph.
        question: The question.
        answer: The gold answer; it may be empty.
        aliases: Other answers that the official scores accept.
        kind: The data set's own type of the question; "" if it has none.
        page: Name shared by the records that must be on the same side of a split; "" if there are no others.
        answerable: Whether the context answers the question.
        chat: Turns up to the question, which is the last one's content; () if the record is not a chat.
        columns: The row's other columns by name, for rewards.
    """

    id: str
    context: str
    question: str
    answer: str
    aliases: tuple[str, ...] = ()
    kind: str = ""
    page: str = ""
    answerable: bool = True
    chat: tuple[Turn, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict, compare=False)


class MalformedRow(ValueError):
    """A row that cannot become a record; the message is the reason."""


class Layout(BaseModel):
    """Base of the models of rows: fields in use are checked, and other fields are ignored."""

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
    """Description of a data set.

    Attributes:
        name: Name in commands and configurations.
        title: Name in its paper.
        files: Official file of each split that has answers.
        layout: Chooses the model of a row by the row's content.
        warm: Prompt template of the warm start, with the fields `{context}` (which ends in a line break) and
            `{question}`.
        scores: The official scores.
        by_question: Whether a record's page is a hash of its question and context, which must not be in two splits.
        any_files: Whether a folder may have its splits in any format and without official names.
    """

    name: str
    title: str
    files: Mapping[Split, str]
    layout: Callable[[Mapping[str, object]], type[Layout]]
    warm: str
    scores: Scores
    by_question: bool = False
    any_files: bool = False

    def record(self, row: dict[str, object]) -> Record:
        """Read a row.

        Raises:
            ValidationError: A field is missing or wrong.
            MalformedRow: The row cannot become a record for another reason.
        """
        return self.layout(row).model_validate(row).record()


def parse(row: JsonRow | BadRecord, data_set: DataSet) -> Record | BadRecord:
    """Check a row against a data set's layout."""
    if isinstance(row, BadRecord):
        return row
    if not isinstance(row.value, dict):
        return BadRecord(row.where, f"an object is needed, not {_json_type(row.value)}")
    try:
        return data_set.record(row.value)
    except ValidationError as error:
        return BadRecord(row.where, first_reason(error))
    except MalformedRow as error:
        return BadRecord(row.where, str(error))


def first_reason(error: ValidationError, columns: Mapping[str, str] | None = None) -> str:
    """Describe the first error of a row.

    Args:
        error: The errors.
        columns: The file's names of fields that have other names there.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = [str(part) for part in first["loc"]]
    place[:1] = [(columns or {}).get(name, name) for name in place[:1]]
    return f"{'.'.join(place)}: {first['msg']}"


def read_records(rows: Iterator[JsonRow | BadRecord], data_set: DataSet) -> Iterator[Record | BadRecord]:
    """Check every row, and refuse an id that comes twice, since a run identifies records by their ids.

    The ids of unanswerable records are not compared: a filter leaves these records out, and in MuSiQue-Full they share
    ids with answerable ones.
    """
    seen: dict[str, tuple[str, Record]] = {}
    for row in rows:
        record = parse(row, data_set)
        if isinstance(record, Record) and record.answerable:
            where, first = seen.setdefault(record.id, (row.where, record))
            if first is not record:
                reason = f"repeats {where}" if first == record else f"has the id of {where} and other texts"
                record = BadRecord(row.where, reason, repeated=True)
        yield record


def reason_class(reason: str) -> str:
    """Replace the numbers in a reason, which differ between records, by "*"."""
    return re.sub(r"\d+", "*", reason)


def _json_type(value: object) -> str:
    names = {bool: "a truth value", int: "a number", float: "a number", str: "a text", list: "an array"}
    return names.get(type(value), "null")


SHOWN = 5
"""Reasons, and malformed records, that the terminal shows; JSON has them all."""


@dataclass
class LoadStats:
    """Counts of loaded records.

    Attributes:
        kept: Records that became examples.
        dropped: Records that a filter left out, by reason.
        malformed: Records that are not in the data set's layout, by reason with numbers replaced.
        malformed_records: Each malformed record with its position in the file.
        cut: Kept records whose context was cut.
        unreachable: Well-formed records, kept or dropped, whose y* is longer than the answer budget.
    """

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)
    malformed_records: list[BadRecord] = field(default_factory=list)
    cut: int = 0
    unreachable: int = 0

    @property
    def records(self) -> int:
        """All records that were read."""
        return self.kept + self.dropped.total() + self.malformed.total()

    def note(self, reason: str, *, cut: bool = False, unreachable: bool = False) -> None:
        """Count a well-formed record as kept or, if there is a reason, as dropped."""
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
