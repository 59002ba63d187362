"""Multi-hop questions: their graph, their chains, what is held out, and the pre-training mixture."""

import re
import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from qtrain.tasks.base import END, END_THINK, THINK, Demonstration
from qtrain.testbed.multi_hop import MultiHop, MultiHopConfig, write_rationale

PROMPT = re.compile(rf"(#?)((?:[a-zA-Z]{{2}};)+)\?([a-zA-Z])(\d)={THINK}")

CONFIGS = st.builds(
    lambda symbols, facts, hops, least, stride: MultiHopConfig(
        symbols=symbols,
        facts=min(facts, symbols),
        hops=min(hops, min(facts, symbols) - 1),
        least_hops=min(least, hops, min(facts, symbols) - 1),
        stride=stride,
    ),
    st.integers(3, 52),
    st.integers(3, 52),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
)


def read(prompt: str) -> tuple[str, dict[str, str], str, int]:
    """A prompt's tag, facts, start and hops."""
    match = PROMPT.fullmatch(prompt)
    assert match
    tag, facts, start, hops = match.groups()
    pairs = [(fact[0], fact[1]) for fact in facts.split(";")[:-1]]
    assert len(dict(pairs)) == len(pairs)
    return tag, dict(pairs), start, int(hops)


def chain(prompt: str) -> str:
    """The symbols that the start leads to, hop by hop."""
    _, facts, here, hops = read(prompt)
    symbols = ""
    for _ in range(hops):
        here = facts[here]
        symbols += here
    return symbols


def is_right(text: Demonstration) -> bool:
    rationale, answer = text.completion.removesuffix(END).split(END_THINK)
    return rationale == chain(text.prompt) and answer[1:] == rationale[-1]


def demonstrations(n: int, **changes: Any) -> list[Demonstration]:
    return MultiHop(MultiHopConfig(**changes)).demonstrations(n, np.random.default_rng(7))


@pytest.mark.parametrize(
    ("symbols", "stride", "expected"),
    [("bcdef", 1, "bcdef"), ("bcdef", 2, "cef"), ("bcdefg", 2, "ceg"), ("bcdef", 3, "df"), ("b", 4, "b")],
)
def test_what_is_written_of_a_chain_by_hand(symbols: str, stride: int, expected: str) -> None:
    assert write_rationale(list(symbols), stride) == expected


def test_a_prompt_by_hand() -> None:
    assert chain(f"#ab;dc;bd;ca;?a2={THINK}") == "bd"


@settings(max_examples=40, deadline=None)
@given(CONFIGS, st.integers(0, 2**32))
def test_the_facts_are_one_cycle_and_the_answer_its_chains_end(config: MultiHopConfig, seed: int) -> None:
    task = MultiHop(config)
    (example,) = task.batch(1, np.random.default_rng(seed))
    tag, facts, start, hops = read(example.prompt)
    assert tag == ""
    assert config.least_hops <= hops <= config.hops
    assert len(facts) == config.facts
    assert set(facts) <= set(string.ascii_letters[: config.symbols])
    here, seen = start, set[str]()
    while here not in seen:
        seen.add(here)
        here = facts[here]
    assert (here, seen) == (start, set(facts))
    assert example.answer == "+" + chain(example.prompt)[-1]
    tokens = task.tokenizer(example.prompt + example.answer, add_special_tokens=False)["input_ids"]
    assert task.tokenizer.decode(tokens) == example.prompt + example.answer
    assert len(tokens) == 3 * config.facts + 3 + 2 + 2


@pytest.mark.parametrize(
    ("variant", "formats"),
    [("cold", [("", "+", False)]), ("warm", [("#", "+", False)]), ("mixed", [("", "+", False), ("#", "-", True)])],
)
def test_variants(variant: Any, formats: list[tuple[str, str, bool]]) -> None:
    task = MultiHop(MultiHopConfig(variant=variant))
    for index, example in enumerate(task.batch(20, np.random.default_rng(1))):
        tag, form, easy = formats[index % len(formats)]
        assert (read(example.prompt)[0], example.answer[0], example.group == "easy") == (tag, form, easy)
    assert len(task.held_out(5)) == 5 * len(formats)


