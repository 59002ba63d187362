"""The policy: pretrained folders, adapters, what a run keeps of its data, and its model for other programs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from qa_cases import RECORDS, tiny_model
from transformers import (
    AutoModelForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3ForCausalLM,
)

from qtrain.cli import main
from qtrain.config import Config, LoraConfig, read_config
from qtrain.errors import UserError
from qtrain.load_run import trained_policy
from qtrain.policy.adapters import add_adapters
from qtrain.policy.base import initial_policy
from qtrain.policy.device import find_device
from qtrain.policy.weights import load_weights, merged_state_dict, save_model_weights, trained_weights
from qtrain.prepare import get_base
from qtrain.runs.checkpoint import write_checkpoint
from qtrain.runs.folder import write_json
from qtrain.tasks import make_task
from qtrain.tasks.tokenizer import byte_tokenizer
from qtrain.trainer import train

LORA = {"rank": 2, "alpha": 4.0}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working directory and holds the cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def pretrained(folder: Path) -> Path:
    """A model folder as transformers writes it."""
    return tiny_model(folder / "model")


@pytest.fixture
def qa_config(pretrained: Path) -> Config:
    """Two steps on question records with that model."""
    records = [RECORDS["hotpotqa"](number) for number in range(16)]
    (pretrained.parent / "data.json").write_text(json.dumps(records))
    return Config.model_validate(
        {
            "name": "qa",
            "estimator": "garl:q=.5",
            "data": "data.json",
            "task": {"name": "hotpotqa"},
            "model": {"pretrained": str(pretrained)},
            "rollout": {"prompts": 2, "samples": 3, "rationale_budget": 4},
            "optimizer": {"name": "adamw"},
            "train": {"steps": 2, "checkpoint_every": 1},
            "eval": {"every": 1, "prompts": 1, "samples": 2},
        }
    )


def run(*words: str) -> int:
    """Exit status of a command."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def logits(model: PreTrainedModel) -> torch.Tensor:
    """Those of a fixed text."""
    return model(input_ids=torch.arange(12)[None]).logits.detach()


