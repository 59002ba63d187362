"""The gradient of a batch from its definition: one sample at a time through the model's own forward pass."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtheory.estimators import Coefficients
from qtrain.policy.model import TokenIds
from qtrain.rollout.rollouts import Rollouts


def missing_closer(closer: Sequence[int], rationale: Sequence[int]) -> list[int]:
    """The fewest last tokens of the closer, at least one, after which a rationale ends with all of it."""
    closer, rationale = list(closer), list(rationale)
    endings = [closer[-count:] for count in range(1, len(closer) + 1)]
    return next(ending for ending in endings if (rationale + ending)[-len(closer) :] == closer)


def log_probs_alone(
    model: PreTrainedModel,
    ids: TokenIds,
    prompt: list[int],
    rationale: list[int],
    answer: list[int],
    *,
    forced: bool,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Of one row log p(z|x) and log p(y|x, z), token by token, differentiable."""
    closer = missing_closer(ids.closer, rationale) if forced else []
    row = prompt + rationale + closer + answer
    log_p = model(input_ids=torch.tensor([row]), use_cache=False).logits[0].float().div(temperature).log_softmax(-1)
    log_p_z, log_p_y, behind = log_p.new_zeros(()), log_p.new_zeros(()), len(prompt) + len(rationale + closer)
    for place, token in enumerate(rationale):
        log_p_z = log_p_z + log_p[len(prompt) - 1 + place, token]
    if ids.score_closer:
        for place, token in enumerate(closer):
            log_p_y = log_p_y + log_p[behind - len(closer) - 1 + place, token]
    for place, token in enumerate(answer):
        log_p_y = log_p_y + log_p[behind - 1 + place, token]
    return log_p_z, log_p_y


def gradient(model: PreTrainedModel) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).clone()


def gradient_by_definition(
    model: PreTrainedModel,
    ids: TokenIds,
    rollouts: Rollouts,
    coefficients: Coefficients,
    answers: Sequence[list[int]],
    temperature: float = 1.0,
) -> Tensor:
    """-(1/BM) sum over samples of [ c grad log p(z) + a grad log p(y|z) ], y one for each row."""
    prompts, samples = rollouts.truncated_BM.shape
    model.zero_grad()
    for row in range(prompts * samples):
        at = divmod(row, samples)
        log_p_z, log_p_y = log_probs_alone(
            model,
            ids,
            rollouts.prompts[at[0]],
            rollouts.rationales[row],
            answers[row],
            forced=bool(rollouts.truncated_BM[at]),
            temperature=temperature,
        )
        loss = float(coefficients.rationale[at]) * log_p_z + float(coefficients.answer[at]) * log_p_y
        (-loss / (prompts * samples)).backward()
    return gradient(model)
