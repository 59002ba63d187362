"""The task on question records: FinQA, HotPotQA, MuSiQue or your own pairs, from files or from the hub.

prompt  context and question, cold or warm (`qtrain.tasks.prompts`), opener   answer  the gold answer
"""

from pathlib import Path
from typing import Any

import numpy as np

from qtrain.errors import UserError
from qtrain.scoring import contains
from qtrain.tasks.base import Example, Task
from qtrain.tasks.delimiters import DEFAULT_DELIMITERS, Delimiters, closer_tokens
from qtrain.tasks.examples import Draft, ExampleBuilder
from qtrain.tasks.limits import NO_LIMITS, RowLimits
from qtrain.tasks.load import HubSource, Source, file_source, hub_source, is_folder, load, split_source
from qtrain.tasks.qa_config import QAConfig
from qtrain.tasks.records import LoadStats, Split
from qtrain.tasks.splits import half_of, is_held_out, sub_sample
from qtrain.tasks.tokenizer import load_tokenizer


def record_sources(config: QAConfig, data: Path | None) -> list[Source]:
    """Find the records of a configuration: the training and the held-out split, or a single file with both.

    Args:
        config: The table `[task]`.
        data: A folder with the official files or a single file; None names the hub.

    Raises:
        UserError: The data set publishes no such split, or no source is named.
    """
    if data is None or is_folder(data):
        return [_split_source(config, "train", data), _split_source(config, config.held_out_split, data)]
    return [file_source(data)]


def _split_source(config: QAConfig, split: Split, folder: Path | None) -> Source:
    if folder is not None:
        records = config.data_set()
        if split not in records.files:
            valid = ", ".join(records.files)
            raise UserError(f"task.held_out_split={split!r}: {records.title} publishes answers for {valid}")
        return split_source(folder, split, records)
    if config.hub is None:
        raise UserError(f"task {config.name!r} reads records: add data=PATH (a file or its folder)")
    return hub_source(HubSource(config.hub, config.hub_subset, config.hub_revision), split)


