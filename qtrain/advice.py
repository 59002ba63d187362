"""Turn what `qtrain measure` found into advice on q, M and budgets: the rules of docs/choosing.md, without a model."""

from dataclasses import dataclass
from enum import Enum

EASY_P = 0.05
"""A prompt with a larger P is easy: 14 samples of it hold a success more often than not."""

MOST = 0.5
"""Share of prompts above which a statement holds for most of them."""

BOTH = 0.1
"""Least share of easy prompts, and of prompts without rewards, for a batch to count as mixed."""

FORCED = 0.5
"""Share of truncated rationales from which on the rationale budget is questioned."""

SPREAD = 1.0
"""Standard deviation of log w within a prompt, in nats, above which a power of the weights pays."""

POWER_SAMPLES = 32
"""Least M at which the power 1/SPREAD is known to be within 5% of the best power."""

EPSILONS = 10.0
"""Multiple of AdamW's epsilon below which the gradient's entries count as damped by it."""


class Start(Enum):
    """Starting points, the rows of the first table of docs/choosing.md."""

    EASY = "easy"
    RARE = "rare"
    COLD = "cold"


ESTIMATORS: dict[Start, tuple[str, ...]] = {
    Start.EASY: ("rb_rloo", "garl:q=.25", "garl:q=.5", "paft:q=.25"),
    Start.RARE: ("garl:q=.5", "garl:q=.75"),
    Start.COLD: ("garl:q=.75", "garl:q=1"),
}
"""Estimators to try at each starting point."""


@dataclass(frozen=True)
class Measured:
    """The numbers that advice depends on.

    Attributes:
        prompts: B, prompts of a training step.
        samples: M, samples per prompt of a training step.
        estimator: The configured estimator.
        needs_reward: Whether it trains on rewards of sampled answers.
        own_reward: Whether the configuration names a `reward`, which then decides `p_at_1` alone.
        p: Mean P over the measured prompts.
        median_p: Median P over them.
        easy: Share of them with P > EASY_P.
        unseen: Share of them with P < 1/(B M).
        log_w_spread: Mean over prompts of the standard deviation of log w, in nats.
        p_at_1: Share of sampled answers that the task counts as correct.
        exact_match: Share of sampled answers whose text is y*.
        constant: The best constant answer.
        constant_score: Its p@1.
        forced: Share of truncated rationales.
        longest_rationale: Length in tokens of the longest rationale.
        rationale_budget: rollout.rationale_budget, in tokens.
        answer_budget: rollout.answer_budget, in tokens.
        long_answers: Share of the measured gold answers that are longer than it.
        cut: Records whose prompt was cut.
        dropped: Records that a filter left out.
        records: Records that were read; 0 for a task that generates its examples.
        gradient_norm: Norm of the gradient of one step.
        gradient_rms: Root mean square of the entries of that gradient.
        eps: AdamW's epsilon; None for another optimizer.
    """

    prompts: int
    samples: int
    estimator: str
    needs_reward: bool
    own_reward: bool
    p: float
    median_p: float
    easy: float
    unseen: float
    log_w_spread: float
    p_at_1: float
    exact_match: float
    constant: str
    constant_score: float
    forced: float
    longest_rationale: int
    rationale_budget: int
    answer_budget: int
    long_answers: float
    cut: int
    dropped: int
    records: int
    gradient_norm: float
    gradient_rms: float
    eps: float | None


def starting_point(p: float, easy: float, batch: int) -> Start:
    """Find the row of the first table of docs/choosing.md.

    Args:
        p: Mean P over prompts.
        easy: Share of prompts with P > EASY_P.
        batch: B M, the samples of a training step.
    """
    if easy > MOST:
        return Start.EASY
    return Start.COLD if p * batch < 1 else Start.RARE


def advise(measured: Measured) -> list[str]:
    """Return the advice that follows from the numbers, in complete sentences, the most important first."""
    return [
        _estimator_advice(measured),
        *_batch_advice(measured),
        *_answer_advice(measured),
        *_budget_advice(measured),
        *_optimizer_advice(measured),
    ]


def _estimator_advice(measured: Measured) -> str:
    batch = measured.prompts * measured.samples
    start = starting_point(measured.p, measured.easy, batch)
    names = ESTIMATORS[start]
    choice = f"{', '.join(names[:-1])} or {names[-1]}"
    step = f"a step of B M = {measured.prompts} x {measured.samples} samples"
    if start is Start.EASY:
        return (
            f"P is above {EASY_P:g} on {measured.easy:.0%} of the prompts: every estimator trains. Take {choice}. The "
            f"leave-one-out baseline may hurt; try baseline=none."
        )
    if start is Start.RARE:
        return (
            f"Rewards are met, but rarely: {step} meets about {measured.p * batch:.2g} of them at a mean P of "
            f"{measured.p:.2g}, and GRPO waits for them. Take {choice}."
        )
    wait = f"one reward in about {_count(1 / (measured.p * batch))} steps" if measured.p > 0 else "no reward at all"
    return (
        f"Rewards see nothing: {step} meets {wait} at a mean P of {measured.p:.2g}, so GRPO and every reward estimator "
        f"stand still. Take likelihood weights: {choice}."
    )


