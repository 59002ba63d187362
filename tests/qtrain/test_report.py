"""The report: numbers equal hand-computed ones, model output stays text, equal input gives equal bytes."""

import json
import math
import struct
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from qtrain.cli import main
from qtrain.errors import UserError
from qtrain.report import report_command
from qtrain.report.collect import read_section
from qtrain.report.curves import probability_curve, success_curve
from qtrain.report.names import estimator_name, short_name
from qtrain.report.palette import line_style
from qtrain.report.plots import spread, step_ticks
from qtrain.report.text import LONGEST, number, scientific, shortened, visible

CONFIG: dict[str, Any] = {
    "name": "cold_start",
    "data": None,
    "task": {"name": "digit_sum", "variant": "cold"},
    "pretrain": {"steps": 1600, "p0": 6e-7},
    "rollout": {"prompts": 12, "samples": 24, "rationale_budget": 7, "answer_budget": 3},
    "optimizer": {"name": "sgd", "lr": 0.002, "eps": 1e-8, "clip": None},
    "train": {"steps": 40, "stop_at_p": None},
    "eval": {"every": 20, "prompts": 64, "samples": 16},
}
ENVIRONMENT = {
    "command": "qtrain compare cold_start.toml --estimator grpo --out runs/cold",
    "commit": "0123456789ab",
    "python": "3.11.7",
    "libraries": {"torch": "2.13.0", "numpy": "2.4.6"},
    "machine": "x86_64, 2 cores",
    "threads": "1",
}
SAMPLE = {
    "prompt": "33447=", "gold": "A1", "easy": False, "rationale": "36041</think>", "forced": False, "answer": "B1",
    "log_w": -15.12, "success": False,
}  # fmt: skip


