"""Store finished cases on disk, one line each, so that an interrupted measurement resumes."""

import hashlib
import json
from pathlib import Path

from figures.bench.case import Case, Result
from qtheory.command.files import replace_file
from qtrain.files import Lock, append, writing
from qtrain.runs.folder import read_jsonl

LOG = "cases.jsonl"


class Store:
    """Results of cases measured with the present code, by case and round.

    Args:
        folder: Created if it is missing.

    Raises:
        UserError: The folder cannot be written, another process uses it, or its log is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.code = folder, code_hash()
        self._results: dict[tuple[str, int], Result] = {}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(folder / ".lock")
            path = folder / LOG
            rows = read_jsonl(path) if path.exists() else []
            self._results = {(row["key"], row["round"]): row["result"] for row in rows}
            # Drop a last line cut short by an interruption: otherwise the next result would be appended to it.
            replace_file(path, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
            self._log = path.open("ab", buffering=0)

    def get(self, case: Case, turn: int) -> Result | None:
        """The stored result, None if there is none or if it failed and is to be measured again."""
        result = self._results.get((case.key(self.code), turn))
        return None if result is None or "failed" in result else result

    def add(self, case: Case, turn: int, result: Result) -> None:
        """Store a result."""
        key = case.key(self.code)
        self._results[key, turn] = result
        line = {"contest": case.contest, "name": case.name, "round": turn, "key": key, "result": result}
        with writing(self.folder / LOG):
            append(self._log, json.dumps(line))

    def close(self) -> None:
        """Close the log and release the lock."""
        self._log.close()
        self._lock.release()


def code_hash() -> str:
    """Hash of all code that the measured processes of this project run."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for package in ("qtheory", "qtrain", "figures/bench"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]
