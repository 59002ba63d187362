"""Before a run starts: what cannot fit is left out and counted, budgets suit the records, memory is told."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from qa_cases import hotpotqa, pair, tiny_model, write_split

from qtrain.config import Config, PretrainedConfig
from qtrain.errors import UserError
from qtrain.policy.model import encode_examples, load_pretrained
from qtrain.prepare import get_base, max_positions, prepare
from qtrain.rollout.memory import ModelSize, at_once, cache_limit, free_bytes, readable
from qtrain.tasks.limits import RowLimits
from qtrain.tasks.qa import QATask
from qtrain.tasks.tokenizer import load_tokenizer
from qtrain.trainer import train

SIZES = {"hidden_size": 16, "intermediate_size": 32, "layers": 1, "heads": 2, "key_value_heads": 2, "head_dim": 8}


def settings(data: Path, **more: Any) -> Config:
    """A run on pairs, 64 positions, bytes as tokens."""
    table = {
        "name": "tiny",
        "data": str(data),
        "task": {"name": "pairs"},
        "model": SIZES | {"max_positions": 64},
        "pretrain": {"steps": 0},
        "rollout": {"prompts": 2, "samples": 2, "rationale_budget": 4, "answer_budget": 4},
        "train": {"steps": 3},
        "eval": {"every": 2, "prompts": 2, "samples": 2},
    }
    return Config.model_validate(table).with_values(more)


def folder(path: Path, questions: list[dict[str, Any]]) -> Path:
    return write_split(path, "pairs", questions, [{"question": f"held out {n}?", "answer": str(n)} for n in range(4)])


def test_a_prompt_that_cannot_fit_is_left_out_before_the_first_step(tmp_path: Path, monkeypatch: Any) -> None:
    """55 tokens of prompt fit, THINK among them: 64 positions less 4 for the rationale, 1, and 4 for the answer."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lengths = {"short": 10, "longest": 54, "one more": 55, "long": 300}
    rows = [{"id": name, "question": "x" * (length - 1) + "?", "answer": "5"} for name, length in lengths.items()]
    config, task, notes = prepare(settings(folder(tmp_path / "data", rows), **{"train.steps": 30}))
    assert isinstance(task, QATask)
    assert task.record_ids()["train"] == ["short", "longest"]
    assert "2 dropped (question longer than the model's positions: 2)" in notes[0]
    result = train(config, task, get_base(config, task), tmp_path / "run")
    assert result["steps"] == 30


def test_the_room_depends_on_the_record_s_own_answer(tmp_path: Path) -> None:
    rows = [{"id": f"answer of {n}", "question": "x" * 45 + "?", "answer": "5" * n} for n in (3, 11, 12)]
    changes = {"task.long_answers": "keep"}
    config, task, notes = prepare(settings(folder(tmp_path / "data", rows), **changes))
    assert isinstance(task, QATask)
    # 47 tokens of prompt, 4 of rationale, 1, and 12 of answer and END make 64.
    assert task.record_ids()["train"] == ["answer of 3", "answer of 11"]
    assert config.rollout.answer_budget == 4
    assert any(line.startswith("warning: 2 answers are longer than rollout.answer_budget=4") for line in notes)


@pytest.mark.parametrize("setting", ["task.long_prompts", "task.long_answers"])
def test_what_cannot_fit_is_refused_where_that_is_asked_for(setting: str, tmp_path: Path) -> None:
    row = {"id": "bad", "question": "x" * 80, "answer": "5"}
    if setting == "task.long_answers":
        row = {"id": "bad", "question": "x?", "answer": "12345"}
    with pytest.raises(UserError, match=r"record 'bad': (question|answer) longer than .*; shorten it") as error:
        prepare(settings(folder(tmp_path / "data", [pair(), row]), **{setting: "fail"}))
    assert "\n" not in str(error.value)


def test_a_context_is_cut_to_what_the_positions_leave(tmp_path: Path) -> None:
    rows = [{"id": "mine", "question": "why?", "answer": "5", "context": "0123456789 " * 9}]
    _, task, notes = prepare(settings(folder(tmp_path / "data", rows)))
    assert isinstance(task, QATask)
    (example,) = task._train
    prompts, _ = encode_examples(task.tokenizer, [example])
    assert len(prompts[0]) == 64 - 4 - 1 - 4
    assert "1 of them cut to fit" in notes[0]


