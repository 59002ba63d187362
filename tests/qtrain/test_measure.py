"""`qtrain measure`: numbers equal those of rollouts and of a run's first step, and the weights stay as they are."""

import itertools
import json
import math
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from qa_cases import tiny_model, write_split

import qtrain
from qtrain import load_policy, measurement, roll_out
from qtrain.cli import main
from qtrain.config import Config
from qtrain.evaluation import best_constant
from qtrain.measurement import _both_rewards, _likelihoods
from qtrain.runs.folder import read_jsonl, write_json
from qtrain.tasks import Example, Task

PAIRS = {
    "name": "tiny",
    "task": {"name": "pairs", "max_prompt_tokens": 60},
    "rollout": {"prompts": 2, "samples": 3, "rationale_budget": 6, "answer_budget": 3},
    "eval": {"prompts": 4, "samples": 5},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder with an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def cold(config: Config) -> Config:
    """The tiny run, with prompts all alike, which sees its prompts as training does."""
    return config.with_values({"task.variant": "cold", "eval.prompts": 5})


def pairs(folder: Path, **settings: Any) -> Config:
    """A run of a pretrained model on pairs: byte tokens, two contexts that are cut and an answer that is too long."""
    rows = [{"question": f"what is {n}?", "answer": str(n), "context": "so " * 40 * (n < 2)} for n in range(6)]
    held_out = [{"question": f"which number is {n}?", "answer": str(n % 3)} for n in range(6)]
    long = {"question": "what is long?", "answer": "12345"}
    data = write_split(folder / "data", "pairs", [*rows, long], held_out)
    model = {"pretrained": str(tiny_model(folder / "model"))}
    return Config.model_validate(PAIRS | {"model": model, "data": str(data)}).with_values(settings)


def run(*words: str) -> int:
    """Exit status of a command."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_numbers_are_those_of_the_same_rollouts(cold: Config) -> None:
    result = qtrain.measure(cold)
    policy = load_policy(cold)
    rollouts = roll_out(policy, policy.task.held_out(5), samples=4, answers=True, seed=0)
    log_w = np.array([rollout.log_w for rollout in rollouts])
    p = np.exp(log_w).mean(1)
    batch = cold.rollout.prompts * cold.rollout.samples
    for name, value in {
        "mean": p.mean(),
        "median": np.median(p),
        "mean_log": np.log(p).mean(),
        "easy": (p > 0.05).mean(),
        "unseen": (p < 1 / batch).mean(),
    }.items():
        assert result["p"][name] == pytest.approx(value, rel=1e-12), name
    assert result["log_w"]["q25"] == pytest.approx(np.quantile(log_w, 0.25), rel=1e-12)
    assert (result["log_w"]["min"], result["log_w"]["max"]) == (log_w.min(), log_w.max())
    assert result["log_w_spread"] == pytest.approx(np.std(log_w, axis=1, ddof=1).mean(), rel=1e-12)
    w = np.exp(log_w)
    assert result["ess"] == pytest.approx((w.sum(1) ** 2 / (w**2).sum(1)).mean(), rel=1e-12)
    answers = [answer for rollout in rollouts for answer in rollout.answers or []]
    golds = [rollout.example.answer for rollout in rollouts for _ in range(4)]
    assert result["exact_match"] == np.mean([a == b for a, b in zip(answers, golds, strict=True)])
    assert result["distinct"] == {"sampled": len(set(answers)), "gold": len(set(golds))}
    assert result["frequent"]["share"] == max(answers.count(answer) for answer in answers) / 20
    assert result["forced"] == np.mean([rollout.truncated for rollout in rollouts])
    best = max(golds.count(answer) for answer in golds)
    assert result["constant"]["p_at_1"] == best / 20
    assert result["start"] == "cold" if p.mean() < 1 / batch else "rare"


@pytest.mark.parametrize(
    ("on_pairs", "changes"),
    [
        (False, {"estimator": "garl:q=.5"}),
        (False, {"estimator": "garl:q=.5", "rollout.think": ["", "T="], "rollout.end_ends_rationale": True}),
        (False, {"estimator": "grpo", "reward": "lengths:length", "eval.rewards": ["f1"]}),
        (False, {"estimator": "grpo", "reward": "lengths:length", "rollout.temperature": 1.3}),
        (True, {"estimator": "garl:q=.5", "rollout.think": ["", " A:"]}),
    ],
)
def test_scores_and_gradient_are_those_of_a_run_s_start(
    on_pairs: bool, changes: dict[str, Any], cold: Config, folder: Path
) -> None:
    (folder / "lengths.py").write_text("def length(completion):\n    return len(completion) / 2\n")
    start = pairs(folder) if on_pairs else cold
    changed = start.with_values({"train.steps": 1, "train.seed": 3, **changes})
    result = qtrain.measure(changed)
    qtrain.train(changed, folder / "run")
    before = read_jsonl(folder / "run" / "evals.jsonl")[0]
    assert result["scores"] == {name: value for name, value in before.items() if name != "step"}
    (step,) = read_jsonl(folder / "run" / "metrics.jsonl")
    assert result["step"]["gradient_norm"] == pytest.approx(step["gradient_norm"], rel=1e-6)
    assert result["step"]["gradient_norm"] > 0
    assert result["constant"]["p_at_1"] == before["constant_answer"]
    assert result["step"]["tokens"] == step["tokens"]
    assert any("reward='lengths:length'" in note for note in result["notes"]) == ("reward" in changes)


@pytest.mark.parametrize("changes", [{"optimizer.name": "adamw"}, {"train.kl": 0.1, "estimator": "grpo"}])
def test_the_weights_stay_as_they_are(changes: dict[str, Any], cold: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[torch.nn.Module] = []
    weights: list[dict[str, torch.Tensor]] = []
    load = measurement.initial_policy

    def loading(*arguments: Any) -> Any:
        models.append(load(*arguments))
        weights.append({name: tensor.clone() for name, tensor in models[-1].state_dict().items()})
        return models[-1]

    monkeypatch.setattr(measurement, "initial_policy", loading)
    result = qtrain.measure(cold.with_values(changes), prompts=2, samples=3)
    assert len(models) == 1 + ("train.kl" in changes)
    for model, before in zip(models, weights, strict=True):
        after = model.state_dict()
        assert all(torch.equal(after[name], before[name]) for name in before)
        assert all(parameter.grad is None for parameter in model.parameters())
    assert (result["prompts"], result["samples"]) == (2, 3)
    assert json.loads(json.dumps(result)) == result
    seconds = (result["step"]["rollout_seconds"], result["step"]["update_seconds"])
    assert min(seconds) > 0


def test_shares_of_prompts_by_the_thresholds_of_p() -> None:
    p_B = torch.tensor([0.9 / 24, 1.1 / 24, 0.049, 0.051, 0.9], dtype=torch.float64)
    log_w_BM = p_B.log()[:, None].expand(5, 2)
    batch: Any = SimpleNamespace(rollouts=SimpleNamespace(log_w_BM=log_w_BM))
    shares = _likelihoods([batch], batch=24, samples=6)["p"]
    assert (shares["unseen"], shares["easy"]) == (1 / 5, 2 / 5)


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_leaves_nothing(folder: Path) -> None:
    # What the reward prints says that the measurement is at work; the reward itself never returns.
    (folder / "waits.py").write_text(
        "import threading\ndef score(completion):\n    print('scoring', flush=True)\n    threading.Event().wait()\n"
    )
    (folder / "mine.toml").write_text(
        'name = "mine"\nreward = "waits:score"\nreward_timeout = 600\ntask.name = "digit_sum"\npretrain.steps = 0\n'
        "model = {hidden_size = 16, intermediate_size = 24, layers = 1, heads = 1, key_value_heads = 1, head_dim = 8}\n"
    )
    before = sorted(folder.iterdir())
    # A shell that runs the tests in the background has them ignore Ctrl-C, and so would this process.
    process = subprocess.Popen(
        [sys.executable, "-m", "qtrain", "measure", "mine.toml", "--prompts", "2", "--json", "numbers.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    assert "scoring\n" in iter(process.stderr.readline, "")
    process.send_signal(signal.SIGINT)
    out, error = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert error.splitlines()[-1] == "qtrain: interrupted; start the command again"
    assert "Traceback" not in error
    assert {path.name for path in folder.iterdir()} - {path.name for path in before} <= {"cache", "__pycache__"}


@pytest.mark.parametrize("p", [0.0, 1e-12, 0.1, 0.5, 1.0])
def test_groups_with_both_rewards_by_enumeration(p: float) -> None:
    total = 0.0
    for rewards in itertools.product([0, 1], repeat=5):
        if 0 < sum(rewards) < 5:
            total += math.prod(p if reward else 1 - p for reward in rewards)
    (share,) = _both_rewards(torch.tensor([p], dtype=torch.float64), 5).tolist()
    assert share == pytest.approx(total, rel=1e-9)


def test_the_best_constant_is_found_by_trying_all(task: Task) -> None:
    class Substrings(type(task)):
        def success(self, example: Example, answer: str) -> bool:
            return example.answer in answer

    substrings = object.__new__(Substrings)
    examples = [Example(str(n), "", answer) for n, answer in enumerate(["1", "8", "18", "8", "1", "7 "])]
    assert best_constant(substrings, examples) == ("18", 5 / 6)
    assert best_constant(task, examples) == ("1", 2 / 6)


def test_a_pretrained_model_on_pairs(folder: Path) -> None:
    result = qtrain.measure(pairs(folder))
    assert result["records"] == {
        "records": 13, "kept": 12, "cut": 2, "unreachable": 1, "dropped": 1, "malformed": 0,
    }  # fmt: skip
    # Bytes are tokens: "which number is 0?" and THINK; a digit and END.
    assert result["tokens"]["prompts"]["max"] == len("which number is 0?") + 1
    assert result["tokens"]["gold_answers"] == {"min": 2, "median": 2, "p95": 2, "max": 2}
    assert result["tokens"]["rationales"]["max"] <= 6
    assert {"em", "f1", "p_at_1", "maj_at_5"} <= set(result["scores"])
    assert any(note.startswith("memory: weights") for note in result["notes"])
    assert any("2 of 13 records lost the beginning" in line for line in result["advice"])
    assert result["constant"]["p_at_1"] == 2 / 4
    training = qtrain.measure(pairs(folder), training=True, prompts=50)
    assert (training["side"], training["prompts"]) == ("training", 50)
    assert training["tokens"]["prompts"]["max"] == 60


def test_sampling_settings_are_left_out_and_named(cold: Config) -> None:
    result = qtrain.measure(cold.with_values({"rollout.top_k": 2, "estimator": "grpo"}))
    own = qtrain.measure(cold.with_values({"estimator": "grpo"}))
    assert result["p"] == own["p"]
    assert "measured on the model's own distribution, without rollout.top_k=2" in result["notes"]


def test_the_command_prints_a_table_and_advice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(folder / "pairs.json", pairs(folder).as_table())
    assert run("measure", "pairs.json", "eval.samples=2", "--prompts", "3", "--json", "numbers.json") == 0
    out = capsys.readouterr().out
    numbers = json.loads((folder / "numbers.json").read_text())
    assert "3 held-out prompts x 2 samples" in out
    assert re.search(rf"^ exact match +{numbers['exact_match']:.3f} *$", out, re.MULTILINE)
    for line in [*numbers["notes"], *numbers["advice"]]:
        assert line in out
    for name in ("forced delimiters", "best constant answer", "distinct answers", "tokens of a rationale", "maj@2"):
        assert name in out
    assert not list(folder.glob("runs"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("measure nowhere.toml", "nowhere.toml: no such configuration"),
        ("measure tiny.json eval.prompt=3", "unknown key 'eval.prompt'; did you mean 'prompts'?"),
        ("measure tiny.json --prompts 0", "--prompts 0: at least 1 is needed"),
        ("measure tiny.json --promts 3", "Did you mean --prompts?"),
        ("measure tiny.json --json missing/x.json", "--json missing/x.json: no folder missing"),
        ("measure tiny.json --json .", "--json .: is a folder; name a file in it"),
        ("measure tiny.json train.device=cuda:99", "cuda:99"),
        ("mesure tiny.json", 'Did you mean "measure"?'),
    ],
)
def test_mistakes_are_one_line(
    words: str, line: str, cold: Config, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(folder / "tiny.json", cold.as_table())
    assert run(*words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("qtrain: ")
    assert error.count("\n") == 1
    assert line in error
    assert [path.name for path in folder.iterdir()] == ["tiny.json"]
