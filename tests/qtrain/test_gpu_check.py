"""`qtrain gpu-check` at toy size on the CPU, its count of FLOPs against torch's, and its page in the docs."""

import json
import re
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, Qwen3ForCausalLM

from qtrain.cli import main
from qtrain.config import Config, ModelConfig
from qtrain.flops import known_peak, measured_peak, step_flops, text_flops
from qtrain.gpu_check import throughput
from qtrain.gpu_check.page import page
from qtrain.gpu_check.stage import Place
from qtrain.gpu_check.stages import STAGES
from qtrain.report.collect import read_section

DOCS = Path(__file__).parents[2] / "docs"
TINY = ["--device", "cpu", "--size", "tiny"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder with an empty cache, on a machine without a GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path


def run(*words: str) -> int:
    """Exit status of the command."""
    with pytest.raises(SystemExit) as stop:
        main(["gpu-check", *words])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def results(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_every_stage_at_toy_size(folder: Path) -> None:
    assert run("--out", "out", "--only", "throughput", *TINY) == 0
    first = results(folder / "out" / "gpu-check.json")
    assert list(first) == ["throughput"]
    assert (folder / "out" / "gpu-check.md").read_text().count("**This stage has not run.**") == 2
    assert run("--out", "out", "--page", "page.md", *TINY) == 0
    every = results(folder / "page.json")
    assert set(every) == set(STAGES)
    assert every["throughput"] == first["throughput"]
    assert every == results(folder / "out" / "gpu-check.json")
    text = (folder / "page.md").read_text()
    assert "**These are not results.**" in text
    assert "has not run" not in text
    for name in ("escape", "multi_hop"):
        rows, section = every[name]["result"]["runs"], read_section(folder / "out" / name)
        assert {run.result.estimator for run in section.runs} == {row["estimator"] for row in rows}
        assert all(row["curve"]["step"] == [0, 1, 2] for row in rows)
        assert all(f"| {row['estimator']} | {row['p0']:.3g} |" in text for row in rows)
    for one in first["throughput"]["result"]["runs"]:
        assert all(4 <= tokens <= 4 * 8 for tokens in one["tokens"])
        assert one["tokens_per_second"] == pytest.approx(sum(one["tokens"]) / sum(one["seconds"]))
        measured = first["throughput"]["result"]["peak_measured"]
        assert one["utilisation_measured"] == pytest.approx(sum(one["flops"]) / sum(one["seconds"]) / measured)
    # Runs with a result are kept: there is nothing left to do, and the seconds stay what they were.
    assert run("--out", "out", "--page", "page.md", *TINY) == 0
    assert results(folder / "page.json") == every
    assert run("--out", "out", "--device", "cpu") == 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--out o", "sees no GPU; run it where there is one, or try the harness itself with --device cpu --size tiny"),
        ("--out o --only escap --device cpu", "--only escap: no such stage; did you mean 'escape'?"),
        ("--out o --page no/where.md --device cpu", "--page no/where.md: name a file that ends in .md"),
        ("--out o --page page.txt --device cpu", "--page page.txt: name a file that ends in .md"),
        ("--out o --size small", "--size"),
        ("", "--out"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    words: str, line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("qtrain: ")
    assert error.count("\n") == 1
    assert line in error
    assert list(folder.iterdir()) == []


def test_an_interruption_keeps_what_is_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def stage(name: str, *, stopped: bool) -> Any:
        def run_it(_: Place) -> dict[str, Any]:
            calls.append(name)
            if stopped:
                raise KeyboardInterrupt
            return {"runs": []}

        return STAGES[name]._replace(run=run_it, show=lambda _: [f"shown {name}"])

    monkeypatch.setitem(STAGES, "escape", stage("escape", stopped=False))
    monkeypatch.setitem(STAGES, "throughput", stage("throughput", stopped=True))
    assert run("--out", "out", *TINY) == 130
    assert "shown escape" in (folder / "out" / "gpu-check.md").read_text()
    monkeypatch.setitem(STAGES, "throughput", stage("throughput", stopped=False))
    monkeypatch.setitem(STAGES, "multi_hop", stage("multi_hop", stopped=False))
    assert run("--out", "out", *TINY) == 0
    assert calls == ["escape", "throughput", "throughput", "multi_hop"]
    (folder / "out" / "gpu-check.json").write_text('{"escape": 1}')
    assert run("--out", "out", *TINY) == 2


def test_out_of_memory_is_a_result(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(throughput, "train", full)
    result = throughput.run(Place(folder / "out", "cpu", "tiny"))
    assert [one["out_of_memory"] for one in result["runs"]] == [True, True]
    assert sum("(out of memory) | – |" in line for line in throughput.show(result)) == 2


def test_flops_of_a_text_are_those_that_torch_counts(model: Qwen3ForCausalLM, config: Config) -> None:
    sizes, vocabulary, tokens = config.model, model.config.vocab_size, 6
    assert isinstance(sizes, ModelConfig)
    cache, counted = DynamicCache(config=model.config), []
    name = "cache" if "cache" in signature(model.forward).parameters else "past_key_values"
    model.set_attn_implementation("eager")  # of others torch counts nothing on a CPU
    for position in range(tokens):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.tensor([[position]]), **{name: cache}, use_cache=True)
        counted.append(counter.get_total_flops())
    # Token by token no future position is computed and thrown away, and each has logits.
    assert text_flops(sizes, vocabulary, 0, tokens, with_prompt=False) == sum(counted)
    assert text_flops(sizes, vocabulary, 4, 2, with_prompt=False) == sum(counted[4:])
    logits = 2 * vocabulary * sizes.hidden_size
    assert text_flops(sizes, vocabulary, 4, 2, with_prompt=True) == sum(counted) - 3 * logits


def test_flops_of_a_step_by_hand() -> None:
    sizes = ModelConfig(hidden_size=4, intermediate_size=5, layers=2, heads=2, key_value_heads=1, head_dim=2)
    vocabulary = 11

    def token(position: int, *, logits: bool) -> float:
        matrices = 2 * (4 * 4 + 4 * 2 + 4 * 2 + 4 * 4 + 3 * 4 * 5)
        return 2 * (matrices + 4 * 4 * position) + (2 * 4 * vocabulary if logits else 0)

    prompt = sum(token(position, logits=position == 3) for position in (1, 2, 3))
    rollout = 2 * prompt + 8 * sum(token(position, logits=True) for position in (4, 5))
    update = 2 * prompt + 5 * sum(token(position, logits=True) for position in range(4, 4 + 2 + 1 + 3))
    counted = step_flops(sizes, vocabulary, prompts=2, samples=4, prompt=3, rationale=2.0, answer=3, rows=5)
    assert counted == rollout + 3 * update


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("Tesla T4", None),
    ],
)
def test_data_sheets_are_found_by_the_devices_name(name: str, peak: float | None) -> None:
    assert known_peak(name) == peak


def test_a_peak_is_measured() -> None:
    assert measured_peak("cpu", size=16, repeats=2) > 0


def test_the_page_of_the_docs_is_what_the_committed_results_give() -> None:
    committed = DOCS / "gpu-check.json"
    text = (DOCS / "gpu-check.md").read_text(encoding="utf-8")
    assert text == page(results(committed) if committed.exists() else {})
    assert committed.exists() or re.search(r"\*\*Nothing on this page has run on a GPU yet.\*\*", text)
