"""`python -m figures bench`: page and results agree, programs at toy sizes, turns, failures, absent peers."""

import json
import sys
import time
from dataclasses import asdict, replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, Qwen3ForCausalLM

from figures.bench.case import Case, Options, missing
from figures.bench.command import bench_command
from figures.bench.gradient import compare_gradient, save_gradient
from figures.bench.page import PAGE, render, step_table
from figures.bench.programs import rollout, step, update
from figures.bench.programs.demo import StageTimes
from figures.bench.record import RESULTS, read_results, section
from figures.bench.run import run_cases
from figures.bench.store import LOG, Store
from figures.bench.suites import SUITES
from figures.bench.suites.update import TOY, contenders
from figures.bench.utilisation import known_peak, measured_peak, plain_flops, step_flops, text_flops, update_flops
from figures.bench.workload import ModelSize, Shape, make_model, make_work
from figures.cli import main
from qtrain.callbacks import STAGES
from qtrain.config import Config, ModelConfig, read_config
from qtrain.prepare import get_base
from qtrain.progress import ProgressDisplay
from qtrain.tasks import make_task
from qtrain.trainer import train

ROOT = Path(__file__).resolve().parents[2]
SHAPE = Shape(12, 10, samples=4, answer=3, model=TOY)
SETTINGS: dict[str, Any] = {
    "shape": asdict(SHAPE),
    "device": "cpu",
    "dtype": "float32",
    "estimator": "garl:q=0.75",
    "spread": 1.0,
    "updates": 2,
    "profile": False,
    "gradient": None,
}


def test_the_page_is_what_the_results_give() -> None:
    page = (ROOT / "docs" / PAGE).read_text(encoding="utf-8")
    assert page == render(read_results(ROOT / "docs")), "run `python -m figures bench` and commit docs/benchmarks.*"


def test_an_update_and_plain_rows_take_the_same_gradient(tmp_path: Path) -> None:
    settings = SETTINGS | {"gradient": str(tmp_path / "gradients" / "g"), "profile": True}
    ours = update.measure(settings | {"contender": "qtrain"})
    plain = update.measure(settings | {"contender": "plain", "rows": 3})
    assert plain["gradient_error"] < 1e-5
    assert plain["gradient_scale"] == pytest.approx(1, abs=1e-5)
    assert (ours["rows"], plain["rows"], len(ours["seconds"]), len(plain["cpu_seconds"])) == (4, 4, 2, 2)
    assert all(seconds > 0 for seconds in plain["profile"].values())


def test_gradients_that_differ_are_told_apart(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    save_gradient(model, tmp_path / "g")
    model.weight.grad = torch.tensor([[6.0, 0.0]])
    # The nearest multiple of (6, 0) to (3, 4) is a half of it, 4 away from a vector of length 5.
    found = compare_gradient(model, tmp_path / "g")
    assert found["gradient_scale"] == pytest.approx(0.5)
    assert found["gradient_error"] == pytest.approx(0.8)
    assert compare_gradient(model, tmp_path / "none") == {}
    with pytest.raises(ValueError, match="alone"):
        compare_gradient(torch.nn.Identity(), tmp_path / "g")


def test_paft_trains_distinct_rationales_alone() -> None:
    settings = SETTINGS | {"contender": "qtrain", "estimator": "paft:q=0.75", "spread": 8.0, "updates": 1}
    work = make_work(SHAPE, "paft:q=0.75", 8.0)
    distinct = int((work.coefficients_BM.answer != 0).sum())
    assert distinct < SHAPE.samples
    assert update.measure(settings)["rows"] == distinct


def test_rollouts_of_full_and_of_ragged_lengths() -> None:
    settings = {"shape": asdict(replace(SHAPE, samples=64)), "device": "cpu", "mean_length": None, "updates": 1}
    for contender in ("qtrain", "generate"):
        full = rollout.measure(settings | {"contender": contender})
        # END_THINK, one of 500 tokens, may end a few of them.
        assert 0.9 * 640 < full["tokens"][0] <= 640
        ragged = rollout.measure(settings | {"contender": contender, "mean_length": 3.0})
        # A geometric length with mean 3, cut at 10, has mean 3 (1 - (2/3)^10) = 2.95 and deviation 2.3.
        assert ragged["tokens"][0] / 64 == pytest.approx(2.95, abs=4 * 2.3 / 8)


def test_operations_of_an_update_by_counting_products() -> None:
    size = ModelSize(vocabulary=11, layers=2, width=4, intermediate=6, heads=2, key_value_heads=1, head_dim=4)
    shape = Shape(3, 4, samples=2, answer=1, model=size)
    prompt, completion = [1, 2, 3], [4, 5, 6, 7]  # how many tokens each new token sees

    def forward(prompts: int) -> int:
        matrices = [(4, 8), (4, 4), (4, 4), (8, 4), (4, 6), (4, 6), (6, 4)]
        total = 0
        for seen in prompts * prompt + 2 * completion:
            total += 2 * (sum(2 * a * b for a, b in matrices) + 2 * (2 * 4 * seen) * 2)
        # Logits: of each prompt's last token, and of every token behind it.
        return total + 2 * 4 * 11 * (prompts + 2 * len(completion))

    assert update_flops(shape) == 3 * forward(1)
    assert plain_flops(shape) == 3 * forward(2)


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "absent"), [("rloo", {"forward"}), ("garl:q=1", {"answers"})])
def test_stages_cover_a_training_run(
    estimator: str, absent: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    words = (
        "train.steps=2",
        "eval.every=2",
        "eval.prompts=2",
        "pretrain.steps=1",
        "pretrain.p0=none",
        f"estimator={estimator}",
    )
    config = read_config(ROOT / "qtrain" / "configs" / "cold_start.toml", words)
    task, times = make_task(config.task, config.data), StageTimes()
    base = get_base(config, task)
    began = time.perf_counter()
    train(config, task, base, tmp_path / "run", callbacks=[times])
    assert set(times.seconds) == set(STAGES) - absent
    # No second is counted twice.
    assert 0 < sum(times.seconds.values()) < time.perf_counter() - began


WRITES = "import json, sys; open(sys.argv[2], 'w').write(json.dumps({'seconds': [json.loads(sys.argv[1])['s']]}))"


def case(contest: str, name: str, seconds: float = 1.0, code: str = WRITES, **more: Any) -> Case:
    return Case(contest, name, ("-c", code), {"s": seconds}, **more)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]


