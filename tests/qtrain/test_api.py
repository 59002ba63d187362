"""The public interface: names and signatures that users rely on, and what the functions do."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qtrain
from qtrain import load_config, load_policy, roll_out
from qtrain.config import Config

SIGNATURES = {
    "compare": "(config: Config, estimators: Iterable, out: str | Path, *, seeds: int = 1, jobs: int | None = None)",
    "evaluate": "(run: str | Path, *, checkpoint: Literal = 'last', prompts: int | None = None, "
    "samples: int | None = None, seed: int = 1, rewards: Sequence | None = None, allow_code: bool = False, "
    "allow_changes: bool = False)",
    "export": "(run: str | Path, out: str | Path, *, checkpoint: Literal = 'last', allow_code: bool = False)",
    "load_config": "(source: str | Path | Mapping, *overrides: str, allow_code: bool = False)",
    "load_policy": "(source: Config | str | Path, *, checkpoint: Literal = 'last', allow_code: bool = False)",
    "measure": "(config: Config, *, prompts: int | None = None, samples: int | None = None, training: bool = False)",
    "roll_out": "(policy: Policy, examples: Sequence, *, samples: int | None = None, answers: bool = False, "
    "seed: int = 0)",
    "train": "(config: Config, out: str | Path, *, callbacks: Sequence = (), resume: bool = False, "
    "allow_changes: bool = False)",
    "Example": "(id: str, prompt: str, answer: str, group: str = '', aliases: tuple = (), "
    "messages: list | None = None, columns: Mapping = <factory>)",
    "Demonstration": "(prompt: str, completion: str)",
    "Coefficients": "(rationale: Any, answer: Any)",
    "Policy": "(model: PreTrainedModel, task: Task, config: Config)",
    "Rollout": "(example: Example, rationales: list, answers: list | None, log_w: ndarray, truncated: ndarray)",
    "RunView": "(config: Config, task: Task, model: PreTrainedModel, folder: Path, clock: StageClock, rng: Generator)",
}
METHODS = {
    "Task": {
        "batch": "(self, n: int, rng: Generator)",
        "held_out": "(self, n: int)",
        "demonstrations": "(self, n: int, rng: Generator)",
        "success": "(self, example: Example, answer: str)",
        "gold_answers": "(self, example: Example)",
        "answer_text": "(self, answer: str)",
        "dataset_metrics": "(self, example: Example, answer: str)",
        "dataset_report": "(self)",
        "dataset_lines": "(self)",
    },
    "Callback": {
        "on_start": "(self, run: RunView)",
        "before_step": "(self, run: RunView, step: int, log_p: float)",
        "on_step": "(self, run: RunView, step: int, metrics: dict)",
        "on_evaluate": "(self, run: RunView, step: int, scores: dict)",
        "on_end": "(self, run: RunView, result: dict)",
        "on_message": "(self, line: str)",
        "state": "(self)",
        "load_state": "(self, state: dict)",
    },
}


def signature(value: object) -> str:
    """A signature with short names of types and no types inside containers, whatever the Python version writes."""
    import re

    assert callable(value)
    text = str(inspect.signature(value)).partition(" -> ")[0]
    text = re.sub(r"\b(?:[A-Za-z_]\w*\.)+([A-Z]\w*|ndarray)", r"\1", text.replace("'last'", "\0"))
    while (shorter := re.sub(r"\[[^\[\]]*\]", "", text)) != text:
        text = shorter
    return re.sub(r"'(\w+)'", r"\1", text).replace("\0", "'last'").replace('"', "")


def test_names() -> None:
    assert sorted(qtrain.__all__) == qtrain.__all__
    assert set(SIGNATURES) | set(METHODS) | {"Config", "UserError"} == set(qtrain.__all__)
    assert set(qtrain.__all__) <= set(dir(qtrain))
    for name in qtrain.__all__:
        assert getattr(qtrain, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        qtrain.trian  # noqa: B018


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_frozen(name: str) -> None:
    assert signature(getattr(qtrain, name)) == SIGNATURES[name]


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_frozen(name: str) -> None:
    methods = {key: value for key, value in vars(getattr(qtrain, name)).items() if not key.startswith("_")}
    assert {key: signature(value) for key, value in methods.items() if callable(value)} == METHODS[name]


def test_the_import_is_quick() -> None:
    code = "import sys, qtrain; sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'pydantic')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_submodules_do_not_take_the_functions_names() -> None:
    code = "import qtrain.jobs.runner; from qtrain import train, evaluate, compare, roll_out; train.__call__"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_from_python(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    table = config.as_table() | {"train": {"steps": 2, "checkpoint_every": 1}}
    loaded = load_config(table)
    seen: list[int] = []

    class Steps(qtrain.Callback):
        def on_step(self, run: qtrain.RunView, step: int, metrics: dict[str, float]) -> None:
            seen.append(step)

    result = qtrain.train(loaded, tmp_path / "run", callbacks=[Steps()])
    assert seen == [1, 2]
    assert result == json.loads((tmp_path / "run" / "result.json").read_text())
    scores = qtrain.evaluate(tmp_path / "run", prompts=2, samples=3)
    assert {"p_at_1", "p_at_3", "maj_at_3", "mean_log_p", "p", "p_at_1_easy"} <= set(scores)
    qtrain.export(tmp_path / "run", tmp_path / "exported", checkpoint="best")
    assert (tmp_path / "exported" / "model.safetensors").exists()
    rows = qtrain.compare(loaded, ["grpo", "garl:q=.5"], tmp_path / "both", jobs=1)
    assert [row["estimator"] for row in rows] == ["grpo", "garl:q=0.5"]


def test_rollouts_from_python(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    policy = load_policy(load_config(config.as_table()))
    examples = policy.task.held_out(2)
    first, again = (roll_out(policy, examples, samples=5, answers=True, seed=3) for _ in range(2))
    assert [rollout.example for rollout in first] == examples
    for one, other in zip(first, again, strict=True):
        assert one.rationales == other.rationales
        assert one.log_w.shape == one.truncated.shape == (5,)
        assert (one.log_w < 0).all()
        assert np.array_equal(one.log_w, other.log_w)
        assert one.answers is not None
        assert len(one.rationales) == len(one.answers) == 5
        # A rationale ends in the delimiter, or was cut.
        assert [text.endswith("</think>") for text in one.rationales] == (~one.truncated).tolist()
    assert roll_out(policy, examples)[0].answers is None
