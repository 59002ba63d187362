"""Rewards: values by hand, functions that fail in every way, and runs that train on what they are scored by."""

import json
import math
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from qa_cases import build, pair, write_split

from qtheory.estimators import ESTIMATORS
from qtrain.callbacks import StageClock
from qtrain.cli import main
from qtrain.config import Config
from qtrain.config.tables import check_config
from qtrain.errors import UserError
from qtrain.evaluation import best_constant, evaluate
from qtrain.policy.base import Base
from qtrain.policy.model import encode_examples, token_ids
from qtrain.prepare import prepare
from qtrain.rewards import process as reward_process
from qtrain.rewards.built_in import GRADED, MATH, TEXT_REWARDS
from qtrain.rewards.functions import Sample, load_function
from qtrain.rewards.process import RewardProcess
from qtrain.rewards.score import Rewards, RewardWarning, reward_samples
from qtrain.rollout.rollouts import roll_out
from qtrain.rollout.transformers import TransformersEngine
from qtrain.runs.folder import EVALS, METRICS, SAMPLES, TIMINGS, WARNINGS, read_jsonl
from qtrain.runs.state import RandomStates
from qtrain.step import TrainerComponents, compute_gradient
from qtrain.tasks.base import Example, Task
from qtrain.trainer import train
from qtrain.update import backward, make_optimizer

