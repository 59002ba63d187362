"""What a cell costs: tokens, memory and GPU hours, by formulas that can be redone by hand.

B prompts a step, M rationales each, P tokens of a prompt, R of a rationale (its whole budget unless told otherwise),
Y of y*, A of a sampled answer (its whole budget; GRPO alone samples answers in training, and trains on them, so that
there Y = A below); N parameters, of which a token meets N_a; c bytes of KV cache a token; sizes as in shape.py.

Tokens of a step
    sampled    B M R                      (GRPO: B M (R + A))
    trained    B (P + M (R + Y))          the prompt once a group
FLOPs of n tokens behind s others
    f(n, s) =  2 N_a n + 4 L H h (s n + n^2 / 2)
FLOPs of a step
    prompts    B f(P, 0)
    scoring    B M f(P + R + Y, 0)        vLLM reads no cached prefix when it scores
    training   F B [ f(P, 0) + M f(R + Y, P) ],  F = 3, and 4 with gradient checkpointing (6 N_a or 8 N_a a token)
Seconds of a step
    FLOPs / (peak FLOP/s x MFU) + sampled tokens x [ W / C + c (P + R / 2) ] / (bandwidth x MBU)
    Sampling is bound by memory: each token reads its own cache, and the C rows that run at once share one reading of
    the weights, W bytes. C = the engine's cache / (c (P / M + R + A)), at most B M.
Evaluation: prompts, scoring and sampling likewise, with B = prompts, M = samples, and sampled answers.
Memory in bytes
    states     16 N                       weights, gradients and two Adam moments, float32
    activations  t = a batch at the whole budget, B (P + M (R + Y)) tokens, at most train.micro_batch_tokens:
               4 L d t + 2 (2 d + 2 H h + 2 K h + 4 f) t     checkpoints of all layers, and the inside of one
    logits     4 V min(t, max(256, 2^24 / V))     a chunk's: 64 MiB, or 256 tokens' where those are more
    group      c (P + M (R + A))          the KV cache of one group
    peak       states + the larger of (activations + logits) and (W + the engine's whole cache)
Not counted: start-up, the optimiser's update, self-checks, rows that wait for the longest one.
"""

from dataclasses import dataclass

from qtrain.config import Config
from qtrain.forward.head import chunk_tokens
from qtrain.reproduce.cells import SIZES, Cell
from qtrain.reproduce.lengths import Lengths
from qtrain.reproduce.shape import Shape


@dataclass(frozen=True)
class Machine:
    """One GPU: its name, dense bfloat16 FLOP/s and memory bandwidth in bytes/s, by its data sheet."""

    name: str
    flops: float
    bandwidth: float


MACHINES = (Machine("H100", 989e12, 3.35e12), Machine("H200", 989e12, 4.8e12))
"""The SXM versions."""


@dataclass(frozen=True)
class Assumptions:
    """What the formulas do not know.

    Attributes:
        mfu: Share of the peak FLOP/s that training and scoring reach.
        mbu: Share of the memory bandwidth that sampling reaches.
        rationale_tokens: Mean length of a rationale; None is the whole budget, the most it can be.
    """

    mfu: float = 0.35
    mbu: float = 0.5
    rationale_tokens: float | None = None


@dataclass(frozen=True)
class Cost:
    """Of one cell. Tokens and FLOPs of a training step and in total; bytes; hours by the machine's name."""

    sampled_step: float
    trained_step: float
    sampled: float
    trained: float
    states: float
    activations: float
    logits: float
    group_cache: float
    peak: float
    hours: dict[str, float]

    @property
    def tokens(self) -> float:
        """All that are sampled or trained on."""
        return self.sampled + self.trained


