"""Setting the cold start: measure p0, and move it to a wanted value by editing one row of the output matrix.

The gold answer's first token (the format) is what the base hardly ever writes. Adding `offset * v` to its row of the
output matrix adds `offset * <v, h>` to its logit. Least squares picks v with <v, h> = 1 where an answer begins and 0
everywhere else, so the edit acts as a bias on that one decision and the model stays a plain Qwen3.
"""

import math

import torch
from scipy.optimize import brentq
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.forward.log_probs import pad_rows
from qtrain.forward.rows import ANSWER, IGNORED
from qtrain.policy.model import encode_examples, token_ids
from qtrain.rollout.rollouts import Rollouts, roll_out
from qtrain.rollout.transformers import TransformersEngine
from qtrain.tasks import Task

PROMPTS, SAMPLES = 128, 32
"""Held-out prompts and rationales a prompt that p0 is measured on."""


def measure_p0(model: PreTrainedModel, task: Task, config: Config, *, seed: int = 0) -> float:
    """Mean of p(y*|x, z) over held-out hard prompts and rationales of the model's own: an unbiased estimate of P."""
    return float(_rollouts(model, task, config, seed).log_w_BM.exp().mean())


def move_p0(model: PreTrainedModel, task: Task, config: Config) -> dict:
    """Move the model's p0 to `config.pretrain.p0`, in place.

    Returns:
        What was done: p0 before (natural) and afterwards, each measured; the offset in nats; the largest error of the
        fitted direction where an answer begins and elsewhere (0 and 0 would be a bias on that decision alone).

    Raises:
        UserError: The task's gold answers do not begin with one common token, or the value cannot be reached.
    """
    wanted = config.pretrain.p0
    if wanted is None:
        raise ValueError("config.pretrain.p0 is None: there is nothing to move to")
    rollouts = _rollouts(model, task, config, seed=0)
    first = {answer[0] for answer in rollouts.gold}
    if len(first) != 1 or model.config.tie_word_embeddings:
        why = "embeddings are tied" if len(first) == 1 else "its gold answers begin with different tokens"
        raise UserError(f"pretrain.p0={wanted:g}: p0 cannot be set here, {why}; remove the key")
    states = _AnswerStates(model, task, rollouts)
    weight_VD = model.get_output_embeddings().weight.data  # pyright: ignore[reportOptionalMemberAccess]
    direction_D = torch.linalg.lstsq(*states.least_squares()).solution[:, 0].to(weight_VD.device)
    token = first.pop()

    def excess(offset: float) -> float:
        moved_VD = weight_VD.clone()
        moved_VD[token] += offset * direction_D
        return states.log_p(moved_VD) - math.log(wanted)

    if excess(-60.0) > 0 or excess(30.0) < 0:
        reach = [math.exp(excess(end)) * wanted for end in (-60.0, 30.0)]
        raise UserError(f"pretrain.p0={wanted:g}: choose a value between {reach[0]:.1e} and {reach[1]:.1e}")
    natural = math.exp(states.log_p(weight_VD))
    offset = float(brentq(excess, -60.0, 30.0, xtol=1e-6))  # pyright: ignore[reportArgumentType]
    weight_VD[token] += offset * direction_D
    errors_begin, errors_elsewhere = states.direction_errors(direction_D)
    return {
        "p0_natural": natural,
        "p0": measure_p0(model, task, config, seed=1),
        "p0_offset_nats": offset,
        "p0_direction_error": [errors_begin, errors_elsewhere],
    }


class _AnswerStates:
    """The hidden states in front of the output matrix, which alone is edited: log P for any such matrix, exactly."""

    @torch.no_grad()
    def __init__(self, model: PreTrainedModel, task: Task, rollouts: Rollouts) -> None:
        samples = rollouts.log_w_BM.shape[1]
        rows = pad_rows(
            token_ids(task.tokenizer),
            [prompt for prompt in rollouts.prompts for _ in range(samples)],
            rollouts.rationales,
            rollouts.truncated_BM.flatten().tolist(),
            [answer for answer in rollouts.gold for _ in range(samples)],
            model.device,
        )
        states_NTD = model.base_model(input_ids=rows.tokens_NT, use_cache=False).last_hidden_state[:, :-1]
        part_NT, self.target_NT = rows.part_NT[:, 1:], rows.tokens_NT[:, 1:]
        begins_NT = (part_NT == ANSWER) & (rows.part_NT[:, :-1] != ANSWER)
        self.begin_KD = states_NTD[begins_NT]
        self.elsewhere_KD = states_NTD[(part_NT != IGNORED) & ~begins_NT]
        self.states_NTD, self.answer_NT = states_NTD, part_NT == ANSWER

    def least_squares(self) -> tuple[Tensor, Tensor]:
        """Design and target whose solution is 1 where an answer begins and 0 elsewhere, both kinds of equal weight.

        On the CPU, whose solver stands states that do not span their space; CUDA's has no such driver.
        """
        one, zero = len(self.begin_KD) ** -0.5, len(self.elsewhere_KD) ** -0.5
        design_KD = torch.cat([one * self.begin_KD, zero * self.elsewhere_KD]).cpu()
        target_K1 = torch.zeros(len(design_KD), 1)
        target_K1[: len(self.begin_KD)] = one
        return design_KD, target_K1

    def direction_errors(self, direction_D: Tensor) -> tuple[float, float]:
        """Largest deviation from 1 where an answer begins, and from 0 elsewhere."""
        begin = (self.begin_KD @ direction_D - 1).abs().max()
        return float(begin), float((self.elsewhere_KD @ direction_D).abs().max())

    def log_p(self, output_VD: Tensor) -> float:
        """Log of the mean likelihood of the gold answers under another output matrix."""
        log_p_NTV = (self.states_NTD @ output_VD.T).double().log_softmax(-1)
        log_p_NT = log_p_NTV.gather(-1, self.target_NT[..., None])[..., 0]
        log_w_N = (log_p_NT * self.answer_NT).sum(1)
        return float(log_w_N.logsumexp(0)) - math.log(len(log_w_N))


def _rollouts(model: PreTrainedModel, task: Task, config: Config, seed: int) -> Rollouts:
    examples = [example for example in task.held_out(PROMPTS) if not example.group]
    return roll_out(
        TransformersEngine(model, token_ids(task.tokenizer)),
        *encode_examples(task.tokenizer, examples),
        config.rollout.on_policy(SAMPLES),
        torch.Generator(model.device).manual_seed(seed),
        sample_answers=False,
    )
