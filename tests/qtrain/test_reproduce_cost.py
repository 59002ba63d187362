"""The cost model against sums done by hand, and the parameter count against the model that transformers builds."""

from pathlib import Path

import pytest
import torch
from reproduce_cases import official_files, pretrained_folder
from transformers import Qwen3Config, Qwen3ForCausalLM

from qtrain.cli import main
from qtrain.reproduce.cells import Cell
from qtrain.reproduce.cost import MACHINES, Assumptions, Machine, cost
from qtrain.reproduce.lengths import COLD_PROMPT, Lengths, lengths
from qtrain.reproduce.shape import QWEN3_0_6B, Shape, shape_of
from qtrain.tasks.data_sets import data_set
from qtrain.tasks.load import file_source, load
from qtrain.tasks.records import Tally

GARL = Cell("finqa", "cold", "garl:normalize=true,q=0.75")
GRPO = Cell("finqa", "cold", "grpo")
BASE = Cell("finqa", "warm", None)

SMALL = Shape(
    layers=2, hidden=8, intermediate=12, heads=2, key_value_heads=1, head_dim=4, vocabulary=100, tied=False
)  # fmt: skip

HAND = [
    "rollout.prompts=2", "rollout.samples=3", "rollout.rationale_budget=10", "rollout.answer_budget=4",
    "train.steps=5", "eval.every=2", "eval.prompts=6", "eval.samples=2", "train.micro_batch_tokens=100",
]  # fmt: skip


def built(shape: Shape) -> Qwen3ForCausalLM:
    with torch.device("meta"):
        return Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=shape.vocabulary,
                hidden_size=shape.hidden,
                intermediate_size=shape.intermediate,
                num_hidden_layers=shape.layers,
                num_attention_heads=shape.heads,
                num_key_value_heads=shape.key_value_heads,
                head_dim=shape.head_dim,
                tie_word_embeddings=shape.tied,
            )
        )


@pytest.mark.parametrize("shape", [QWEN3_0_6B, SMALL])
def test_parameters_are_those_of_the_model(shape: Shape) -> None:
    model = built(shape)
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    matrices = sum(p.numel() for name, p in model.named_parameters() if shape.tied or "embed_tokens" not in name)
    assert shape.active == matrices


def test_the_sizes_that_everybody_quotes() -> None:
    assert QWEN3_0_6B.parameters == 596_049_920
    assert QWEN3_0_6B.cache_bytes() == 114_688  # 2 * 28 * 8 * 128 values of 2 bytes
    assert QWEN3_0_6B.pair_flops == 4 * 28 * 16 * 128


def test_a_cell_by_hand() -> None:
    # A layer: 2 (2 + 1) 4 8 + 3 8 12 + 2 8 + 2 4 = 192 + 288 + 24 = 504; N = 2 800 + 2 504 + 8 = 2616; N_a = 1816.
    assert (SMALL.parameters, SMALL.active, SMALL.pair_flops) == (2616, 1816, 64)
    found = cost(GARL, GARL.config(HAND), SMALL, Lengths(20, 3, measured=True), Assumptions(mfu=0.5, mbu=0.25))
    # 6 rows of 10 tokens; trained: 2 prompts of 20 and 6 rows of 13.
    assert (found.sampled_step, found.trained_step) == (60, 118)
    # Evaluations: the base, after steps 2 and 4, the end: 4 with 6 prompts; a test with 1132; 2 rows of 14 tokens each.
    assert found.sampled == 5 * 60 + (4 * 6 + 1132) * 2 * 14
    assert found.trained == 5 * 118

    def forward(n: int, behind: int = 0) -> float:
        return 2 * 1816 * n + 64 * (behind * n + n * n / 2)

    # With gradient checkpointing four passes; scored rows are 20 + 10 + 3 tokens.
    training = 4 * (2 * forward(20) + 6 * forward(13, 20))
    step = 2 * forward(20) + 6 * forward(33) + training
    evaluated = forward(20) + 2 * forward(33)
    flops = 5 * step + (4 * 6 + 1132) * evaluated
    # A token's cache is 2 2 1 4 values of 2 bytes = 32 bytes; 24 GiB hold all rows, which share 2 N_a = 3632 bytes.
    read = 5 * 60 * (3632 / 6 + 32 * (20 + 5))
    read += 4 * 12 * 14 * (3632 / 12 + 32 * (20 + 5)) + 1132 * 2 * 14 * (3632 / 2264 + 32 * (20 + 5))
    (h100, h200) = MACHINES
    assert (h100.flops, h100.bandwidth, h200.bandwidth) == (989e12, 3.35e12, 4.8e12)
    for machine in (h100, h200):
        seconds = flops / (machine.flops * 0.5) + read / (machine.bandwidth * 0.25)
        assert found.hours[machine.name] == pytest.approx(seconds / 3600, rel=1e-12)
    assert found.states == 16 * 2616
    # 100 tokens of 2 20 + 6 13: 4 2 8 bytes a token of checkpoints, and 2 (16 + 2 3 4 + 48) = 176 within a layer.
    assert found.activations == 100 * (64 + 176)
    # One chunk: 100 tokens of 4 bytes for each of the vocabulary.
    assert found.logits == 100 * 4 * SMALL.vocabulary
    whole = cost(
        GARL, GARL.config([*HAND, "train.micro_batch_tokens=none"]), SMALL, Lengths(20, 3, measured=True), Assumptions()
    )
    assert whole.activations == 118 * (64 + 176)
    assert found.group_cache == 32 * (20 + 3 * 14)
    assert found.peak == 16 * 2616 + 3632 + 24 * 2**30


