"""Rollouts: M rationales a prompt from the policy, the likelihood of y* behind each, and sampled answers."""

from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from qtrain.config import RolloutConfig
from qtrain.engines.base import Engine, Rationales
from qtrain.errors import UserError


@dataclass(frozen=True)
class Rollouts:
    """What one batch of prompts gave: B pools of M rationales, rows prompt-major.

    Attributes:
        prompts: B prompts as token ids.
        gold: B gold answers as token ids, END included.
        rationales: B * M rationales as token ids, END_THINK included where it was sampled.
        forced_BM: Where END_THINK was forced.
        log_w_BM: log p(y*|x, z) in nats, float64; NaN everywhere where it was not scored.
        answers: B * M sampled answers as token ids, END included where it was sampled; None where none were asked for.
        reward_BM: 1 where the sampled answer is y* to the token, else 0, float64; None likewise.
        score_norm_sq_BM: Squared norm of grad log p(z|x) in the logits, the sum over the sampled tokens of
            ||e_token - p||^2, float64; None where it was not asked for.
        rationale_log_p: log p of each of the rationales' tokens, in nats, as the engine has it.
    """

    prompts: list[list[int]]
    gold: list[list[int]]
    rationales: list[list[int]]
    forced_BM: Tensor
    log_w_BM: Tensor
    answers: list[list[int]] | None
    reward_BM: Tensor | None
    score_norm_sq_BM: Tensor | None = None
    rationale_log_p: list[list[float]] | None = None


@torch.no_grad()
def roll_out(
    engine: Engine,
    prompts: list[list[int]],
    gold: list[list[int]],
    config: RolloutConfig,
    generator: torch.Generator,
    *,
    sample_answers: bool,
    score_norms: bool = False,
    score: bool = True,
) -> Rollouts:
    """Sample rationales, score the gold answers, and sample answers where the estimator needs rewards.

    Args:
        engine: Runs the policy.
        prompts: B prompts as token ids.
        gold: B gold answers as token ids, END included.
        config: Samples a prompt, budgets and sampling settings (`config.prompts` is not read).
            `config.prompts_at_once` of the prompts go through the engine at a time.
        generator: Source of randomness, on the model's device.
        sample_answers: Whether to sample answers and compute rewards.
        score_norms: Whether to note the rationales' squared scores.
        score: Whether to score the gold answers. Without, log_w_BM is NaN until the caller puts in what its own forward
            pass over the rows finds: no estimator takes NaN for a weight.

    Raises:
        UserError: A row may become longer than the model's positions reach, or the engine cannot do what is asked.
        Diverged: The model gives logits that are not finite.
    """
    _check_length(engine.max_positions, prompts, gold, config)
    at_once = config.prompts_at_once or len(prompts)
    parts = []
    for first in range(0, len(prompts), at_once):
        some = slice(first, first + at_once)
        group = engine.start(prompts[some], config)
        found = group.rationales(generator, score_norms=score_norms)
        targets = [answer for answer in gold[some] for _ in range(config.samples)]
        log_w_N = group.score(targets) if score else torch.full((len(targets),), torch.nan, dtype=torch.float64)
        answers = group.answers(generator) if sample_answers else None
        parts.append(_rollouts(prompts[some], gold[some], found, log_w_N, answers))
        del group  # with its cache, before the next one is made
    engine.rest()
    return _joined(parts)


def _rollouts(
    prompts: list[list[int]],
    gold: list[list[int]],
    found: Rationales,
    log_w_N: Tensor,
    answers: list[list[int]] | None,
) -> Rollouts:
    shape_BM = (len(prompts), len(log_w_N) // len(prompts))
    reward_BM = None
    if answers is not None:
        reward_BM = torch.tensor(
            [float(answer == gold[row // shape_BM[1]]) for row, answer in enumerate(answers)],
            dtype=torch.float64,
        ).reshape(shape_BM)
    return Rollouts(
        prompts,
        gold,
        found.tokens,
        found.forced_N.reshape(shape_BM),
        log_w_N.reshape(shape_BM),
        answers,
        reward_BM,
        None if found.score_norm_sq_N is None else found.score_norm_sq_N.reshape(shape_BM),
        found.log_p,
    )


def _joined(parts: list[Rollouts]) -> Rollouts:
    """One batch of all prompts: rows one after the other, None where there is none."""

    def joined(name: str) -> Any:
        first, *others = values = [getattr(part, name) for part in parts]
        if not others or first is None:
            return first
        return torch.cat(values) if isinstance(first, Tensor) else list(chain.from_iterable(values))

    return Rollouts(**{field.name: joined(field.name) for field in fields(Rollouts)})


def _check_length(max_positions: int, prompts: list[list[int]], gold: list[list[int]], config: RolloutConfig) -> None:
    answer = max(config.answer_budget, *map(len, gold))
    needed = max(map(len, prompts)) + config.rationale_budget + 1 + answer
    if needed > max_positions:
        raise UserError(
            f"model.max_positions={max_positions}: prompt, rationale budget and answer need {needed}; "
            f"raise it, or shorten prompts or budgets"
        )
