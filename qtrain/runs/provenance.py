"""Fingerprints of what a run is made from: records, tokenizer, base weights; and what has changed since.

A fingerprint is a short hash. Runs keep theirs in every checkpoint and in the result, and refuse to go on, or to be
evaluated or exported, from something else without being told to.
"""

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from qtrain.errors import UserError
from qtrain.policy.base import short_hash

TOKENIZER, BASE = "tokenizer", "base"
RECORDS = ("train", "held_out")
"""Keys of the fingerprints."""


def fingerprints(data: dict[str, Any], tokenizer: PreTrainedTokenizerFast, base: str) -> dict[str, str]:
    """The fingerprints of a run.

    Args:
        data: What `Task.dataset_report` says; without records there are no fingerprints of any.
        tokenizer: The task's.
        base: See `base_fingerprint`.
    """
    hashes = data.get("hashes", {})
    return {
        **{side: short_hash(json.dumps(hashes[side])) for side in RECORDS if side in hashes},
        TOKENIZER: short_hash(tokenizer.backend_tokenizer.to_str(), str(tokenizer.chat_template)),
        BASE: base,
    }


def check_unchanged(
    where: Path,
    before: dict[str, str],
    now: dict[str, str],
    data_before: dict[str, Any] | None = None,
    data_now: dict[str, Any] | None = None,
) -> None:
    """Refuse what is not what a run was made from.

    Args:
        where: The run folder.
        before: Its fingerprints; what they lack is not compared.
        now: Those of what there is.
        data_before: What the run wrote down of its records.
        data_now: The same of the records there are.

    Raises:
        UserError: One line saying what has changed.
    """
    changed = [key for key in before if key in now and before[key] != now[key]]
    if changed:
        what = [_difference(key, data_before or {}, data_now or {}) for key in changed]
        raise UserError(
            f"{where}: was made from something else: {'; '.join(what)}; bring back what it was made from, or add "
            f"--allow-changes"
        )


def _difference(key: str, before: dict[str, Any], now: dict[str, Any]) -> str:
    """What has changed, in words."""
    if key not in RECORDS:
        return {TOKENIZER: "the tokenizer is another", BASE: "the base's weights are others"}[key]
    old, new = (
        dict(zip(data.get("ids", {}).get(key, []), data.get("hashes", {}).get(key, []), strict=False))
        for data in (before, now)
    )
    gone, added = [name for name in old if name not in new], [name for name in new if name not in old]
    changed = [name for name in old if name in new and old[name] != new[name]]
    counts = {"gone": gone, "new": added, "changed": changed}
    parts = [f"{len(names)} {word} (first: {names[0]!r})" for word, names in counts.items() if names]
    return f"of {len(old)} {key.replace('_', '-')} records {', '.join(parts) or 'the order has changed'}"
