"""Models, tokenizers and data sets by name: a folder here, or a repository on the hub or in the hub's local cache.

The hub is asked for one file before a library turns to it, which would try for minutes and then name another fault.
"""

import functools
import json
import os
import queue
import re
import threading
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from qtrain.errors import UserError, nearest_path
from qtrain.progress import console

PATIENCE = 2.0
"""Seconds that the hub has for an answer, unless HF_HUB_ETAG_TIMEOUT gives it others."""

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


class Kind(NamedTuple):
    """What a repository holds.

    Attributes:
        probe: The file that the hub is asked for.
        needed: Whether there is nothing to load without that file.
        weights: Whether weights must be there too.
        type: The hub's word.
    """

    probe: str
    needed: bool = True
    weights: bool = False
    type: str = "model"


MODEL = Kind("config.json", weights=True)
TOKENIZER = Kind("tokenizer.json")
DATA_SET = Kind("README.md", needed=False, type="dataset")


class Place(NamedTuple):
    """Where a repository is to be read.

    Attributes:
        local: From this disk alone.
        why: Why the hub cannot give it, where it is no folder here.
    """

    local: bool
    why: str | None = None


def find_repository(setting: str, name: str, revision: str | None, kind: Kind) -> Place:
    """Find out where to read a repository, within `PATIENCE`.

    Args:
        setting: The key that names it, for the error line.
        name: A folder, or what is nothing on this disk: an id on the hub.
        revision: A branch, tag or commit of the hub's.
        kind: What it is to hold.

    Raises:
        UserError: It is nowhere, or a folder here lacks files. Only the library `datasets` can tell whether its cache
            holds a data set that the hub cannot give.
    """
    where = f"{setting}={name!r}"
    if os.path.lexists(name):
        fault = _fault_of(Path(name), kind)
        if fault is not None:
            raise UserError(f"{where}: {fault}")
        return Place(local=True)
    if not _may_be_an_id(name, kind):
        raise UserError(f"{where}: no such folder here, and no id of the hub, OWNER/NAME{_hint(name)}")
    if constants.HF_HUB_OFFLINE:
        reachable, fault = False, "the hub is not asked (HF_HUB_OFFLINE)"
    else:
        reachable, fault = _answer(name, revision, kind)
    if fault is None:
        return Place(local=False)
    if not reachable and kind is DATA_SET:
        return Place(local=True, why=fault)
    if not reachable and _is_cached(name, revision, kind):
        tell_of_a_copy(where, fault)
        return Place(local=True, why=fault)
    raise UserError(f"{where}: no such folder here, and {fault}{_hint(name)}")


@functools.cache
def tell_of_a_copy(where: str, why: str) -> None:
    """Say once that something comes from the hub's local cache, unless that was asked for."""
    if not constants.HF_HUB_OFFLINE:
        console.print(f"{where}: {why}; taking its local cache's copy", soft_wrap=True)


def _may_be_an_id(name: str, kind: Kind) -> bool:
    """Whether it has the form OWNER/NAME. The oldest data sets have no owner."""
    owned = re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name)
    return owned is not None and (kind is DATA_SET or "/" in name)


def _hint(name: str) -> str:
    near = nearest_path(Path(name))
    return "" if near is None else f"; did you mean {str(near)!r}?"


def _fault_of(folder: Path, kind: Kind) -> str | None:
    """What is wrong with a folder here; None where nothing is."""
    if not folder.is_dir():
        return "is no folder" if folder.exists() else "is a link to nothing"
    if not kind.needed:
        return None
    if (folder / "result.json").exists() and (folder / "metrics.jsonl").exists():
        return "is a run folder; `qtrain export` makes a model of it"
    if not (folder / kind.probe).is_file():
        return f"the folder has no {kind.probe}"
    return _fault_of_weights(folder) if kind.weights else None


def _fault_of_weights(folder: Path) -> str | None:
    if (folder / WEIGHTS).exists():
        return None
    if not (folder / INDEX).exists():
        pickled = (folder / "pytorch_model.bin").exists()
        return f"the folder has no {WEIGHTS}{', and pickled weights are not read' if pickled else ''}"
    try:
        shards = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{INDEX} is damaged"
    missing = sorted(str(shard) for shard in shards if not (folder / str(shard)).exists())
    return f"the folder has no {missing[0]}, which {INDEX} names" if missing else None


def _is_cached(name: str, revision: str | None, kind: Kind) -> bool:
    """Whether the hub's local cache has what is needed."""
    probe = try_to_load_from_cache(name, kind.probe, revision=revision)
    return isinstance(probe, str) and _fault_of(Path(probe).parent, kind) is None


def _answer(name: str, revision: str | None, kind: Kind) -> tuple[bool, str | None]:
    """Ask the hub. Returns whether it answered, and what is wrong; None where nothing is."""
    patience = float(constants.HF_HUB_ETAG_TIMEOUT if "HF_HUB_ETAG_TIMEOUT" in os.environ else PATIENCE)
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            url = hf_hub_url(name, kind.probe, repo_type=kind.type, revision=revision)
            get_hf_file_metadata(url, timeout=2 * patience)  # ours ends first, with our words
            answers.put(None)
        except Exception as error:
            answers.put(error)

    # A thread, as no time limit of the library bounds the look-up of the hub's address.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return _in_words(answers.get(timeout=patience), revision, kind)
    except queue.Empty:
        waits = f"no answer within {patience:g} s; HF_HUB_ETAG_TIMEOUT=SECONDS gives it more"
        return False, f"the hub cannot be reached ({waits})"


def _in_words(error: Exception | None, revision: str | None, kind: Kind) -> tuple[bool, str | None]:
    if error is None or (isinstance(error, EntryNotFoundError) and not kind.needed):
        return True, None
    if isinstance(error, EntryNotFoundError):
        return True, f"the hub's repository has no {kind.probe}"
    if isinstance(error, GatedRepoError):
        return True, "the hub's repository is open to those alone who accepted its terms there (`hf auth login`)"
    if isinstance(error, RevisionNotFoundError):
        return True, f"the hub's repository has no revision {revision!r}"
    if isinstance(error, RepositoryNotFoundError):
        return True, "the hub has no such repository (a private one needs `hf auth login`)"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status in {401, 403, 404}:
            return True, f"the hub has no such repository or revision, or not for you (status {status})"
        return False, f"the hub cannot be reached (it answers with status {status})"
    reason = re.sub(r"^\[Errno -?\d+\] ", "", " ".join(str(error).split()))[:200] or type(error).__name__
    return False, f"the hub cannot be reached ({reason})"
