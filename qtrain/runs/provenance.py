"""Compute fingerprints of a run's records, tokenizer and base weights, and detect changes.

A fingerprint is a short hash. Every checkpoint and the result contain the run's fingerprints. If they have changed,
resuming, evaluating and exporting are refused unless changes are allowed.
"""

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from qtrain.errors import UserError
from qtrain.policy.base import short_hash

TOKENIZER, BASE = "tokenizer", "base"
RECORDS = ("train", "held_out")
"""Keys of the fingerprints; changes in RECORDS are described record by record."""


def fingerprints(data: dict[str, Any], tokenizer: PreTrainedTokenizerFast, base: str) -> dict[str, str]:
    """The fingerprints of a run.

    Args:
        data: From `Task.dataset_report`; a task without records has no fingerprints of records.
        tokenizer: The task's tokenizer.
        base: From `base_fingerprint`.
    """
    hashes = data.get("hashes", {})
    return {
        **{side: short_hash(json.dumps(hashes[side])) for side in RECORDS if side in hashes},
        TOKENIZER: short_hash(tokenizer.backend_tokenizer.to_str(), str(tokenizer.chat_template)),
        BASE: base,
    }


def check_unchanged(
    run: Path,
    before: dict[str, str],
    now: dict[str, str],
    data_before: dict[str, Any] | None = None,
    data_now: dict[str, Any] | None = None,
) -> None:
    """Refuse inputs that differ from those of the run.

    Args:
        run: The run folder.
        before: The run's fingerprints; only keys that occur in both are compared.
        now: The present fingerprints.
        data_before: The run's report on its records.
        data_now: The present report on the records.

    Raises:
        UserError: One line naming the changes.
    """
    changed = [key for key in before if key in now and before[key] != now[key]]
    if changed:
        changes = [_difference(key, data_before or {}, data_now or {}) for key in changed]
        raise UserError(
            f"{run}: was made from something else: {'; '.join(changes)}; bring back what it was made from, or add "
            f"--allow-changes"
        )


def _difference(key: str, before: dict[str, Any], now: dict[str, Any]) -> str:
    """Describe a change."""
    if key not in RECORDS:
        return {TOKENIZER: "the tokenizer is another", BASE: "the base's weights are others"}[key]
    old, new = (
        dict(zip(data.get("ids", {}).get(key, []), data.get("hashes", {}).get(key, []), strict=False))
        for data in (before, now)
    )
    gone, added = [name for name in old if name not in new], [name for name in new if name not in old]
    changed = [name for name in old if name in new and old[name] != new[name]]
    counts = {"gone": gone, "new": added, "changed": changed}
    parts = [f"{len(names)} {label} (first: {names[0]!r})" for label, names in counts.items() if names]
    return f"of {len(old)} {key.replace('_', '-')} records {', '.join(parts) or 'the order has changed'}"
