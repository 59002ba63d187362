"""Evaluate a policy on held-out prompts: p@1, p@k, maj@k, mean log P, P, signs of collapse, and sampled texts."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch

from qtrain.config import Config
from qtrain.policy.model import encode_examples
from qtrain.rewards.score import (
    Rewards,
    RewardScores,
    constant_samples,
    decode_answers,
    open_rewards,
    reward_samples,
)
from qtrain.rollout.engine import Engine
from qtrain.rollout.rollouts import Rollouts, roll_out
from qtrain.scoring.groups import majority, pass_at_k
from qtrain.scoring.text import canonical, exact
from qtrain.tasks import Example, Task

PROMPTS_AT_ONCE = 64
"""Held-out prompts in one batch of rollouts."""

TEXT_PROMPTS, TEXT_SAMPLES = 6, 4
"""Number of prompts, and samples of each, whose texts are kept."""

CONSTANTS = 16
"""Number of gold answers, the most frequent ones, that are tried as a constant answer."""


@dataclass(frozen=True)
class Evaluation:
    """Scores by name, and some sampled texts.

    Attributes:
        scores: `p_at_1`, `p_at_<k>`, `maj_at_<k>` (k = samples per prompt), `mean_log_p` (mean over prompts of the log
            of the mean w, in nats; its bias is about -Var(w)/(2 k P^2)), `p` (mean w, unbiased), and the means of the
            task's own metrics under their names. Five scores show a collapsed policy: `exact_match` (share of sampled
            answers whose text is y*), `distinct_answers` (number of different texts among all sampled answers),
            `constant_answer` (p@1 of the best answer that is the same for every prompt, see `best_constant`), `forced`
            (share of truncated rationales) and `rationale_tokens` (their mean length; a metric of the task with one of
            these names replaces it). If the configuration names rewards: `reward` (mean of the weighted sum),
            `reward_<name>` (means of several rewards, those of `eval.rewards` included) and `reward_errors` (failed
            calls); with the key `reward`, an answer is correct if every reward with a positive weight is at least 1.
            Scores of the examples of a group (`Example.group`) end in `_<group>`.
            `p` and `mean_log_p` always refer to the model's own distribution; all other scores refer to samples drawn
            with the settings of `config.rollout`.
        texts: Prompt, gold, rationale, answer, log w, success, official scores, the reward if the configuration
            has one, and the estimator's coefficients if evaluation measures all that the estimator needs.
    """

    scores: dict[str, float]
    texts: list[dict[str, Any]]


class Constant(NamedTuple):
    """A constant answer and its p@1."""

    answer: str
    score: float


_constants: WeakKeyDictionary[Rewards, dict[tuple[Example, ...], Constant]] = WeakKeyDictionary()
"""Best constant answers by rewards and examples."""


class SampledPrompts(NamedTuple):
    """Some evaluated examples, their rollouts, and a description of each sample, in a list for each example."""

    examples: list[Example]
    rollouts: Rollouts
    texts: list[list[dict[str, Any]]]


def evaluate(
    engine: Engine,
    task: Task,
    config: Config,
    *,
    seed: int,
    examples: Sequence[Example] | None = None,
    on_batch: Callable[[SampledPrompts], None] | None = None,
    rewards: Rewards | None = None,
) -> Evaluation:
    """Evaluate a policy.

    Args:
        engine: Runs the policy.
        task: Source of held-out examples.
        config: Its tables `eval` and `rollout`, its estimator and its rewards are used.
        seed: Seed of the sampling.
        examples: The examples; by default the first `config.eval.prompts` held-out examples of each group.
        on_batch: Called with the samples of each batch of prompts.
        rewards: The rewards of `config`, if they are open already.

    Raises:
        UserError: A reward cannot be loaded.
    """
    examples = task.held_out(config.eval.prompts) if examples is None else examples
    with open_rewards(config) if rewards is None else nullcontext(rewards) as active_rewards:
        scores, texts = _evaluate_sampled(engine, task, config, examples, seed, active_rewards, on_batch)
    if config.rollout.off_policy_setting():
        # P is the mean of w over rationales from the model's own distribution.
        on_policy = config.model_copy(update={"rollout": config.rollout.on_policy(config.rollout.samples)})
        own_scores, _ = _evaluate_sampled(engine, task, on_policy, examples, seed, None)
        endings = {f"_{example.group}" if example.group else "" for example in examples}
        names = [f"{name}{ending}" for ending in endings for name in ("p", "mean_log_p")]
        scores |= {name: own_scores[name] for name in names}
    return Evaluation(scores, texts)


def best_constant(task: Task, examples: Sequence[Example], rewards: Rewards | None = None) -> Constant:
    """Find the answer that scores best if it is given to every prompt: the p@1 that needs no understanding.

    Only the CONSTANTS most frequent gold answers are tried; of equal scores the more frequent answer's counts.

    Args:
        task: Decides which answers are correct, unless rewards do.
        examples: At least one.
        rewards: With weights, they decide, after an empty rationale. They are called once for the same examples, since
            a call may be slow.
    """
    if rewards is None or not rewards.weights:
        return _best_constant(task, examples, None)
    constants = _constants.setdefault(rewards, {})
    key = tuple(examples)
    if key not in constants:
        constants[key] = _best_constant(task, examples, rewards)
    return constants[key]


def _best_constant(task: Task, examples: Sequence[Example], rewards: Rewards | None) -> Constant:
    spellings: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for example in examples:
        spellings.setdefault(canonical(example.answer), example.answer)
        counts[canonical(example.answer)] += 1
    candidates = [spellings[answer] for answer, _ in counts.most_common(CONSTANTS)]
    if rewards is None:
        successes = [sum(task.success(example, answer) for example in examples) for answer in candidates]
    else:
        samples = [sample for answer in candidates for sample in constant_samples(task, examples, answer)]
        correct = rewards.score(samples, evaluation=False).correct or []
        successes = [sum(correct[first : first + len(examples)]) for first in range(0, len(correct), len(examples))]
    best = max(successes)
    return Constant(candidates[successes.index(best)], best / len(examples))


def _evaluate_sampled(
    engine: Engine,
    task: Task,
    config: Config,
    examples: Sequence[Example],
    seed: int,
    rewards: Rewards | None,
    on_batch: Callable[[SampledPrompts], None] | None = None,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return scores and texts of samples drawn with the settings of `config.rollout`."""
    generator = torch.Generator(engine.device).manual_seed(seed)
    scores: dict[str, float] = {}
    texts: list[dict[str, Any]] = []
    # Examples without a group come first, since their group is the empty string.
    for group in sorted({example.group for example in examples}):
        members = [example for example in examples if example.group == group]
        group_scores, group_texts = _evaluate_group(engine, task, config, members, generator, rewards, on_batch)
        scores |= {f"{name}_{group}" if group else name: value for name, value in group_scores.items()}
        texts += group_texts
    return scores, texts