class QATask(Task):
    """Questions with a context, read from the official files, from a single file or from the hub.

    Attributes:
        load_stats: Counts of loaded records, by the name of their file or split.
        limits: Limits that every row fits into, with resolved budgets.
        longest_answer: Length in tokens, END included, of the longest y* among the records that no other filter drops.
    """

    def __init__(
        self, config: QAConfig, data: Path | None, limits: RowLimits = NO_LIMITS, think: Delimiters = DEFAULT_DELIMITERS
    ) -> None:
        """Read the records.

        Args:
            config: The table `[task]`.
            data: A folder with the official files (training and `held_out_split`; for pairs, files of any format), or
                a single file in the official or the hub's layout. 1 page in 8 of a single file is held out, chosen by
                a hash of its name (of the record's id, if the data set has no pages), so that all questions about a
                page are on the same side. None reads the hub.
            limits: Limits on a row. Budgets of 0 are chosen from the records; the attribute `limits` has the result.
            think: The delimiters of a rationale.

        Raises:
            UserError: A source is missing or in a wrong format, or one side has no records.
        """
        self.config, self.data_set = config, config.data_set()
        self.tokenizer, self.think = load_tokenizer(config.tokenizer, config.tokenizer_revision, think), think
        self.load_stats: dict[str, LoadStats] = {}
        builder = ExampleBuilder(config, self.tokenizer, think)
        sources = record_sources(config, data)
        drafts = [self._drafts(builder, source) for source in sources]
        usable = [draft.answer_tokens for source_drafts in drafts for draft in source_drafts if not draft.reason]
        self.longest_answer = max(usable, default=1)
        limits = limits._replace(closer_tokens=len(closer_tokens(self.tokenizer, think)))
        self.limits = limits.resolved(self.longest_answer)
        examples = [self._examples(builder, *pair) for pair in zip(sources, drafts, strict=True)]
        del drafts  # frees the contexts as they were before the cut
        if len(examples) == 2:
            train, held_out = examples
        else:
            train = [(page, example) for page, example in examples[0] if not is_held_out(page)]
            held_out = [(page, example) for page, example in examples[0] if is_held_out(page)]
        if config.held_out_half is not None:
            held_out = [(page, example) for page, example in held_out if half_of(page) == config.held_out_half]
        where = str(data or config.hub)
        self._check_apart(train, held_out, where)
        # Each side has a random stream for itself, so that the size of one does not change the sample of the other.
        self._train, self._held_out = (
            self._side([example for _, example in side_examples], size, seed, side, where)
            for seed, (side, side_examples, size) in enumerate(
                [("train", train, config.train_size), ("held_out", held_out, config.held_out_size)]
            )
        )

    def batch(self, n: int, rng: np.random.Generator) -> list[Example]:
        """Draw n training examples, independent and uniform, with replacement."""
        return [self._train[index] for index in rng.integers(len(self._train), size=n)]

    def held_out(self, n: int) -> list[Example]:
        """The first n held-out examples in the file's order, or all of them if there are fewer."""
        return self._held_out[:n]

    def success(self, example: Example, answer: str) -> bool:
        """The paper's rule: y* without its prefix is a substring of the answer (see `qtrain.scoring.contains`)."""
        gold = self._gold(example)
        return contains(answer, gold) or contains(answer, self._as_decoded(gold))

    def dataset_metrics(self, example: Example, answer: str) -> dict[str, float]:
        """The data set's official scores: `em` and `f1`, or FinQA's `numeric` and `numeric_official`."""
        golds = (self._gold(example), *example.aliases)
        spellings = dict.fromkeys([golds, tuple(map(self._as_decoded, golds))])
        scores = [self.data_set.scores(answer, golds) for golds in spellings]
        return {name: max(score[name] for score in scores) for name in scores[0]}

    def gold_answers(self, example: Example) -> tuple[str, ...]:
        """The gold answer without `task.answer_prefix`, its aliases, and their spellings by the tokenizer."""
        golds = (self._gold(example), *example.aliases)
        return tuple(dict.fromkeys([*golds, *map(self._as_decoded, golds)]))

    def answer_text(self, answer: str) -> str:
        """A sampled answer without `task.answer_prefix`."""
        return answer.removeprefix(self.config.answer_prefix)

    def _gold(self, example: Example) -> str:
        return example.answer.removeprefix(self.config.answer_prefix)

    def _as_decoded(self, text: str) -> str:
        """Encode and decode a text: a model can only write texts as its tokenizer decodes them (in lower case, say)."""
        tokens = self.tokenizer.encode(text, add_special_tokens=False)
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def record_ids(self) -> dict[str, list[str]]:
        """Ids of the records in use on the sides `train` and `held_out`, in the file's order."""
        return {side: [example.id for example in examples] for side, examples in self._sides().items()}

    def dataset_report(self) -> dict[str, Any]:
        """Counts of the filters by source, and the number, ids and hashes of the records that each side uses."""
        sides = self._sides()
        return {
            "sources": {name: stats.as_table() for name, stats in self.load_stats.items()},
            "used": {side: len(examples) for side, examples in sides.items()},
            "ids": self.record_ids(),
            "hashes": {side: [example.digest() for example in examples] for side, examples in sides.items()},
        }

    def dataset_lines(self) -> list[str]:
        """A line for each source, a line for the records in use, and a warning for answers that cannot be sampled."""
        lines = [f"{name}: {stats}" for name, stats in self.load_stats.items()]
        lines.append("used: " + ", ".join(f"{len(examples)} {side}" for side, examples in self._sides().items()))
        unreachable = sum(stats.unreachable for stats in self.load_stats.values())
        if unreachable:
            fate = "trained on all the same" if self.config.long_answers == "keep" else "left out"
            lines.append(
                f"warning: {unreachable} answers are longer than rollout.answer_budget={self.limits.answer_budget} and "
                f"can never be sampled ({fate}, see task.long_answers); the longest has {self.longest_answer} tokens"
            )
        return lines

    def _sides(self) -> dict[str, list[Example]]:
        return {"train": self._train, "held_out": self._held_out}

    def _drafts(self, builder: ExampleBuilder, source: Source) -> list[Draft]:
        """Load a source's records and measure their answers."""
        stats = self.load_stats[source.name] = LoadStats()
        return [builder.draft(record) for record in load(source, self.data_set, stats, self.config.on_bad_record)]

    def _examples(self, builder: ExampleBuilder, source: Source, drafts: list[Draft]) -> list[tuple[str, Example]]:
        """Build a source's examples, each with the page (or id) that must stay on one side of a split."""
        stats, examples = self.load_stats[source.name], []
        for draft in drafts:
            built = builder.build(draft, self.limits)
            if builder.refuses(built.reason):
                raise UserError(
                    f"{source.name}: record {draft.record.id!r}: {built.reason} ({built.prompt_tokens} prompt and "
                    f"{built.answer_tokens} answer tokens); shorten it, or leave such records out: "
                    f"task.long_prompts=drop, task.long_answers=drop"
                )
            stats.note(built.reason, cut=built.cut, unreachable=built.unreachable)
            if built.example is not None:
                examples.append((draft.record.page or draft.record.id, built.example))
        return examples

    def _check_apart(self, train: list[tuple[str, Example]], held_out: list[tuple[str, Example]], where: str) -> None:
        """Refuse records that are in both splits.

        Raises:
            UserError: The message names the first such record.
        """
        shared = {example.id for _, example in train} & {example.id for _, example in held_out}
        if self.data_set.by_question:
            shared |= {page for page, _ in train} & {page for page, _ in held_out}
        if shared:
            raise UserError(f"{where}: record {min(shared)!r} is in both splits; each must have records of its own")

    def _side(self, examples: list[Example], size: int | None, seed: int, side: str, where: str) -> list[Example]:
        if not examples:
            counts = "; ".join(map(str, self.load_stats.values()))
            remedy = "give more records, or another file"
            if any(stats.unreachable for stats in self.load_stats.values()):
                remedy = f"the longest answer has {self.longest_answer} tokens: raise rollout.answer_budget"
            raise UserError(f"{where}: no {side.replace('_', '-')} records ({counts}); {remedy}")
        rng = np.random.default_rng([self.config.split_seed, seed])
        return sub_sample(examples, size, rng, f"task.{side}_size")