CODE = r"""
import math, os
from pathlib import Path

def length(completion):
    return len(completion) / 4

def right(completion, answer):
    return completion.strip() == answer
right.binary = True

def inside(completion, answer):
    return answer in completion
inside.binary = True

def everything(**sample):
    return len(sample) if sample["messages"] is None and sample["columns"] == {} else -1.0

def pair_rank(completion, answers):
    return [index + 10 * len(gold) for index, gold in enumerate(answers)]
pair_rank.batch = True

def short(completion):
    return [1.0]
short.batch = True

def broken_batch(completion):
    raise LookupError("no judge")
broken_batch.batch = True

def half(completion):
    return 0.5
half.binary = True

def moody(completion):
    print("a line for the terminal")
    if completion == "hang":
        while True:
            pass
    if completion == "crash":
        os._exit(7)
    if completion == "raise":
        raise ValueError("bad\nanswer")
    if completion == "leave":
        raise SystemExit(3)
    return {"nan": math.nan, "inf": math.inf, "none": None, "text": "1", "true": True}.get(completion, 2)

def canary(completion):
    Path("canary").write_text("x")
    return 1.0

def never(completion):
    raise RuntimeError("always")

def own(prompt, completion, colums):
    return 1.0

def positional(prompt, /):
    return 1.0

def optional(prompt, strictness=3):
    return float(strictness)

def nothing(scale=1.0):
    return scale

NUMBER = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with scorers.py in it, imported anew by every test, and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "scorers", raising=False)
    (tmp_path / "scorers.py").write_text(CODE, encoding="utf-8")
    return tmp_path


def sample(completion: str, *golds: str) -> Sample:
    golds = golds or ("gold",)
    return Sample("prompt", None, completion, "rationale", golds[0], golds, {})


class Caller:
    """Calls reward functions of scorers.py in their process, and ends the processes with the test."""

    def __init__(self) -> None:
        self.processes: list[RewardProcess] = []

    def start(self, name: str, timeout: float = 30.0) -> RewardProcess:
        self.processes.append(RewardProcess(load_function(f"scorers:{name}"), timeout))
        return self.processes[-1]

    def __call__(self, name: str, samples: list[Sample], timeout: float = 30.0) -> list[float | str]:
        process = self.start(name, timeout)
        return process.call([process.function.keywords(sample) for sample in samples])


@pytest.fixture
def call() -> Iterator[Caller]:
    caller = Caller()
    yield caller
    for process in caller.processes:
        process.close()


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "contains", "em", "f1", "numeric"),
    [
        ("The Avon.", ("the Avon",), 0, 0, 1, 1.0, 1),
        ("River Avon", ("the Avon", "River Avon"), 1, 1, 1, 1.0, 1),
        ("it is River Avon", ("the Avon", "River Avon"), 0, 1, 0, 2 * 2 / (4 + 2), 0),
        (" 5 \n", ("5",), 1, 1, 1, 1.0, 1),
        ("$5.00", ("4", "5"), 0, 1, 0, 0.0, 1),
        ("21%", ("1",), 0, 1, 0, 0.0, 0),
        ("", ("x",), 0, 0, 0, 0.0, 0),
    ],
)
def test_text_rewards_by_hand(
    answer: str, golds: tuple[str, ...], exact: int, contains: int, em: int, f1: float, numeric: int
) -> None:
    values = {name: reward(answer, golds) for name, reward in TEXT_REWARDS.items()}
    assert values == pytest.approx({"exact": exact, "contains": contains, "em": em, "f1": f1, "numeric": numeric})
    assert all(value in (0.0, 1.0) for name, value in values.items() if name not in GRADED)


@pytest.mark.parametrize(
    ("answer", "golds", "expected"),
    [
        ("0.5", (r"\frac{1}{2}",), 1),
        (r"\boxed{\frac12}", ("1/3", "1/2"), 1),
        ("1 + x^2", ("x^2 + 1",), 1),
        # Read up to its first number, the answer would be 1.
        ("1 + x^2", ("1",), 0),
        (r"2\sqrt{2}", (r"$\sqrt{8}$",), 1),
        ("1000", ("1,000",), 1),
        ("13", ("12",), 0),
        (r"\frac{", ("1",), 0),
        ("north", ("north",), 1),
        ("", ("1",), 0),
    ],
)
def test_math_by_hand(answer: str, golds: tuple[str, ...], expected: int, math_rewards: Rewards) -> None:
    scores = math_rewards.score([sample(answer, *golds)], evaluation=False)
    assert (scores.total, scores.errors) == ([expected], 0)


@pytest.fixture(scope="module")
def math_rewards() -> Iterator[Rewards]:
    rewards = Rewards({MATH: 1.0}, (), timeout=30.0)
    yield rewards
    rewards.close()


def test_math_gives_up_on_powers_of_powers() -> None:
    rewards = Rewards({MATH: 1.0}, (), timeout=1.5)
    try:
        with pytest.warns(RewardWarning, match=r"reward='math': 1 of 2 samples failed and count as 0: no result after"):
            scores = rewards.score([sample("9^{9^{9^{9}}}", "2"), sample("2.0", "2")], evaluation=False)
        assert (scores.total, scores.correct, scores.errors) == ([0.0, 1.0], [False, True], 1)
    finally:
        rewards.close()


def test_failures_cost_the_sample_that_they_happen_on(call: Caller) -> None:
    texts = ["fine", "hang", "raise", "crash", "leave", "nan", "inf", "none", "text", "true", "last"]
    results = call("moody", [sample(text) for text in texts], timeout=0.3)
    place = rf"({Path('scorers.py').absolute()}:"
    assert results[0] == 2.0
    assert results[1] == "no result after 0.3 s (reward_timeout)"
    assert str(results[2]).startswith(f"ValueError: bad answer {place}")
    assert results[3] == "its process ended with status 7"
    assert str(results[4]).startswith(f"SystemExit: 3 {place}")
    assert results[5:9] == [
        "returns nan; return a finite number",
        "returns inf; return a finite number",
        "returns None; return a number",
        "returns '1'; return a finite number",
    ]
    assert results[9:] == [1.0, 2.0]


def test_a_batch_of_crashes_ends(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_process, "MOST_RESTARTS", 2)
    results = call("moody", [sample("crash")] * 4)
    assert (
        results
        == ["its process ended with status 7"] * 2 + ["not called after 2 time-outs or crashes in this batch"] * 2
    )
    # The next batch is called again.
    assert call.processes[0].call([{"completion": "fine"}]) == [2.0]


def test_batches(call: Caller) -> None:
    assert call("pair_rank", [sample("a", "x"), sample("b", "x", "y")]) == [10.0, 21.0]
    assert call("short", [sample("a")] * 2) == ["returns 1 rewards for 2 samples"] * 2
    results = call("broken_batch", [sample("a")] * 2)
    assert len(results) == 2
    assert all(str(result).startswith("LookupError: no judge (") for result in results)


def test_functions_get_what_they_name(call: Caller) -> None:
    assert load_function("scorers:right").arguments == ("completion", "answer")
    assert load_function("scorers:optional").arguments == ("prompt",)
    assert load_function("scorers:everything").arguments == Sample._fields
    assert call("everything", [sample("a")]) == [7.0]
    assert call("right", [sample(" gold"), sample("other")]) == [1.0, 0.0]
    assert call("optional", [sample("a")]) == [3.0]
    assert call("half", [sample("a")]) == ["returns 0.5; its attribute `binary` promises 0 or 1"]


def test_an_interrupted_call_leaves_no_results_for_the_next(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    process = call.start("length")
    ask = process._ask

    def interrupted(*arguments: Any) -> None:
        ask(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "_ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        process.call([{"completion": "aaaa"}])
    monkeypatch.setattr(process, "_ask", ask)
    assert process.call([{"completion": "aa"}]) == [0.5]


def test_a_weighted_sum() -> None:
    rewards = Rewards({"em": 0.5, "f1": 2.0, "scorers:length": -1.0}, ("exact", "em"), timeout=30.0)
    samples = [sample("the gold"), sample("gold rush"), sample("gold")]
    try:
        trained, evaluated = (rewards.score(samples, evaluation=evaluation) for evaluation in (False, True))
    finally:
        rewards.close()
    lengths = [8 / 4, 9 / 4, 1.0]
    f1 = [1.0, 2 / 3, 1.0]
    assert trained.values == {"em": [1.0, 0.0, 1.0], "f1": pytest.approx(f1), "scorers:length": lengths}
    assert evaluated.values == {**trained.values, "exact": [0.0, 0.0, 1.0]}
    total = [0.5 + 2 - lengths[0], 2 * f1[1] - lengths[1], 0.5 + 2 - 1]
    assert trained.total == evaluated.total == pytest.approx(total)
    # A length is no matter of right and wrong: its weight is negative.
    assert trained.correct == [True, False, True]
    names = ["reward", "reward_em", "reward_f1", "reward_scorers.length"]
    assert [*trained.metrics()] == [*names, "reward_errors"]
    assert [*evaluated.sums()] == [*names, "reward_exact"]
    assert trained.metrics()["reward"] == pytest.approx(sum(total) / 3)


def test_records_compare_without_prefix_and_with_aliases(tmp_path: Path) -> None:
    rows = [[pair(number, aliases=["Two", "II"]) for number in numbers] for numbers in ((1, 2), (3,))]
    task = build("pairs", write_split(tmp_path / "data", "pairs", *rows), answer_prefix="A: ")
    example = task.batch(1, np.random.default_rng(0))[0]
    gold = example.answer.removeprefix("A: ")
    assert example.answer == f"A: {gold}"
    assert task.gold_answers(example) == (gold, "Two", "II")
    assert [task.answer_text(text) for text in ("A: 3", "3")] == ["3", "3"]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"reward": "exakt"}, "reward = 'exakt': unknown reward 'exakt'; did you mean 'exact'?, or module:function"),
        ({"reward": "x"}, "valid are: exact, contains, em, f1, numeric, math, or module:function of your own"),
        ({"reward": {}}, "a name or a table of names with weights is needed, for example { em = 0.5, f1 = 0.5 }"),
        ({"reward": 3}, "a name or a table of names with weights is needed"),
        ({"reward": True}, "a truth value is not possible here"),
        ({"reward": {"em": 0.5, "contain": 1}}, "unknown reward 'contain'; did you mean 'contains'?"),
        ({"reward": {"em": "much"}}, "the weight of 'em' is 'much'; a finite number is needed"),
        ({"reward": {"em": math.inf}}, "the weight of 'em' is inf; a finite number is needed"),
        ({"reward": {"em": -1, "f1": 0}}, "no weight is positive"),
        ({"reward_timeout": 0}, "reward_timeout = 0"),
        ({"eval.rewards": ["em", "nmeric"]}, "unknown reward 'nmeric'; did you mean 'numeric'?"),
        ({"rewards": "em"}, "unknown key 'rewards'; did you mean 'reward'?"),
        ({"reward": "scorrs:right"}, "reward='scorrs:right': no module named 'scorrs'; did you mean 'scorers'?"),
        ({"reward": "scorers:rihgt"}, "reward='scorers:rihgt': scorers has no 'rihgt'; did you mean 'right'?"),
        ({"reward": "scorers:NUMBER"}, "reward='scorers:NUMBER': a function is needed, not 3"),
        ({"reward": "scorers:own"}, "it needs 'colums', which rewards do not get; did you mean 'columns'?"),
        ({"reward": "scorers:positional"}, "it needs 'prompt', which rewards do not get"),
        ({"reward": "scorers:nothing"}, "it takes no argument of a reward; valid are: prompt, messages, completion"),
        ({"reward": "__main__:right"}, "the function runs in another process; put it into a file"),
        *(
            ({"reward": reward, "estimator": estimator}, reason)
            for reward, reason in (
                ("f1", "reward='f1': {} is defined for rewards of 0 or 1, and f1 is graded; take another reward"),
                (
                    {"em": 1, "numeric": 1},
                    "reward='1 em, 1 numeric': {} is defined for rewards of 0 or 1, and a weighted",
                ),
                (
                    {"em": 0.5},
                    "reward='0.5 em': {} is defined for rewards of 0 or 1, and a weight of 0.5 makes it graded",
                ),
                (
                    "scorers:length",
                    "reward='scorers:length': {} is defined for rewards of 0 or 1, and scorers:length may be",
                ),
            )
            for estimator in ("maxrl", "star", "sign", "pkpo:k=2")
        ),
    ],
)
def test_settings_that_are_refused(values: dict[str, Any], line: str, config: Config) -> None:
    with pytest.raises(UserError) as error:
        config.with_values(values)
    assert line.replace("{}", str(values.get("estimator"))) in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_that_are_taken(config: Config) -> None:
    for value in ("f1", {"em": 0.5, "f1": 0.5}, "scorers:length", {"scorers:length": -1, "em": 2}):
        changed = config.with_values({"reward": value, "eval.rewards": ["exact", "scorers:right"], "estimator": "grpo"})
        assert Config.model_validate(json.loads(json.dumps(changed.as_table()))) == changed
        assert changed.as_table()["reward"] == value
    for reward in ("em", "scorers:right", {"exact": 1}):
        assert config.with_values({"reward": reward, "estimator": "maxrl"}).reward is not None
    # A run folder of an older version has none of the keys.
    table = {key: value for key, value in config.as_table().items() if not key.startswith("reward")}
    del table["eval"]["rewards"]
    assert check_config(table, "config") == config


def test_estimators_for_rewards_of_0_or_1_are_known() -> None:
    """Where the formula refuses other rewards, or its target is derived for rewards of 0 or 1 (MaxRL)."""
    graded = np.array([[0.2, 0.7, 0.0, 1.0]])
    refusing = set()
    for name, estimator in ESTIMATORS.items():
        if estimator.inputs == "reward":
            try:
                estimator.function(graded, **{"k": 2} if estimator.least_m else {})
            except ValueError:
                refusing.add(name)
    assert {name for name, estimator in ESTIMATORS.items() if estimator.binary_reward} == refusing | {"maxrl"}


def test_a_missing_package_is_one_line(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = config.with_values({"reward": "math"})
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        UserError, match=r"reward='math': math-verify is not installed: pip install 'qcontinuum\[math\]'"
    ):
        prepare(changed)


def gradient(config: Config, task: Task, base: Base, rewards: Rewards | None) -> tuple[dict[str, float], torch.Tensor]:
    """The metrics of one step and its gradient."""
    model = base.load(config, task)
    engine = TransformersEngine(model, token_ids(task.tokenizer))
    states = RandomStates.seeded(0, model.device)
    optimizer = make_optimizer(config.optimizer, model)
    parts = TrainerComponents(config, task, model, engine, optimizer, states, None, StageClock(), rewards)
    metrics = compute_gradient(parts, config.estimator, 1)
    return metrics, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_the_gradient_is_that_of_the_reward(config: Config, task: Task, base: Base) -> None:
    """Against GRPO's coefficients written out for rewards computed here from the same samples."""
    config = config.with_values({"estimator": "grpo", "reward": "scorers:length", "rollout.samples": 6})
    rewards = Rewards({"scorers:length": 1.0}, (), timeout=30.0)
    try:
        metrics, actual = gradient(config, task, base, rewards)
    finally:
        rewards.close()
    model = base.load(config, task)
    ids, states = token_ids(task.tokenizer), RandomStates.seeded(0, model.device)
    encoded = encode_examples(task.tokenizer, task.batch(config.rollout.prompts, states.batch))
    engine = TransformersEngine(model, ids)
    rollouts = roll_out(engine, *encoded, config.rollout, states.tokens, sample_answers=True)
    assert rollouts.answers is not None
    texts = [task.tokenizer.decode(answer, skip_special_tokens=True) for answer in rollouts.answers]
    reward_BM = torch.tensor([len(text) / 4 for text in texts], dtype=torch.float64).reshape(-1, 6)
    assert len(reward_BM.unique()) > 1
    std_B1 = reward_BM.std(1, correction=0, keepdim=True)
    advantage_BM = torch.where(std_B1 > 0, (reward_BM - reward_BM.mean(1, keepdim=True)) / std_B1, 0.0)
    coefficients_BM = ESTIMATORS["grpo"].function(reward_BM)._replace(rationale=advantage_BM, answer=advantage_BM)
    backward(model, ids, replace(rollouts, reward_BM=reward_BM), coefficients_BM, on_sampled_answers=True)
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert expected.norm() > 0
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-7)
    assert metrics["reward"] == pytest.approx(float(reward_BM.mean()))
    assert metrics["reward_errors"] == 0
    assert metrics["loss"] == pytest.approx(1 - float(reward_BM.mean()))


