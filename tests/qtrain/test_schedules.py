"""Schedules: their values, what they do to a run, and what is refused."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtheory.estimators import best_q
from qtrain.config import Config, EstimatorChoice, QSchedule, RateSchedule
from qtrain.errors import UserError
from qtrain.policy.base import Base
from qtrain.runs.folder import read_jsonl
from qtrain.tasks.base import Task
from qtrain.trainer import train


def rates(steps: int, **keys: Any) -> list[float]:
    return [RateSchedule(**keys).value(0.8, step, steps) for step in range(1, steps + 1)]


def test_rates_against_hand_worked_values() -> None:
    assert rates(3) == [0.8, 0.8, 0.8]
    assert rates(5, kind="linear") == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0])
    assert rates(5, kind="linear", end=0.5) == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.4])
    half = 0.8 * (1 + math.cos(math.pi / 4)) / 2
    assert rates(5, kind="cosine") == pytest.approx([0.8, half, 0.4, 0.8 - half, 0.0])
    assert rates(4, kind="step", at=3, end=0.25) == pytest.approx([0.8, 0.8, 0.2, 0.2])
    assert rates(6, kind="linear", warmup=4) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.0])
    assert rates(5, kind="step", warmup=2, at=4) == pytest.approx([0.4, 0.8, 0.8, 0.0, 0.0])


def test_q_against_hand_worked_values() -> None:
    def values(steps: int, q: float = 1.0, **keys: Any) -> list[float]:
        schedule = QSchedule(**keys)
        return [schedule.value(q, step, steps, log_p=-3.0, samples=8) for step in range(1, steps + 1)]

    assert values(3, 0.75) == [0.75] * 3
    assert values(3, kind="linear") == [1.0, 0.5, 0.0]
    assert values(3, kind="cosine", end=0.5) == pytest.approx([1.0, 0.75, 0.5])
    assert values(4, kind="step", at=3) == [1.0, 1.0, 0.0, 0.0]
    # K = M P/(1 - (1-P)^M), q = K/(K + rho)
    p = math.exp(-3.0)
    held = 8 * p / (1 - (1 - p) ** 8)
    assert values(2, kind="adaptive", rho=2.0) == pytest.approx([held / (held + 2.0)] * 2)
    never = QSchedule(kind="adaptive", rho=2.0).value(1.0, 1, 9, log_p=-math.inf, samples=8)
    assert never == pytest.approx(1 / 3)


def test_q_on_noisy_labels() -> None:
    def value(p: float, e: float = 0.1) -> float:
        log_p = math.log(p) if p else -math.inf
        return QSchedule(kind="noise", e=e).value(0.5, 1, 9, log_p=log_p, samples=8)

    # (1-e) P^-q - e n^-q is largest where (1-e) log(1/P) / (e log(1/n)) = (P/n)^q.
    assert value(0.75) == pytest.approx(math.log(9 * math.log(4 / 3) / math.log(4)) / math.log(3))
    assert [value(p) for p in (0.0, 1e-9, 0.5, 0.9, 1.0)] == [1, 1, 1, 0, 0]
    assert QSchedule(kind="noise", e=0.1).value(0.5, 1, 9, log_p=1e-9, samples=8) == 0
    assert value(0.75, 0.01) == 1


@given(
    kind=st.sampled_from(["linear", "cosine"]),
    start=st.floats(0, 1),
    end=st.floats(0, 1),
    steps=st.integers(2, 1000),
)
def test_schedules_go_from_end_to_end_and_never_back(kind: Any, start: float, end: float, steps: int) -> None:
    schedule = QSchedule(kind=kind, end=end)
    values = [schedule.value(start, step, steps, log_p=0.0, samples=1) for step in range(1, steps + 1)]
    assert (values[0], values[-1]) == (start, end)
    ordered = sorted(values, reverse=start > end)
    assert all(abs(a - b) < 1e-15 for a, b in zip(values, ordered, strict=True))
    assert all(0 <= value <= 1 for value in values)


def test_a_run_follows_its_schedules(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    config = config.with_values(
        {"train.steps": 3, "estimator": "garl:q=1", "q.kind": "linear", "optimizer.schedule.kind": "linear"}
    )
    train(config, task, base, tmp_path / "run")
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert [row["q"] for row in rows] == [1.0, 0.5, 0.0]
    assert [row["lr"] for row in rows] == pytest.approx([1e-3, 5e-4, 0.0])


def test_the_adaptive_rule_reads_the_batch_before(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    config = config.with_values({"estimator": "paft:q=1", "q.kind": "adaptive", "q.rho": 0.5, "optimizer.lr": 0.5})
    result = train(config, task, base, tmp_path / "run")
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    before = [math.log(result["p0"])] + [row["log_p"] for row in rows[:-1]]
    assert [row["q"] for row in rows] == pytest.approx([float(best_q(log_p, 6, 0.5)) for log_p in before])


def test_the_rule_for_noise_reads_the_batch_before(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    """From a base of P near .1 q is 1, and the run that of q = 1, bit for bit, whatever the estimator's own q."""
    config = config.with_values({"estimator": "garl:q=1", "optimizer.lr": 0.1})
    train(config, task, base, tmp_path / "one")
    noise = config.with_values({"estimator": "garl:q=.3", "q.kind": "noise", "q.e": 0.2})
    result = train(noise, task, base, tmp_path / "noise")
    one, rows = (read_jsonl(tmp_path / name / "metrics.jsonl") for name in ("one", "noise"))
    before = [math.log(result["p0"])] + [row["log_p"] for row in rows[:-1]]
    assert max(before) < math.log(0.5)
    assert [row["q"] for row in rows] == [1.0] * len(rows)
    assert [row["gradient_norm"] for row in rows] == [row["gradient_norm"] for row in one]


