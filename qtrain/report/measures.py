"""Name the numbers that runs log, find their series, and decide which are drawn on a log axis."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qtrain.report.records import Points, Run

LABELS = {
    "p": "P",
    "log_p": "log P, nats",
    "mean_log_p": "mean log P, nats",
    "log_w_min": "smallest log w, nats",
    "log_w_max": "largest log w, nats",
    "ess": "effective sample size",
    "gradient_norm": "gradient norm",
    "max_rationale_coefficient": "largest rationale coefficient",
    "max_answer_coefficient": "largest answer coefficient",
    "rationale_tokens": "tokens a rationale",
    "forced": "share of rationales cut",
    "exact_match": "exact match",
    "distinct_answers": "distinct answers",
    "constant_answer": "best constant answer, p@1",
    "ended": "share of rationales ended by END",
    "lr": "learning rate",
    "kl": "KL to the base, nats",
    "score_norm_sq": "squared norm of the score",
    "max_c": "largest c_m / M^q",
    "seconds": "seconds a step",
    "tokens_per_second": "tokens a second",
    "mismatch_mean": "engine's mismatch, mean nats a token",
    "mismatch_largest": "engine's mismatch, largest, nats",
    "mismatch_log_w": "engine's mismatch in log w, nats",
}
SOURCES = {"evals": "held-out prompts", "metrics": "training batches"}
"""The prompts that the numbers of each log are measured on."""
LOGARITHMIC = {"p", "gradient_norm", "max_rationale_coefficient", "max_answer_coefficient", "score_norm_sq"}
"""Numbers of training batches that span orders of magnitude."""
PERCENT = re.compile(r"(p|maj)_at_(\d+)(?:_(\w+))?")
OF_A_GROUP = re.compile(r"(p|mean_log_p|exact_match|distinct_answers|constant_answer|forced|rationale_tokens)_(\w+)")


@dataclass(frozen=True)
class Measure:
    """A number that runs log against the step.

    Attributes:
        source: "evals" for held-out evaluations, "metrics" for training batches, which are noisy.
        key: Its name in the log.
    """

    source: Literal["evals", "metrics"]
    key: str

    @property
    def label(self) -> str:
        """Its readable name, and the prompts that it is measured on."""
        return f"{self._name}, {SOURCES[self.source]}"

    @property
    def _name(self) -> str:
        if match := PERCENT.fullmatch(self.key):
            return f"{match[1]}@{match[2]}{f', {match[3]} prompts' if match[3] else ''}"
        if match := OF_A_GROUP.fullmatch(self.key):
            name, _, unit = LABELS[match[1]].partition(", ")
            return ", ".join(filter(None, [name, f"{match[2]} prompts", unit]))
        return LABELS.get(self.key, self.key.replace("_", " "))

    @property
    def logarithmic(self) -> bool:
        """Whether it is drawn on a log axis, with the geometric mean over seeds."""
        if self.source != "metrics":
            return False
        return self.key in LOGARITHMIC or re.fullmatch(r"p_\w+", self.key) is not None

    def points(self, run: Run) -> Points:
        """Its series in a run, empty if the run does not log it."""
        return (run.evals if self.source == "evals" else run.metrics).get(self.key, EMPTY)


SUCCESS, BATCH_P = Measure("evals", "p_at_1"), Measure("metrics", "p")
CONSTANT = Measure("evals", "constant_answer")
EMPTY = Points(np.empty(0), np.empty(0))


def measures(runs: Sequence[Run]) -> list[Measure]:
    """All numbers that at least one run logs: evaluations first, each in the order of the logs."""
    return list(
        dict.fromkeys(
            [
                *(Measure("evals", key) for run in runs for key in run.evals),
                *(Measure("metrics", key) for run in runs for key in run.metrics),
            ]
        )
    )
