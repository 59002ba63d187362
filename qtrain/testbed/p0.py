"""Set the cold start: measure p0, and move it to a target value by editing one row of the output matrix.

The base rarely writes the gold answer's first token, the format. Adding `offset * v` to this token's row of the output
matrix adds `offset * <v, h>` to its logit. Least squares chooses v such that <v, h> = 1 at the start of an answer and 0
at all other positions. The edit thus acts as a bias on that decision alone, and the model remains a plain Qwen3.
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
from qtrain.policy.model import TokenIds, encode_examples, token_ids
from qtrain.rollout.rollouts import Rollouts, roll_out
from qtrain.rollout.transformers import TransformersEngine
from qtrain.tasks import Task

PROMPTS, SAMPLES = 128, 32
"""Held-out prompts, and rationales per prompt, that p0 is measured on."""


def measure_p0(model: PreTrainedModel, task: Task, config: Config, *, seed: int = 0) -> float:
    """Mean of p(y*|x, z) over held-out hard prompts and sampled rationales of the model: an unbiased estimate of P."""
    return float(_rollouts(model, task, config, seed).log_w_BM.exp().mean())


def move_p0(model: PreTrainedModel, task: Task, config: Config) -> dict:
    """Move the model's p0 to `config.pretrain.p0`, in place.

    Returns:
        `p0_natural` and `p0`, measured before and after the edit; `p0_offset_nats`, the offset; and
        `p0_direction_error`, the largest errors of <v, h> at the start of an answer and at other positions (with 0 and
        0 the edit is exactly a bias on that decision).

    Raises:
        UserError: The task's gold answers do not all begin with the same token, the embeddings are tied, the value
            cannot be reached, or closers are scored.
    """
    target = config.pretrain.p0
    if target is None:
        raise ValueError("config.pretrain.p0 is None: there is nothing to move to")
    rollouts = _rollouts(model, task, config, seed=0)
    first = {answer[0] for answer in rollouts.gold}
    if len(first) != 1 or model.config.tie_word_embeddings:
        why = "embeddings are tied" if len(first) == 1 else "its gold answers begin with different tokens"
        raise UserError(f"pretrain.p0={target:g}: p0 cannot be set here, {why}; remove the key")
    ids = token_ids(task.tokenizer, config.rollout)
    if ids.score_closer:
        raise UserError(f"pretrain.p0={target:g}: p0 is moved by the answer alone; set rollout.score_closer=false")
    states = _AnswerStates(model, ids, rollouts, config.rollout.temperature)
    weight_VD = model.get_output_embeddings().weight.data  # pyright: ignore[reportOptionalMemberAccess]
    direction_D = torch.linalg.lstsq(*states.least_squares()).solution[:, 0].to(weight_VD.device)
    token = first.pop()

    def excess(offset: float) -> float:
        moved_VD = weight_VD.clone()
        moved_VD[token] += offset * direction_D
        return states.log_p(moved_VD) - math.log(target)

    if excess(-60.0) > 0 or excess(30.0) < 0:
        reach = [math.exp(excess(end)) * target for end in (-60.0, 30.0)]
        raise UserError(f"pretrain.p0={target:g}: choose a value between {reach[0]:.1e} and {reach[1]:.1e}")
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
    """The hidden states before the output matrix, from which log P is exact for any edited output matrix."""

    @torch.no_grad()
    def __init__(self, model: PreTrainedModel, ids: TokenIds, rollouts: Rollouts, temperature: float) -> None:
        self.temperature = temperature
        samples = rollouts.log_w_BM.shape[1]
        rows = pad_rows(
            ids,
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
        """Design (K, D) and target (K, 1) of the fit: 1 at the start of an answer, 0 elsewhere, weighted equally.

        They are on the CPU, whose solver accepts rank-deficient designs, unlike that of CUDA.
        """
        begin_weight, elsewhere_weight = len(self.begin_KD) ** -0.5, len(self.elsewhere_KD) ** -0.5
        design_KD = torch.cat([begin_weight * self.begin_KD, elsewhere_weight * self.elsewhere_KD]).cpu()
        target_K1 = torch.zeros(len(design_KD), 1)
        target_K1[: len(self.begin_KD)] = begin_weight
        return design_KD, target_K1

    def direction_errors(self, direction_D: Tensor) -> tuple[float, float]:
        """Largest deviations of <v, h> from 1 at the start of an answer, and from 0 at other positions."""
        begin = (self.begin_KD @ direction_D - 1).abs().max()
        return float(begin), float((self.elsewhere_KD @ direction_D).abs().max())

    def log_p(self, output_VD: Tensor) -> float:
        """Log of the mean likelihood of the gold answers, in nats, with the given output matrix."""
        log_p_NTV = ((self.states_NTD @ output_VD.T).double() / self.temperature).log_softmax(-1)
        log_p_NT = log_p_NTV.gather(-1, self.target_NT[..., None])[..., 0]
        log_w_N = (log_p_NT * self.answer_NT).sum(1)
        return float(log_w_N.logsumexp(0)) - math.log(len(log_w_N))


def _rollouts(model: PreTrainedModel, task: Task, config: Config, seed: int) -> Rollouts:
    examples = [example for example in task.held_out(PROMPTS) if not example.group]
    return roll_out(
        TransformersEngine(model, token_ids(task.tokenizer, config.rollout)),
        *encode_examples(task.tokenizer, examples),
        config.rollout.on_policy(SAMPLES),
        torch.Generator(model.device).manual_seed(seed),
        sample_answers=False,
    )
