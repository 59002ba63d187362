"""Runs of one configuration on one device as a comparison's folder, and their table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtrain.compare import cells_of, compare
from qtrain.config import Config
from qtrain.gpu_check.table import curves, table
from qtrain.runs.folder import EVALS, METRICS, read_jsonl, read_result
from qtrain.studies.shipped import choices

CURVE = ("step", "p_at_1", "p", "mean_log_p")

TINY = {
    "model.hidden_size": 16,
    "model.intermediate_size": 24,
    "model.heads": 2,
    "model.key_value_heads": 1,
    "model.head_dim": 8,
    "pretrain.steps": 4,
    "pretrain.batch": 8,
    "pretrain.p0": 1e-4,
    "rollout.prompts": 4,
    "rollout.samples": 4,
    "rollout.rationale_budget": 3,
    "train.steps": 2,
    "train.checkpoint_every": 1,
    "eval.every": 1,
    "eval.prompts": 4,
    "eval.samples": 4,
}
"""What the tiny size changes of any of these configurations."""

SHOWN = {
    "estimator": "estimator",
    "p0": "p0",
    "escape_step": "escape step",
    "p_at_1": "p@1",
    "p_at_1_easy": "p@1, easy half",
    "mean_log_p": "mean log P",
    "seconds": "seconds",
    "tokens_per_second": "tokens/s",
}
"""Headings of what is shown of a run, where the run has it."""


def compared(config: Config, estimators: Sequence[str], out: Path) -> list[dict[str, Any]]:
    """Train each estimator from one base, going on from the last checkpoints, and write `comparison.json` into `out`.

    They follow each other on the first GPU: their speed is measured too.

    Returns:
        The runs' results, each with `curve` (lists of CURVE over the evaluations) and `tokens_per_second` (sampled
        tokens over the seconds of all steps).

    Raises:
        UserError: A folder holds something else, or a run cannot be made.
    """
    compare(config, choices(*estimators), [0], out, jobs=1)
    folders = [run.folder for run in cells_of(config, choices(*estimators), [0], out)]
    return [{**read_result(folder), **_measured(folder)} for folder in folders]


def show(result: dict[str, Any]) -> list[str]:
    """Escape steps and final scores of a stage's `runs`, and p@1 on the way."""
    runs = result["runs"]
    names = [name for name in SHOWN if name in runs[0]]
    prompts = "hard prompts" if "p_at_1_easy" in names else "prompts"
    return [
        *table([SHOWN[name] for name in names], [[one[name] for name in names] for one in runs]),
        "",
        f"p@1 on held-out {prompts} against the step:",
        "",
        *curves(runs, "p_at_1"),
    ]


def _measured(folder: Path) -> dict[str, Any]:
    evals, steps = read_jsonl(folder / EVALS), read_jsonl(folder / METRICS)
    names = [name for name in CURVE if name in evals[0]]
    return {
        "curve": {name: [entry[name] for entry in evals] for name in names},
        "tokens_per_second": sum(one["tokens"] for one in steps) / sum(one["seconds"] for one in steps),
    }
