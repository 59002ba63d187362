"""Implement `qtrain data check` and `qtrain data show`: count a file's records, and print its examples."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from qtheory.command.console import TextConsole
from qtrain.errors import UserError
from qtrain.scoring.number import parse_number
from qtrain.scoring.spans import normalised
from qtrain.tasks import task_config
from qtrain.tasks.data_sets import data_set
from qtrain.tasks.delimiters import Delimiters, closer_tokens
from qtrain.tasks.examples import Draft, ExampleBuilder
from qtrain.tasks.limits import NO_LIMITS, RowLimits
from qtrain.tasks.load import OnBadRecord, Source, is_folder, load, path_source, split_source
from qtrain.tasks.prompts import Variant
from qtrain.tasks.qa_config import QAConfig
from qtrain.tasks.records import SHOWN, DataSet, LoadStats, Split
from qtrain.tasks.tokenizer import load_tokenizer

PERCENTILES = {"min": 0, "median": 50, "p95": 95, "max": 100}


@dataclass
class Findings:
    """Statistics of a file, collected by `check_file`.

    Attributes:
        stats: Counts of records: kept, dropped, malformed.
        answer_types: Counts of well-formed records by `answer_type`.
        question_types: Counts of well-formed records by the data set's own types of questions, if it has any.
        prompt_tokens: Length of each well-formed record's prompt, before any cut.
        answer_tokens: Length of each y*, END included.
    """

    stats: LoadStats = field(default_factory=LoadStats)
    answer_types: Counter[str] = field(default_factory=Counter)
    question_types: Counter[str] = field(default_factory=Counter)
    prompt_tokens: list[int] = field(default_factory=list)
    answer_tokens: list[int] = field(default_factory=list)

    def note(self, builder: ExampleBuilder, draft: Draft, limits: RowLimits) -> None:
        """Build a record's example and count what became of it."""
        built, record = builder.build(draft, limits), draft.record
        self.stats.note(built.reason, cut=built.cut, unreachable=built.unreachable)
        self.answer_types[answer_type(record.answer)] += 1
        if record.kind:
            self.question_types[record.kind] += 1
        self.prompt_tokens.append(built.prompt_tokens)
        self.answer_tokens.append(built.answer_tokens)

    def as_table(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            **self.stats.as_table(),
            "answer_types": dict(self.answer_types.most_common()),
            "question_types": dict(self.question_types.most_common()),
            "prompt_tokens": percentiles(self.prompt_tokens),
            "answer_tokens": percentiles(self.answer_tokens),
        }


def check_file(path: Path, config: QAConfig) -> Findings:
    """Read a whole file as training would, and collect statistics.

    Args:
        path: A file in the official or the hub's layout; for pairs also a folder.
        config: The data set, the form of its prompts, the filters, and the treatment of malformed records.

    Raises:
        UserError: The file cannot be read, or is not in the data set's layout.
    """
    records, findings = config.data_set(), Findings()
    builder = ExampleBuilder(config, load_tokenizer(config.tokenizer, config.tokenizer_revision))
    for record in load(path_source(path, records), records, findings.stats, config.on_bad_record):
        findings.note(builder, builder.draft(record), NO_LIMITS)
    return findings


def check_sources(
    config: QAConfig, sources: Sequence[Source], limits: RowLimits, think: Delimiters
) -> tuple[dict[str, Findings], RowLimits]:
    """Read all records of a run as training would, with its token budgets, and collect statistics.

    Args:
        config: The table `[task]`, whose tokenizer counts the tokens.
        sources: From `qtrain.tasks.qa.record_sources`.
        limits: Limits on a row, with budgets of 0 where they are to be chosen.
        think: The delimiters of a rationale.

    Returns:
        The findings by source, and the limits with chosen budgets.

    Raises:
        UserError: A source cannot be read, or is not in the data set's layout.
    """
    builder = ExampleBuilder(config, load_tokenizer(config.tokenizer, config.tokenizer_revision), think)
    limits = limits._replace(closer_tokens=len(closer_tokens(builder.tokenizer, think)))
    findings = {source.name: Findings() for source in sources}
    drafts = {
        source.name: [
            builder.draft(record)
            for record in load(source, config.data_set(), findings[source.name].stats, config.on_bad_record)
        ]
        for source in sources
    }
    usable = [draft.answer_tokens for of_source in drafts.values() for draft in of_source if not draft.reason]
    limits = limits.resolved(max(usable, default=1))
    for name, of_source in drafts.items():
        for draft in of_source:
            findings[name].note(builder, draft, limits)
    return findings, limits