def without_timings(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMINGS} for row in rows]


def test_a_named_reward_and_a_function_that_says_the_same_train_alike(
    config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    config = config.with_values({"estimator": "maxrl", "train.steps": 2, "optimizer.lr": 0.1, "rollout.samples": 200})
    logs = []
    for reward in ("contains", "scorers:inside"):
        folder = tmp_path / reward
        train(config.with_values({"reward": reward}), task, base, folder)
        logs.append([without_timings(read_jsonl(folder / name)) for name in (METRICS, SAMPLES, EVALS)])
    assert logs[0] == logs[1]
    metrics, _, _ = logs[0]
    assert any(row["reward"] > 0 and row["gradient_norm"] > 0 for row in metrics)


def test_evaluation_scores_by_the_reward(config: Config, task: Task, base: Base) -> None:
    config = config.with_values({"reward": "scorers:length", "eval.rewards": ["contains"], "estimator": "garl:q=1"})
    engine = TransformersEngine(base.load(config, task), token_ids(task.tokenizer))
    evaluation = evaluate(engine, task, config, seed=0)
    for ending in ("", "_easy"):
        texts = [text for text in evaluation.texts if text["group"] == ending.removeprefix("_")]
        assert [text["reward"] for text in texts] == [len(text["answer"]) / 4 for text in texts]
        assert [text["success"] for text in texts] == [text["reward"] >= 1 for text in texts]
        scores = {name: evaluation.scores[f"{name}{ending}"] for name in ("reward", "p_at_1", "reward_errors")}
        expected = [np.mean([text[key] for text in texts]) for key in ("reward", "success")]
        assert scores == pytest.approx({"reward": expected[0], "p_at_1": expected[1], "reward_errors": 0.0})
        contained = [text["gold"] in text["answer"] for text in texts]
        assert evaluation.scores[f"reward_contains{ending}"] == pytest.approx(np.mean(contained))
        assert evaluation.scores[f"reward_scorers.length{ending}"] == scores["reward"]


def test_the_best_constant_is_best_by_the_reward(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest gold answer, by a reward of length; as equal texts, the most frequent."""
    examples = [Example(str(n), "", answer) for n, answer in enumerate(["1", "2345", "1", "67"])]
    rewards = Rewards({"scorers:length": 1.0}, (), timeout=30.0)
    try:
        assert best_constant(task, examples, rewards) == ("2345", 1.0)
        monkeypatch.setattr(rewards, "score", None)
        assert best_constant(task, examples, rewards) == ("2345", 1.0)  # without another call
    finally:
        rewards.close()
    assert best_constant(task, examples) == ("1", 0.5)
    assert best_constant(task, examples, Rewards({}, ["contains"], timeout=1.0)) == ("1", 0.5)
    assert best_constant(task, examples, Rewards({"contains": 2.0}, (), timeout=1.0)) == ("1", 0.5)


def test_samples_hold_what_was_sampled(config: Config, task: Task, base: Base) -> None:
    engine = TransformersEngine(base.load(config, task), token_ids(task.tokenizer))
    chats = ([{"role": "user", "content": "?"}], None)
    examples = [
        replace(example, messages=chat, columns={"level": n})
        for n, (example, chat) in enumerate(zip(task.held_out(1), chats, strict=True))
    ]
    settings = config.rollout.model_copy(update={"samples": 3})
    generator = torch.Generator().manual_seed(0)
    rollouts = roll_out(engine, *encode_examples(task.tokenizer, examples), settings, generator, sample_answers=True)
    assert rollouts.answers is not None
    rows = reward_samples(task, examples, rollouts)
    for row, described in enumerate(rows):
        example = examples[row // 3]
        assert (described.prompt, described.answer, described.answers) == (
            example.prompt,
            example.answer,
            (example.answer,),
        )
        assert (described.messages, described.columns) == (chats[row // 3], {"level": row // 3})
        assert described.rationale == task.tokenizer.decode(rollouts.rationales[row])
        assert described.completion == task.tokenizer.decode(rollouts.answers[row], skip_special_tokens=True)


def test_a_reward_that_always_fails_ends_no_run(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    config = config.with_values(
        {"estimator": "grpo", "reward": {"em": 1.0, "scorers:never": 1.0}, "train.steps": 2, "eval.every": 1}
    )
    with pytest.warns(RewardWarning) as caught:
        result = train(config, task, base, tmp_path / "run")
    assert [str(warning.message).count("\n") for warning in caught] == [0]
    assert str(caught[0].message).startswith(
        "reward='scorers:never': 12 of 12 samples failed and count as 0: RuntimeError: always ("
    )
    assert result["steps"] == 2
    assert [row["reward_errors"] for row in read_jsonl(tmp_path / "run" / METRICS)] == [24.0, 24.0]
    assert {row["reward_errors"] for row in read_jsonl(tmp_path / "run" / EVALS)} == {12.0}
    assert {row["reward_scorers.never"] for row in read_jsonl(tmp_path / "run" / METRICS)} == {0.0}
    assert read_jsonl(tmp_path / "run" / WARNINGS) == []  # the base's evaluation, before the first step, has shown it


def run(*words: str) -> int:
    """Exit status of a command."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_reward_code_of_a_run_folder_is_not_run(
    config: Config, task: Task, base: Base, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(config.with_values({"reward": "scorers:canary", "train.steps": 1}), task, base, folder / "run")
    train(config.with_values({"train.steps": 1}), task, base, folder / "plain")
    (folder / "canary").unlink()
    del sys.modules["scorers"]
    line = (
        "reward='scorers:canary': code that a run folder names is not run; if you trust it, allow it with --allow-code"
        ", or in a command without this option copy the settings into a TOML file"
    )
    for words in (["evaluate", "run"], ["train", "run/config.json", "--out", "again"]):
        capsys.readouterr()
        assert run(*words) == 2
        assert capsys.readouterr().err == f"qtrain: {line}\n"
    assert run("export", "run", "exported") == 0
    assert run("report", "run", "-o", "page.html") == 0
    assert not (folder / "canary").exists()
    assert "scorers" not in sys.modules
    assert run("evaluate", "run", "--allow-code") == 0
    assert (folder / "canary").exists()
    # Other rewards for a finished run.
    capsys.readouterr()
    assert run("evaluate", "plain", "--rewards", "em", "scorers:length") == 0
    assert {"reward_em", "reward_scorers.length", "reward_errors"} <= {
        row.split()[0] for row in capsys.readouterr().out.splitlines()
    }
    assert run("evaluate", "run", "--rewards", "scorers:length") == 2
    assert line in capsys.readouterr().err
    assert run("evaluate", "plain", "--rewards", "scorers:lenght") == 2
    assert "scorers has no 'lenght'; did you mean 'length'?" in capsys.readouterr().err
    assert run("evaluate", "plain", "--rewards", "numerical") == 2
    assert "--rewards numerical: unknown reward 'numerical'; did you mean 'numeric'?" in capsys.readouterr().err


def test_a_run_without_a_reward_logs_none(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(config.with_values({"train.steps": 1}), task, base, tmp_path / "run")
    for name in (METRICS, EVALS, SAMPLES):
        assert not any(key.startswith("reward") for row in read_jsonl(tmp_path / "run" / name) for key in row)
