"""The report: numbers equal hand-computed ones, prose comes from the configuration, errors take one line."""

import json
import math
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from report_cases import CONFIG, ENVIRONMENT, Page, report, write_comparison, write_run

from qtrain.cli import main
from qtrain.errors import UserError
from qtrain.report.collect import read_section
from qtrain.report.curves import probability_curve, success_curve
from qtrain.report.names import estimator_name, short_name
from qtrain.report.palette import line_style
from qtrain.report.plots import spread, step_ticks
from qtrain.report.text import LONGEST, number, scientific, shortened, visible


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
    rows = Page(report(comparison)).rows[:3]
    assert rows[0] == [
        "estimator", "P before", "steps", "escape step", "p@1", "p@16", "maj@16", "mean log P", "seconds"
    ]  # fmt: skip
    assert rows[1][:5] == ["GRPO", "6.0e−7|5.0e−7 to 7.0e−7", "40", "none of 2", "0.0%"]
    assert rows[2] == [
        "GARL, q = 0.75", "6.0e−7|5.0e−7 to 7.0e−7", "40", "6.5|3 to 10", "60.0%|50.0 to 70.0", "75.0%",
        "75.0%|62.5 to 87.5", "−1.00|−1.50 to −0.50", "36|30 to 41",
    ]  # fmt: skip


def test_curves_are_means_over_seeds(comparison: Path) -> None:
    runs = read_section(comparison).by_estimator["garl:q=0.75"]
    success = success_curve(runs)
    assert success.steps.tolist() == [0, 20, 40]
    assert success.mean.tolist() == pytest.approx([0, 0.3, 0.6])
    assert (success.low.tolist(), success.high.tolist()) == ([0, 0.2, 0.5], [0, 0.4, 0.7])
    assert probability_curve(runs).mean.tolist() == pytest.approx([2e-6, 2e-3, 0.2])  # sqrt(1e-6 * 4e-6), ...


def test_zero_probability_is_left_out_of_the_log_axis(comparison: Path) -> None:
    curve = probability_curve(read_section(comparison).by_estimator["grpo"])
    assert curve.mean.tolist() == pytest.approx([1e-6, 1e-6, 1e-6])


def test_batch_noise_is_averaged_within_a_tenth_of_the_step(tmp_path: Path) -> None:
    p = tuple(1e-3 * (1 + index % 2) for index in range(20))  # odd steps 1e-3, even steps 2e-3
    write_run(tmp_path / "run", "garl:q=1", q=1.0, p=p)
    curve = probability_curve(read_section(tmp_path / "run").runs)
    assert curve.mean[8] == pytest.approx(1e-3)  # step 9 stands alone
    assert curve.mean[9] == pytest.approx(4e-3 / 3)  # steps 9 to 11
    assert curve.mean[19] == pytest.approx(5e-3 / 3)  # steps 18 to 20


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
    assert {"svg", "table", "details", "summary"} <= names
    assert not names & {"script", "iframe", "object", "embed", "link", "img", "form", "base"}
    for _, attributes in page.elements:
        for key, value in attributes.items():
            assert not key.startswith("on")
            if key in ("href", "src", "xlink:href"):
                assert value is not None
                assert value.startswith("#")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_ids_stay_unique_with_several_sections(comparison: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "one", "paft:q=0.75", q=0.75)
    page = Page(report(comparison, tmp_path / "one"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for _, a in page.elements for k, v in a.items() if k.endswith("href") and (value := v or "#")}
    assert targets <= set(ids)


def test_success_is_told_in_words(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "garl:q=1", q=1.0, samples=({"success": True}, {}, {"forced": True}))
    text = Page(report(tmp_path / "run")).text
    assert text.count("✓ right") == 2
    assert text.count("wrong") == 4
    assert "1 of 3 right at step 0, 1 of 3 at step 40" in text
    assert text.count("(end forced)") == 2


def test_infinite_log_w_can_be_shown(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "garl:q=1", q=1.0, samples=({"log_w": -math.inf},))
    assert "−∞" in Page(report(tmp_path / "run")).text


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
    assert rows[1][3:8] == ["none of 2", "–", "–", "–", "–"]
    assert rows[2][0] == "GARL, q = 1|1 of 2 diverged at step 17"
    assert rows[2][3:5] == ["3|1 of 2", "50.0%"]


def test_run_that_diverged_at_once(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "garl:q=1", q=1.0, p=(), p_at_1=(0.0,), escape_step=None, diverged_step=1)
    page = Page(report(tmp_path / "run"))
    assert page.rows[1][0] == "GARL, q = 1|diverged at step 1"
    assert page.rows[1][4] == "–"


def test_easy_prompts_are_told_apart_and_not_counted(tmp_path: Path) -> None:
    samples = ({"success": True}, {}, {"easy": True, "prompt": "T1=", "success": True})
    write_run(tmp_path / "run", "garl:q=1", q=1.0, samples=samples)
    text = Page(report(tmp_path / "run")).text
    assert "1 of 2 right at step 0, 1 of 2 at step 40" in text
    assert text.count("T1= (easy)") == 2


def test_single_run_and_mixture(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "rb_rloo", q=0.0, escape_step=None, scores={"p_at_1_easy": 0.96, "maj_at_16_easy": 1.0})
    page = Page(report(tmp_path / "run"))
    assert "Cold start: RB-RLOO, GARL at q = 0, seed 0" in page.text
    assert "One run on task digit_sum" in page.text
    assert page.rows[0][-2:] == ["p@1 easy", "seconds"]
    assert page.rows[1][3] == "none"
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
        ("a/metrics.jsonl", '{"step": 1}\n', "metrics.jsonl, line 1: damaged: key 'p'"),
        ("a/evals.jsonl", "x\ny\n", "evals.jsonl, line 1: not JSON"),
        ("a/samples.jsonl", "3\n", "samples.jsonl, line 1: damaged"),
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
    assert shortened("a" * LONGEST) == "a" * LONGEST
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


def test_step_ticks() -> None:
    assert step_ticks(25, 300) == [0, 25, 50, 100, 300]
    assert step_ticks(1, 300) == [0, 1, 10, 100, 300]
    assert step_ticks(20, 20) == [0, 20]
    assert step_ticks(7, 8) == [0, 7, 8]


def test_labels_move_apart_inside_the_axis() -> None:
    places = spread([0.0, 0.0, 0.0, 0.5, 0.99, 1.0], 0.06)
    assert places[:4] == pytest.approx([0, 0.06, 0.12, 0.5])
    assert places[4:] == pytest.approx([0.94, 1.0])
