"""Loading: hostile records of every data set, duplicates, filters, splits and sub-samples."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qa_cases import (
    RECORDS,
    build,
    finqa,
    finqa_hub,
    hotpotqa,
    hotpotqa_hub,
    musique,
    pair,
    write_array,
    write_lines,
    write_split,
)
from scipy import stats

from qtrain.errors import UserError
from qtrain.tasks.data_sets import DATA_SETS, data_set
from qtrain.tasks.load import file_source, load
from qtrain.tasks.records import LoadStats, Record, parse
from qtrain.tasks.rows import BadRecord, JsonRow
from qtrain.tasks.splits import half_of, is_held_out, sub_sample

GOOD = {
    "finqa": [finqa(), finqa_hub()],
    "hotpotqa": [hotpotqa(), hotpotqa_hub()],
    "musique": [musique()],
    "pairs": [pair()],
}
WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.just("\ud800"),
    st.just([[[["x"]]]]),
    st.just({"title": 3}),
    st.just(["x", None]),
    st.just("x" * 50_000),
    st.just(10**400),
)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    if place:
        yield place
    keys = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in keys:
        yield from places(inner, (*place, key))


@pytest.mark.parametrize("name", DATA_SETS)
@settings(max_examples=150)
@given(data=st.data())
def test_a_broken_field_is_a_reason_or_does_not_matter(name: str, data: st.DataObject) -> None:
    row = copy.deepcopy(data.draw(st.sampled_from(GOOD[name])))
    *path, last = data.draw(st.sampled_from(list(places(row))))
    holder: Any = row
    for key in path:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[last] = data.draw(WRONG)
    else:
        del holder[last]
    found = parse(JsonRow("line 1", row), data_set(name))
    if isinstance(found, BadRecord):
        assert "\n" not in found.reason
        assert len(found.reason) < 300
    else:
        texts = [found.id, found.context, found.question, found.answer, *found.aliases]
        assert all(isinstance(text, str) for text in texts)
        "".join(texts).encode()  # no lone surrogates
        assert found.id
        assert found.question


@pytest.mark.parametrize("name", DATA_SETS)
@given(value=st.recursive(WRONG, lambda inner: st.lists(inner, max_size=3), max_leaves=4))
def test_what_is_no_object_is_a_reason(name: str, value: Any) -> None:
    found = parse(JsonRow("line 1", value), data_set(name))
    assert isinstance(found, BadRecord)


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_needed_field_is_named_when_it_is_missing(name: str) -> None:
    needed = {"finqa": 5, "hotpotqa": 4, "musique": 5, "pairs": 2}[name]
    record = RECORDS[name]()
    missing = []
    for key in record:
        found = parse(JsonRow("line 1", {k: v for k, v in record.items() if k != key}), data_set(name))
        if isinstance(found, BadRecord):
            assert found.reason.startswith((f"{key}: Field required", "id: Field required", "answer: Field required"))
            missing.append(key)
    assert len(missing) == needed


@pytest.mark.parametrize("name", ["finqa", "hotpotqa", "musique"])
def test_extra_fields_are_allowed(name: str) -> None:
    record = RECORDS[name]() | {"extra": float("nan"), "note": {"deep": [1, None]}}
    assert parse(JsonRow("line 1", record), data_set(name)) == parse(JsonRow("line 1", RECORDS[name]()), data_set(name))


@pytest.mark.parametrize("name", DATA_SETS)
@pytest.mark.parametrize("other", DATA_SETS)
def test_a_file_of_another_data_set_is_named(tmp_path: Path, name: str, other: str) -> None:
    path = write_lines(tmp_path / "file", [RECORDS[other](n) for n in range(3)])
    tally = LoadStats()
    if name == other:
        assert len(list(load(file_source(path), data_set(name), tally, "skip"))) == 3
        return
    with pytest.raises(UserError) as raised:
        list(load(file_source(path), data_set(name), tally, "skip"))
    title = DATA_SETS[name].title
    assert f"{path}: is not {title}: none of its 3 rows is a record of it; line 1: " in str(raised.value)
    assert str(raised.value).endswith(f"(it looks like {DATA_SETS[other].title})")
    assert tally.malformed.total() == tally.records == 3


def test_counts_add_up_and_reasons_are_gathered(tmp_path: Path) -> None:
    rows: list[Any] = [finqa(n) for n in range(20)] + [finqa(20, answer="")]
    rows += [finqa(n) | {"table": [["x"] * n + [None]]} for n in range(30, 40)] + [finqa(1), 7]
    path = write_array(tmp_path / "x.json", rows)
    tally = LoadStats()
    kept = list(load(file_source(path), data_set("finqa"), tally, "skip"))
    assert [record.id for record in kept] == [row["id"] for row in rows[:21]]
    assert tally.malformed == {
        "table.*.*: Input should be a valid string": 10,
        "repeats record * (counted from *)": 1,
        "an object is needed, not a number": 1,
    }
    assert len(tally.malformed_records) == 12
    for record in kept:
        tally.note("" if record.answer else "empty answer")
    assert tally.records == len(rows) == 33
    assert json.loads(json.dumps(tally.as_table()))["malformed_records"][0].startswith(
        "record 21 (counted from 0): table.0.30"
    )


def test_filters_are_settings(tmp_path: Path) -> None:
    train = [finqa(1, answer="x" * 9), finqa(2, answer="x" * 10), finqa(3, answer=""), finqa(4)]
    folder = write_split(tmp_path, "finqa", train, [finqa(9)])

    def ids(**changes: Any) -> list[str]:
        return [name[-1] for name in build("finqa", folder, **changes).record_ids()["train"]]

    assert ids() == ["1", "2", "4"]
    assert ids(max_answer_tokens=10) == ["1", "4"]  # END is one of them
    assert ids(empty_answers=True) == ["1", "2", "3", "4"]
    task = build("finqa", folder, empty_answers=True)
    empty = next(one for one in task.batch(50, np.random.default_rng(0)) if not one.answer)
    assert task.success(empty, "")
    assert not task.success(empty, "5")
    with pytest.raises(UserError, match=r"no train records \(.*4 dropped \(.*prompt longer than max_prompt_tokens: 3"):
        build("finqa", folder, long_prompts="drop", max_prompt_tokens=60)
    task = build("finqa", folder, max_prompt_tokens=60)
    assert task.load_stats[str(folder / "train.json")].cut == 3
    assert "3 of them cut to fit" in task.dataset_lines()[0]


def test_answer_prefix_is_part_of_the_answer_and_not_of_success(tmp_path: Path) -> None:
    task = build("finqa", write_split(tmp_path, "finqa", [finqa(1)], [finqa(2)]), answer_prefix="\n\n")
    (example,) = task.held_out(1)
    assert example.answer == "\n\n5"
    assert task.success(example, "it is 5")
    assert task.dataset_metrics(example, "5.0") == {"numeric": 1.0, "numeric_official": 1.0}


def test_sub_samples_are_by_seed_in_order_and_independent_of_each_other(tmp_path: Path) -> None:
    folder = write_split(tmp_path, "hotpotqa", [hotpotqa(n) for n in range(40)], [hotpotqa(n) for n in range(40, 60)])

    def ids(**changes: Any) -> dict[str, list[str]]:
        return build("hotpotqa", folder, **changes).record_ids()

    whole = ids()
    assert [len(names) for names in whole.values()] == [40, 20]
    some = ids(train_size=10, held_out_size=5)
    assert [len(names) for names in some.values()] == [10, 5]
    assert all(names == sorted(names) and set(names) < set(whole[side]) for side, names in some.items())
    assert some == ids(train_size=10, held_out_size=5)
    assert ids(train_size=11, held_out_size=5)["held_out"] == some["held_out"]
    assert ids(train_size=10, split_seed=1)["train"] != some["train"]
    assert ids(train_size=40) == whole
    with pytest.raises(UserError, match=r"task\.train_size=41: there are 40 after the filters"):
        ids(train_size=41)
    task = build("hotpotqa", folder, train_size=10)
    assert {one.id for one in task.batch(500, np.random.default_rng(0))} == set(task.record_ids()["train"])
    assert task.dataset_report()["used"] == {"train": 10, "held_out": 20}


def test_sub_samples_are_uniform() -> None:
    rng = np.random.default_rng(0)
    drawn = [item for _ in range(2000) for item in sub_sample(range(10), 3, rng, "size")]
    assert stats.chisquare(np.bincount(drawn, minlength=10)).pvalue > 1e-3


def test_an_eighth_of_a_file_is_held_out() -> None:
    held_out = sum(is_held_out(f"page {n}") for n in range(8000))
    assert stats.binomtest(held_out, 8000, 1 / 8).pvalue > 1e-3


def test_the_halves_of_what_is_held_out(tmp_path: Path) -> None:
    dev = [musique(n) for n in range(100, 300)]
    folder = write_split(tmp_path, "musique", [musique(n) for n in range(9)], dev)
    validation, test, both = (
        build("musique", folder, held_out_half=half).record_ids() for half in ("validation", "test", None)
    )
    assert validation["train"] == test["train"] == both["train"]
    assert set(validation["held_out"]).isdisjoint(test["held_out"])
    assert {*validation["held_out"], *test["held_out"]} == set(both["held_out"]) == {one["id"] for one in dev}
    pages = [page for page in map(str, range(8000)) if is_held_out(page)]
    in_test = sum(half_of(page) == "test" for page in pages)
    assert stats.binomtest(in_test, len(pages), 1 / 2).pvalue > 1e-3


@pytest.mark.parametrize("name", ["hotpotqa", "musique"])
def test_one_file_is_split_by_id(tmp_path: Path, name: str) -> None:
    path = write_lines(tmp_path / "x", [RECORDS[name](n) for n in range(100)])
    ids = build(name, path).record_ids()
    assert len(ids["train"]) + len(ids["held_out"]) == 100
    assert all(is_held_out(one) for one in ids["held_out"])
    assert not any(is_held_out(one) for one in ids["train"])


def test_a_record_on_both_sides_is_refused(tmp_path: Path) -> None:
    folder = write_split(tmp_path, "musique", [musique(1), musique(2)], [musique(2)])
    with pytest.raises(UserError, match="record '2hop__2_17' is in both splits"):
        build("musique", folder)


def test_an_unknown_data_set_has_a_neighbour() -> None:
    with pytest.raises(UserError, match="unknown data set 'hotpot'; did you mean 'hotpotqa'"):
        data_set("hotpot")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "records"),
    [
        ("finqa/train.json", 100),
        ("finqa/dev.json", 100),
        ("finqa/hf_layout_sample.jsonl", 5),
        ("hotpotqa/hotpot_train_v1.1.json", 100),
        ("hotpotqa/hotpot_dev_distractor_v1.json", 97),
        ("hotpotqa/hf_layout_sample.jsonl", 5),
        ("musique/musique_ans_v1.0_train.jsonl", 100),
        ("musique/musique_ans_v1.0_dev.jsonl", 92),
    ],
)
def test_every_real_record_is_well_formed(shared_data: Path, file: str, records: int) -> None:
    tally = LoadStats()
    found = list(load(file_source(shared_data / file), data_set(file.split("/")[0]), tally, "fail"))
    assert len(found) == records
    assert all(isinstance(one, Record) and one.context for one in found)
