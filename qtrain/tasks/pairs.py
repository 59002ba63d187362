"""Your own pairs: rows with a question or a chat, its answer and optionally a context, in columns of any names."""

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from qtheory.command.names import did_you_mean
from qtrain.plugins import describe
from qtrain.scoring import span_scores
from qtrain.tasks.extract import Extractor, number_as_text
from qtrain.tasks.records import DataSet, Layout, MalformedRow, Record, Turn, first_reason

WARM = """\
{context}{question}

Reason step by step. When you have finished reasoning, write the answer alone."""

MESSAGES = "messages"
"""The column of a chat that is read if a row has no column of the prompt's name."""

SHOWN_COLUMNS = 8
"""Columns of a row that an error names."""

OTHER_LAYOUTS = {"MuSiQue": ("paragraphs", "answer_aliases"), "FinQA": ("pre_text", "post_text", "table")}
"""Columns of data sets that have questions and answers too, but their context elsewhere."""

Text = Annotated[str, BeforeValidator(number_as_text)]


class Pair(Layout):
    """The columns in use, by their default names. A number is read as its JSON text."""

    question: Text = Field(min_length=1)
    answer: Text
    context: Text = ""
    aliases: list[Text] = Field(default_factory=list)
    id: Text = ""


class ChatTurn(BaseModel):
    """A turn of a chat; other keys, such as `name`, are ignored."""

    model_config = ConfigDict(str_strip_whitespace=True)
    role: Literal["system", "user", "assistant"]
    content: str


class Chat(BaseModel):
    """The value of a column of chats."""

    messages: list[ChatTurn] = Field(min_length=1)


class Columns(NamedTuple):
    """The file's names of the columns.

    Attributes:
        prompt: The question, or a chat.
        answer: The gold answer, or a text that holds it.
        context: The text that answers the question; optional in a row.
        aliases: Other answers that the scores accept; optional in a row.
    """

    prompt: str = "question"
    answer: str = "answer"
    context: str = "context"
    aliases: str = "aliases"


