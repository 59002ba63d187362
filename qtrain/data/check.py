"""What a file holds: counts of its records, types of answers and questions, lengths in tokens."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qtrain.data import data_set
from qtrain.data.load import file_source, load
from qtrain.data.tally import Tally
from qtrain.scoring.number import the_number
from qtrain.scoring.spans import normalised
from qtrain.tasks.examples import ExampleBuilder
from qtrain.tasks.limits import NO_LIMITS
from qtrain.tasks.qa_config import QAConfig
from qtrain.tasks.tokenizer import load_tokenizer

PERCENTILES = {"min": 0, "median": 50, "p95": 95, "max": 100}


@dataclass
class Findings:
    """What `check_file` found.

    Attributes:
        tally: Records, kept, dropped, malformed.
        answer_types: Well-formed records by `answer_type`.
        question_types: By the data set's own types, where it has any.
        prompt_tokens: Length of each well-formed record's prompt before any cut.
        answer_tokens: Length of each y*, END included.
    """

    tally: Tally = field(default_factory=Tally)
    answer_types: Counter[str] = field(default_factory=Counter)
    question_types: Counter[str] = field(default_factory=Counter)
    prompt_tokens: list[int] = field(default_factory=list)
    answer_tokens: list[int] = field(default_factory=list)

    def as_table(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            **self.tally.as_table(),
            "answer_types": dict(self.answer_types.most_common()),
            "question_types": dict(self.question_types.most_common()),
            "prompt_tokens": percentiles(self.prompt_tokens),
            "answer_tokens": percentiles(self.answer_tokens),
        }


def check_file(path: Path, config: QAConfig) -> Findings:
    """Read a whole file as training would.

    Args:
        path: A file in the official or the hub's layout.
        config: The data set, how records are put, the filters, and what is done about malformed records.

    Raises:
        UserError: It cannot be read, or is not this data set's.
    """
    findings = Findings()
    builder = ExampleBuilder(config, load_tokenizer(config.tokenizer))
    for record in load(file_source(path), data_set(config.name), findings.tally, config.on_bad_record):
        built = builder.build(builder.draft(record), NO_LIMITS)
        findings.tally.note(built.reason, cut=built.cut)
        findings.answer_types[answer_type(record.answer)] += 1
        if record.kind:
            findings.question_types[record.kind] += 1
        findings.prompt_tokens.append(built.prompt_tokens)
        findings.answer_tokens.append(built.answer_tokens)
    return findings


def answer_type(answer: str) -> str:
    """The kind of text that an answer is: empty, yes/no, percentage, number (with its unit or currency) or text."""
    if not answer:
        return "empty"
    if normalised(answer) in ("yes", "no"):
        return "yes/no"
    number = the_number(answer)
    # A number in a phrase ("from 1986", "Boeing 747") does not make it one.
    if number is None or not number.alone:
        return "text"
    return "percentage" if number.unit.ratio and number.total != number.value else "number"


def percentiles(lengths: list[int]) -> dict[str, int]:
    """Minimum, median, 95th percentile and maximum; each is one of the lengths."""
    values = np.percentile(lengths, list(PERCENTILES.values()), method="lower") if lengths else []
    return {name: int(value) for name, value in zip(PERCENTILES, values, strict=False)}
