"""Finished cases on disk, one line each, so that an interrupted measurement goes on where it was."""

import hashlib
import json
from pathlib import Path

from figures.bench.case import Case, Result
from qtheory.command.files import replace_file
from qtrain.files import Lock, append, writing
from qtrain.runs.folder import read_jsonl

LOG = "cases.jsonl"


class Store:
    """Results of cases of the present code, by case and round.

    Args:
        folder: Made where it is missing.

    Raises:
        UserError: It cannot be written, another process measures into it, or its log is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.code = folder, code_hash()
        self._kept: dict[tuple[str, int], Result] = {}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(folder / ".lock")
            path = folder / LOG
            rows = read_jsonl(path) if path.exists() else []
            self._kept = {(row["key"], row["round"]): row["result"] for row in rows}
            # Without a line that an interruption cut short, so that the next one does not go on behind it.
            replace_file(path, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
            self._log = path.open("ab", buffering=0)

    def get(self, case: Case, turn: int) -> Result | None:
        """A kept result; one that failed is measured again."""
        result = self._kept.get((case.key(self.code), turn))
        return None if result is None or "failed" in result else result

    def put(self, case: Case, turn: int, result: Result) -> None:
        """Keep a result."""
        key = case.key(self.code)
        self._kept[key, turn] = result
        line = {"contest": case.contest, "name": case.name, "round": turn, "key": key, "result": result}
        with writing(self.folder / LOG):
            append(self._log, json.dumps(line))

    def close(self) -> None:
        """Let others in."""
        self._log.close()
        self._lock.release()


def code_hash() -> str:
    """Stands for everything that measured processes of this project run."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for package in ("qtheory", "qtrain", "figures/bench"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]