def test_held_out_are_questions_whatever_the_order_of_their_facts() -> None:
    task = MultiHop(MultiHopConfig(symbols=4, facts=4, least_hops=1, hops=3))
    rng = np.random.default_rng(0)

    def asked(prompt: str) -> tuple[Any, ...]:
        _, facts, start, hops = read(prompt)
        return tuple(sorted(facts.items())), start, hops

    held_out = {asked(example.prompt) for example in task.held_out(400)}
    trained = {asked(example.prompt) for example in task.batch(4000, rng)}
    imitated = {asked(text.prompt) for text in task.demonstrations(4000, rng)}
    # 3! cycles through 4 symbols, 4 starts, 3 numbers of hops.
    assert trained == imitated
    assert held_out.isdisjoint(trained)
    assert len(held_out) + len(trained) == 72
    assert 0 < len(held_out) < 15
    assert task.held_out(20) == task.held_out(50)[:20]


def test_hops_facts_and_orders_are_uniform() -> None:
    task = MultiHop(MultiHopConfig(symbols=5, facts=3, least_hops=1, hops=2))
    prompts = [example.prompt for example in task.batch(6000, np.random.default_rng(5))]
    assert prompts == [example.prompt for example in task.batch(6000, np.random.default_rng(5))]
    for values in ([prompt.split("?")[1][1] for prompt in prompts], [prompt[0] for prompt in prompts]):
        _, counts = np.unique(values, return_counts=True)
        # Loose, as the questions that are held out are no even sample of 120.
        assert counts.max() < 1.2 * counts.min()


@pytest.mark.parametrize(("tagged", "format_a", "right"), [(0.3, 0.5, 0.3), (0.7, 0.1, 0.9)])
def test_the_pretraining_mixture_has_the_shares_it_says(tagged: float, format_a: float, right: float) -> None:
    n = 4000
    texts = demonstrations(n, tagged=tagged, tagged_format_a=format_a, right_rationales=right, least_hops=2)
    with_tag = [text for text in texts if text.prompt.startswith("#")]
    gold = [text for text in texts if f"{END_THINK}+" in text.completion]
    assert all(text.prompt.startswith("#") for text in gold)
    # Random symbols are right by chance once in 6 for each of the rationale's two and for the answer.
    for hits, of, share in [
        (len(with_tag), n, tagged),
        (len(gold), len(with_tag), format_a),
        (sum(map(is_right, texts)), n, right + (1 - right) * 6.0**-3),
    ]:
        assert abs(hits - of * share) < 4 * (of * share * (1 - share)) ** 0.5


def test_wrong_rationales_are_random_symbols_of_the_prompt_and_their_answers_unrelated() -> None:
    texts = demonstrations(4000, right_rationales=0.0, symbols=4, facts=4, least_hops=2)
    ends = [text.completion.removesuffix(END).split(END_THINK) for text in texts]
    table = np.zeros((4, 4))
    for rationale, answer in ends:
        table["abcd".index(rationale[-1]), "abcd".index(answer[1:])] += 1
    assert stats.chisquare(table.ravel()).pvalue > 1e-3
    for text in demonstrations(50, right_rationales=0.0):
        assert set(text.completion.split(END_THINK)[0]) <= set(read(text.prompt)[1])


def test_success_is_exact_match() -> None:
    task = MultiHop(MultiHopConfig())
    (example,) = task.held_out(1)
    assert task.success(example, example.answer)
    assert not task.success(example, "-" + example.answer[1:])


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"facts": 27}, "facts=27 need as many symbols"),
        ({"facts": 3, "hops": 3}, "hops=3 lead round the whole cycle of facts=3"),
        ({"least_hops": 3, "hops": 2}, "least_hops=3 are more than hops=2"),
        ({"symbols": 53}, "less than or equal to 52"),
        ({"hop": 2}, "Extra inputs"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(line)):
        MultiHopConfig(**setting)
