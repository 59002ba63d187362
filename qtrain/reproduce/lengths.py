"""How long prompts and answers are, in tokens: measured where data and a tokenizer are at hand, assumed elsewhere."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qtrain.config import Config
from qtrain.policy.model import encode_examples
from qtrain.reproduce.cells import Cell, Data
from qtrain.tasks import make_task
from qtrain.tasks.qa_config import QAConfig

MEASURED = 256
"""Training examples that are measured, drawn with replacement."""


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of a prompt and of y* (END included), and whether they were measured."""

    prompt: float
    answer: float
    measured: bool


COLD_PROMPT: dict[Data, float] = {"finqa": 950, "hotpotqa": 1400, "musique": 2400}
"""Assumed for Qwen3's tokenizer: 4 bytes a token, over the bytes that `qtrain data check` counts in real records."""

WARM_MORE = 70
"""Assumed tokens of the task's description, the answer's format and the chat template."""

ANSWER = 7.0
"""Assumed tokens of y*, its prefix and END included."""


def lengths(cell: Cell, config: Config) -> Lengths:
    """The mean lengths that a cell's cost is computed with.

    Args:
        cell: Gives the assumption.
        config: With `data` and a tokenizer in a local folder, its task's own examples are measured.

    Raises:
        UserError: The data cannot be read.
    """
    assert isinstance(config.task, QAConfig)
    tokenizer = config.task.tokenizer
    if config.data is None or tokenizer is None or not Path(tokenizer).is_dir():
        return Lengths(COLD_PROMPT[cell.data] + WARM_MORE * (cell.start == "warm"), ANSWER, measured=False)
    task = make_task(config.task, config.data)
    examples = task.batch(MEASURED, np.random.default_rng(0))
    prompts, gold = encode_examples(task.tokenizer, examples)
    return Lengths(float(np.mean([*map(len, prompts)])), float(np.mean([*map(len, gold)])), measured=True)