def measure(cases: list[Case], folder: Path) -> dict[str, Any]:
    store = Store(folder)
    try:
        with ProgressDisplay("test", total=len(cases)) as board:
            return run_cases(cases, store, board, threads=1)
    finally:
        store.close()


@pytest.mark.slow
def test_contests_take_turns_and_what_is_finished_is_kept(tmp_path: Path) -> None:
    cases = [case("one", "a"), case("one", "b", 1e9), case("one", "c", code="raise SystemExit('no luck')")]
    found = measure(cases, tmp_path)
    order = [(one["name"], one["round"]) for one in lines(tmp_path)]
    assert order == [("a", 0), ("b", 0), ("c", 0), ("a", 1)]  # b took too long for another turn, c failed
    assert found["one"]["c"] == [{"failed": "no luck"}]
    # A kill that came in the middle of a line.
    with (tmp_path / LOG).open("a", encoding="utf-8") as log:
        log.write('{"contest": "one", "na')
    assert measure(cases, tmp_path)["one"]["a"] == found["one"]["a"]
    assert [(one["name"], one["round"]) for one in lines(tmp_path)] == [*order, ("c", 0)]


@pytest.mark.slow
def test_an_interruption_ends_the_measured_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import figures.bench.run as run

    started = []

    class Interrupted(run.subprocess.Popen):
        def wait(self, timeout: float | None = None) -> int:
            if timeout is not None:
                started.append(self)
                raise KeyboardInterrupt
            return super().wait()

    monkeypatch.setattr(run.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure([case("one", "a", code="import time; time.sleep(600)")], tmp_path)
    assert started[0].returncode < 0
    assert lines(tmp_path) == []


def test_absent_peers_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = missing("trl")
    assert said is not None
    assert said == ".venv-bench/bin/python is missing, and with it trl's side of the comparison; `make bench` makes it"


def test_results_and_page_of_a_part_stay_out_of_the_docs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The harness from the command to the page, on one process that writes what the program would."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    result = {"seconds": [2.0], "cpu_seconds": [2.0], "peak_bytes": 5e9, "base_bytes": 1e9, "rows": 4, "libraries": {}}
    code = f"import sys; open(sys.argv[2], 'w').write('''{json.dumps(result)}''')"
    suite = SUITES["update"]

    def cases(options: Options, folder: Path) -> list[Case]:
        return [replace(one, arguments=("-c", code)) for one in suite.cases(options, folder)]

    monkeypatch.setitem(SUITES, "update", suite._replace(cases=cases))
    status = bench_command(("update",), None, None, Path("out"), None, quick=True, device="cpu", threads=1)
    assert status == 0
    assert not list((tmp_path / "docs").iterdir())
    rows = read_results(Path("out"))["update"]["rows"]
    assert [(row["name"], row["seconds"], row["bytes"], row["times"]) for row in rows] == [
        ("qtrain", 2.0, 4e9, 1.0),
        ("plain, 8 rows", 2.0, 4e9, 1.0),
    ]
    page = Path("out", PAGE).read_text(encoding="utf-8")
    assert "| 24, 16 | 500 | qtrain | 2 | 2: 2 to 2 | 1 | 4.00 | 1 | - |" in page
    assert "Left out: .venv-bench/bin/python is missing" in page
    assert ".venv-bench/bin/python is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["updat"], "did you mean 'update'?"),
        (["--shapes", "12"], "write prompt tokens x completion tokens"),
        (["--shapes", "12x4"], "a completion of 10 tokens"),
        (["--vocabularies", "2"], "at least 8"),
        (["--threads", "0"], "at least 1"),
        (["demo", "--device", "cuda"], "on the CPU alone"),
        (["step"], "it is for a GPU; give --device cuda, or --quick to try it at toy size"),
    ],
)
def test_refusals(words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", *words, "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert (stop.value.code, error.count("\n")) == (2, 1)
    assert says in error
    assert not (tmp_path / "out").exists()


def test_a_damaged_results_file_is_one_line(tmp_path: Path) -> None:
    from qtrain.errors import UserError

    (tmp_path / RESULTS).write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="delete it"):
        read_results(tmp_path)


