"""Sample a batch of rollouts: M rationales per prompt, the likelihood of y* after each, and sampled answers."""

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
    """A batch of rollouts: B groups of M rationales, rows prompt-major.

    Attributes:
        prompts: B prompts as token ids.
        gold: B gold answers as token ids, END included.
        rationales: B * M rationales as token ids, including the closer if it was sampled.
        truncated_BM: Whether the model did not close the rationale, so that the closer was forced.
        log_w_BM: log p(y*|x, z) in nats, float64, with a forced closer if it is scored;
            NaN everywhere if y* was not scored.
        answers: B * M sampled answers as token ids, including END if it was sampled; None if not requested.
        reward_BM: 1 if the sampled answer equals y* token by token, else 0, float64; None without sampled answers. With
            the key `reward`, training and evaluation replace it (`qtrain.rewards.score`).
        score_norm_sq_BM: Squared norm of the gradient of log p(z|x) with respect to the logits, the sum over the
            sampled tokens of ||e_token - p||^2, float64; None if not requested.
        rationale_log_p: log p of each token of the rationales, in nats, as computed by the engine.
        ended_BM: Whether a token of `TokenIds.ends` ended the rationale; None if there are no such tokens.
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
    ended_BM: Tensor | None = None


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
    """Sample rationales, score the gold answers, and optionally sample answers and compute their rewards.

    The engine processes as much of the batch at once as fits into its memory; the samples do not depend on this.

    Args:
        engine: Runs the policy.
        prompts: B prompts as token ids.
        gold: B gold answers as token ids, END included.
        config: Gives samples per prompt, budgets and sampling settings (`config.prompts` is ignored).
        generator: Source of randomness, on the model's device.
        sample_answers: Whether to sample answers and compute rewards.
        score_norms: Whether to compute the rationales' squared score norms.
        score: Whether to score the gold answers. If not, log_w_BM is NaN, which no estimator accepts as a weight, until
            the caller fills in the values of its own forward pass.
        clock: Measures the seconds of each stage.

    Raises:
        UserError: A row may become longer than the model's positions allow, or the engine does not support a request.
        Diverged: The model's logits are not finite.
    """
    _check_length(engine, prompts, gold, config)
    clock = clock or StageClock()
    num_prompts, samples = len(prompts), config.samples
    noise = engine.noise(generator, num_prompts, samples, config.rationale_budget)
    answer_noise = engine.noise(generator, num_prompts * samples, 1, config.answer_budget) if sample_answers else None
    parts = []
    at_once = engine.at_once(prompts, max(config.answer_budget, *map(len, gold)), config)
    for first in range(0, num_prompts, at_once.prompts):
        last = min(first + at_once.prompts, num_prompts)
        # If not all samples of a prompt fit, prompts are processed one at a time, so that these rows are contiguous.
        for sample in range(0, samples, at_once.samples):
            num_samples = min(at_once.samples, samples - sample)
            rows = slice(first * samples + sample, (last - 1) * samples + sample + num_samples)
            with clock("rollout"):
                batch = engine.start(prompts[first:last], config.model_copy(update={"samples": num_samples}))
                rationales = batch.rationales(noise[rows], score_norms=score_norms)
            targets = [answer for answer in gold[first:last] for _ in range(num_samples)]
            log_w_N, answers = torch.full((len(targets),), torch.nan, dtype=torch.float64), None
            if score:
                with clock("score"):
                    log_w_N = batch.score(targets)
            if answer_noise is not None:
                with clock("answers"):
                    answers = batch.answers(answer_noise[rows])
            parts.append((rationales, log_w_N, answers))
            del batch  # frees its KV cache before the next one is allocated
    engine.sleep()
    return _joined(prompts, gold, parts)


def _joined(
    prompts: list[list[int]],
    gold: list[list[int]],
    parts: Sequence[tuple[Rationales, Tensor, list[list[int]] | None]],
) -> Rollouts:
    """Join the parts of a batch, which are in order."""
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
    ended = [part.ended_N for part in rationales if part.ended_N is not None]
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
        torch.cat(ended).reshape(shape_BM) if ended else None,
    )


def _check_length(engine: Engine, prompts: list[list[int]], gold: list[list[int]], config: RolloutConfig) -> None:
    answer = max(config.answer_budget, *map(len, gold))
    needed = max(map(len, prompts)) + config.rationale_budget + len(engine.ids.closer) + answer
    if needed > engine.max_positions:
        raise UserError(
            f"model.max_positions={engine.max_positions}: prompt, rationale budget and answer need {needed}; "
            f"raise it, or shorten prompts or budgets"
        )


def batch_rows(
    ids: TokenIds, rollouts: Rollouts, answers: Sequence[list[int]], indices: Sequence[int] | None = None
) -> list[PackedRow]:
    """Make rows of a batch, with an answer after each rationale.

    Args:
        ids: Special tokens.
        rollouts: The batch.
        answers: An answer for each of these rows, END included.
        indices: Indices of the rows; all rows by default.
    """
    samples = rollouts.truncated_BM.shape[1]
    truncated_N = rollouts.truncated_BM.flatten().tolist()
    return [
        make_row(ids, row // samples, rollouts.rationales[row], answer, truncated=truncated_N[row])
        for row, answer in zip(range(len(truncated_N)) if indices is None else indices, answers, strict=True)
    ]