def test_answers_longer_than_the_budget_are_counted_and_left_out(tmp_path: Path) -> None:
    rows = [{"question": f"what is {n}?", "answer": "1" * n} for n in (1, 3, 4, 9)]
    _, task, notes = prepare(settings(folder(tmp_path / "data", rows)))
    assert isinstance(task, QATask)
    assert len(task.record_ids()["train"]) == 2
    (warning,) = [line for line in notes if line.startswith("warning")]
    assert "2 answers are longer than rollout.answer_budget=4 and can never be sampled (left out" in warning
    assert "the longest has 10 tokens" in warning
    with pytest.raises(UserError, match=r"no train records .*; the longest answer has 10 tokens: raise"):
        prepare(settings(folder(tmp_path / "other", rows[3:])))


def test_budgets_that_are_left_open_suit_the_records(tmp_path: Path) -> None:
    rows = [{"question": f"what is {n}?", "answer": "1" * n} for n in (1, 3, 9)]
    open_budgets = {"rollout.rationale_budget": 0, "rollout.answer_budget": 0}
    config, task, notes = prepare(settings(folder(tmp_path / "data", rows), **open_budgets))
    assert (config.rollout.rationale_budget, config.rollout.answer_budget) == (16, 10)
    assert isinstance(task, QATask)
    assert len(task.record_ids()["train"]) == 3
    assert notes[-1] == "chosen for this model and these records: rollout.rationale_budget=16, rollout.answer_budget=10"
    # What was chosen is written down, and read back it is chosen no more.
    again = prepare(Config.model_validate(config.as_table()))
    assert again.config == config
    assert "chosen" not in again.notes[-1]


@given(st.integers(1, 5000), st.integers(8, 100_000) | st.none(), st.integers(0, 600), st.integers(0, 400))
def test_half_the_positions_are_left_for_the_prompt(longest: int, positions: int | None, r: int, a: int) -> None:
    limits = RowLimits(positions, r, a, 512).resolved(longest)
    assert limits.rationale_budget >= 1
    assert limits.answer_budget >= 1
    assert (r, a) == (r and limits.rationale_budget, a and limits.answer_budget)
    room = limits.prompt_room(limits.answer_budget)
    assert (room is None) == (positions is None)
    if room is not None and positions is not None and not r and not a:
        assert room >= positions // 2 - 1


def test_a_task_that_makes_its_own_examples_is_looked_at_too(config: Config) -> None:
    with pytest.raises(
        UserError, match=r"model.max_positions=12: prompt, rationale budget and answer need 15; raise it"
    ):
        prepare(config.with_values({"model.max_positions": 12}))
    _, _, notes = prepare(config.with_values({"rollout.answer_budget": 2}))
    assert notes == [
        "warning: 262 of 262 answers are longer than rollout.answer_budget=2 and can never be sampled; the longest has "
        "3 tokens"
    ]


@pytest.mark.parametrize(
    ("name", "budgets"), [("digit_sum", (7, 3)), ("multi_hop", (4, 3)), ("random_words", (16, 16))]
)
def test_tasks_of_known_lengths_have_budgets_of_their_own(name: str, budgets: tuple[int, int]) -> None:
    config = Config.model_validate({"name": "x", "task": {"name": name}})
    assert (config.rollout.rationale_budget, config.rollout.answer_budget) == budgets
    fixed = Config.model_validate({"name": "x", "task": {"name": name}, "rollout": {"answer_budget": 5}})
    assert (fixed.rollout.rationale_budget, fixed.rollout.answer_budget) == (budgets[0], 5)


def test_vllm_needs_one_position_more(tmp_path: Path) -> None:
    config = settings(tmp_path)
    assert max_positions(config) == 64
    assert max_positions(config.with_values({"rollout.engine": "vllm"})) == 63