@dataclass(frozen=True)
class Pairs(DataSet):
    """Rows of your own. Columns that are not named are for rewards alone; a mistyped optional one is refused.

    Attributes:
        columns: Names of the columns.
        extract: Extracts the gold answer from the answer column's value; None takes the value.
        extract_name: The extractor's name, for error messages.
    """

    columns: Columns = field(default_factory=Columns)
    extract: Extractor | None = None
    extract_name: str = ""

    def configured(self, columns: Columns, extract: Extractor | None, extract_name: str) -> "Pairs":
        """The same data set with other columns and an extractor."""
        return replace(self, columns=columns, extract=extract, extract_name=extract_name)

    def record(self, row: dict[str, object]) -> Record:
        """Read a row; if it has no id, a hash of its texts is the id. null is the same as a missing column.

        Records with the same question and context are on the same side of a split.

        Raises:
            MalformedRow: A column is missing or wrong, or the extractor finds no answer.
        """
        values = {name: value for name, value in row.items() if value is not None}
        self._check_names(values)
        chat: tuple[Turn, ...] = ()
        prompt = values.get(self.columns.prompt, values.get(MESSAGES))
        reply = None
        if isinstance(prompt, list):
            column = self.columns.prompt if self.columns.prompt in values else MESSAGES
            chat, reply = _read_chat(prompt, column)
            prompt = chat[-1].content
        fields = {
            "question": prompt,
            "answer": self._answer(row, reply),
            "context": values.get(self.columns.context),
            "aliases": values.get(self.columns.aliases),
            "id": values.get("id"),
        }
        try:
            pair = Pair.model_validate({name: value for name, value in fields.items() if value is not None})
        except ValidationError as error:
            names = {"question": self.columns.prompt, **self.columns._asdict()}
            raise MalformedRow(first_reason(error, names)) from None
        # The whole chat is the question of a hash, so that chats that end alike are different records.
        question = json.dumps(chat) if chat else pair.question
        page = _digest(pair.context, question)
        id_ = pair.id or _digest(pair.context, question, pair.answer, *pair.aliases)
        used = {*self.columns, "id", MESSAGES}
        return Record(
            id_,
            pair.context,
            pair.question,
            pair.answer,
            tuple(pair.aliases),
            page=page,
            chat=chat,
            columns={name: value for name, value in row.items() if name not in used},
        )

    def _check_names(self, values: Mapping[str, object]) -> None:
        """Refuse a row without a prompt, of another data set, or with a mistyped optional column."""
        columns = self.columns
        if columns.prompt not in values and MESSAGES not in values:
            raise MalformedRow(_missing("prompt", columns.prompt, values))
        for title, names in OTHER_LAYOUTS.items():
            if all(name in values for name in names):
                raise MalformedRow(f"{names[0]}: a column of {title}, which is not read here")
        for name in values.keys() - {*columns, "id", MESSAGES}:
            absent = [optional for optional in (columns.context, columns.aliases) if optional not in values]
            if near := difflib.get_close_matches(name.lower(), absent, n=1, cutoff=0.9):
                key = next(key for key, column in columns._asdict().items() if column == near[0])
                raise MalformedRow(f"{name!a}: unknown column; did you mean {near[0]!r}? (or set task.{key})")

    def _answer(self, row: Mapping[str, object], reply: str | None) -> object:
        """The gold answer: the answer column's value or else the chat's reply, through the extractor."""
        column = self.columns.answer
        if column not in row and reply is None:
            raise MalformedRow(_missing("answer", column, row))
        value = reply if row.get(column) is None else row[column]
        if self.extract is None or value is None:
            return "" if value is None else value
        try:
            answer = self.extract(value)
        except Exception as error:
            raise MalformedRow(f"{column}: task.extract={self.extract_name!r} fails: {describe(error)}") from None
        if answer is None:
            raise MalformedRow(f"{column}: task.extract={self.extract_name!r} finds no answer in it")
        return answer


def _read_chat(value: list[Any], column: str) -> tuple[tuple[Turn, ...], str | None]:
    """The turns up to the last one of the user, and the assistant's reply to it, if there is one.

    Raises:
        MalformedRow: The value is not a chat, the user has no turn, or other turns than one reply follow the last one.
    """
    try:
        turns = [Turn(turn.role, turn.content) for turn in Chat.model_validate({MESSAGES: value}).messages]
    except ValidationError as error:
        raise MalformedRow(first_reason(error, {MESSAGES: column})) from None
    asked = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=None)
    if asked is None:
        raise MalformedRow(f"{column}: no turn of the user, who must ask")
    replies = turns[asked + 1 :]
    if len(replies) > 1 or any(turn.role != "assistant" for turn in replies):
        raise MalformedRow(f"{column}: after the user's last turn at most one of the assistant is possible")
    return tuple(turns[: asked + 1]), replies[0].content if replies else None


def _missing(key: str, column: str, names: Mapping[str, object]) -> str:
    """The reason why a row without a needed column is malformed."""
    shown = [ascii(name)[1:-1][:30] for name in names][:SHOWN_COLUMNS]
    hint = did_you_mean(column, shown) if shown else "the row is empty"
    return f"{column}: Field required; {hint} (task.{key} names the column)"


def _digest(*texts: str) -> str:
    """Hash texts to 16 hexadecimal digits: among a billion records, two share a hash with a probability of 3 %."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def layout(row: Mapping[str, object]) -> type[Layout]:  # noqa: ARG001
    """Choose the layout of a row: there is only one."""
    return Pair


PAIRS = Pairs(
    name="pairs",
    title="your own pairs",
    files={"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"},
    layout=layout,
    warm=WARM,
    scores=span_scores,
    by_question=True,
    any_files=True,
)
