"""Run folders and comparisons in the real file formats, and the page as a browser would see it."""

import json
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from qtrain.report import report_command
from qtrain.report.page import script_elements

CONFIG: dict[str, Any] = {
    "name": "cold_start",
    "data": None,
    "task": {"name": "digit_sum", "variant": "cold"},
    "pretrain": {"steps": 1600, "p0": 6e-7},
    "rollout": {"prompts": 12, "samples": 24, "rationale_budget": 7, "answer_budget": 3},
    "optimizer": {"name": "sgd", "lr": 0.002, "eps": 1e-8, "clip": None},
    "train": {"steps": 40, "stop_at_p": None},
    "eval": {"every": 20, "prompts": 64, "samples": 16},
}
ENVIRONMENT = {
    "command": "qtrain compare cold_start.toml --estimator grpo --out runs/cold",
    "commit": "0123456789ab",
    "python": "3.11.7",
    "libraries": {"torch": "2.13.0", "numpy": "2.4.6"},
    "machine": "x86_64, 2 cores",
    "threads": "1",
}
SAMPLE = {
    "prompt": "33447=", "gold": "A1", "easy": False, "rationale": "36041</think>", "forced": False, "answer": "B1",
    "log_w": -15.12, "success": False,
}  # fmt: skip


def write_run(
    folder: Path,
    estimator: str,
    *,
    q: float | None,
    seed: int = 0,
    p0: float = 5e-7,
    p_at_1: tuple[float, ...] = (0.0, 0.25, 0.5),
    p: tuple[float, ...] = (1e-6, 1e-3, 0.1),
    escape_step: int | None = 3,
    diverged_step: int | None = None,
    samples: Sequence[Mapping[str, Any]] = ({},),
    seconds: float = 30.0,
    name: str = "cold_start",
    scores: dict[str, float] | None = None,
    skipped: Sequence[Mapping[str, Any]] = (),
    warned: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A run folder in the real file formats. Returns the row that comparison.json gives it."""
    folder.mkdir(parents=True)
    config = json.loads(json.dumps(CONFIG)) | {"name": name, "estimator": estimator}
    config["train"]["seed"] = config["pretrain"]["seed"] = seed
    scores = {"p_at_1": p_at_1[-1], "p_at_16": 0.75, "maj_at_16": 0.625, "mean_log_p": -1.5, "p": 0.1} | (scores or {})
    shown = dict.fromkeys(scores) if diverged_step else scores
    first = {"estimator": estimator, "q": q, "seed": seed, "p0": p0, "steps": 40, "escape_step": escape_step}
    result = first | shown | {"best_step": 20, "diverged_step": diverged_step, "seconds": seconds}
    evals = [{"step": 20 * index} | scores | {"p_at_1": value} for index, value in enumerate(p_at_1)]
    metrics = [{"step": index, "p": value, "ess": 9.0} for index, value in enumerate(p, start=1)]
    texts = [{"step": step, **SAMPLE, **sample} for step in (0, 40) for sample in samples]
    for file, value in {"config": config, "environment": ENVIRONMENT, "result": result}.items():
        (folder / f"{file}.json").write_text(json.dumps(value, indent=1) + "\n")
    logs = {"evals": evals, "metrics": metrics, "samples": texts, "skipped": skipped, "warnings": warned}
    for file, rows in logs.items():
        (folder / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {key: value for key, value in result.items() if key not in ("p", "p_easy", "best_step", "diverged_step")}


def write_comparison(folder: Path, rows: list[dict[str, Any]], *, name: str = "cold_start") -> Path:
    """The comparison's own files over run folders already below `folder`."""
    config = json.loads(json.dumps(CONFIG)) | {"name": name, "estimator": "garl:q=1"}
    config["train"]["seed"] = config["pretrain"]["seed"] = 0
    for file, value in {"config": config, "environment": ENVIRONMENT, "comparison": rows}.items():
        (folder / f"{file}.json").write_text(json.dumps(value))
    return folder


class Page(HTMLParser):
    """Collects what a browser would see: elements, attributes, text, the tables' cells, the JSON for the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.data: dict[str, Any] = {}
        self.block = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.block = str(dict(attrs)["id"]) if tag == "script" else ""
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self.in_cell = True
        if tag == "span" and self.in_cell and self.rows[-1]:
            self.rows[-1][-1] += "|"

    def handle_endtag(self, tag: str) -> None:
        self.block = ""
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.block:
            self.data[self.block] = json.loads(data)
            return
        self.text += data.replace("\N{NO-BREAK SPACE}", " ")
        if self.rows and self.rows[-1] and self.in_cell:
            self.rows[-1][-1] += data.strip().replace("\N{NO-BREAK SPACE}", " ")


def report(*runs: Path, output: Path | None = None) -> str:
    """The page without its scripts, whose element the policy's hashes name; the library's is 5 MB long."""
    output = output or runs[0].parent / "page.html"
    report_command(runs, output)
    text = output.read_text(encoding="utf-8")
    assert text.count(script_elements()) == 1
    return text.replace(script_elements(), "")