def test_paths_are_absolute_once_a_run_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "data", [pair(1)])
    tiny_model(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    changes = {"model": {"pretrained": "model"}, "rollout.rationale_budget": 4}
    config, _, _ = prepare(settings(Path("data"), **changes))
    table = config.as_table()
    places = [table["data"], table["model"]["pretrained"], table["task"]["tokenizer"]]
    assert places == [str(tmp_path / name) for name in ("data", "model", "model")]


def test_memory_is_told_before_the_start(tmp_path: Path) -> None:
    """By hand: the tiny model has N parameters in float32, AdamW twice as many, KL the base again."""
    rows = [hotpotqa(1), hotpotqa(2)]
    data = write_split(tmp_path / "data", "hotpotqa", rows, [hotpotqa(9)])
    tiny_model(tmp_path / "model")
    model = load_pretrained(PretrainedConfig(pretrained=str(tmp_path / "model")), load_tokenizer(tmp_path / "model"))
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    changes = {"model": {"pretrained": str(tmp_path / "model")}, "task.name": "hotpotqa", "train.kl": 0.1}
    config = settings(data, **changes, **{"optimizer.name": "adamw", "rollout.cache_gib": 8e-5})
    lines = [line for line in prepare(config).notes if line.startswith("memory")]
    for name, size in {"weights": weights, "gradient": weights, "optimizer": 2 * weights, "reference": weights}.items():
        assert f"{name} {readable(size)}" in lines[0]
    assert "are free" in lines[0]
    assert lines[1].startswith("memory: the KV cache of a step takes ")
    assert "(1 prompts x 1 samples at a time)" in lines[1]
    huge = config.with_values({"rollout.cache_gib": 1e6, "rollout.prompts": 10**6, "rollout.samples": 10**4})
    assert prepare(huge).notes[-1].startswith("warning: ")


def test_memory_of_padded_rows_counts_a_prompt_for_each(tmp_path: Path) -> None:
    """By hand, for a model that its configuration says to have windows."""
    data = folder(tmp_path / "data", [pair(1)])
    path = tiny_model(tmp_path / "model") / "config.json"
    shape = json.loads(path.read_text())
    layers = ["sliding_attention"] * shape["num_hidden_layers"]
    path.write_text(json.dumps(shape | {"use_sliding_window": True, "sliding_window": 4, "layer_types": layers}))
    changes = {"model": {"pretrained": str(path.parent)}, "rollout.prompts": 3, "rollout.samples": 5}
    config, task, notes = prepare(settings(data, **changes))
    size = ModelSize.of(load_pretrained(PretrainedConfig(pretrained=str(path.parent)), load_tokenizer(path.parent)))
    prompts, gold = encode_examples(task.tokenizer, task.held_out(config.eval.prompts))
    prompt, answer = max(map(len, prompts)), max(config.rollout.answer_budget, *map(len, gold))
    row = prompt + config.rollout.rationale_budget + 1 + answer
    lines = [line for line in notes if line.startswith("memory")]
    tokens = min(3 * 5 * row, config.train.micro_batch_tokens or 10**9)
    activations = size.training_bytes(tokens, adam=False, reference=False, recompute=False)["activations"]
    assert f"activations {readable(activations)}" in lines[0]
    assert lines[1].endswith(f"of {readable(3 * (size.prompt_bytes(prompt) + 5 * size.row_bytes(row, 4)))} (3 x 5)")


def test_adapters_leave_most_weights_alone(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", [pair(1)])
    tiny_model(tmp_path / "model")
    changes = {"model": {"pretrained": str(tmp_path / "model")}, "lora": {"rank": 2}}
    lines = prepare(settings(data, **changes)).notes
    assert any("weights" in line and f"gradient {readable(4 * 28 * 2 * 16)}" not in line for line in lines)


SIZE = ModelSize(1000, 100, 4, 16, 32, 4, 2, 8, 50)


def test_cache_sizes_by_hand() -> None:
    # Keys and values, 4 layers, 2 heads of 8 values.
    assert SIZE.token_bytes(4) == 2 * 4 * 2 * 8 * 4
    assert SIZE.token_bytes(2) == SIZE.token_bytes(4) // 2
    # One layer more than there are, while it grows; three numbers of 8 bytes a token of the vocabulary.
    assert SIZE.row_bytes(10, 2) == 10 * 256 * 5 // 4 + 24 * 50


@given(st.integers(1, 10**6), st.integers(1, 10**4), st.integers(1, 10**4), st.integers(1, 99), st.integers(1, 99))
def test_no_more_goes_at_once_than_fits_and_no_less(
    limit: int, prompt: int, row: int, prompts: int, samples: int
) -> None:
    room = at_once(limit, prompt, row, prompts, samples)

    def needed(groups: int, rows: int) -> int:
        return groups * (prompt + rows * row)

    assert 1 <= room.prompts <= prompts
    assert 1 <= room.samples <= samples
    assert room == (1, 1) or needed(*room) <= limit
    if room.samples < samples:
        assert room.prompts == 1
        assert needed(1, room.samples + 1) > limit
    elif room.prompts < prompts:
        assert needed(room.prompts + 1, samples) > limit


def test_the_cache_s_limit_is_the_setting_or_a_share_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert cache_limit(cpu, SIZE, 0.5, adam=True) == 2**29
    monkeypatch.setattr("qtrain.rollout.memory.free_bytes", lambda _: 2**30)
    # Gradient and two moments of 100 numbers are still to come.
    assert cache_limit(cpu, SIZE, None, adam=True) == int(0.8 * (2**30 - 1200))
    assert cache_limit(cpu, SIZE, None, adam=False) == int(0.8 * (2**30 - 400))
    monkeypatch.setattr("qtrain.rollout.memory.free_bytes", lambda _: 0)
    assert cache_limit(cpu, SIZE, None, adam=False) == 2**20


def test_free_memory_of_a_gpu_counts_what_torch_holds_in_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 300)
    assert free_bytes(torch.device("cuda")) == 1400
    assert free_bytes(torch.device("cpu")) > 2**20
