"""Lay out the result of `qtrain measure` as a table for the terminal."""

import re
from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from qtrain.advice import EASY_P

LONGEST_ANSWER = 24
"""Characters of an answer that the table shows."""

ROWS_ELSEWHERE = re.compile(
    r"(p|mean_log_p|exact_match|distinct_answers|constant_answer|forced|rationale_tokens)(_(?!at_)\w+)?"
)
"""Scores of an evaluation that other rows of the table replace, over all prompts."""

LENGTHS = {
    "prompts": "prompt",
    "gold_answers": "gold answer",
    "rationales": "rationale",
    "sampled_answers": "sampled answer",
}
"""Rows of lengths, by their names in the result."""


def measure_table(result: dict[str, Any]) -> Table:
    """Make the table.

    Args:
        result: From `qtrain.measurement.measure`.
    """
    title = f"{result['prompts']} {result['side']} prompts x {result['samples']} samples"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(title, no_wrap=True)
    table.add_column("", overflow="fold")
    for section in (_likelihood_rows, _score_rows, _length_rows, _time_rows):
        for name, value in section(result):
            table.add_row(name, value)
        table.add_section()
    return table


def _likelihood_rows(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    p, log_w, batch = result["p"], result["log_w"], result["batch"]
    yield "P, mean over prompts", f"{p['mean']:.2e} (median {p['median']:.2e}, mean log P {p['mean_log']:.2f} nats)"
    yield f"prompts with P > {EASY_P:g}", f"{p['easy']:.0%}"
    size = batch["prompts"] * batch["samples"]
    yield (
        f"prompts with P < {1 / size:.1e}",
        f"{p['unseen']:.0%} (1/(B M), a step of {batch['prompts']} x {batch['samples']} samples)",
    )
    yield "groups with both rewards", f"{p['groups_with_both_rewards']:.2%} (the others give GRPO no gradient)"
    order = ", ".join(f"{name} {value:.1f}" for name, value in log_w.items())
    yield "log w, nats", order
    yield "  within a prompt", f"standard deviation {result['log_w_spread']:.2f}, effective samples {result['ess']:.1f}"


def _score_rows(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in result["scores"].items():
        if not ROWS_ELSEWHERE.fullmatch(name):
            yield name.replace("_at_", "@").replace("_", " "), f"{value:.3f}"
    yield "exact match", f"{result['exact_match']:.3f}"
    constant, frequent, distinct = result["constant"], result["frequent"], result["distinct"]
    yield "best constant answer", f"{constant['p_at_1']:.3f} ({_shortened(constant['answer'])})"
    yield "most frequent answer", f"{frequent['share']:.0%} of samples ({_shortened(frequent['answer'])})"
    yield "distinct answers", f"{distinct['sampled']} sampled, {distinct['gold']} gold"
    yield "forced delimiters", f"{result['forced']:.0%} of rationales"


def _length_rows(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, label in LENGTHS.items():
        lengths = ", ".join(f"{key} {value}" for key, value in result["tokens"][name].items())
        yield f"tokens of a {label}", lengths
    budgets = result["budgets"]
    yield "budgets, tokens", f"rationale {budgets['rationale']}, answer {budgets['answer']}"
    if result["long_answers"]:
        yield "  beyond the answer's", f"{result['long_answers']:.0%} of gold answers"
    if records := result["records"]:
        yield "records", ", ".join(f"{name} {records[name]}" for name in records if name != "records")


def _time_rows(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    step, batch = result["step"], result["batch"]
    rollout, update = step["rollout_seconds"], step["update_seconds"]
    size = f"{batch['prompts']} x {batch['samples']}"
    yield "seconds of a rollout", f"{rollout:.2f} ({size} samples, {step['tokens']} tokens, {step['device']})"
    yield "seconds of an update", f"{update:.2f} (forward and backward, {result['estimator']})"
    yield "gradient norm", f"{step['gradient_norm']:.3g}"


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]}...")
