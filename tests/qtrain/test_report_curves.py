"""The report's curves and intervals: references by definition, by brute force and by scipy's own tests."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from report_cases import Page, report, write_comparison, write_run
from scipy import stats

from qtrain.report.aggregation import (
    LEVEL,
    MAX_POINTS,
    SMOOTHING,
    extremes,
    log_mean_interval,
    mean_curve,
    mean_interval,
)
from qtrain.report.measures import BATCH_P, SUCCESS, Measure
from qtrain.report.records import Points, read_section


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    out = tmp_path / "cold"
    p = (4e-6, 4e-3, 0.4)
    rows = [
        write_run(out / "a", "garl:q=0.75", q=0.75, seed=0, p_at_1=(0.0, 0.2, 0.5)),
        write_run(out / "b", "garl:q=0.75", q=0.75, seed=1, p_at_1=(0.0, 0.4, 0.7), p=p),
        write_run(out / "c", "grpo", q=None, seed=0, p=(1e-6, 1e-6, 1e-6)),
        write_run(out / "d", "grpo", q=None, seed=1, p=(1e-6, 0.0, 1e-6), diverged_step=3),
    ]
    return write_comparison(out, rows)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_interval_is_the_t_tests(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    found = mean_interval(values.tolist())
    assert found is not None
    assert found == pytest.approx(stats.ttest_1samp(values, 0.0).confidence_interval(LEVEL))
    assert log_mean_interval(np.exp(values).tolist()) == pytest.approx(np.exp(found))


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Three seeds. The bootstrap's own interval, which the module speaks of, covers it far less often."""
    rng, trials = np.random.default_rng(0), 1000
    draws = rng.normal(0.5, 0.1, size=(trials, 3))
    found = [mean_interval(one.tolist()) for one in draws]
    covered = sum(one is not None and one.low <= 0.5 <= one.high for one in found)
    assert stats.binomtest(covered, trials, LEVEL).pvalue > 0.01
    resampled = draws[:, np.indices((3, 3, 3)).reshape(3, -1).T].mean(2)  # all 27 resamples of each
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    assert np.mean((low <= 0.5) & (high >= 0.5)) < 0.85


def test_interval_is_cut_at_what_a_score_can_be_and_missing_where_there_is_none() -> None:
    assert mean_interval([0.2, 0.6], least=0.0, most=1.0) == (0.0, 1.0)
    assert [mean_interval(values) for values in ([1.0], [2.0, 2.0], [1.0, math.inf], [])] == [None] * 4
    assert log_mean_interval([0.0, 1.0]) is None


@settings(max_examples=50)
@given(arrays(float, st.integers(1, 3000), elements=st.floats(-1e300, 1e300)))
def test_extremes_keep_the_smallest_the_largest_and_the_ends(values: np.ndarray) -> None:
    kept = extremes(values)
    assert (np.diff(kept) > 0).all()
    assert {0, len(values) - 1} <= set(kept)
    assert (values[kept].min(), values[kept].max()) == (values.min(), values.max())
    assert len(kept) <= MAX_POINTS + 2
    if len(values) <= MAX_POINTS:
        assert len(kept) == len(values)


def test_extremes_keep_every_spike_and_the_first_steps() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=5000)
    spikes = rng.choice(np.arange(100, 4900, 50), size=20, replace=False)
    values[spikes] = 100.0
    assert set(spikes) <= set(extremes(values))
    assert set(range(20)) <= set(extremes(values))


def test_curves_are_means_over_seeds(comparison: Path) -> None:
    runs = read_section(comparison).by_estimator["garl:q=0.75"]
    success = mean_curve(runs, SUCCESS)
    assert success.steps.tolist() == [0, 20, 40]
    assert success.mean.tolist() == pytest.approx([0, 0.3, 0.6])
    assert success.low.tolist() == pytest.approx([0, 0.2, 0.5])
    assert success.high.tolist() == pytest.approx([0, 0.4, 0.7])
    assert mean_curve(runs, BATCH_P).mean.tolist() == pytest.approx([2e-6, 2e-3, 0.2])  # sqrt(1e-6 * 4e-6), ...
    assert mean_curve(runs, Measure("metrics", "ess")).mean.tolist() == [9.0] * 3


def test_zero_probability_is_left_out_of_the_log_axis(comparison: Path) -> None:
    curve = mean_curve(read_section(comparison).by_estimator["grpo"], BATCH_P)
    assert curve.mean.tolist() == pytest.approx([1e-6, 1e-6, 1e-6])
    assert curve.seeds.tolist() == [2, 1, 2]


def test_batch_noise_is_averaged_within_a_tenth_of_the_step(tmp_path: Path) -> None:
    p = tuple(1e-3 * (1 + index % 2) for index in range(20))  # odd steps 1e-3, even steps 2e-3
    write_run(tmp_path / "run", "garl:q=1", q=1.0, p=p)
    curve = mean_curve(read_section(tmp_path / "run").runs, BATCH_P)
    assert curve.mean[8] == pytest.approx(1e-3)  # step 9 stands alone
    assert curve.mean[9] == pytest.approx(4e-3 / 3)  # steps 9 to 11
    assert curve.mean[19] == pytest.approx(5e-3 / 3)  # steps 18 to 20


def test_long_curves_are_means_by_definition_at_the_steps_they_have(tmp_path: Path) -> None:
    p = np.exp(np.random.default_rng(2).normal(size=1500))
    write_run(tmp_path / "run", "garl:q=1", q=1.0, p=tuple(p))
    curve = mean_curve(read_section(tmp_path / "run").runs, BATCH_P)
    steps = np.arange(1, 1501)
    assert len(curve.steps) < MAX_POINTS
    for step, mean in zip(curve.steps[::40], curve.mean[::40], strict=True):
        assert mean == pytest.approx(p[np.abs(steps - step) <= SMOOTHING * step + 1e-6].mean())


def test_what_is_no_finite_number_is_no_point(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "garl:q=1", q=1.0, p=(0.5, math.nan, math.inf, 0.25))
    steps, values = BATCH_P.points(read_section(tmp_path / "run").runs[0])
    assert (steps.tolist(), values.tolist()) == ([1, 4], [0.5, 0.25])


def test_page_holds_the_curves(comparison: Path) -> None:
    data = Page(report(comparison)).data
    common: dict[str, Any] = data["s1-curves"]
    labels = [one["label"] for one in common["measures"]]
    assert [labels[index] for index in common["first"]] == ["p@1, held-out prompts", "P, training batches"]
    assert [(line["name"], line["seeds"]) for line in common["lines"]] == [("GRPO", [0, 1]), ("q = 0.75", [0, 1])]
    assert common["diverged"] == [None, 3, None, None]
    batch = data[f"s1-m{common['first'][1]}"]
    assert batch["runs"][3] == {"x": [1, 2, 3], "y": [4e-6, 4e-3, 0.4]}
    assert batch["means"][1] == {"x": [1, 2, 3], "y": [2e-6, 2e-3, 0.2], "seeds": [2, 2, 2]}
    assert {f"s1-m{index}" for index in range(len(labels))} < set(data)


def test_points_that_a_run_lacks_make_an_empty_curve(comparison: Path) -> None:
    curve = mean_curve(read_section(comparison).runs, Measure("metrics", "nothing"))
    assert all(len(part) == 0 for part in (curve.steps, curve.mean, curve.low, curve.high))
    assert isinstance(Measure("evals", "nothing").points(read_section(comparison).runs[0]), Points)