def answer_type(answer: str) -> str:
    """Classify an answer as empty, yes/no, percentage, number (perhaps with a unit or currency) or text."""
    if not answer:
        return "empty"
    if normalised(answer) in ("yes", "no"):
        return "yes/no"
    number = parse_number(answer)
    # A phrase that contains a number ("from 1986", "Boeing 747") is text.
    if number is None or not number.alone:
        return "text"
    return "percentage" if number.unit.ratio and number.total != number.value else "number"


def percentiles(lengths: list[int]) -> dict[str, int]:
    """Minimum, median, 95th percentile and maximum; each is one of the lengths."""
    values = np.percentile(lengths, list(PERCENTILES.values()), method="lower") if lengths else []
    return {name: int(value) for name, value in zip(PERCENTILES, values, strict=False)}


out_console = TextConsole(soft_wrap=True)

UNLIMITED = 10**9
"""A prompt length, in tokens, that no prompt exceeds."""

EXCERPT = 400
"""Characters that are shown of each end of a long prompt."""


def check_command(
    name: str,
    path: Path,
    *,
    variant: Variant = "cold",
    tokenizer: Path | None = None,
    max_prompt_tokens: int | None = None,
    max_answer_tokens: int | None = None,
    on_bad_record: OnBadRecord = "skip",
    columns: dict[str, str | None] | None = None,
    as_json: bool = False,
) -> None:
    """Check a file and print its statistics.

    Args:
        name: The data set.
        path: A file in the official or the hub's layout.
        variant: Form of the prompts whose lengths are counted.
        tokenizer: Folder of a pretrained tokenizer; by default each byte is a token.
        max_prompt_tokens: The task's setting; None takes its default.
        max_answer_tokens: The task's setting; None takes its default.
        on_bad_record: skip counts malformed records; fail stops at the first.
        columns: The settings `prompt`, `answer` and `extract` of pairs; None takes their defaults.
        as_json: Print one JSON object.

    Raises:
        UserError: The file cannot be read, is not in the data set's layout, or a setting is out of range.
    """
    config = _config(
        name,
        variant=variant,
        tokenizer=tokenizer,
        max_prompt_tokens=max_prompt_tokens,
        max_answer_tokens=max_answer_tokens,
        on_bad_record=on_bad_record,
        **(columns or {}),
    )
    findings = check_file(path, config)
    if as_json:
        table = {"data_set": name, "path": str(path), "settings": config.model_dump(mode="json"), **findings.as_table()}
        out_console.out(json.dumps(table), highlight=False)
        return
    out_console.print(printable(f"{data_set(name).title}: {path}"))
    for line in finding_lines(findings, config):
        out_console.print(printable(line))


