"""The report: numbers equal hand-computed ones, prose comes from the configuration, errors take one line."""

import base64
import hashlib
import itertools
import json
import math
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from report_cases import CONFIG, ENVIRONMENT, SAMPLE, Page, report, write_comparison, write_run

from qtrain.cli import main
from qtrain.errors import UserError
from qtrain.report.labels import MAX_CHARACTERS, estimator_name, number, scientific, short_name, shortened, visible
from qtrain.report.overview import spread, step_ticks
from qtrain.report.palette import DARK_PAPER, READABLE, contrast, line_style, on_dark


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """Two seeds of two estimators, not in the order of the table."""
    out = tmp_path / "cold"
    rows = [
        write_run(out / "b", "garl:q=0.75", q=0.75, seed=0, p_at_1=(0.0, 0.2, 0.5), escape_step=3),
        write_run(out / "a", "grpo", q=None, seed=0, p_at_1=(0, 0, 0), escape_step=None, p=(1e-6, 1e-6, 1e-6)),
        write_run(out / "d", "garl:q=0.75", q=0.75, seed=1, p0=7e-7, p_at_1=(0.0, 0.4, 0.7), p=(4e-6, 4e-3, 0.4),
                  escape_step=10, seconds=41.0, scores={"mean_log_p": -0.5, "maj_at_16": 0.875}),
        write_run(out / "c", "grpo", q=None, seed=1, p0=7e-7, p_at_1=(0, 0, 0), escape_step=None, p=(1e-6, 0.0, 1e-6)),
    ]  # fmt: skip
    return write_comparison(out, rows)


def test_table_holds_hand_computed_numbers(comparison: Path) -> None:
    """Intervals by hand: two seeds have t = 12.7062 and the standard error half their distance."""
    rows = Page(report(comparison)).rows[:3]
    assert rows[0] == [
        "estimator", "seeds", "P before", "steps", "escape step", "p@1", "p@16", "maj@16", "mean log P", "seconds"
    ]  # fmt: skip
    assert rows[1][:6] == ["GRPO", "2", "5.9e−7|[7.0e−8, 5.0e−6]", "40", "none of 2", "0.0%"]
    assert rows[2] == [
        "GARL, q = 0.75", "2", "5.9e−7|[7.0e−8, 5.0e−6]", "40", "6.5|3 to 10", "60.0%|[0.0, 100.0]", "75.0%",
        "75.0%|[0.0, 100.0]", "−1.00|[−7.35, 0.00]", "36|30 to 41",
    ]  # fmt: skip


def answers(**changes: float) -> dict[str, float]:
    """The scores of a policy's answers, as an evaluation logs them."""
    scores = {"exact_match": 0.25, "distinct_answers": 40.0, "constant_answer": 0.125, "forced": 0.5}
    return scores | {"rationale_tokens": 7.25} | changes


