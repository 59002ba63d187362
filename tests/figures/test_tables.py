"""Tables and captions on synthetic data: the numbers are those of the files."""

import statistics
from pathlib import Path

import pytest
from synthetic import row, studies, write_studies

from figures.markdown import table
from figures.names import listed, long_name, mean, power, share, short_name
from figures.plots import cold_start, learning_rates
from figures.registry import TABLES
from figures.tables.estimator import estimator_table
from figures.tables.rate import learning_rate_table
from figures.tables.success import adam_conflict_table, cold_start_table
from qtheory.estimators import ESTIMATORS
from qtrain.errors import UserError


def cells(text: str, first: str) -> list[str]:
    """The cells of the row that begins with `first`."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip(" *") for cell in line.strip("|").split("|")]


def test_success_table_has_every_base_and_the_mean(data_folder: Path) -> None:
    rows = [one for one in studies()["cold_start"]["rows"] if one["estimator"] == "garl:q=0.75"]
    ends = [one["p_at_1"] for one in rows]
    found = cells(cold_start_table(data_folder), "GARL q = 0.75")
    assert found[1:5] == [*(f"{end:.3f}" for end in ends), f"{statistics.mean(ends):.3f}"]
    assert found[-1] == ", ".join(str(one["escape_step"]) for one in rows)
    assert cells(cold_start_table(data_folder), "GRPO")[-1] == "never, never, never"


def test_mixed_batches_show_the_easy_half(data_folder: Path) -> None:
    text = adam_conflict_table(data_folder)
    assert cells(text, "estimator")[5] == "p@1 easy, mean"
    assert cells(text, "GRPO")[5] == "0.900"
    assert "easy" not in cold_start_table(data_folder)


def test_verdict_follows_the_numbers(data_folder: Path) -> None:
    data = cold_start.compute(data_folder)
    rows = studies()["cold_start"]["rows"]
    three_quarters, one = (
        f"{statistics.mean(ends):.2f}, lowest {min(ends):.2f}"
        for ends in ([row["p_at_1"] for row in rows if row["q"] == q] for q in (0.75, 1.0))
    )
    verdict = (
        "At the end at most 1% p@1 on every base: GRPO, q = 0, q = 0.25 and q = 0.5; "
        f"above 50% on average: q = 1 ({one}); between: q = 0.75 ({three_quarters})."
    )
    assert verdict in cold_start.caption(data)
    assert verdict in cold_start_table(data_folder)


def test_diverged_runs_say_so(tmp_path: Path) -> None:
    data = studies()
    gone = {"p_at_1": None, "p_at_16": None, "maj_at_16": None, "mean_log_p": None, "diverged_step": 3}
    rows = data["cold_start"]["rows"]
    rows[:] = [one | gone if (one["estimator"], one["seed"]) == ("garl:q=1", 1) else one for one in rows]
    folder = write_studies(tmp_path, data)
    found = cells(cold_start_table(folder), "GARL q = 1")
    assert found[2] == found[4] == "diverged"
    assert "q = 1 (1 of 3 diverged)" in cold_start.caption(cold_start.compute(folder))


def test_runs_that_differ_in_the_rate_are_refused(tmp_path: Path) -> None:
    data = studies()
    data["cold_start"]["rows"][0]["lr"] = 0.5
    with pytest.raises(UserError, match="the learning rate of cold_start differs"):
        cold_start.compute(write_studies(tmp_path, data))


def test_scan_table(data_folder: Path) -> None:
    text = learning_rate_table(data_folder)
    assert cells(text, "0.1")[1:] == ["0.000", "", "0.197", "0.562", "0.703", "diverged"]
    assert "| **0.900** |" in text  # the best of q = 1
    assert "(edge)" not in text
    assert "(6 of 42 runs diverged)" in learning_rates.caption(learning_rates.compute(data_folder))


def test_best_at_the_edge_is_told(tmp_path: Path) -> None:
    data = studies()
    for one in data["best_learning_rates"]["rows"]:
        if one["estimator"] == "grpo":
            one["lr"] = 1e-3
    folder = write_studies(tmp_path, data)
    assert cells(learning_rate_table(folder), "GRPO")[1] == "1e-3 (edge)"
    assert "so that a better one may lie beyond: GRPO." in learning_rates.caption(learning_rates.compute(folder))


def test_an_estimator_without_confirmation_is_told(tmp_path: Path) -> None:
    data = studies()
    rows = data["best_learning_rates"]["rows"]
    rows[:] = [one for one in rows if one["estimator"] != "grpo"]
    with pytest.raises(UserError, match="best_learning_rates: no run of grpo"):
        learning_rates.compute(write_studies(tmp_path, data))


@pytest.mark.parametrize("name", [name for name in TABLES if not name.startswith(("estimator", "poisson"))])
def test_every_table_says_what_made_it(name: str, data_folder: Path) -> None:
    text = TABLES[name](data_folder)
    if name == "reliability":
        assert text.count("made by `python tests/qtrain/x.py` at commit `0123456789ab`") == 3
        return
    if name == "report_speed":
        assert "made by `python tests/qtrain/report_speed.py --json" in text
        return
    if name.startswith("exact_"):
        assert f"made by `python -m figures {name.removeprefix('exact_')} --json" in text
        return
    assert f"made by `python -m figures run {name}` at commit `0123456789ab`" in text
    assert "x86_64, 2 cores" in text


def test_estimator_table_has_every_estimator() -> None:
    lines = estimator_table().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == list(ESTIMATORS)


def test_missing_base_is_no_zero(tmp_path: Path) -> None:
    data = studies()
    data["cold_start"]["rows"].append(row("maxrl", None, 0))
    found = cells(cold_start_table(write_studies(tmp_path, data)), "maxrl")
    assert found[1:4] == ["0.000", "not run", "not run"]


def test_names_and_numbers() -> None:
    assert [long_name(name) for name in ("grpo", "garl:q=0.5", "paft:k=8,q=1")] == [
        "GRPO", "GARL q = 0.5", "PAFT k = 8 q = 1",
    ]  # fmt: skip
    assert [short_name("rb_rloo", 0.0), short_name("garl:q=0.5", 0.5), short_name("paft:q=0.5", 0.5)] == [
        "q = 0", "q = 0.5", "PAFT q = 0.5",
    ]  # fmt: skip
    assert [power(value) for value in (6.12e-7, 1e-3, 0.316, 31.6)] == ["6.1e-7", "1e-3", "0.316", "31.6"]
    assert (share(None), share(0.5)) == ("diverged", "0.500")
    assert (mean([0.0, 1.0]), mean([None, 1.0]), mean([])) == (0.5, None, None)
    assert [listed(words) for words in ([], ["a"], ["a", "b", "c"])] == ["none", "a", "a, b and c"]
    assert table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| :--- | ---: |\n| x\\|y | 1 |"
