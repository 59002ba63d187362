"""Whatever a model or a file says stays text on the page, can be seen, and leaves no way out of the page."""

import json
from pathlib import Path

from report_cases import ENVIRONMENT, Page, report, write_comparison, write_run

from qtrain.report.labels import MAX_CHARACTERS

HOSTILE = [
    "<script>alert(1)</script>",
    "</script></pre></table><img src=x onerror=alert(1)>",
    "\" onmouseover='alert(1)' x=\"",
    "&lt;b&gt; &amp; &#60;script&#62;",
    "{{ 7 * 7 }}{% raw %}",
    "<!-- --><![CDATA[ ]]>",
    "$\\frac{1}{0}$",
]


def test_model_output_stays_text(tmp_path: Path) -> None:
    fields: list[str] = ["prompt", "gold", "rationale", "answer"]
    tame = tuple(dict.fromkeys(fields, f"said {index}") for index in range(len(HOSTILE)))
    hostile = tuple(dict.fromkeys(fields, text) for text in HOSTILE)
    write_run(tmp_path / "tame", "garl:q=1", q=1.0, samples=tame)
    write_run(tmp_path / "run", "garl:q=1", q=1.0, samples=hostile)
    plain, page = Page(report(tmp_path / "tame")), Page(report(tmp_path / "run"))
    assert [(name, set(a)) for name, a in page.elements] == [(name, set(a)) for name, a in plain.elements]
    said = [one[field] for one in page.data["s1-samples"]["samples"] for field in fields]
    assert [said.count(text) for text in HOSTILE] == [8] * len(HOSTILE)  # four fields, before and after


def test_no_text_ends_the_data_it_stands_in(tmp_path: Path) -> None:
    texts = ({"rationale": "</script><script>alert(1)</script><!-- <script>"}, {"rationale": "\u2028\u2029"})
    write_run(tmp_path / "run", "garl:q=1", q=1.0, samples=texts)
    page = report(tmp_path / "run")
    block = page[page.index('id="s1-samples">') :].split(">", 1)[1].split("</script>", 1)[0]
    assert "<" not in block
    assert block.isascii()
    assert json.loads(block)["samples"][0]["rationale"] == texts[0]["rationale"]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    names = [*HOSTILE[:2], HOSTILE[-1]]
    folders = [tmp_path / str(index) for index in range(len(names))]
    for folder, text in zip(folders, names, strict=True):
        write_comparison(folder, [write_run(folder / "run", text, q=None, name=text)], name=text)
    page = Page(report(*folders))
    assert {a["type"] for name, a in page.elements if name == "script"} == {"application/json"}
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    for text in names:
        assert text in page.text


def test_hostile_logs_stay_text(tmp_path: Path) -> None:
    """Names of numbers, reasons and messages come from files too."""
    warned, skipped = {"step": 1, "category": HOSTILE[0], "message": HOSTILE[1]}, {"step": 2, "reason": HOSTILE[2]}
    write_run(tmp_path / "run", "garl:q=1", q=1.0, scores={HOSTILE[0]: 1.0}, warned=[warned], skipped=[skipped])
    page = Page(report(tmp_path / "run"))
    assert {a["type"] for name, a in page.elements if name == "script"} == {"application/json"}
    assert "img" not in {name for name, _ in page.elements}
    for text in HOSTILE[:3]:
        assert text in page.text
    assert f"{HOSTILE[0]}, held-out prompts" in [one["label"] for one in page.data["s1-curves"]["measures"]]


def test_unseen_characters_are_written_out(tmp_path: Path) -> None:
    said = {"rationale": "a\x00b\ud800c\u202ed\x1b[31m", "answer": "e\rf\u200bg"}
    write_run(tmp_path / "run", "garl:q=1", q=1.0, samples=(said,))
    page = report(tmp_path / "run")
    first = Page(page).data["s1-samples"]["samples"][0]
    assert first["rationale"] == "a⟨U+0000⟩b⟨U+D800⟩c⟨U+202E⟩d⟨U+001B⟩[31m"
    assert first["answer"] == "e⟨U+000D⟩f⟨U+200B⟩g"
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
    assert len(page) - len(report(tmp_path / "plain")) < 4 * MAX_CHARACTERS
