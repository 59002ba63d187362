"""FinQA: questions about financial reports, from the official JSON files, put as the paper's cold start.

    prompt  pre_text, table, post_text, question, <think>   answer  qa.answer

Input and y* are all that the model sees: no task description and no format instruction.
"""

import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qtrain.errors import UserError
from qtrain.tasks.base import THINK, Example, TaskConfig
from qtrain.tasks.byte_tokenizer import byte_tokenizer, last_bytes, without_special_tokens

HELD_OUT_SHARE = 8
"""Of a single file one page in so many is held out, by a hash of its name."""

TRAIN_FILE, HELD_OUT_FILE = "train.json", "dev.json"


class FinQAConfig(TaskConfig, frozen=True):
    """Table `[task]` of finqa.

    Attributes:
        max_prompt_tokens: Longest prompt, THINK included. A longer one is cut from the left (the text before
            the table goes first), so that the question, which stands last, stays whole. A record whose
            question alone is longer is dropped.
    """

    name: Literal["finqa"] = "finqa"
    max_prompt_tokens: int = Field(default=1024, ge=2)


class Question(BaseModel):
    """Field `qa` of a record."""

    model_config = ConfigDict(str_strip_whitespace=True)
    question: str = Field(min_length=1)
    answer: str


class Record(BaseModel):
    """The fields of an official record that are used; the others are ignored."""

    model_config = ConfigDict(str_strip_whitespace=True)
    id: str
    pre_text: list[str]
    post_text: list[str]
    table: list[list[str]]
    qa: Question


class FinQA:
    """The task over one file or over the official split.

    Attributes:
        dropped: How many records were left out, by reason.
    """

    def __init__(self, config: FinQAConfig, data: Path) -> None:
        """Read the records.

        Args:
            config: The table `[task]`.
            data: A folder with train.json (training) and dev.json (held out), or one such file. Of one file,
                1 page in 8 is held out by a hash, so that all questions about a page lie on the same side.

        Raises:
            UserError: A file is missing or not FinQA in the official layout, or one side has no records.
        """
        self.config = config
        self.tokenizer = byte_tokenizer()
        self.dropped: Counter[str] = Counter()
        if _is_folder(data):
            self._train = self._examples(data / TRAIN_FILE)
            self._held_out = self._examples(data / HELD_OUT_FILE)
        else:
            examples = self._examples(data)
            self._train = [example for example in examples if not _is_held_out(example.id)]
            self._held_out = [example for example in examples if _is_held_out(example.id)]
        for side, examples in (("training", self._train), ("held-out", self._held_out)):
            if not examples:
                why = ", ".join(f"{reason} {count}" for reason, count in self.dropped.items()) or "none"
                raise UserError(
                    f"{data}: no {side} records (dropped: {why}); give more records, "
                    f"or a folder with {TRAIN_FILE} and {HELD_OUT_FILE}"
                )

    def batch(self, n: int, rng: np.random.Generator) -> list[Example]:
        """Draw n training examples, independent and uniform, with replacement."""
        return [self._train[index] for index in rng.integers(len(self._train), size=n)]

    def held_out(self, n: int) -> list[Example]:
        """The first n held-out examples in the file's order, or all of them where there are fewer."""
        return self._held_out[:n]

    def demonstrations(self, n: int, rng: np.random.Generator) -> NoReturn:  # noqa: ARG002
        """Records hold no rationales to imitate.

        Raises:
            UserError: Always.
        """
        raise UserError("task 'finqa' has no demonstrations to pre-train on; set pretrain.steps=0")

    def success(self, example: Example, answer: str) -> bool:
        """The paper's rule: y* is a substring of the answer, case and all: "1" is found in "21%"."""
        return example.answer in answer

    def _examples(self, path: Path) -> list[Example]:
        examples = []
        budget = self.config.max_prompt_tokens - 1  # THINK takes one
        for record in read_records(path):
            question = without_special_tokens(record.qa.question)
            if not record.qa.answer:
                self.dropped["empty answer"] += 1
            elif len(question.encode()) > budget:
                self.dropped["question longer than max_prompt_tokens"] += 1
            else:
                text = last_bytes(without_special_tokens(linearise(record)), budget)
                examples.append(Example(record.id, text + THINK, without_special_tokens(record.qa.answer)))
        return examples


def linearise(record: Record) -> str:
    """The cold start's input, one line each: text before the table, its rows, text after it, the question."""
    rows = [" | ".join(row) for row in record.table]
    return "\n".join([*record.pre_text, *rows, *record.post_text, record.qa.question])


def read_records(path: Path) -> list[Record]:
    """Read a file in the official layout: one JSON array of records.

    Raises:
        UserError: One line naming the file, and the record where it is one of them.
    """
    try:
        array = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; data=PATH is {TRAIN_FILE} or its folder") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); FinQA's files are one JSON array of records") from None
    if not isinstance(array, list):
        raise UserError(f"{path}: a JSON array of records is needed, not a {type(array).__name__}")
    return [_record(item, f"{path}: record {index} (counted from 0)") for index, item in enumerate(array)]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no permission, a name too long: reading it as a file says so in one line
        return False


def _record(item: object, where: str) -> Record:
    try:
        return Record.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        place = f"{field}: " if field else ""
        raise UserError(f"{where} is not in FinQA's official layout: {place}{first['msg']}") from None


def _is_held_out(record_id: str) -> bool:
    """Whether a record of a single file is held out; an id is the page's name, "-" and a number."""
    page, _, number = record_id.rpartition("-")
    return zlib.crc32((page or number).encode()) % HELD_OUT_SHARE == 0
