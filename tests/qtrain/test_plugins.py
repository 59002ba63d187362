"""Code of a user's own: module:object or an entry point, mistakes in one line, never run because a folder names it."""

import json
import pickle
import sys
from pathlib import Path

import pytest

from qtrain.cli import main
from qtrain.config import Config, EstimatorChoice, read_config
from qtrain.config.estimator import find_estimator
from qtrain.plugins import CodeRefused, is_code, load_registered
from qtrain.runs.folder import read_jsonl, write_json

CODE = """
import math
from pathlib import Path
import numpy as np
from qtrain import Callback, Coefficients, Demonstration, Example, Task
from qtheory.estimators import garl

with Path("canary").open("a") as canary:
    canary.write("x")

class Larger(Task):
    def __init__(self, tokenizer, digits: int = 10):
        self.tokenizer, self.digits = tokenizer, digits

    def batch(self, n, rng):
        return [self.example(*rng.integers(self.digits, size=2)) for _ in range(n)]

    def held_out(self, n):
        return self.batch(n, np.random.default_rng(0))

    def demonstrations(self, n, rng):
        return [Demonstration(x.prompt, f"{x.answer}</think>{x.answer}<|end|>") for x in self.batch(n, rng)]

    def example(self, a, b):
        return Example(f"{a}?{b}", f"{a}?{b}<think>", str(max(a, b)), group="ties" if a == b else "")

class Bare(Task):
    def __init__(self, size: int):
        pass

class Broken(Task):
    def __init__(self, tokenizer):
        raise ZeroDivisionError("no digits")

def clipped(log_w, q: float, *, ceiling: float = 0.5):
    return garl(log_w.clip(None, math.log(ceiling)), q)

def hopeful(reward):
    return Coefficients(reward - reward.mean(-1, True), reward - reward.mean(-1, True))

def misnamed(weights):
    return Coefficients(weights, weights)

def tuple_of(log_w):
    return log_w, log_w

def flat(log_w):
    return Coefficients(log_w[0], log_w[0])

def raising(log_w):
    if log_w.shape != (1, 1):
        raise RuntimeError("bad pool")
    return Coefficients(log_w, log_w)

def unannotated(log_w, strength):
    return Coefficients(log_w, log_w)

NUMBER = 3

class Log(Callback):
    lines = []
    def before_step(self, run, step, log_p):
        return {"own": 2.0 * step}

class Needy(Callback):
    def __init__(self, path):
        pass
"""
SMALL = {
    "model": {
        "hidden_size": 16, "intermediate_size": 24, "layers": 1, "heads": 2, "key_value_heads": 1, "head_dim": 8,
        "max_positions": 32,
    },
    "pretrain": {"steps": 2, "batch": 4},
    "rollout": {"prompts": 3, "samples": 3, "rationale_budget": 2, "answer_budget": 2},
    "train": {"steps": 2},
    "eval": {"every": 2, "prompts": 12, "samples": 2},
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with mine.py in it, imported anew by every test, and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for module in ("mine", "broken", "worse", "leaving"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    find_estimator.cache_clear()
    load_registered.cache_clear()
    (tmp_path / "mine.py").write_text(CODE, encoding="utf-8")
    return tmp_path


def toml(folder: Path, **keys: object) -> str:
    """A configuration file; JSON values are TOML values here."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"name": "own", **keys}.items() if key != "task"]
    tables = {"task": keys.get("task", {"name": "mine:Larger"}), **SMALL}
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in dict(table).items())]  # type: ignore[call-overload]
    (folder / "own.toml").write_text("\n".join(lines), encoding="utf-8")
    return "own.toml"


def run(*words: str) -> int:
    """Exit status of a command."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line of a command that is refused."""
    capsys.readouterr()
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_own_task_estimator_and_callback_train(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = toml(
        folder, estimator="mine:clipped:q=.5", callbacks=["mine:Log"], task={"name": "mine:Larger", "digits": 4}
    )
    assert run("train", config, "--out", "out") == 0
    metrics = read_jsonl(folder / "out" / "metrics.jsonl")
    assert [line["own"] for line in metrics] == [2.0, 4.0]
    result = json.loads((folder / "out" / "result.json").read_text())
    assert (result["estimator"], result["q"]) == ("mine:clipped:q=0.5", 0.5)
    assert 0 <= result["p_at_1_ties"] <= 1
    assert run("compare", config, "--estimator", "grpo", "mine:hopeful", "--out", "both", "--jobs", "1") == 0
    rows = json.loads((folder / "both" / "comparison.json").read_text())
    assert [row["estimator"] for row in rows] == ["grpo", "mine:hopeful"]
    assert run("report", "both", "-o", "page.html") == 0
    # Another definition of the task is another base.
    bases = len(list((folder / "cache" / "qcontinuum" / "bases").iterdir()))
    (folder / "mine.py").write_text(CODE.replace("max(a, b)", "min(a, b)"), encoding="utf-8")
    del sys.modules["mine"]
    assert run("pretrain", config) == 0
    assert len(list((folder / "cache" / "qcontinuum" / "bases").iterdir())) == bases + 1


def test_code_that_a_run_folder_names_is_not_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = toml(folder, estimator="mine:clipped:q=.5", callbacks=["mine:Log"], task={"name": "digit_sum"})
    assert run("train", config, "--out", "run") == 0
    own_task = toml(folder, task={"name": "mine:Larger"})
    assert run("train", own_task, "--out", "task") == 0
    find_estimator.cache_clear()
    del sys.modules["mine"]
    (folder / "canary").unlink()
    # Neither estimator nor callbacks are needed to evaluate, report, or export.
    assert run("evaluate", "run", "--prompts", "2") == 0
    assert run("export", "run", "exported") == 0
    assert run("report", "run", "task", "-o", "page.html") == 0
    words = ["train", "run/config.json", "--out", "again"]
    assert "callbacks='mine:Log': code that a run folder names is not run" in refused(capsys, *words)
    assert not (folder / "again").exists()
    # A task is needed to evaluate.
    line = refused(capsys, "evaluate", "task")
    assert line == (
        "qtrain: task.name='mine:Larger': code that a run folder names is not run; if you trust it, allow it with "
        "--allow-code, or in a command without this option copy the settings into a TOML file\n"
    )
    # Nor does a run that goes on in such a folder import it, to tell that the settings differ.
    plain = toml(folder, task={"name": "digit_sum"})
    assert "callbacks is ['mine:Log'] there and [] here" in refused(capsys, "train", plain, "--out", "run", "--resume")
    # The rows of a comparison name estimators too.
    (folder / "compared").mkdir()
    write_json(folder / "compared" / "config.json", read_config(Path(plain)).as_table())
    row = {"estimator": "mine:clipped:q=0.5", "seed": 0}
    write_json(folder / "compared" / "comparison.json", [row])
    assert run("compare", plain, "--estimator", "grpo", "--out", "compared", "--jobs", "1") == 0
    assert not (folder / "canary").exists()
    assert run("evaluate", "task", "--allow-code", "--prompts", "2") == 0
    assert (folder / "canary").exists()
    assert run(*words, "--allow-code") == 0
    assert run("train", "own.toml", "estimator=mine:clipped:q=.5", "--out", "again2") == 0


def test_whether_code_may_run_outlives_copies_and_pickling(folder: Path) -> None:
    write_json(folder / "config.json", read_config(Path(toml(folder, estimator="mine:clipped:q=.5"))).as_table())
    config = read_config(folder / "config.json")
    for copied in (
        config,
        config.with_values({"train.steps": 7}),
        config.model_copy(update={"name": "other"}),
        pickle.loads(pickle.dumps(config)),
    ):
        assert str(copied.estimator) == "mine:clipped:q=0.5"
        assert not copied.code_allowed
        with pytest.raises(CodeRefused):
            copied.estimator.spec  # noqa: B018
    assert read_config(folder / "config.json", allow_code=True).estimator.q == 0.5


@pytest.mark.parametrize(
    ("name", "code"),
    [("mine:f", True), ("a.b:C", True), ("a.b:C.d", True), ("garl:q=.5", False), ("a/b:c", False), ("a.py:f", True),
     ("a:b:c", False), (":f", False), ("os:", False)],
)  # fmt: skip
def test_the_form_of_code(name: str, code: bool) -> None:
    assert is_code(name) == code


@pytest.mark.parametrize(
    ("estimator", "line"),
    [
        ("mnie:clipped", "no module named 'mnie'; did you mean 'mine'?"),
        ("zzz:f", "no module named 'zzz'; put it in this folder, or install it"),
        ("mine:cliped:q=.5", "mine has no 'cliped'; did you mean 'clipped'?"),
        ("mine:zzz", "mine has no 'zzz'; valid are: math, Path, np, Callback"),
        ("mine:clipped", "estimator 'mine:clipped' needs 'q', for example mine:clipped:q=.75"),
        ("mine:clipped:q=.5,cieling=1", "has no parameter 'cieling'; did you mean 'ceiling'?"),
        ("mine:clipped:q=two", "mine:clipped:q=two: a value of type float is needed"),
        ("mine:NUMBER", "a function or an Estimator is needed, not 3"),
        ("mine:Larger", "a function or an Estimator is needed"),
        ("mine:misnamed", "its first argument is 'weights'; call it log_w or reward"),
        ("mine:tuple_of", "returns tuple; return qtheory.estimators.Coefficients"),
        ("mine:flat", "its rationale coefficients are (3,); return a tensor of the input's shape"),
        ("mine:raising", "on tensors (2, 3) of float64: RuntimeError: bad pool ("),
        ("mine:unannotated:strength=1", "annotate its parameters as bool, int, float or str"),
        ("broken:f", "estimator='broken:f': ValueError: not today ("),
        ("worse:f", "estimator='worse:f': SyntaxError: "),
        ("leaving:f", "estimator='leaving:f': SystemExit: 3 ("),
        ("gral:q=.5", "unknown estimator 'gral'; did you mean 'garl'?, or module:function of your own"),
    ],
)
def test_estimators_that_cannot_be_used(
    estimator: str, line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.py").write_text("raise ValueError('not\\ntoday')", encoding="utf-8")
    (folder / "worse.py").write_text("def f(:", encoding="utf-8")
    (folder / "leaving.py").write_text("import sys; sys.exit(3)", encoding="utf-8")
    config = toml(folder, task={"name": "digit_sum"})
    assert line in refused(capsys, "train", config, f"estimator={estimator}", "--out", "out")
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("task", "line"),
    [
        ({"name": "mine:Lagrer"}, "task.name='mine:Lagrer': mine has no 'Lagrer'; did you mean 'Larger'?"),
        (
            {"name": "mine:Larger", "digts": 3},
            "task.digts: mine:Larger has no argument 'digts'; did you mean 'digits'?",
        ),
        ({"name": "mine:clipped"}, "a subclass of qtrain.Task is needed"),
        ({"name": "mine:Bare"}, "task.size: mine:Bare needs it; add the key to the table [task]"),
        ({"name": "mine:Bare", "size": 3}, "Bare sets no `tokenizer`; set it in the constructor"),
        ({"name": "mine:Bare", "size": 3, "tokenizer": "x"}, "its constructor has no argument `tokenizer`"),
        ({"name": "mine:Broken"}, "task.name='mine:Broken': ZeroDivisionError: no digits ("),
        ({"name": "digit_sun"}, "unknown task 'digit_sun'; did you mean 'digit_sum'?, or module:Class of your own"),
    ],
)
def test_tasks_that_cannot_be_used(
    task: dict[str, object], line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in refused(capsys, "train", toml(folder, task=task), "--out", "out")
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("callback", "line"),
    [
        ("mine", "'mine': name a callback as module:Class"),
        ("mine:Lgo", "callbacks='mine:Lgo': mine has no 'Lgo'; did you mean 'Log'?"),
        ("mine:NUMBER", "callbacks='mine:NUMBER': a subclass of qtrain.Callback is needed, not 3"),
        ("mine:Needy", "callbacks='mine:Needy': TypeError: "),
    ],
)
def test_callbacks_that_cannot_be_used(
    callback: str, line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = toml(folder, callbacks=[callback], task={"name": "digit_sum"})
    assert line in refused(capsys, "train", config, "--out", "out")
    assert not (folder / "out").exists()


def test_installed_packages_register_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = folder / "site" / "own_package-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own-package\nVersion: 1.0\n", encoding="utf-8")
    points = {
        "qcontinuum.estimators": {"cut": "mine:clipped", "lost": "mine:lost"},
        "qcontinuum.tasks": {"larger": "mine:Larger"},
    }
    text = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in named.items())
        for group, named in points.items()
    )
    (about / "entry_points.txt").write_text(text, encoding="utf-8")
    sys.path[:0] = [str(folder / "site"), str(folder)]
    assert EstimatorChoice.parse("cut:q=.5").q == 0.5
    config = read_config(Path(toml(folder, estimator="cut:q=.5", task={"name": "larger", "digits": 3})))
    # What is installed was chosen by whoever installed it: a run folder may name it.
    assert Config.model_validate(config.as_table(), context={"code_allowed": False}).estimator.q == 0.5
    assert run("pretrain", "own.toml") == 0
    line = refused(capsys, "train", "own.toml", "estimator=lost", "--out", "out")
    assert "'lost', which own-package registers as mine:lost: AttributeError: module 'mine' has no attribute" in line
    assert "did you mean 'cut'?" in refused(capsys, "train", "own.toml", "estimator=ctu:q=1", "--out", "out")
    assert "did you mean 'larger'?" in refused(capsys, "train", "own.toml", "task.name=lagrer", "--out", "out")