def write_run(
    folder: Path,
    estimator: str,
    *,
    q: float | None,
    seed: int = 0,
    p0: float = 5e-7,
    p_at_1: tuple[float, ...] = (0.0, 0.25, 0.5),
    p: tuple[float, ...] = (1e-6, 1e-3, 0.1),
    escape_step: int | None = 3,
    diverged_step: int | None = None,
    samples: tuple[dict[str, Any], ...] = ({},),
    seconds: float = 30.0,
    name: str = "cold_start",
    scores: dict[str, float] | None = None,
) -> dict[str, Any]:
    """A run folder in the real file formats. Returns the row that comparison.json gives it."""
    folder.mkdir(parents=True)
    config = json.loads(json.dumps(CONFIG)) | {"name": name, "estimator": estimator}
    config["train"]["seed"] = config["pretrain"]["seed"] = seed
    scores = {"p_at_1": p_at_1[-1], "p_at_16": 0.75, "maj_at_16": 0.625, "mean_log_p": -1.5, "p": 0.1} | (scores or {})
    shown = dict.fromkeys(scores) if diverged_step else scores
    first = {"estimator": estimator, "q": q, "seed": seed, "p0": p0, "steps": 40, "escape_step": escape_step}
    result = first | shown | {"diverged_step": diverged_step, "seconds": seconds}
    evals = [{"step": 20 * index} | scores | {"p_at_1": value} for index, value in enumerate(p_at_1)]
    metrics = [{"step": index, "p": value, "ess": 9.0} for index, value in enumerate(p, start=1)]
    texts = [{"step": step} | SAMPLE | sample for step in (0, 40) for sample in samples]
    for file, value in {"config": config, "environment": ENVIRONMENT, "result": result}.items():
        (folder / f"{file}.json").write_text(json.dumps(value, indent=1) + "\n")
    for file, rows in {"evals": evals, "metrics": metrics, "samples": texts}.items():
        (folder / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {key: value for key, value in result.items() if key not in ("p", "p_easy", "diverged_step")}


def write_comparison(folder: Path, rows: list[dict[str, Any]], *, name: str = "cold_start") -> Path:
    """The comparison's own files over run folders already below `folder`."""
    config = json.loads(json.dumps(CONFIG)) | {"name": name, "estimator": "garl:q=1"}
    config["train"]["seed"] = config["pretrain"]["seed"] = 0
    for file, value in {"config": config, "environment": ENVIRONMENT, "comparison": rows}.items():
        (folder / f"{file}.json").write_text(json.dumps(value))
    return folder


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


class Page(HTMLParser):
    """Collects what a browser would see: elements, attributes, the text, and the cells of the result tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self.in_cell = True
        if tag == "span" and self.rows and self.rows[-1]:
            self.rows[-1][-1] += "|"

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\N{NO-BREAK SPACE}", " ")
        if self.rows and self.rows[-1] and self.in_cell:
            self.rows[-1][-1] += data.strip().replace("\N{NO-BREAK SPACE}", " ")


def report(*runs: Path, output: Path | None = None) -> str:
    output = output or runs[0].parent / "page.html"
    report_command(runs, output)
    return output.read_text(encoding="utf-8")


def test_table_holds_hand_computed_numbers(comparison: Path) -> None:
    rows = Page(report(comparison)).rows[:3]
    assert rows[0] == [
        "estimator", "P before", "steps", "escape step", "p@1, %", "p@16, %", "maj@16, %", "mean log P", "seconds"
    ]  # fmt: skip
    assert rows[1][:5] == ["GRPO", "6.0e−7|5.0e−7 to 7.0e−7", "40", "none of 2", "0.0"]
    assert rows[2] == [
        "GARL, q = 0.75", "6.0e−7|5.0e−7 to 7.0e−7", "40", "6.5|3 to 10", "60.0|50.0 to 70.0", "75.0",
        "75.0|62.5 to 87.5", "−1.00|−1.50 to −0.50", "36|30 to 41",
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
    assert "40 steps of plain SGD at learning rate 0.002, 12 prompts with 24 rationales each" in text
    assert "2 base models and training seeds (seeds 0, 1)" in text
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


HOSTILE = [
    "<script>alert(1)</script>",
    "</script></pre></table><img src=x onerror=alert(1)>",
    "\" onmouseover='alert(1)' x=\"",
    "&lt;b&gt; &amp; &#60;script&#62;",
    "{{ 7 * 7 }}{% raw %}",
    "<!-- --><![CDATA[ ]]>",
    "$\\frac{1}{0}$",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_model_output_stays_text(tmp_path: Path, text: str) -> None:
    said: dict[str, Any] = dict.fromkeys(("prompt", "gold", "rationale", "answer"), text)
    write_run(tmp_path / "plain", "garl:q=1", q=1.0)
    write_run(tmp_path / "run", "garl:q=1", q=1.0, samples=(said,))
    plain, page = Page(report(tmp_path / "plain")), Page(report(tmp_path / "run"))
    assert [(name, set(a)) for name, a in page.elements] == [(name, set(a)) for name, a in plain.elements]
    assert page.text.count(text) == 8  # four fields, before and after


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text(tmp_path: Path, text: str) -> None:
    rows = [write_run(tmp_path / "c" / "run", text, q=None, name=text)]
    page = Page(report(write_comparison(tmp_path / "c", rows, name=text)))
    assert "script" not in {name for name, _ in page.elements}
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)


def test_unseen_characters_are_written_out(tmp_path: Path) -> None:
    said = {"rationale": "a\x00b\ud800c\u202ed\x1b[31m", "answer": "e\rf\u200bg"}
    write_run(tmp_path / "run", "garl:q=1", q=1.0, samples=(said,))
    page = report(tmp_path / "run")
    assert "a⟨U+0000⟩b⟨U+D800⟩c⟨U+202E⟩d⟨U+001B⟩[31m" in page
    assert "e⟨U+000D⟩f⟨U+200B⟩g" in page
    assert not set(page) & {"\x00", "\u202e", "\x1b", "\r", "\u200b"}


def test_names_and_commands_with_lone_surrogates_can_be_written(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "garl:q=1", q=1.0, name="a\udcffb")
    (tmp_path / "run" / "environment.json").write_text(json.dumps(ENVIRONMENT | {"command": "x\udcffy"}))
    page = report(tmp_path / "run")
    assert "A⟨U+DCFF⟩b" in page
    assert "x⟨U+DCFF⟩y" in page


def test_a_megabyte_is_cut_and_its_length_told(tmp_path: Path) -> None:
    write_run(tmp_path / "plain", "garl:q=1", q=1.0)
    write_run(tmp_path / "run", "garl:q=1", q=1.0, samples=({"rationale": "7" * 1_000_000},))
    page = report(tmp_path / "run")
    assert "the first 1,200 of 1,000,000 characters" in page
    assert len(page) - len(report(tmp_path / "plain")) < 4 * LONGEST


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


@pytest.mark.parametrize(("sections", "height"), [(1, 900), (3, 900), (4, 900)])
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
    assert rows[2][3:5] == ["3|1 of 2", "50.0"]


def test_single_run_and_mixture(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "rb_rloo", q=0.0, escape_step=None, scores={"p_at_1_easy": 0.96, "maj_at_16_easy": 1.0})
    page = Page(report(tmp_path / "run"))
    assert "Cold start: RB-RLOO, GARL at q = 0, seed 0" in page.text
    assert "One run on task digit_sum" in page.text
    assert page.rows[0][-2:] == ["p@1 easy, %", "seconds"]
    assert page.rows[1][3] == "none"
    assert page.rows[1][-2] == "96.0"


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
        ("config.json", "[]", "key 'name' is missing"),
        ("config.json", json.dumps(CONFIG | {"data": "x"}), "its configuration is not that of"),
        ("environment.json", "{}", "key 'command': Field required"),
        ("a/result.json", "[]", "no run folder below it holds the result of grpo, seed 0"),
        ("a/config.json", "{}", "key 'name' is missing"),
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


def test_constants_are_those_of_training() -> None:
    from qtrain.compare import COMPARISON
    from qtrain.report import collect
    from qtrain.train import ESCAPED

    assert (collect.COMPARISON, collect.ESCAPED) == (COMPARISON, ESCAPED)


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
