"""Counts of the records of a file: loaded, filtered out, malformed."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from qtrain.data.records import reason_class
from qtrain.data.rows import BadRecord

SHOWN = 5
"""Reasons, and malformed records, that the terminal shows; JSON has them all."""


@dataclass
class Tally:
    """Counts of records.

    Attributes:
        kept: Those that become examples.
        dropped: Those that a filter left out, by reason.
        malformed: Those that are not in the data set's layout, by reason without its numbers.
        malformed_records: Each of them, with its place.
        cut: Of those kept, how many prompts lost their beginning.
        unreachable: Well-formed ones whose y* is longer than the answer budget, kept or not.
    """

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)
    malformed_records: list[BadRecord] = field(default_factory=list)
    cut: int = 0
    unreachable: int = 0

    @property
    def records(self) -> int:
        """All of them."""
        return self.kept + self.dropped.total() + self.malformed.total()

    def note(self, reason: str, *, cut: bool = False, unreachable: bool = False) -> None:
        """Count a well-formed record: kept, or dropped for a reason."""
        self.unreachable += unreachable
        if reason:
            self.dropped[reason] += 1
        else:
            self.kept += 1
            self.cut += cut

    def note_malformed(self, bad: BadRecord) -> None:
        """Count a malformed record."""
        self.malformed[reason_class(bad.reason)] += 1
        self.malformed_records.append(bad)

    def as_table(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "records": self.records,
            "kept": self.kept,
            "cut": self.cut,
            "unreachable": self.unreachable,
            "dropped": dict(self.dropped),
            "malformed": dict(self.malformed),
            "malformed_records": [f"{bad.where}: {bad.reason}" for bad in self.malformed_records],
        }

    def __str__(self) -> str:
        parts = [f"{self.records} records", f"{self.kept} kept"]
        if self.cut:
            parts.append(f"{self.cut} of them cut to fit")
        for name, counts in (("dropped", self.dropped), ("malformed", self.malformed)):
            if counts:
                parts.append(f"{counts.total()} {name} ({_listed(counts)})")
        return ", ".join(parts)


def _listed(counts: Counter[str]) -> str:
    return "; ".join(f"{reason}: {count}" for reason, count in counts.most_common(SHOWN))
