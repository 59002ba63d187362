"""Score sampled answers with the rewards of a configuration: values, their weighted sum, and what failed."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qtrain.rewards.built_in import MATH, MATH_FUNCTION, TEXT_REWARDS
from qtrain.rewards.functions import Sample, load_function
from qtrain.rewards.process import RewardProcess

if TYPE_CHECKING:
    from qtrain.config import Config
    from qtrain.rollout.rollouts import Rollouts
    from qtrain.tasks import Example, Task


class RewardWarning(UserWarning):
    """A reward function failed on some samples."""


@dataclass(frozen=True)
class RewardScores:
    """The rewards of N samples.

    Attributes:
        values: N values of each reward, by its name; 0 for a sample that it failed on.
        total: N weighted sums; None if the configuration has no `reward`.
        correct: Whether every reward with a positive weight is at least 1, for N samples; None with `total`.
        errors: Number of calls that failed.
    """

    values: Mapping[str, list[float]]
    total: list[float] | None
    correct: list[bool] | None
    errors: int

    def sums(self) -> dict[str, float]:
        """Sums over the samples: `reward`, and `reward_<name>` of each if there are several or no weighted sum."""
        totals = {} if self.total is None else {"reward": sum(self.total)}
        if self.total is not None and len(self.values) == 1:
            return totals
        return totals | {f"reward_{name.replace(':', '.')}": sum(values) for name, values in self.values.items()}

    def metrics(self) -> dict[str, float]:
        """Means over the samples under the names of `sums`, and the number of failed calls as `reward_errors`."""
        count = len(next(iter(self.values.values())))
        return {**{name: value / count for name, value in self.sums().items()}, "reward_errors": float(self.errors)}

    def total_BM(self, shape_BM: Sequence[int]) -> Tensor:
        """The weighted sums as float64 (B, M)."""
        return torch.tensor(self.total, dtype=torch.float64).reshape(*shape_BM)


class Rewards:
    """The rewards of a run, with the processes of those that need one.

    Args:
        weights: Weight of each reward in the sum, by name; empty if the configuration has no `reward`.
        measured: Further rewards to compute in evaluation.
        timeout: Most seconds of one call of a reward that runs in a process.

    Raises:
        UserError: A function cannot be loaded.
    """

    def __init__(self, weights: Mapping[str, float], measured: Sequence[str], timeout: float) -> None:
        self.weights = dict(weights)
        self.names = list(dict.fromkeys([*weights, *measured]))
        self.processes = {
            name: RewardProcess(load_function(MATH_FUNCTION if name == MATH else name), timeout)
            for name in self.names
            if name not in TEXT_REWARDS
        }
        self._warned = False

    def score(self, samples: Sequence[Sample], *, evaluation: bool) -> RewardScores:
        """Score samples. A failed call counts as 0, and the first batch with one shows a warning.

        Args:
            samples: N samples.
            evaluation: Whether to compute the rewards of `eval.rewards` too.
        """
        values: dict[str, list[float]] = {}
        errors = 0
        for name in self.names if evaluation else self.weights:
            if name in TEXT_REWARDS:
                values[name] = [TEXT_REWARDS[name](sample.completion, sample.answers) for sample in samples]
                continue
            process = self.processes[name]
            results = process.call([process.function.keywords(sample) for sample in samples])
            failures = [result for result in results if isinstance(result, str)]
            values[name] = [0.0 if isinstance(result, str) else result for result in results]
            errors += len(failures)
            if failures and not self._warned:
                self._warned = True
                warnings.warn(
                    f"reward={name!r}: {len(failures)} of {len(samples)} samples failed and count as 0: {failures[0]}; "
                    f"further failures are counted in reward_errors",
                    RewardWarning,
                    stacklevel=2,
                )
        if not self.weights:
            return RewardScores(values, None, None, errors)
        rows = range(len(samples))
        total = [sum(weight * values[name][row] for name, weight in self.weights.items()) for row in rows]
        positive = [name for name, weight in self.weights.items() if weight > 0]
        return RewardScores(values, total, [all(values[name][row] >= 1 for name in positive) for row in rows], errors)

    def close(self) -> None:
        """End the processes."""
        for process in self.processes.values():
            process.close()


@contextmanager
def open_rewards(config: "Config", measured: Sequence[str] | None = None) -> Iterator[Rewards | None]:
    """The rewards of a configuration, whose processes end with this context; None if it names none.

    Args:
        config: Its `reward`, `reward_timeout` and `eval.rewards` are used.
        measured: Replaces `eval.rewards`; its functions may run whatever the configuration's may.

    Raises:
        UserError: A reward cannot be loaded, or is code that may not run.
    """
    config.check_rewards()
    rewards = None
    measured = config.eval.rewards if measured is None else measured
    if config.reward is not None or measured:
        weights = {} if config.reward is None else dict(config.reward.weights)
        rewards = Rewards(weights, measured, config.reward_timeout)
    try:
        yield rewards
    finally:
        if rewards is not None:
            rewards.close()


def decode_answers(task: "Task", examples: Sequence["Example"], rollouts: "Rollouts") -> list[str]:
    """Decode the sampled answers of a batch, N texts.

    An answer with the tokens of y* is y*, since decoding need not return the text that was encoded.
    """
    assert rollouts.answers is not None
    samples = rollouts.truncated_BM.shape[1]
    answers = task.tokenizer.batch_decode(rollouts.answers, skip_special_tokens=True)
    for row, sampled in enumerate(rollouts.answers):
        if sampled == rollouts.gold[row // samples]:
            answers[row] = examples[row // samples].answer
    return answers


def reward_samples(task: "Task", examples: Sequence["Example"], rollouts: "Rollouts") -> list[Sample]:
    """Describe the N = B * M samples of a batch as rewards get them, prompt-major."""
    samples = rollouts.truncated_BM.shape[1]
    texts = zip(decode_answers(task, examples, rollouts), task.tokenizer.batch_decode(rollouts.rationales), strict=True)
    golds = [task.gold_answers(example) for example in examples]
    return [
        _sample(task, examples[row // samples], golds[row // samples], answer, rationale)
        for row, (answer, rationale) in enumerate(texts)
    ]


def constant_samples(task: "Task", examples: Sequence["Example"], answer: str) -> list[Sample]:
    """Describe one answer to every example as rewards get it, after an empty rationale."""
    return [_sample(task, example, task.gold_answers(example), answer, "") for example in examples]


def _sample(task: "Task", example: "Example", golds: tuple[str, ...], answer: str, rationale: str) -> Sample:
    return Sample(
        prompt=example.prompt,
        messages=example.messages,
        completion=task.answer_text(answer),
        rationale=rationale,
        answer=golds[0],
        answers=golds,
        columns=example.columns,
    )
