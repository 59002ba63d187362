"""Questions over a given text: FinQA, HotPotQA, MuSiQue or your own pairs, from files or from the hub.

prompt  context and question, cold or warm (`qtrain.tasks.prompts`), <think>   answer  the gold answer
"""

from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from qtrain.data import data_set
from qtrain.data.hub import HubSource
from qtrain.data.load import Source, file_source, hub_source, is_folder, load
from qtrain.data.records import Split
from qtrain.data.sample import half_of, is_held_out, sub_sample
from qtrain.data.tally import Tally
from qtrain.errors import UserError
from qtrain.scoring import contains
from qtrain.tasks.base import Example
from qtrain.tasks.examples import ExampleMaker
from qtrain.tasks.qa_config import QAConfig
from qtrain.tasks.tokenizer import load_tokenizer


class QATask:
    """The task over an official split, a single file, or the hub.

    Attributes:
        tallies: What became of the records, by the name of the file or split they came from.
    """

    def __init__(self, config: QAConfig, data: Path | None) -> None:
        """Read the records.

        Args:
            config: The table `[task]`.
            data: A folder with the official files (training and `held_out_split`), or one file in the official
                or the hub's layout. Of one file, 1 page in 8 is held out by a hash (of the id, where the data set
                has no pages), so that all questions about a page lie on the same side. None reads the hub.

        Raises:
            UserError: A source is missing or not what it should be, or one side has no records.
        """
        self.config, self.data_set = config, data_set(config.name)
        self.tokenizer = load_tokenizer(config.tokenizer, config.tokenizer_revision)
        self.tallies: dict[str, Tally] = {}
        maker = ExampleMaker(config, self.tokenizer)
        if data is None or is_folder(data):
            train = self._examples(maker, self._split("train", data))
            held_out = self._examples(maker, self._split(config.held_out_split, data))
        else:
            pages = self._examples(maker, file_source(data))
            train = [(page, example) for page, example in pages if not is_held_out(page)]
            held_out = [(page, example) for page, example in pages if is_held_out(page)]
        if config.held_out_half is not None:
            held_out = [(page, example) for page, example in held_out if half_of(page) == config.held_out_half]
        where = str(data or config.hub)
        shared = {example.id for _, example in train} & {example.id for _, example in held_out}
        if shared:
            raise UserError(f"{where}: record {min(shared)!r} is in both splits; each must have records of its own")
        # Two streams of randomness, so that the size of one side does not move the other.
        self._train, self._held_out = (
            self._side([example for _, example in some], size, seed, side, where)
            for seed, (side, some, size) in enumerate(
                [("train", train, config.train_size), ("held_out", held_out, config.held_out_size)]
            )
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
        raise UserError(f"task {self.config.name!r} has no demonstrations to pre-train on; set pretrain.steps=0")

    def success(self, example: Example, answer: str) -> bool:
        """The paper's rule: y* without its prefix is a substring of the answer (see `qtrain.scoring.contains`)."""
        return contains(answer, example.answer.removeprefix(self.config.answer_prefix))

    def official_scores(self, example: Example, answer: str) -> dict[str, float]:
        """The data set's official scores: `em` and `f1`, or FinQA's `numeric` and `numeric_official`."""
        gold = example.answer.removeprefix(self.config.answer_prefix)
        return self.data_set.scores(answer, (gold, *example.aliases))

    def record_ids(self) -> dict[str, list[str]]:
        """Ids of the records in use, `train` and `held_out`, in the file's order."""
        return {
            "train": [example.id for example in self._train],
            "held_out": [example.id for example in self._held_out],
        }

    def data_log(self) -> dict[str, Any]:
        """What the filters did, counts by source; how many records each side uses, and their ids."""
        ids = self.record_ids()
        return {
            "sources": {name: tally.as_table() for name, tally in self.tallies.items()},
            "used": {side: len(some) for side, some in ids.items()},
            "ids": ids,
        }

    def data_lines(self) -> list[str]:
        """One line a source and one for what is used."""
        used = ", ".join(f"{len(ids)} {side}" for side, ids in self.record_ids().items())
        return [*(f"{name}: {tally}" for name, tally in self.tallies.items()), f"used: {used}"]

    def _split(self, split: Split, folder: Path | None) -> Source:
        if folder is not None:
            if split not in self.data_set.files:
                valid = ", ".join(self.data_set.files)
                raise UserError(f"task.held_out_split={split!r}: {self.data_set.title} publishes answers for {valid}")
            return file_source(folder / self.data_set.files[split])
        if self.config.hub is None:
            raise UserError(f"task {self.config.name!r} reads records: add data=PATH (a file or its folder)")
        return hub_source(HubSource(self.config.hub, self.config.hub_subset, self.config.hub_revision), split)

    def _examples(self, maker: ExampleMaker, source: Source) -> list[tuple[str, Example]]:
        """The source's examples, each with what must stay on one side of a split."""
        tally = self.tallies[source.name] = Tally()
        examples = []
        for record in load(source, self.data_set, tally, self.config.on_bad_record):
            made = maker.make(record)
            tally.note(made.reason, cut=made.cut)
            if made.example is not None:
                examples.append((record.page or record.id, made.example))
        return examples

    def _side(self, examples: list[Example], size: int | None, seed: int, side: str, where: str) -> list[Example]:
        if not examples:
            why = "; ".join(map(str, self.tallies.values()))
            raise UserError(f"{where}: no {side.replace('_', '-')} records ({why}); give more records, or another file")
        rng = np.random.default_rng([self.config.split_seed, seed])
        return sub_sample(examples, size, rng, f"task.{side}_size")
