"""Random words: texts of exactly the lengths asked for."""

import numpy as np
import pytest

from qtrain.errors import UserError
from qtrain.policy.model import encode_examples
from qtrain.tasks.base import THINK
from qtrain.testbed.random_words import RandomWords, RandomWordsConfig


def test_lengths_and_vocabulary_are_those_asked_for() -> None:
    task = RandomWords(RandomWordsConfig(vocabulary=50, prompt_tokens=40, answer_tokens=5))
    assert len(task.tokenizer) == 50
    examples = task.batch(30, np.random.default_rng(0))
    prompts, gold = encode_examples(task.tokenizer, examples)
    assert {len(prompt) for prompt in prompts} == {40}
    assert {len(answer) for answer in gold} == {5}
    assert {prompt[-1] for prompt in prompts} == {task.tokenizer.get_vocab()[THINK]}
    # Each of the 46 words comes; none is a special token.
    assert {token for prompt in prompts for token in prompt[1:-1]} == set(range(4, 50))
    for example, answer in zip(examples, gold, strict=True):
        assert task.success(example, str(task.tokenizer.decode(answer, skip_special_tokens=True)))


def test_held_out_examples_are_fixed_and_not_drawn() -> None:
    task = RandomWords(RandomWordsConfig(vocabulary=20))
    held_out = task.held_out(20)
    assert held_out == task.held_out(30)[:20]
    assert {one.prompt.split()[0] for one in held_out} == {"w0"}
    assert "w0" not in {one.prompt.split()[0] for one in task.batch(2000, np.random.default_rng(0))}


def test_there_is_nothing_to_pretrain_on() -> None:
    with pytest.raises(UserError, match=r"set pretrain\.steps=0"):
        RandomWords(RandomWordsConfig()).demonstrations(1, np.random.default_rng(0))