@dataclass(frozen=True)
class _Work:
    """Sampled tokens, bytes that sampling reads, trained tokens and FLOPs, of a step or of many."""

    sampled: float = 0.0
    read: float = 0.0
    trained: float = 0.0
    flops: float = 0.0

    def __add__(self, other: "_Work") -> "_Work":
        return _Work(
            self.sampled + other.sampled,
            self.read + other.read,
            self.trained + other.trained,
            self.flops + other.flops,
        )

    def times(self, n: float) -> "_Work":
        return _Work(n * self.sampled, n * self.read, n * self.trained, n * self.flops)

    def hours(self, machine: Machine, assumed: Assumptions) -> float:
        seconds = self.flops / (machine.flops * assumed.mfu) + self.read / (machine.bandwidth * assumed.mbu)
        return seconds / 3600


def cost(cell: Cell, config: Config, shape: Shape, mean: Lengths, assumed: Assumptions) -> Cost:
    """Estimate a cell.

    Args:
        cell: Whether there is training; how many records validation and test have, at most.
        config: Budgets, sizes of batches, number of steps and evaluations.
        shape: The model.
        mean: Prompts and answers.
        assumed: The rest.
    """
    rollout, train = config.rollout, config.train
    value = 2 if rollout.vllm.dtype == "bfloat16" else 4
    weights, cache = value * shape.active, rollout.vllm.cache_gib * 2**30
    per_token = shape.cache_bytes(value)
    budget = rollout.rationale_budget
    rationale = min(assumed.rationale_tokens or budget, budget)
    trains_on = rollout.answer_budget if config.estimator.needs_reward else mean.answer

    def forward(n: float, behind: float = 0.0) -> float:
        return 2 * shape.active * n + shape.pair_flops * (behind * n + n * n / 2)

    def rollouts(prompts: int, samples: int, answer: float, scored: float) -> _Work:
        rows = prompts * samples
        at_once = min(rows, cache / (per_token * (mean.prompt / samples + rationale + rollout.answer_budget)))
        sampled = rows * (rationale + answer)
        read = sampled * (weights / at_once + per_token * (mean.prompt + rationale / 2))
        flops = prompts * forward(mean.prompt) + rows * forward(mean.prompt + rationale + scored)
        return _Work(sampled, read, flops=flops)

    def evaluation(half: str) -> _Work:
        prompts = min(config.eval.prompts if half == "validation" else 10**9, SIZES[cell.data][half])
        return rollouts(prompts, config.eval.samples, rollout.answer_budget, mean.answer)

    rows = rollout.prompts * rollout.samples
    answers = rollout.answer_budget if config.estimator.needs_reward else 0
    passes = 4 if train.gradient_checkpointing else 3
    learned = rationale + trains_on
    step = rollouts(rollout.prompts, rollout.samples, answers, trains_on) + _Work(
        trained=rollout.prompts * mean.prompt + rows * learned,
        flops=passes * (rollout.prompts * forward(mean.prompt) + rows * forward(learned, mean.prompt)),
    )
    total, states, activations, logits = evaluation("test"), 4.0 * shape.parameters, 0.0, 0.0
    if cell.estimator is None:
        step = _Work()
    else:
        evaluations = (train.steps - 1) // config.eval.every + 2
        total += step.times(train.steps) + evaluation("validation").times(evaluations)
        states *= 4
        tokens = rollout.prompts * mean.prompt + rows * (budget + trains_on)
        tokens = min(tokens, train.micro_batch_tokens or tokens)
        inside = 2 * shape.hidden + 2 * (shape.heads + shape.key_value_heads) * shape.head_dim + 4 * shape.intermediate
        layers = 1 if train.gradient_checkpointing else shape.layers
        activations = (4 * shape.layers * shape.hidden + 2 * layers * inside) * tokens
        logits = 4.0 * shape.vocabulary * min(tokens, chunk_tokens(shape.vocabulary))
    return Cost(
        sampled_step=step.sampled,
        trained_step=step.trained,
        sampled=total.sampled,
        trained=total.trained,
        states=states,
        activations=activations,
        logits=logits,
        group_cache=per_token * (mean.prompt + rollout.samples * (budget + rollout.answer_budget)),
        peak=states + max(activations + logits, weights + cache),
        hours={machine.name: total.hours(machine, assumed) for machine in MACHINES},
    )
