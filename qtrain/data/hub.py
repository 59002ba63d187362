"""Rows of a data set on the Hugging Face hub, through `datasets`, which runs no code of the repository."""

from collections.abc import Iterator
from dataclasses import dataclass

from qtrain.data.records import Split
from qtrain.data.rows import Row
from qtrain.errors import UserError

SPLITS: dict[Split, str] = {"train": "train", "dev": "validation", "test": "test"}
"""The hub's name of each split."""


@dataclass(frozen=True)
class HubSource:
    """Where on the hub.

    Attributes:
        id: Repository of the data set, OWNER/NAME, or a local folder that `datasets` can read.
        subset: Its configuration ("distractor"), where it has several.
        revision: A branch, tag or commit.
    """

    id: str
    subset: str | None = None
    revision: str | None = None

    def rows(self, split: Split) -> Iterator[Row]:
        """Download a split, or find it in the library's cache, and read it row by row.

        Raises:
            UserError: One line: it cannot be reached, or is not what was asked for.
        """
        # The import takes seconds, and reading files does not need it.
        from datasets import load_dataset

        try:
            rows = load_dataset(self.id, self.subset, split=SPLITS[split], revision=self.revision)
        except Exception as error:  # the library and its backends raise classes of their own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(
                f"task.hub={self.id!r}, split {SPLITS[split]!r}: cannot be loaded: {reason[:300]}; "
                f"give the official files by data=PATH instead"
            ) from None
        for index, row in enumerate(rows):
            yield Row(f"row {index} (counted from 0)", row)