def _evaluate_group(
    engine: Engine,
    task: Task,
    config: Config,
    examples: list[Example],
    generator: torch.Generator,
    rewards: Rewards | None,
    on_batch: Callable[[SampledPrompts], None] | None,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    samples = config.eval.samples
    at_1 = at_k = maj = log_p = p = 0.0
    exact_matches = forced = rationale_tokens = 0
    answers: set[str] = set()
    official: Counter[str] = Counter()
    reward_errors = 0
    texts: list[dict[str, Any]] = []
    for first in range(0, len(examples), PROMPTS_AT_ONCE):
        chunk = examples[first : first + PROMPTS_AT_ONCE]
        rollouts = roll_out(
            engine,
            *encode_examples(task.tokenizer, chunk),
            config.rollout.model_copy(update={"samples": samples}),
            generator,
            sample_answers=True,
        )
        scored = None
        if rewards is not None:
            scored = rewards.score(reward_samples(task, chunk, rollouts), evaluation=True)
            official.update(scored.sums())
            reward_errors += scored.errors
            if scored.total is not None:
                rollouts = replace(rollouts, reward_BM=scored.total_BM(rollouts.truncated_BM.shape))
        texts_by_prompt = _texts(task, chunk, rollouts, _coefficients(config, rollouts), scored)
        for samples_texts in texts_by_prompt:
            correct = [text["success"] for text in samples_texts]
            at_1 += sum(correct) / samples
            at_k += pass_at_k(samples, sum(correct), samples)
            maj += majority([text["answer"] for text in samples_texts], correct)
            for text in samples_texts:
                official.update(text["official"])
                answers.add(canonical(text["answer"]))
                exact_matches += exact(text["answer"], text["gold"])
        forced += int(rollouts.truncated_BM.sum())
        rationale_tokens += sum(map(len, rollouts.rationales))
        if on_batch is not None:
            on_batch(SampledPrompts(chunk, rollouts, texts_by_prompt))
        log_mean_w_B = rollouts.log_w_BM.logsumexp(1) - torch.tensor(float(samples)).log()
        log_p += float(log_mean_w_B.sum())
        p += float(log_mean_w_B.exp().sum())
        for samples_texts in texts_by_prompt[: max(0, TEXT_PROMPTS - first)]:
            texts += samples_texts[:TEXT_SAMPLES]
    n = len(examples)
    names = ("p_at_1", f"p_at_{samples}", f"maj_at_{samples}", "mean_log_p", "p")
    scores = dict(zip(names, (at_1 / n, at_k / n, maj / n, log_p / n, p / n), strict=True))
    scores |= {
        "exact_match": exact_matches / (n * samples),
        "distinct_answers": float(len(answers)),
        "constant_answer": best_constant(task, examples, rewards).score,
        "forced": forced / (n * samples),
        "rationale_tokens": rationale_tokens / (n * samples),
    }
    scores |= {name: total / (n * samples) for name, total in official.items()}
    return scores if rewards is None else scores | {"reward_errors": float(reward_errors)}, texts


def _coefficients(config: Config, rollouts: Rollouts) -> dict[str, list[float]]:
    """Return the coefficients that the estimator, at its own q, would give each sample in training, N each.

    {} if the estimator cannot run here or needs something that evaluation does not measure.
    """
    estimator = config.estimator
    if not estimator.may_run or estimator.needs_score_norm or estimator.least_samples > config.eval.samples:
        return {}
    lengths_B = [*map(len, rollouts.gold)]
    coefficients_BM = estimator.coefficients(
        rollouts.log_w_BM, rollouts.reward_BM, np.random.default_rng(0), answer_length_B=lengths_B
    )
    return {f"{name}_coefficient": part.flatten().tolist() for name, part in coefficients_BM._asdict().items()}


def _texts(
    task: Task,
    examples: list[Example],
    rollouts: Rollouts,
    coefficients: dict[str, list[float]],
    scored: RewardScores | None,
) -> list[list[dict[str, Any]]]:
    """Describe each sample, in a list for each prompt."""
    samples = rollouts.log_w_BM.shape[1]
    rationales = task.tokenizer.batch_decode(rollouts.rationales)
    answers = decode_answers(task, examples, rollouts)
    correct, reward = (None, None) if scored is None else (scored.correct, scored.total)
    log_w_N = rollouts.log_w_BM.flatten().tolist()
    return [
        [
            {
                "prompt": example.prompt,
                "gold": example.answer,
                "group": example.group,
                "rationale": rationales[row],
                "forced": bool(rollouts.truncated_BM.flatten()[row]),
                "answer": answers[row],
                "log_w": log_w_N[row],
                "success": task.success(example, answers[row]) if correct is None else correct[row],
                "official": task.dataset_metrics(example, answers[row]),
                **({} if reward is None else {"reward": reward[row]}),
                **{name: values[row] for name, values in coefficients.items()},
            }
            for row in range(index * samples, (index + 1) * samples)
        ]
        for index, example in enumerate(examples)
    ]