def fake(settings: dict[str, Any] | None, index: int) -> dict[str, Any]:
    """What any program might write."""
    stages = dict.fromkeys(STAGES, 0.5)
    run = {"config": "cold_start", "estimator": "garl:q=1", "steps": 2, "seconds": 6.0, "stages": stages}
    exact = {"what": "mean", "cells_per_second": 2.0, "ratio": [10.0, 1e5]}
    return {
        "seconds": [1.0 + index],
        "peak_bytes": 3e9,
        "base_bytes": 1e9,
        "rows": [exact] if settings is None else [4] if "matrix" in settings else 4,
        "tokens": [64],
        "trained_tokens": [640],
        "flops": [1e12],
        "first_step_seconds": 3.0,
        "first_peak_bytes": 2e9,
        "peak_flops_measured": 7e14,
        "peak_flops_data_sheet": 9.89e14,
        "runs": [run],
        "wall": 9.0,
        "bases": 1.0,
        "report": 1.0,
        "gpu": "NVIDIA H100",
        "profile": dict.fromkeys(("vocabulary", "attention", "matrices", "optimizer", "rest"), 0.1),
        "gradient_error": 1e-7,
        "gradient_scale": 1.0,
        "libraries": {"torch": "2"},
    }


def test_a_page_of_every_section() -> None:
    sections = {}
    for device, names in (("cpu", list(SUITES)), ("cuda", ["update", "step"])):
        for name in names:
            options = Options(device=device)
            cases = SUITES[name].cases(options, Path("gradients"))
            results: dict[str, Any] = {}
            for index, one in enumerate(cases):
                results.setdefault(one.contest, {})[one.name] = [fake(one.settings, index)]
            made = section(cases, results, SUITES[name].rows(cases, results), options, [])
            sections[name if device == "cpu" else f"{name}_cuda"] = made
    page = render(json.loads(json.dumps(sections)))
    assert "Not measured yet" not in page
    assert "It has not been run" not in page
    assert "MFU" in page
    assert np.isfinite([row["seconds_exponent"] for row in sections["growth"]["rows"]]).all()
    assert page == render(sections)


def test_trl_takes_no_part_where_it_would_take_many_minutes() -> None:
    every = SUITES["update"].cases(Options(), Path())
    asked = SUITES["update"].cases(Options(shapes=(Shape(1500, 1000),)), Path())
    large = [one.name for one in every if one.contest == "update 1500x1000 vocabulary 32000"]
    assert large == ["qtrain", "plain, 8 rows"]
    assert "TRL as shipped" in [one.name for one in asked]
    for name, peer, settings in contenders(SHAPE, "cpu", smallest=True):
        assert ("options" in settings) == (peer == "trl"), name


def test_one_model_and_one_batch_at_every_call() -> None:
    one, other = (make_model(SHAPE, torch.device("cpu")).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    tokens = make_work(SHAPE).tokens_MT
    assert torch.equal(tokens, make_work(SHAPE).tokens_MT)
    assert tokens.shape == (4, 22)
    assert sys.executable


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


@pytest.mark.slow
def test_steps_at_toy_size() -> None:
    for case in SUITES["step"].cases(Options(quick=True), Path()):
        assert case.settings is not None
        result: dict[str, Any] = {**step.measure(case.settings), "base_bytes": 0}
        assert len(result["seconds"]) == 2
        assert all(4 <= tokens <= 4 * 8 for tokens in result["tokens"])
        (row,) = SUITES["step"].rows([case], {case.contest: {case.name: [result]}})
        assert row["tokens_per_second"] == pytest.approx(sum(result["tokens"]) / sum(result["seconds"]))
        done = sum(result["flops"]) / sum(result["seconds"])
        assert row["utilisation_measured"] == pytest.approx(done / result["peak_flops_measured"])
        assert row["utilisation_data_sheet"] is None
    assert "| garl:q=.75 | out of memory | - |" in step_table([{"name": "garl:q=.75", "failed": "out of memory"}])