def test_a_collapsed_policy_is_seen_at_a_glance(tmp_path: Path) -> None:
    """GRPO gives one answer at the end; the first evaluation of each seed has other numbers."""
    out = tmp_path / "cold"
    last = {"grpo": answers(distinct_answers=1.0, exact_match=0.125), "garl:q=1": answers(distinct_answers=60.0)}
    rows = []
    for seed, (estimator, scores) in itertools.product((0, 1), last.items()):
        q, p_at_1 = (None, (0.0, 0.125)) if estimator == "grpo" else (1.0, (0.0, 0.5))
        folder = out / f"{estimator[:4]}{seed}"
        rows.append(write_run(folder, estimator, q=q, seed=seed, p_at_1=p_at_1, scores=scores))
        lines = [json.loads(line) for line in (folder / "evals.jsonl").read_text().splitlines()]
        lines[0] |= answers(distinct_answers=50.0 + 10 * seed, forced=1.0)
        (folder / "evals.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = Page(report(write_comparison(out, rows)))
    columns = [*("estimator", "exact match", "p@1", "best constant answer"), "distinct answers", "rationales cut"]
    start = page.rows.index([*columns, "tokens a rationale"])
    assert page.rows[start + 1 : start + 3] == [
        ["GRPO|not above a constant answer", "12.5%|before 25.0%", "12.5%|before 0.0%", "12.5%", "1.0|before 55.0",
         "50.0%|before 100.0%", "7.2"],
        ["GARL, q = 1", "25.0%", "50.0%|before 0.0%", "12.5%", "60.0|before 55.0", "50.0%|before 100.0%", "7.2"],
    ]  # fmt: skip
    levels = {
        measure["label"]: (measure["level"], measure["levelName"]) for measure in page.data["s1-curves"]["measures"]
    }
    assert levels["p@1, held-out prompts"] == (0.125, "best constant answer")
    assert levels["P, training batches"] == (0.05, "escape")
    assert levels["exact match, held-out prompts"][0] is None


def test_folders_without_these_scores_have_no_such_table(comparison: Path) -> None:
    page = Page(report(comparison))
    assert "distinct answers" not in [cell for row in page.rows for cell in row]
    levels = {measure["label"]: measure["level"] for measure in page.data["s1-curves"]["measures"]}
    assert levels["p@1, held-out prompts"] is None


def test_one_seed_has_no_interval_and_the_page_says_so(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "garl:q=1", q=1.0)
    page = Page(report(tmp_path / "run"))
    assert "One seed: there are no confidence intervals" in page.text
    assert page.rows[1] == ["GARL, q = 1", "1", "5.0e−7", "40", "3", "50.0%", "75.0%", "62.5%", "−1.50", "30"]


def test_prose_comes_from_the_configuration(comparison: Path) -> None:
    text = Page(report(comparison)).text
    assert "2 estimators on task digit_sum (cold), all under one rollout budget and one learning rate" in text
    assert "40 steps of SGD at learning rate 0.002, 12 prompts with 24 rationales each" in text
    assert "2 base models (seeds 0, 1)" in text
    assert "before training is 5.0e−7 to 7.0e−7" in text


def test_provenance_is_on_the_page(comparison: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/qtrain", "report", "a dir", "-o", "page.html"])
    text = Page(report(comparison)).text
    for words in (ENVIRONMENT["command"], "0123456789ab", "torch 2.13.0", "x86_64, 2 cores", '"lr": 0.002'):
        assert words in text
    assert "qtrain report 'a dir' -o page.html" in text


def test_every_commit_of_a_resumed_comparison_is_named(comparison: Path) -> None:
    path = comparison / "a" / "environment.json"
    path.write_text(json.dumps(ENVIRONMENT | {"commit": "ba9876543210"}))
    text = Page(report(comparison)).text
    assert text.count("0123456789ab") == 1
    assert text.count("ba9876543210") == 1


def test_page_is_self_contained(comparison: Path) -> None:
    page = Page(report(comparison))
    names = {name for name, _ in page.elements}
    assert {"form", "table", "details", "summary"} <= names
    assert not names & {"iframe", "object", "embed", "link", "img", "base"}
    for name, attributes in page.elements:
        if name == "script":
            assert attributes["type"] == "application/json"
        for key, value in attributes.items():
            assert not key.startswith("on")
            if key in ("href", "src", "xlink:href", "action", "formaction"):
                assert value is not None
                assert value.startswith("#")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_policy_lets_the_pages_own_scripts_run_and_nothing_else(comparison: Path, tmp_path: Path) -> None:
    report(comparison)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    blocks = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks]
    policy = next(a["content"] or "" for name, a in Page(report(comparison)).elements if a.get("http-equiv"))
    assert len(blocks) == 3
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy


def test_ids_stay_unique_with_several_sections(comparison: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "one", "paft:q=0.75", q=0.75)
    page = Page(report(comparison, tmp_path / "one"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for _, a in page.elements for k, v in a.items() if k.endswith("href") and (value := v or "#")}
    assert targets <= set(ids)


def test_sample_browser_gets_every_run_and_three_evaluations_of_it(comparison: Path) -> None:
    rows = [{"step": step, **SAMPLE, "answer": f"at {step}"} for step in (0, 10, 20, 30, 40)]
    rows[1] |= {"success": True}
    rows[2] |= {"success": True, "forced": True, "log_w": -math.inf, "rationale_coefficient": -0.5}
    (comparison / "b" / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = Page(report(comparison))
    data = page.data["s1-samples"]
    names = [name.replace("\N{NO-BREAK SPACE}", " ") for name in data["runs"]]
    assert names == ["GRPO, seed 0", "GRPO, seed 1", "GARL, q = 0.75, seed 0", "GARL, q = 0.75, seed 1"]
    mine = [sample for sample in data["samples"] if sample["run"] == 2]
    assert [(one["when"], one["answer"]) for one in mine] == [("before", "at 0"), ("best", "at 20"), ("last", "at 40")]
    assert [one.get("success", False) for one in mine] == [False, True, False]
    assert (mine[1]["log_w"], mine[1]["rationale_coefficient"], mine[1]["forced"]) == ("−inf", "−0.5000", True)
    assert "rationale_coefficient" not in mine[0]
    assert "The others are in the run folders" in page.text


def test_all_samples_are_there_where_runs_have_no_more(comparison: Path) -> None:
    assert "The others are in the run folders" not in Page(report(comparison)).text


def test_warnings_skipped_steps_and_divergence_are_listed(tmp_path: Path) -> None:
    out = tmp_path / "c"
    warned = [{"step": step, "category": "EngineMismatch", "message": "far off <b>"} for step in (3, 9)]
    skipped = [{"step": 5, "reason": "the loss is nan", "prompt": "1="}]
    rows = [
        write_run(out / "a", "garl:q=1", q=1.0, seed=0, warned=warned, skipped=skipped),
        write_run(out / "b", "garl:q=1", q=1.0, seed=1, diverged_step=17, escape_step=None, p_at_1=(0.0,)),
    ]
    found = json.loads((out / "b" / "result.json").read_text()) | {"diagnosis": "3 steps in a row"}
    (out / "b" / "result.json").write_text(json.dumps(found))
    (out / "b" / "warnings.jsonl").unlink()
    page = Page(report(write_comparison(out, rows)))
    table = page.rows[page.rows.index(["run", "what", "times", "steps", "message"]) :][1:4]
    assert table == [
        ["GARL, q = 1, seed 0", "skipped step", "1", "5", "the loss is nan"],
        ["GARL, q = 1, seed 0", "EngineMismatch", "2", "3 to 9", "far off <b>"],
        ["GARL, q = 1, seed 1", "diverged", "1", "17", "3 steps in a row"],
    ]
    assert "1 of 2 runs kept no log of warnings" in page.text


def test_no_warning_is_told_too(comparison: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "run", "garl:q=1", q=1.0)
    text = Page(report(comparison, tmp_path / "run")).text
    assert "No run diverged, or skipped a step, or showed a warning." in text
    assert "The run neither diverged, nor skipped a step, nor showed a warning." in text


def test_configurations_are_held_against_each_other(comparison: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "run", "paft:q=0.75", q=0.75, seed=4)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["optimizer"] |= {"lr": 0.5, "new": None}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    page = Page(report(comparison, tmp_path / "run"))
    place = next(index for index, row in enumerate(page.rows) if row[0] == "key")
    assert page.rows[place + 1 :] == [
        ["estimator", "grpo, garl:q=0.75", "paft:q=0.75"],
        ["optimizer.lr", "0.002", "0.5"],
        ["optimizer.new", "–", "null"],
        ["pretrain.seed", "0, 1", "4"],
        ["train.seed", "0, 1", "4"],
    ]


def test_equal_input_gives_equal_bytes(comparison: Path, tmp_path: Path) -> None:
    report(comparison)
    first = [(tmp_path / name).read_bytes() for name in ("page.html", "page.png")]
    report(comparison)
    assert [(tmp_path / name).read_bytes() for name in ("page.html", "page.png")] == first
    assert {path.name for path in tmp_path.iterdir()} == {"cold", "page.html", "page.png"}


@pytest.mark.parametrize(("sections", "height"), [(1, 900), (4, 900)])
def test_picture_is_1600_by_900(tmp_path: Path, sections: int, height: int) -> None:
    for index in range(sections):
        write_run(tmp_path / str(index), "garl:q=1", q=1.0, seed=index)
    report(*(tmp_path / str(index) for index in range(sections)))
    assert struct.unpack(">II", (tmp_path / "page.png").read_bytes()[16:24]) == (1600, height)


def test_diverged_runs_say_so_and_their_scores_are_left_out(tmp_path: Path) -> None:
    out = tmp_path / "c"
    rows = [
        write_run(out / "a", "garl:q=1", q=1.0, seed=0, p_at_1=(0.0, 0.5)),
        write_run(out / "b", "garl:q=1", q=1.0, seed=1, diverged_step=17, escape_step=None, p_at_1=(0.0,)),
        write_run(out / "c", "star", q=None, seed=0, diverged_step=5, escape_step=None, p_at_1=(0.0,), p=()),
        write_run(out / "d", "star", q=None, seed=1, diverged_step=8, escape_step=None, p_at_1=(0.0,), p=()),
    ]
    rows = Page(report(write_comparison(out, rows))).rows
    assert rows[1][0] == "STaR|2 of 2 diverged at step 5, 8"
    assert rows[1][4:9] == ["none of 2", "–", "–", "–", "–"]
    assert rows[2][0] == "GARL, q = 1|1 of 2 diverged at step 17"
    assert rows[2][4:6] == ["3|1 of 2", "50.0%"]


def test_run_that_diverged_at_once(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "garl:q=1", q=1.0, p=(), p_at_1=(0.0,), escape_step=None, diverged_step=1)
    page = Page(report(tmp_path / "run"))
    assert page.rows[1][0] == "GARL, q = 1|diverged at step 1"
    assert page.rows[1][5] == "–"


def test_easy_prompts_are_told_apart(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "garl:q=1", q=1.0, samples=({}, {"easy": True, "prompt": "T1="}))
    samples = Page(report(tmp_path / "run")).data["s1-samples"]["samples"]
    assert [(one["prompt"], one.get("group") == "easy") for one in samples[:2]] == [("33447=", False), ("T1=", True)]


def test_single_run_and_mixture(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "rb_rloo", q=0.0, escape_step=None, scores={"p_at_1_easy": 0.96, "maj_at_16_easy": 1.0})
    page = Page(report(tmp_path / "run"))
    assert "Cold start: RB-RLOO, GARL at q = 0, seed 0" in page.text
    assert "One run on task digit_sum" in page.text
    assert page.rows[0][-2:] == ["p@1 easy", "seconds"]
    assert page.rows[1][4] == "none"
    assert page.rows[1][-2] == "96.0%"


def test_rows_stand_grpo_first_then_by_q(tmp_path: Path) -> None:
    words = [("paft:q=0.75", 0.75), ("garl:q=1", 1.0), ("garl:q=0.75", 0.75), ("rb_rloo", 0.0), ("dr_grpo", None),
             ("grpo", None)]  # fmt: skip
    rows = [write_run(tmp_path / "c" / str(i), word, q=q) for i, (word, q) in enumerate(words)]
    names = [row[0] for row in Page(report(write_comparison(tmp_path / "c", rows))).rows[1:7]]
    assert names == [
        "GRPO", "Dr. GRPO", "RB-RLOO, GARL at q = 0", "GARL, q = 0.75", "PAFT, q = 0.75", "GARL, q = 1"
    ]  # fmt: skip


def damage(path: Path, content: str | None) -> None:
    path.unlink() if content is None else path.write_text(content)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("comparison.json", None, "is not finished"),
        ("comparison.json", "[]", "a list of results is needed"),
        ("comparison.json", "{", "cannot be read"),
        ("comparison.json", '[{"estimator": "star", "seed": 4}]', "holds the result of star, seed 4"),
        ("config.json", None, "is not a run folder (config.json is missing)"),
        ("config.json", "[]", "key 'name' is None"),
        ("config.json", json.dumps(CONFIG | {"data": "x"}), "its configuration is not that of"),
        ("environment.json", "{}", "key 'command': Field required"),
        ("a/result.json", "[]", "no run folder below it holds the result of grpo, seed 0"),
        ("a/config.json", "{}", "key 'name' is None"),
        ("a/config.json", json.dumps(CONFIG | {"optimizer": {"name": "sgd", "lr": "x"}}), "'optimizer.lr' is 'x'"),
        ("a/metrics.jsonl", None, "cannot be read"),
        ("a/metrics.jsonl", '{"p": 1}\n', "metrics.jsonl, line 1: damaged: key 'step'"),
        ("a/evals.jsonl", "x\ny\n", "evals.jsonl, line 1: not JSON"),
        ("a/samples.jsonl", "3\n", "samples.jsonl, line 1: damaged"),
        ("a/warnings.jsonl", '{"step": 1}\n', "warnings.jsonl, line 1: damaged: key 'category'"),
        ("a/skipped.jsonl", "{}\n", "skipped.jsonl, line 1: damaged: key 'step'"),
    ],
)
def test_damaged_folders_get_one_line(comparison: Path, file: str, content: str | None, words: str) -> None:
    damage(comparison / file, content)
    with pytest.raises(UserError) as error:
        report(comparison)
    assert words in str(error.value)
    assert str(comparison) in str(error.value)
    assert {path.name for path in comparison.parent.iterdir()} == {"cold"}


def test_bad_arguments_get_one_line(comparison: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.html").mkdir()
    page = str(tmp_path / "page.html")
    cases = [
        ([str(tmp_path / "none"), "-o", page], "no such folder"),
        ([str(tmp_path / "empty"), "-o", page], "is not a run folder or a comparison"),
        (["-o", page], "no run given"),
        ([str(comparison), "-o", str(tmp_path / "none" / "page.html")], "make it first"),
        ([str(comparison), "-o", str(tmp_path / "page.png")], "end its name in .html"),
        ([str(comparison), "-o", str(tmp_path / "folder.html")], "is a folder"),
    ]
    for words, message in cases:
        with pytest.raises(SystemExit) as stop:
            main(["report", *words])
        error = capsys.readouterr().err
        assert stop.value.code == 2
        assert message in error
        assert error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"cold", "empty", "folder.html"}


def test_command_prints_the_page_alone(comparison: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["report", str(comparison), "-o", str(tmp_path / "page.html")])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"{tmp_path / 'page.html'}\n"


def test_report_needs_no_torch() -> None:
    code = "import sys, qtrain.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_text_and_numbers() -> None:
    assert visible("tab\there\nand\u00a0ünïcödé 漢字 🙂") == "tab⟨U+0009⟩here\nand\u00a0ünïcödé 漢字 🙂"
    assert visible(visible("\x00")) == visible("\x00")
    assert shortened("a" * MAX_CHARACTERS) == "a" * MAX_CHARACTERS
    assert [number(-1.25, ".1f"), number(None, ".1f"), number(-math.inf, ".1f"), number(math.nan, ".1f")] == [
        "−1.2", "–", "−∞", "nan"
    ]  # fmt: skip
    assert [scientific(5.505e-7), scientific(0.0), scientific(0.25), scientific(5e-18)] == [
        "5.5e−7", "0", "2.5e−1", "5.0e−18"
    ]  # fmt: skip


def test_names() -> None:
    names = [estimator_name(word).replace("\N{NO-BREAK SPACE}", " ") for word in ("paft:k=8,q=0.75", "iwae", "new")]
    assert names == ["PAFT, q = 0.75, k = 8", "IWAE, GARL at q = 1", "new"]
    assert [short_name(word) for word in ("garl:q=0.25", "rb_rloo", "grpo", "paft:q=0.75", "new")] == [
        "q = 0.25", "q = 0 (RB-RLOO)", "GRPO", "PAFT 0.75", "new"
    ]  # fmt: skip


def test_styles_tell_estimators_apart() -> None:
    words = [("grpo", None), *((f"garl:q={q}", q) for q in (0.0, 0.25, 0.5, 0.75, 1.0)), ("paft:q=0.75", 0.75)]
    styles = [line_style(word, q) for word, q in words]
    assert len(set(styles)) == len(styles)
    lightness = [sum(int(style.color[i : i + 2], 16) for i in (1, 3, 5)) for style in styles[1:6]]
    assert lightness[0] == min(lightness)


def test_dark_colours_can_be_seen_on_dark_paper() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)  # WCAG's own examples of its formula
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    styles = [line_style(word, q) for word, q in [("grpo", None), *((f"garl:q={q}", q) for q in (0, 0.25, 0.5, 1.0))]]
    assert min(contrast(on_dark(style.color), DARK_PAPER) for style in styles) >= READABLE
    assert len({on_dark(style.color) for style in styles}) == len(styles)


def test_step_ticks() -> None:
    assert step_ticks(25, 300) == [0, 25, 50, 100, 300]
    assert step_ticks(1, 300) == [0, 1, 10, 100, 300]
    assert step_ticks(20, 20) == [0, 20]
    assert step_ticks(7, 8) == [0, 7, 8]


def test_labels_move_apart_inside_the_axis() -> None:
    places = spread([0.0, 0.0, 0.0, 0.5, 0.99, 1.0], 0.06)
    assert places[:4] == pytest.approx([0, 0.06, 0.12, 0.5])
    assert places[4:] == pytest.approx([0.94, 1.0])