def _count(number: float) -> str:
    return f"{number:,.0f}" if number < 1e6 else f"{number:.1e}"


def _batch_advice(measured: Measured) -> list[str]:
    batch = measured.prompts * measured.samples
    lines = []
    if measured.needs_reward and not measured.own_reward and measured.p * batch < 1:
        lines.append(
            f"estimator={measured.estimator} trains on rewards alone: expect a gradient of exactly zero in most steps."
        )
    if measured.easy >= BOTH and measured.unseen >= BOTH:
        lines.append(
            f"Easy and hard prompts share a batch (P > {EASY_P:g} on {measured.easy:.0%}, P < 1/(B M) on "
            f"{measured.unseen:.0%}): take q of at least .5, which no learning rate replaces."
        )
    rare = starting_point(measured.p, measured.easy, batch) is Start.RARE
    if rare and measured.samples * measured.median_p < 1:
        needed = f"1/P = {_count(1 / measured.median_p)}" if measured.median_p > 0 else "1/P"
        lines.append(
            f"M P is {measured.samples * measured.median_p:.2g} on the median prompt: with 0/1 rewards M must reach "
            f"{needed} before bias and noise fall; likelihood weights have no such floor."
        )
    if measured.log_w_spread > SPREAD:
        small = f", with M raised to {POWER_SAMPLES} or more" if measured.samples < POWER_SAMPLES else ""
        lines.append(
            f"log w of a prompt's samples has a standard deviation of {measured.log_w_spread:.2g} nats, so that single "
            f"samples hold most of the weight: try the power alpha={1 / measured.log_w_spread:.2g} (garl:alpha=...)"
            f"{small}, and tune the learning rate again."
        )
    return lines


def _answer_advice(measured: Measured) -> list[str]:
    if measured.own_reward:
        return []  # p@1 is by another rule than the best constant answer
    lines = []
    if 0 < measured.p_at_1 <= measured.constant_score:
        lines.append(
            f"p@1 is {measured.p_at_1:.2g}, and answering {measured.constant!r} to every prompt scores "
            f"{measured.constant_score:.2g}: read exact match and distinct answers beside p@1."
        )
    if measured.p_at_1 > 2 * measured.exact_match:
        lines.append(
            f"p@1 is {measured.p_at_1:.2g} and exact match {measured.exact_match:.2g}: most answers that count as "
            f"correct are not y* itself, whose likelihood and reward training reads."
        )
    return lines


def _budget_advice(measured: Measured) -> list[str]:
    lines = []
    budget = measured.rationale_budget
    if measured.forced > FORCED:
        lines.append(
            f"{measured.forced:.0%} of the rationales were cut at rollout.rationale_budget={budget} and their end was "
            f"forced: read some of them, and raise the budget if they were about to end."
        )
    elif measured.forced == 0 and 2 * measured.longest_rationale <= budget:
        lines.append(
            f"The longest rationale has {measured.longest_rationale} tokens: a smaller rollout.rationale_budget than "
            f"{budget} would cut none, and would need less memory."
        )
    if measured.long_answers > 0:
        lines.append(
            f"{measured.long_answers:.0%} of the gold answers are longer than rollout.answer_budget="
            f"{measured.answer_budget}: no sampled answer can equal them; raise it."
        )
    if measured.cut:
        lines.append(
            f"{measured.cut} of {measured.records} records lost the beginning of their context: raise "
            f"task.max_prompt_tokens (`qtrain data check CONFIG` lists the lengths before the cut)."
        )
    if 2 * measured.dropped > measured.records:
        lines.append(f"{measured.dropped} of {measured.records} records were left out: see the reasons above.")
    return lines


def _optimizer_advice(measured: Measured) -> list[str]:
    if measured.gradient_norm == 0:
        return [f"The gradient of the measured step is exactly zero: estimator={measured.estimator} saw nothing in it."]
    if measured.eps is not None and measured.gradient_rms < EPSILONS * measured.eps:
        return [
            f"The gradient's entries are {measured.gradient_rms:.1e} (root mean square), where AdamW's epsilon damps "
            f"the step: lower optimizer.eps={measured.eps:g}, take a larger q, or set train.relative_weights=true."
        ]
    return []