def test_a_step_at_q_is_the_run_at_that_q(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    """Until the step the run is that of q = 1, bit for bit; behind it the coefficients are those of q = 0."""
    config = config.with_values({"train.steps": 3, "estimator": "garl:q=1", "optimizer.lr": 0.1})
    train(config, task, base, tmp_path / "one")
    train(config.with_values({"q.kind": "step", "q.at": 3}), task, base, tmp_path / "both")
    one, both = (read_jsonl(tmp_path / name / "metrics.jsonl") for name in ("one", "both"))
    names = ("loss", "surrogate", "gradient_norm", "max_rationale_coefficient")
    assert [[row[name] for name in names] for row in one[:2]] == [[row[name] for name in names] for row in both[:2]]
    # At q = 0 the answer's coefficient is w itself.
    assert math.log(both[2]["max_answer_coefficient"]) == pytest.approx(both[2]["log_w_max"])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"estimator": "grpo", "q.kind": "linear"},
            "q.kind='linear': grpo has no parameter q; try garl:q=1, paft:q=1",
        ),
        ({"estimator": "rb_rloo", "q.kind": "step", "q.at": 2}, "rb_rloo has no parameter q"),
        ({"q.kind": "stepwise"}, "q.kind = 'stepwise': "),
        ({"q.kind": "step"}, "at belongs to kind='step', which needs it"),
        ({"q.at": 2}, "at belongs to kind='step', which needs it"),
        ({"q.kind": "adaptive"}, "rho belongs to kind='adaptive', which needs it"),
        ({"q.kind": "noise"}, "e belongs to kind='noise', which needs it"),
        ({"q.kind": "adaptive", "q.rho": 1, "q.e": 0.1}, "e belongs to kind='noise', which needs it"),
        ({"q.kind": "noise", "q.e": 0.5}, "q.e = 0.5: "),
        ({"estimator": "grpo", "q.kind": "noise", "q.e": 0.1}, "q.kind='noise': grpo has no parameter q"),
        ({"q.kind": "linear", "q.rho": 1}, "rho belongs to kind='adaptive', which needs it"),
        ({"q.kind": "linear", "q.end": 1.5}, "q.end = 1.5: "),
        ({"q.kind": "step", "q.at": 4}, "q.at=4: there are only train.steps=3"),
        ({"q.strat": 1}, "unknown key 'q.strat'; "),
        ({"optimizer.schedule.kind": "step"}, "at belongs to kind='step', which needs it"),
        ({"optimizer.schedule.warmup": 3}, "optimizer.schedule.warmup=3: leave some of train.steps=3 after it"),
        (
            {"optimizer.schedule.kind": "step", "optimizer.schedule.at": 2, "optimizer.schedule.warmup": 2},
            "optimizer.schedule.at=2: the warm-up of 2 steps comes first",
        ),
        ({"optimizer.schedule.knd": "step"}, "unknown key 'optimizer.schedule.knd'; did you mean 'kind'?"),
        ({"train.micro_batch_tokens": 0}, "train.micro_batch_tokens = 0: "),
        ({"train.checkpoint_every": 0}, "train.checkpoint_every = 0: "),
        ({"train.keep": 0}, "train.keep = 0: "),
        ({"train.skip_limit": 0}, "train.skip_limit = 0: "),
        ({"train.dtype": "float16"}, "train.dtype = 'float16': "),
        ({"train.kl": 0}, "train.kl = 0: "),
        ({"sinks": ["tensorbord"]}, "sinks.0 = 'tensorbord': "),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(changes: dict[str, Any], line: str, config: Config) -> None:
    with pytest.raises(UserError) as error:
        config.with_values(changes)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_an_estimator_at_another_q() -> None:
    assert str(EstimatorChoice.parse("paft:q=.75,k=8").with_q(0.5)) == "paft:k=8,q=0.5"
    with pytest.raises(ValueError, match="q must lie in"):
        EstimatorChoice.parse("garl:q=1").with_q(1.5)
    with pytest.raises(ValueError, match="grpo has no parameter q"):
        EstimatorChoice.parse("grpo").with_q(0.5)