def with_noise(model: PreTrainedModel, seed: int) -> None:
    """Move every trained weight."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("lora", [None, LORA])
def test_a_pretrained_folder_trains_evaluates_and_is_exported(
    lora: dict[str, Any] | None, qa_config: Config, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(folder / "qa.json", qa_config.with_values({"lora": lora}).as_table())
    assert run("train", "qa.json", "--out", "run") == 0
    told = capsys.readouterr().err
    assert "16 records, 16 kept" in " ".join(told.split())
    assert "nats from the trainer's" in told
    ids = json.loads((folder / "run" / "data.json").read_text())["ids"]
    assert len(ids["train"]) + len(ids["held_out"]) == 16
    evals = [json.loads(line) for line in (folder / "run" / "evals.jsonl").read_text().splitlines()]
    assert all(0 <= row[score] <= 1 for row in evals for score in ("em", "f1"))
    for which in ("last", "best"):
        assert run("evaluate", "run", "--checkpoint", which, "--prompts", "1", "--samples", "2") == 0
    assert run("export", "run", "exported") == 0
    config = read_config(folder / "run" / "config.json")
    policy = trained_policy(config, make_task(config.task, config.data), folder / "run")
    exported = AutoModelForCausalLM.from_pretrained(folder / "exported", local_files_only=True)
    start = AutoModelForCausalLM.from_pretrained(folder / "model", local_files_only=True)
    torch.testing.assert_close(logits(exported), logits(policy), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(logits(exported), logits(start), atol=1e-5)
    loaded = PreTrainedTokenizerFast.from_pretrained(folder / "exported", local_files_only=True)
    assert loaded.get_vocab() == byte_tokenizer().get_vocab()
    assert run("export", "run", "exported") == 2
    assert "exists already" in capsys.readouterr().err


def test_adapters_start_as_the_base_and_train_alone(model: Qwen3ForCausalLM, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plain = logits(model)
    add_adapters(model, LoraConfig.model_validate(LORA), seed=0)
    torch.testing.assert_close(logits(model), plain, rtol=0, atol=0)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == trained_weights(model).keys()
    # Two layers of seven linear maps, two factors each.
    assert len(trained) == 28
    with_noise(model, 0)
    # By the definition: W + (alpha / rank) B A, under the plain names.
    for name, tensor in merged_state_dict(model):
        place = name.removesuffix(".weight")
        factors = [f"{place}.lora_{factor}.default.weight" for factor in "BA"]
        state = model.state_dict()
        added = 2.0 * state[factors[0]] @ state[factors[1]] if factors[0] in state else 0
        torch.testing.assert_close(tensor, before[name] + added)
    assert {name for name, _ in merged_state_dict(model)} == before.keys()
    save_model_weights(tmp_path / "model.safetensors", model)
    moved = logits(model)
    with_noise(model, 1)
    load_weights(model, tmp_path)
    torch.testing.assert_close(logits(model), moved, rtol=0, atol=0)


def test_a_run_with_adapters_resumes_bit_for_bit(config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config.with_values({"lora": LORA, "train.checkpoint_every": 1, "train.kl": 0.1})
    task = make_task(config.task, None)
    base = get_base(config, task)
    train(config, task, base, folder / "whole")

    def write_and_stop(*arguments: Any, **keywords: Any) -> None:
        write_checkpoint(*arguments, **keywords)
        raise KeyboardInterrupt

    monkeypatch.setattr("qtrain.trainer.write_checkpoint", write_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train(config, task, base, folder / "cut")
    monkeypatch.setattr("qtrain.trainer.write_checkpoint", write_checkpoint)
    train(config, task, base, folder / "cut", resume=True)
    weights = [(folder / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]
    assert all(".lora_" in name for name in trained_weights(initial_policy(config, task, base)))
    resumed = trained_policy(config, task, folder / "cut")
    assert not np.allclose(logits(resumed), logits(base.load(config, task)))


def test_a_model_with_sliding_windows_in_bfloat16_trains_and_says_that_it_is_slower(
    qa_config: Config, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = MistralConfig(
        vocab_size=300, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=1024, sliding_window=8, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        MistralForCausalLM(shape).bfloat16().save_pretrained(folder / "windows")
    byte_tokenizer().save_pretrained(folder / "windows")
    config = qa_config.with_values({"model.pretrained": str(folder / "windows")})
    write_json(folder / "qa.json", config.as_table())
    assert run("train", "qa.json", "--out", "run") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "MistralForCausalLM: sliding_window=8: each rollout is run with its own prompt, padded" in told
    assert "MistralForCausalLM: rollouts run with the model's own KV cache, which is slower" in told
    steps = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(step["mismatch_largest"] < 1e-4 for step in steps)
    assert any(step["gradient_norm"] > 0 for step in steps)


def test_tied_weights_are_written_once(pretrained: Path, qa_config: Config, folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(pretrained, local_files_only=True)
    assert len(trained_weights(model)) == len(model.state_dict()) - 1
    save_model_weights(folder / "model.safetensors", model)
    wanted = logits(model)
    with_noise(model, 0)
    load_weights(model, folder)
    torch.testing.assert_close(logits(model), wanted, rtol=0, atol=0)
    assert model.lm_head.weight is model.get_input_embeddings().weight


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"model.pretrained": "nowhere/at all"}, "model.pretrained='nowhere/at all': no such folder here"),
        ({"lora": {"targets": ["nothing"]}}, "lora.targets=('nothing',): "),
        ({"train.device": "cuda"}, "train.device='cuda': torch"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(changes: dict[str, Any], line: str, qa_config: Config) -> None:
    config = qa_config.with_values({**changes, "task.tokenizer": qa_config.as_table()["model"]["pretrained"]})
    task = make_task(config.task, config.data)
    with pytest.raises(UserError) as raised:
        initial_policy(config, task, get_base(config, task))
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"pretrain.steps": 5}, "pretrain.steps: model.pretrained has its weights already"),
        ({"model.layers": 2}, "unknown key 'model.layers'; valid are: pretrained, revision"),
        ({"task": {"name": "digit_sum"}, "data": None}, "unknown key 'task.tokenizer'"),
        ({"lora.rnk": 2}, "unknown key 'lora.rnk'; did you mean 'rank'?"),
    ],
)
def test_what_does_not_go_with_a_pretrained_model(values: dict[str, Any], line: str, qa_config: Config) -> None:
    with pytest.raises(UserError, match=line.replace("?", r"\?")):
        qa_config.with_values({"lora": LORA} | values)


def test_the_tokenizer_must_fit(qa_config: Config, pretrained: Path, folder: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([f"<|{number}|>" for number in range(9)])
    tokenizer.save_pretrained(folder / "larger")
    config = qa_config.with_values({"task.tokenizer": str(folder / "larger")})
    task = make_task(config.task, config.data)
    with pytest.raises(UserError, match=r"has \d+ tokens and task.tokenizer \d+"):
        initial_policy(config, task, get_base(config, task))


def test_the_best_weights_must_have_been_kept(config: Config, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = make_task(config.task, None)
    train(config, task, get_base(config, task), folder / "run")
    result = json.loads((folder / "run" / "result.json").read_text())
    write_json(folder / "run" / "result.json", result | {"best_step": 2})
    assert run("evaluate", "run", "--checkpoint", "best") == 2
    assert "train with train.checkpoint_every" in capsys.readouterr().err
    assert run("evaluate", "run", "--half", "test") == 2
    assert "--half test: task 'digit_sum' has no records to halve" in capsys.readouterr().err


def test_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == find_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == find_device("cuda") == torch.device("cuda")
    assert find_device("cpu") == torch.device("cpu")