def test_grpo_samples_answers_and_trains_on_them() -> None:
    found = cost(GRPO, GRPO.config(HAND), SMALL, Lengths(20, 3, measured=True), Assumptions())
    assert (found.sampled_step, found.trained_step) == (6 * 14, 2 * 20 + 6 * 14)


def test_the_base_is_tested_alone() -> None:
    found = cost(BASE, BASE.config(HAND), SMALL, Lengths(20, 3, measured=True), Assumptions())
    assert (found.sampled, found.trained, found.sampled_step) == (1132 * 2 * 14, 0, 0)
    assert found.states == 4 * 2616


def test_a_small_cache_runs_fewer_rows_at_once() -> None:
    config, mean = GARL.config(), Lengths(1000, 8, measured=False)
    slow, fast = (
        cost(GARL, config.with_values({"rollout.vllm.cache_gib": gib}), QWEN3_0_6B, mean, Assumptions())
        for gib in (6, 60)
    )
    # Ten times the rows share one reading of the weights, for all sampled tokens: 2 N_a / C less a token.
    rows = [gib * 2**30 / (114688 * (1000 / 32 + 4096)) for gib in (6, 60)]
    of_steps = 200 * slow.sampled_step * 2 * 596_049_920 * (1 / rows[0] - 1 / rows[1])
    samples = 9 * 872 + 1132
    rows = [gib * 2**30 / (114688 * (1000 / 16 + 4096)) for gib in (6, 60)]
    of_evaluations = samples * 16 * 4096 * 2 * 596_049_920 * (1 / rows[0] - 1 / rows[1])
    h100: Machine = MACHINES[0]
    saved = (of_steps + of_evaluations) / (h100.bandwidth * 0.5) / 3600
    assert slow.hours["H100"] - fast.hours["H100"] == pytest.approx(saved, rel=1e-9)


def test_shorter_rationales_cost_less_time_and_the_same_memory() -> None:
    mean = Lengths(1000, 8, measured=False)
    whole, short = (cost(GARL, GARL.config(), QWEN3_0_6B, mean, Assumptions(rationale_tokens=n)) for n in (None, 800))
    assert short.sampled_step == 512 * 800
    assert short.hours["H100"] < whole.hours["H100"] / 3
    assert (short.peak, short.group_cache) == (whole.peak, whole.group_cache)


def test_lengths_are_measured_where_data_and_tokenizer_are_at_hand(tmp_path: Path) -> None:
    model, data = pretrained_folder(tmp_path / "model"), official_files(tmp_path / "data", "finqa")
    config = GARL.config([f"model.pretrained={model}"], data)
    text = "first sentence .\nsecond sentence .\n | 2010\nsales | $ 5\nlast sentence .\nwhat were sales?"
    # A token a byte, <think>, and for y* the prefix, "5" and END.
    assert lengths(GARL, config) == Lengths(len(text) + 1, 4, measured=True)
    assert not lengths(GARL, GARL.config([f"model.pretrained={model}"])).measured
    assert shape_of(config).vocabulary == 265


@pytest.mark.shared
@pytest.mark.parametrize("name", COLD_PROMPT)
def test_assumed_lengths_are_real_records_at_4_bytes_a_token(name: str, shared_data: Path) -> None:
    data = data_set(name)
    files = [shared_data / name / data.files[split] for split in ("train", "dev")]
    records = [one for file in files for one in load(file_source(file), data, Tally(), "skip")]
    bytes_ = sum(len(f"{one.context}\n{one.question}".encode()) for one in records) / len(records)
    assert bytes_ / COLD_PROMPT[name] == pytest.approx(4.1, abs=0.4)  # pyright: ignore[reportArgumentType]


def test_the_dry_run_prints_what_it_assumes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", "table3", "--dry-run", "--rationale-tokens", "800"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for line in (
        "not a measurement",
        "596,049,920 parameters",
        "114,688 bytes",
        "800 in the mean",
        "musique warm 2470",
    ):
        assert line in out
    assert len([line for line in out.splitlines() if "-warm-" in line]) == 21
    assert "…" not in out  # all of it fits 80 columns
