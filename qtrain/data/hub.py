"""Rows of a data set on the Hugging Face hub, through `datasets`, which runs no code of the repository."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from qtrain.data.records import Split
from qtrain.data.rows import Row
from qtrain.errors import UserError
from qtrain.repositories import DATA_SET, find_repository, tell_of_a_copy

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
        where = f"task.hub={self.id!r}, split {SPLITS[split]!r}"
        place = find_repository("task.hub", self.id, self.revision, DATA_SET)
        # The import takes seconds, and reading files does not need it.
        from datasets import config as settings
        from datasets import load_dataset

        try:
            with _offline(settings, place.why is not None):
                rows = load_dataset(self.id, self.subset, split=SPLITS[split], revision=self.revision)
        except Exception as error:  # the library and its backends raise classes of their own
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            reason = f"cannot be loaded: {reason}"
            if place.why is not None:
                nothing = isinstance(error, ConnectionError | FileNotFoundError)
                reason = f"no such folder here, and {place.why}; its local cache {'has no copy' if nothing else reason}"
            raise UserError(f"{where}: {reason}; give the official files by data=PATH instead") from None
        if place.why is not None:
            if not self._is_cached_as(rows):
                raise UserError(f"{where}: {place.why}, and its local cache has no copy of revision {self.revision!r}")
            tell_of_a_copy(where, place.why)
        for index, row in enumerate(rows):
            yield Row(f"row {index} (counted from 0)", row)

    def _is_cached_as(self, rows: Any) -> bool:
        """Whether rows from the library's cache, which looks at no revision, are those of the one that is wanted."""
        if self.revision is None:
            return True
        card = try_to_load_from_cache(self.id, DATA_SET.probe, repo_type=DATA_SET.type, revision=self.revision)
        commit = Path(card).parent.name if isinstance(card, str) else self.revision
        return all(Path(file["filename"]).parent.name == commit for file in rows.cache_files)


@contextmanager
def _offline(settings: Any, offline: bool) -> Iterator[None]:
    """Keep `datasets` from waiting for a hub that has just not answered."""
    before = settings.HF_HUB_OFFLINE
    settings.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        settings.HF_HUB_OFFLINE = before
