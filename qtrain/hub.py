"""Find models, tokenizers and data sets by name: a local folder, a repository on the hub, or its local cache.

The hub is asked for one file first: a library would retry for minutes, and then report another error.
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
"""Seconds to wait for the hub's answer, unless HF_HUB_ETAG_TIMEOUT is set."""

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


class Kind(NamedTuple):
    """A kind of repository.

    Attributes:
        probe: The file that the hub is asked for.
        needed: Whether the repository is useless without that file.
        weights: Whether it must contain weights too.
        type: The hub's `repo_type`.
    """

    probe: str
    needed: bool = True
    weights: bool = False
    type: str = "model"


MODEL = Kind("config.json", weights=True)
TOKENIZER = Kind("tokenizer.json")
DATA_SET = Kind("README.md", needed=False, type="dataset")


class Place(NamedTuple):
    """The source of a repository.

    Attributes:
        local: Whether to read it from this disk only.
        why: Why the hub cannot be used, if it is not a local folder.
    """

    local: bool
    why: str | None = None


def find_repository(setting: str, name: str, revision: str | None, kind: Kind) -> Place:
    """Decide where to read a repository from, within `PATIENCE` seconds.

    Args:
        setting: The key that names the repository, for the error line.
        name: A local folder, or an id on the hub if no such path exists.
        revision: A branch, tag or commit on the hub.
        kind: The kind of repository.

    Raises:
        UserError: The repository does not exist, or a local folder lacks files. Data sets that the hub does not
            provide raise no error here, because only the library `datasets` knows its cache.
    """
    value = f"{setting}={name!r}"
    if os.path.lexists(name):
        fault = _fault_of(Path(name), kind)
        if fault is not None:
            raise UserError(f"{value}: {fault}")
        return Place(local=True)
    if not _may_be_an_id(name, kind):
        raise UserError(f"{value}: no such folder here, and no id of the hub, OWNER/NAME{_hint(name)}")
    if constants.HF_HUB_OFFLINE:
        reachable, fault = False, "the hub is not asked (HF_HUB_OFFLINE)"
    else:
        reachable, fault = _answer(name, revision, kind)
    if fault is None:
        return Place(local=False)
    if not reachable and kind is DATA_SET:
        return Place(local=True, why=fault)
    if not reachable and _is_cached(name, revision, kind):
        tell_of_a_copy(value, fault)
        return Place(local=True, why=fault)
    raise UserError(f"{value}: no such folder here, and {fault}{_hint(name)}")


@functools.cache
def tell_of_a_copy(value: str, why: str) -> None:
    """Report once that the hub's local cache is used, unless offline mode was requested."""
    if not constants.HF_HUB_OFFLINE:
        console.print(f"{value}: {why}; taking its local cache's copy", soft_wrap=True)


def _may_be_an_id(name: str, kind: Kind) -> bool:
    """Whether a name has the form OWNER/NAME. The oldest data sets have no owner."""
    match = re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name)
    return match is not None and (kind is DATA_SET or "/" in name)


def _hint(name: str) -> str:
    near = nearest_path(Path(name))
    return "" if near is None else f"; did you mean {str(near)!r}?"


def _fault_of(folder: Path, kind: Kind) -> str | None:
    """The fault of a local folder, None if it has no fault."""
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
    """Whether the hub's local cache has the needed files."""
    probe = try_to_load_from_cache(name, kind.probe, revision=revision)
    return isinstance(probe, str) and _fault_of(Path(probe).parent, kind) is None


def _answer(name: str, revision: str | None, kind: Kind) -> tuple[bool, str | None]:
    """Ask the hub. Returns whether it answered, and the fault, None if there is no fault."""
    patience = float(constants.HF_HUB_ETAG_TIMEOUT if "HF_HUB_ETAG_TIMEOUT" in os.environ else PATIENCE)
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            url = hf_hub_url(name, kind.probe, repo_type=kind.type, revision=revision)
            get_hf_file_metadata(url, timeout=2 * patience)  # longer than the wait below, whose message is clearer
            answers.put(None)
        except Exception as error:
            answers.put(error)

    # A thread, because no time limit of the library covers the DNS look-up.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return _describe(answers.get(timeout=patience), revision, kind)
    except queue.Empty:
        waits = f"no answer within {patience:g} s; HF_HUB_ETAG_TIMEOUT=SECONDS gives it more"
        return False, f"the hub cannot be reached ({waits})"


def _describe(error: Exception | None, revision: str | None, kind: Kind) -> tuple[bool, str | None]:
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
