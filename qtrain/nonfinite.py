"""Steps without a finite gradient: find the prompt that causes it, and format the diagnosis."""

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

PROMPT_CHARACTERS = 80
"""Characters of a prompt that a diagnosis shows."""


class NonFiniteError(Exception):
    """A step has no finite gradient and must not change the weights.

    Attributes:
        details: The entry for the run's log: `reason`, and if known the `prompt`, and `log_w_min`, `log_w_max` (nats)
            and `max_coefficient` of its group.
    """

    def __init__(self, reason: str, **details: Any) -> None:
        super().__init__(reason)
        self.details = {"reason": reason, **details}


def format_diagnosis(details: dict[str, Any], steps: int) -> str:
    """Format one line about `steps` failed steps in a row; `details` are those of the last."""
    line = f"{steps} step{'s' * (steps > 1)} in a row without a finite gradient: {details['reason']}"
    if "prompt" in details:
        line += f"; prompt {details['prompt'][:PROMPT_CHARACTERS]!r}"
    if "log_w_min" in details:
        line += f", log w {details['log_w_min']:.4g} to {details['log_w_max']:.4g}"
        line += f", largest coefficient {details['max_coefficient']:.4g}"
    return line


@torch.no_grad()
def find_nonfinite_logits(
    model: PreTrainedModel, prompts: Sequence[list[int]], examples: Sequence[Example]
) -> dict[str, str]:
    """Return the first prompt with logits that are not finite as {"prompt": ...}; {} if all prompts' are finite."""
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
    """Find the prompt whose group causes a gradient that is not finite.

    It is the first group with a coefficient that is not finite; otherwise the first with a log-probability that is not
    finite; otherwise the group with the largest coefficient.

    Args:
        model: The policy, with the weights that the rollouts were sampled with.
        ids: Special tokens.
        rollouts: The batch.
        coefficients_BM: The coefficients of each sample.
        examples: The batch's B examples.

    Returns:
        prompt, log_w_min, log_w_max, max_coefficient of that group.
    """
    largest_B = torch.maximum(coefficients_BM.rationale.abs(), coefficients_BM.answer.abs()).amax(1)
    bad_B = ~largest_B.isfinite()
    for index in range(len(examples)):
        if bad_B.any():
            break
        bad_B[index] = not _group_log_probs(model, ids, rollouts, index).isfinite().all()
    index = int(bad_B.nonzero()[0, 0]) if bad_B.any() else int(largest_B.argmax())
    log_w_M = rollouts.log_w_BM[index]
    return {
        "prompt": examples[index].prompt,
        "log_w_min": float(log_w_M.min()),
        "log_w_max": float(log_w_M.max()),
        "max_coefficient": float(largest_B[index]),
    }


def _group_log_probs(model: PreTrainedModel, ids: TokenIds, rollouts: Rollouts, index: int) -> Tensor:
    samples = rollouts.log_w_BM.shape[1]
    indices = range(index * samples, (index + 1) * samples)
    rows = batch_rows(ids, rollouts, [rollouts.gold[index]] * samples, indices)
    return token_log_probs(model, rollouts.prompts, rows).log_p_K
