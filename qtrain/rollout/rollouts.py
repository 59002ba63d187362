"""Rollouts: M rationales a prompt from the policy, the likelihood of y* behind each, and sampled answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from qtrain.callbacks import StageClock
from qtrain.config import RolloutConfig
from qtrain.errors import UserError
from qtrain.forward.rows import PackedRow, make_row
from qtrain.policy.model import TokenIds
from qtrain.rollout.engine import Engine, Rationales


@dataclass(frozen=True)
class Rollouts:
    """What one batch of prompts gave: B pools of M rationales, rows prompt-major.

    Attributes:
        prompts: B prompts as token ids.
        gold: B gold answers as token ids, END included.
        rationales: B * M rationales as token ids, END_THINK included where it was sampled.
        truncated_BM: Where END_THINK was forced.
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
    truncated_BM: Tensor
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
    clock: StageClock | None = None,
) -> Rollouts:
    """Sample rationales, score the gold answers, and sample answers where the estimator needs rewards.

    As much of the batch goes through the engine at a time as its memory has room for; what is sampled does not depend
    on that.

    Args:
        engine: Runs the policy.
        prompts: B prompts as token ids.
        gold: B gold answers as token ids, END included.
        config: Samples a prompt, budgets and sampling settings (`config.prompts` is not read).
        generator: Source of randomness, on the model's device.
        sample_answers: Whether to sample answers and compute rewards.
        score_norms: Whether to note the rationales' squared scores.
        score: Whether to score the gold answers. Without, log_w_BM is NaN until the caller puts in what its own forward
            pass over the rows finds: no estimator takes NaN for a weight.
        clock: Counts the seconds of the stages.

    Raises:
        UserError: A row may become longer than the model's positions reach, or the engine cannot do what is asked.
        Diverged: The model gives logits that are not finite.
    """
    _check_length(engine.max_positions, prompts, gold, config)
    clock = clock or StageClock()
    count, samples = len(prompts), config.samples
    noise = engine.noise(generator, count, samples, config.rationale_budget)
    answer_noise = engine.noise(generator, count * samples, 1, config.answer_budget) if sample_answers else None
    parts = []
    room = engine.at_once(prompts, max(config.answer_budget, *map(len, gold)), config)
    for first in range(0, count, room.prompts):
        last = min(first + room.prompts, count)
        # Where a prompt's own samples do not fit, the room is for one prompt.
        for sample in range(0, samples, room.samples):
            here = min(room.samples, samples - sample)
            rows = slice(first * samples + sample, (last - 1) * samples + sample + here)
            with clock("rollout"):
                group = engine.start(prompts[first:last], config.model_copy(update={"samples": here}))
                rationales = group.rationales(noise[rows], score_norms=score_norms)
            targets = [answer for answer in gold[first:last] for _ in range(here)]
            log_w_N, answers = torch.full((len(targets),), torch.nan, dtype=torch.float64), None
            if score:
                with clock("score"):
                    log_w_N = group.score(targets)
            if answer_noise is not None:
                with clock("answers"):
                    answers = group.answers(answer_noise[rows])
            parts.append((rationales, log_w_N, answers))
            del group  # with its cache, before the next one is made
    engine.sleep()
    return _joined(prompts, gold, parts)


def _joined(
    prompts: list[list[int]],
    gold: list[list[int]],
    parts: Sequence[tuple[Rationales, Tensor, list[list[int]] | None]],
) -> Rollouts:
    """One batch of all rows, from parts in their order."""
    rationales, log_w, answers = zip(*parts, strict=True)
    shape_BM = (len(prompts), -1)

    def flat(rows: Iterable[Any]) -> list[Any]:
        return list(chain.from_iterable(rows))

    sampled = None if answers[0] is None else flat(answers)
    samples = sum(map(len, log_w)) // len(prompts)
    reward_BM = None
    if sampled is not None:
        rewards = [float(answer == gold[row // samples]) for row, answer in enumerate(sampled)]
        reward_BM = torch.tensor(rewards, dtype=torch.float64).reshape(shape_BM)
    norms = [part.score_norm_sq_N for part in rationales if part.score_norm_sq_N is not None]
    return Rollouts(
        prompts,
        gold,
        flat(part.tokens for part in rationales),
        torch.cat([part.truncated_N for part in rationales]).reshape(shape_BM),
        torch.cat(log_w).reshape(shape_BM),
        sampled,
        reward_BM,
        torch.cat(norms).reshape(shape_BM) if norms else None,
        flat(part.log_p for part in rationales),
    )


def _check_length(max_positions: int, prompts: list[list[int]], gold: list[list[int]], config: RolloutConfig) -> None:
    answer = max(config.answer_budget, *map(len, gold))
    needed = max(map(len, prompts)) + config.rationale_budget + 1 + answer
    if needed > max_positions:
        raise UserError(
            f"model.max_positions={max_positions}: prompt, rationale budget and answer need {needed}; "
            f"raise it, or shorten prompts or budgets"
        )


def batch_rows(
    ids: TokenIds, rollouts: Rollouts, answers: Sequence[list[int]], which: Sequence[int] | None = None
) -> list[PackedRow]:
    """Rows of a batch with an answer behind each.

    Args:
        ids: Special tokens.
        rollouts: The batch.
        answers: One for each of these rows, END included.
        which: Their indices, all by default.
    """
    samples = rollouts.truncated_BM.shape[1]
    truncated_N = rollouts.truncated_BM.flatten().tolist()
    return [
        make_row(ids.end_think, row // samples, rollouts.rationales[row], answer, truncated=truncated_N[row])
        for row, answer in zip(range(len(truncated_N)) if which is None else which, answers, strict=True)
    ]