def show_command(
    name: str,
    *,
    path: Path | None = None,
    split: Split = "dev",
    n: int = 3,
    variant: Variant | None = None,
    tokenizer: Path | None = None,
    max_prompt_tokens: int | None = None,
    columns: dict[str, str | None] | None = None,
    full: bool = False,
) -> None:
    """Print the first examples of a split as a model sees them.

    Args:
        name: The data set.
        path: A file, or the folder of the official files; by default data/NAME.
        split: The official file to read, if `path` is a folder.
        n: Number of examples.
        variant: cold or warm; None shows both.
        tokenizer: Folder of a pretrained tokenizer, whose chat template the warm prompt then uses.
        max_prompt_tokens: The task's setting; None does not cut prompts.
        columns: The settings `prompt`, `answer` and `extract` of pairs; None takes their defaults.
        full: Show long prompts whole, instead of their beginnings and ends.

    Raises:
        UserError: The file cannot be read, is not in the data set's layout, or a setting is out of range.
    """
    if n < 1:
        raise UserError(f"--n {n}: at least 1 is needed")
    folder = path or Path("data") / data_set(name).name
    if path is None and not is_folder(folder):
        raise UserError(f"{folder}: no such folder; give --path FILE, or the folder of the official files")
    variants: tuple[Variant, ...] = ("cold", "warm") if variant is None else (variant,)
    loaded = load_tokenizer(tokenizer)
    limit = UNLIMITED if max_prompt_tokens is None else max_prompt_tokens
    builders = [
        ExampleBuilder(
            _config(name, variant=kind, tokenizer=tokenizer, max_prompt_tokens=limit, **(columns or {})), loaded
        )
        for kind in variants
    ]
    records = builders[0].config.data_set()
    source = _source(records, folder, split)
    shown = 0
    for record in load(source, records, LoadStats(), "skip"):
        results = [builder.build(builder.draft(record), NO_LIMITS) for builder in builders]
        for builder, built in zip(builders, results, strict=True):
            if built.example is not None:
                prompt = built.example.prompt if full else _excerpt(built.example.prompt)
                out_console.rule(f"{printable(record.id)}  {builder.config.variant}", align="left")
                out_console.print(printable(prompt))
                out_console.print(printable(f"y*: {built.example.answer}"))
                out_console.print(f"{built.prompt_tokens} prompt tokens, {built.answer_tokens} answer tokens")
        shown += any(built.example is not None for built in results)
        if shown == n:
            return


def printable(text: str) -> str:
    """Replace control characters other than line breaks, so that a record cannot change the terminal's state."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _config(name: str, **settings: object) -> QAConfig:
    data_set(name)
    given = {key: value for key, value in settings.items() if value is not None}
    try:
        config = task_config({"name": name, **given})
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + "-".join(map(str, first["loc"])).replace("_", "-")
        if first["type"] == "extra_forbidden":
            raise UserError(f"{option} {first['input']}: is for pairs; {name} has a fixed layout") from None
        raise UserError(f"{option} {first['input']}: {first['msg'].removeprefix('Value error, ')}") from None
    assert isinstance(config, QAConfig)
    return config


def _source(records: DataSet, path: Path, split: Split) -> Source:
    """The rows to show: those of `path` itself, or if it is a folder those of the split in it."""
    if not is_folder(path):
        return path_source(path, records)
    if split not in records.files:
        raise UserError(f"--split {split}: {records.title} publishes answers for {', '.join(records.files)}")
    return split_source(path, split, records)


def finding_lines(findings: Findings, config: QAConfig) -> list[str]:
    """Format the findings as lines of two columns."""
    table, stats = findings.as_table(), findings.stats
    lines = [f"{'records':<16} {stats.records}", f"{'kept':<16} {stats.kept}"]
    lines.append(f"{'  cut to fit':<16} {stats.cut}   (longer than {config.max_prompt_tokens} tokens)")
    for name in ("dropped", "malformed"):
        lines.append(f"{name:<16} {sum(table[name].values())}")
        lines += [f"  {reason}: {count}" for reason, count in table[name].items()]
    lines += [f"  {where}" for where in table["malformed_records"][:SHOWN]]
    if stats.malformed.total() > SHOWN:
        lines.append(f"  ... and {stats.malformed.total() - SHOWN} more; --json lists all")
    for name in ("answer_types", "question_types", "prompt_tokens", "answer_tokens"):
        if table[name]:
            pairs = ", ".join(f"{key} {value}" for key, value in table[name].items())
            lines.append(f"{name.replace('_', ' '):<16} {pairs}")
    return lines


def _excerpt(prompt: str) -> str:
    if len(prompt) <= 3 * EXCERPT:
        return prompt
    return f"{prompt[:EXCERPT]}\n... [{len(prompt) - 2 * EXCERPT} characters] ...\n{prompt[-EXCERPT:]}"
