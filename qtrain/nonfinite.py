"""Steps without a finite gradient: which prompt is behind it, and in which words that is said."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtheory.estimators import Coefficients
from qtrain.forward.log_probs import token_log_probs
from qtrain.policy.model import TokenIds
from qtrain.rollout.rollouts import Rollouts, batch_rows
from qtrain.tasks import Example

SHOWN = 80
"""Characters of a prompt that a line shows."""


class NonFiniteError(Exception):
    """A step has no finite gradient and must not move the weights.

    Attributes:
        found: For the run's log: `reason`, and where they are known `prompt`, `log_w_min`, `log_w_max` (nats) and
            `max_coefficient` of that prompt's pool.
    """

    def __init__(self, reason: str, **found: Any) -> None:
        super().__init__(reason)
        self.found = {"reason": reason, **found}


def format_diagnosis(found: dict[str, Any], steps: int) -> str:
    """One line about so many steps in a row, of which `found` tells the last."""
    line = f"{steps} step{'s' * (steps > 1)} in a row without a finite gradient: {found['reason']}"
    if "prompt" in found:
        line += f"; prompt {found['prompt'][:SHOWN]!r}"
    if "log_w_min" in found:
        line += f", log w {found['log_w_min']:.4g} to {found['log_w_max']:.4g}"
        line += f", largest coefficient {found['max_coefficient']:.4g}"
    return line


@torch.no_grad()
def blame_prompt(model: PreTrainedModel, prompts: Sequence[list[int]], examples: Sequence[Example]) -> dict[str, str]:
    """The first prompt whose logits are not finite, as `prompt`; nothing where that only comes later in a row."""
    for tokens, example in zip(prompts, examples, strict=True):
        logits_1TV = model(input_ids=torch.tensor([tokens], device=model.device), use_cache=False).logits
        if not logits_1TV.isfinite().all():
            return {"prompt": example.prompt}
    return {}


@torch.no_grad()
def find_bad_prompt(
    model: PreTrainedModel,
    ids: TokenIds,
    rollouts: Rollouts,
    coefficients_BM: Coefficients,
    examples: Sequence[Example],
) -> dict[str, Any]:
    """The pool behind a gradient that is not finite.

    The first with a coefficient, else with a log-probability that is not finite, else that of the largest coefficient.

    Args:
        model: The policy, whose weights still are those of the rollouts.
        ids: Special tokens.
        rollouts: The batch.
        coefficients_BM: One pair a sample.
        examples: Its B examples.

    Returns:
        prompt, log_w_min, log_w_max, max_coefficient of that pool.
    """
    largest_B = torch.maximum(coefficients_BM.rationale.abs(), coefficients_BM.answer.abs()).amax(1)
    bad_B = ~largest_B.isfinite()
    for index in range(len(examples)):
        if bad_B.any():
            break
        bad_B[index] = not _pool_log_probs(model, ids, rollouts, index).isfinite().all()
    index = int(bad_B.nonzero()[0, 0]) if bad_B.any() else int(largest_B.argmax())
    log_w_M = rollouts.log_w_BM[index]
    return {
        "prompt": examples[index].prompt,
        "log_w_min": float(log_w_M.min()),
        "log_w_max": float(log_w_M.max()),
        "max_coefficient": float(largest_B[index]),
    }


def _pool_log_probs(model: PreTrainedModel, ids: TokenIds, rollouts: Rollouts, index: int) -> Tensor:
    samples = rollouts.log_w_BM.shape[1]
    pool = range(index * samples, (index + 1) * samples)
    rows = batch_rows(ids, rollouts, [rollouts.gold[index]] * samples, pool)
    return token_log_probs(model, rollouts.prompts, rows).log_p_K
