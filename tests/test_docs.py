"""The docs: tables as the committed data give them, commands that exist, pages built without warnings or a network."""

import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from figures.cli import app as evidence_app
from figures.names import mean
from figures.plots import adam_testbed, warm_start
from figures.plots.escape_exponents import compute
from figures.registry import FIGURES
from figures.render import TABLES_OUT, table_files
from figures.study_data import read_study
from qtheory.claims import CLAIMS, Claim
from qtheory.claims.page import anchor
from qtheory.cli import app as theory_app
from qtrain.cli import app

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("estimators/*.md")])
COMMANDS = [
    pytest.param(shlex.split(line), id=line)
    for page in PAGES
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.mark.slow
def test_committed_tables_are_what_the_data_give() -> None:
    committed = {path.name: path.read_bytes() for path in TABLES_OUT.glob("*.md")}
    assert committed == table_files(), "run `python -m figures tables` and commit docs/tables"


def test_every_table_stands_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    included = re.findall(r"{include} (?:\.\./)?tables/(\S+)", text)
    assert sorted(included) == sorted(path.name for path in TABLES_OUT.glob("*.md"))


def ends(study: str, estimator: str) -> list[float]:
    """p@1 at the end of each base."""
    return [-1.0 if row.p_at_1 is None else row.p_at_1 for row in read_study(study).by_estimator[estimator]]


def says(*sentences: str) -> None:
    """Require these words on the page of results, beside the data that are held against them."""
    page = " ".join((DOCS / "results.md").read_text(encoding="utf-8").split())
    for sentence in sentences:
        assert sentence in page


def test_words_about_the_cold_start() -> None:
    says(
        "GRPO, RB-RLOO and GARL up to q = 0.5 do not leave zero within the budget; q = 0.75 and q = 1 do, on every "
        "base.",
        "q = 1 ends ahead of q = 0.75 here",
    )
    for estimator in ("grpo", "rb_rloo", "garl:q=0.25", "garl:q=0.5"):
        assert max(ends("cold_start", estimator)) < 0.01
    for estimator in ("garl:q=0.75", "garl:q=1"):
        assert (mean(ends("cold_start", estimator)) or 0) > 0.5
        assert min(ends("cold_start", estimator)) > 0.25
    assert (mean(ends("cold_start", "garl:q=1")) or 0) > (mean(ends("cold_start", "garl:q=0.75")) or 0)


def test_words_about_easy_and_hard_in_conflict() -> None:
    says(
        "GRPO and RB-RLOO learn the easy half and nothing of the hard one. From q = 0.5 on, PAFT included, every base "
        "learns both. q = 0.25 is the border: some bases escape within the budget, some do not."
    )
    study = read_study("adam_conflict")
    for estimator in ("grpo", "rb_rloo"):
        assert max(ends("adam_conflict", estimator)) < 0.01
        assert all((row.p_at_1_easy or 0) > 0.9 for row in study.by_estimator[estimator])
    for estimator in ("garl:q=0.5", "garl:q=0.75", "garl:q=1", "paft:q=0.75"):
        assert min(ends("adam_conflict", estimator)) > 0.9
        assert all((row.p_at_1_easy or 0) > 0.9 for row in study.by_estimator[estimator])
    assert min(ends("adam_conflict", "garl:q=0.25")) < 0.01
    assert max(ends("adam_conflict", "garl:q=0.25")) > 0.9


def test_words_about_prompts_all_alike() -> None:
    says(
        "Every estimator ends above 90% on every base; those on the continuum escape within ten steps",
        "at the end the smaller q are slightly ahead. GRPO is later, but not stuck",
    )
    study = read_study("adam_alike")
    escapes = {name: [row.escape_step or 10**9 for row in rows] for name, rows in study.by_estimator.items()}
    assert all(min(ends("adam_alike", name)) > 0.9 for name in study.by_estimator)
    assert max(step for name, steps in escapes.items() if name != "grpo" for step in steps) <= 10
    assert min(escapes["grpo"]) > 10
    at_the_end = [mean(ends("adam_alike", name)) or 0 for name in ("rb_rloo", "garl:q=0.5", "garl:q=0.75", "garl:q=1")]
    assert at_the_end == sorted(at_the_end, reverse=True)


def test_words_about_learning_rates() -> None:
    says(
        "With a rate of its own q = 0.5 catches up with q = 0.75 and q = 1",
        "At q = 1 the rate that was best on the scan's base is already too large for another base",
        "p@1 ends at or below one in ten",
        "GRPO moves at no rate",
    )
    for estimator in ("garl:q=0.5", "garl:q=0.75"):
        assert min(ends("best_learning_rates", estimator)) > 0.9
    first, *others = ends("best_learning_rates", "garl:q=1")
    assert first > 0.9
    assert min(others) < 0.1
    for estimator in ("grpo", "rb_rloo", "garl:q=0.25"):
        assert max(ends("learning_rates", estimator)) <= 0.1
    scan = read_study("learning_rates").by_estimator
    assert any(row.escape_step for row in scan["garl:q=0.25"])
    assert any(row.escape_step for row in scan["rb_rloo"])
    assert not any(row.escape_step for row in scan["grpo"])
    # Once in 1 / (256 p0) steps.
    (row, *_) = scan["grpo"]
    answers = row.prompts * row.samples
    steps = round(1 / (answers * row.p0), -2)
    says(f"its {answers} sampled answers a step hold a success about once in {steps:,.0f} steps")


def test_words_about_escape_times() -> None:
    says(
        "every fitted exponent lies within 0.1 of the predicted one, and the predicted number of updates within "
        "a quarter",
        "along a path it first grows, by an order of magnitude from the smallest p0",
        "all begin at about the same norm",
    )
    data = compute()
    fits = [one.fit.value for one in data.exponents if one.fit is not None]
    assert len(fits) == 5
    assert fits == sorted(fits)
    for one in data.exponents:
        assert one.fit is not None
        assert one.predicted is not None
        assert abs(one.fit.value - one.predicted.value) < 0.1
        assert 0.75 < one.ratio < 1.25
    starts = [path.norm_sq[0] for path in data.measured.values()]
    assert max(starts) < 2.5 * min(starts)
    assert all(max(path.norm_sq) <= 15 * path.norm_sq[0] for path in data.measured.values())
    assert max(max(path.norm_sq) / path.norm_sq[0] for path in data.measured.values()) > 8


def test_words_about_adams_epsilon() -> None:
    says(
        "The law holds within a factor of two, with nothing fitted",
        "RB-RLOO escapes, under SGD at the very rate at which it stays at zero in the first table, and "
        "under Adam from p0 1e-12.",
        "q = 0 and q = .25 leave the hard half where it was",
    )
    data = adam_testbed.compute()
    runs = data.runs
    slow = (runs.law > runs.floor) & np.isfinite(runs.updates)
    assert np.abs(np.log(runs.updates / (runs.law + runs.floor)))[slow].max() < np.log(2)
    sgd, tiny, conflict = data.cases.values()
    assert sgd[0].high[0] == 0  # RB-RLOO, weights as they are
    assert sgd[1].low[0] > 0.05
    assert (tiny[0].high[0], tiny[1].low[0] > 0.9) == (0, True)
    for line in conflict[1:]:
        assert line.high[:2].max() == 0  # q = 0 and q = .25
    assert conflict[1].low[2:].min() > 0.5


def test_words_about_the_warm_start() -> None:
    says(
        "At the smaller rate nothing falls",
        "At the larger rate every run with the baseline falls below its own best at some point, the deepest ones at "
        "q = 1 to a third of it, and then recovers. Without a baseline half of the runs do not fall at all; the others "
        "fall late, by about a third",
        "The norm-weighted baseline halves the variance at the start",
    )
    data = warm_start.compute()
    calm, fast = (
        {(one.q, one.baseline): one for one in data.groups if one.lr == lr}
        for lr in sorted({g.lr for g in data.groups})
    )
    assert max(one.fall.max() for one in calm.values()) < 0.1
    with_it = [one.fall for (_, baseline), one in fast.items() if baseline == "leave-one-out"]
    without = np.concatenate([one.fall for (_, baseline), one in fast.items() if baseline == "none"])
    assert min(falls.min() for falls in with_it) > 0.05
    assert fast[1.0, "leave-one-out"].fall.max() > 0.6
    assert fast[1.0, "leave-one-out"].end.min() > 0.95
    assert (np.sum(without < 0.01), np.sum(without > 0.2)) == (3, 3)
    for gains in data.gains:
        assert np.median(gains.loo[gains.p > 0.9]) > 1000
        assert gains.weighted[gains.p < 0.2].max() < 0.6


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_exist(words: list[str]) -> None:
    program, *rest = words
    if program == "make":
        assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M) for target in rest)
    elif program == "qtrain":
        command, bound, _ = app.parse_args(rest, exit_on_error=False, print_error=False)
        assert command.__module__ == "qtrain.cli"
        configs = [one for one in bound.args if isinstance(one, Path) and one.suffix == ".toml"]
        # mine.toml is the page's own, which tests/qtrain/test_docs_runs.py writes and runs.
        assert all((ROOT / config).is_file() for config in configs if config != Path("mine.toml"))
    elif program == "qtheory":
        command, bound, _ = theory_app.parse_args(rest, exit_on_error=False, print_error=False)
        assert command.__module__ == "qtheory.cli"
        if command.__name__ == "verify":
            assert set(bound.args) <= set(CLAIMS)
    elif rest[0].endswith(".py"):
        assert (ROOT / rest[0]).is_file()
    else:
        assert words[:3] == ["python", "-m", "figures"]
        command, _, _ = evidence_app.parse_args(rest[2:], exit_on_error=False, print_error=False)
        assert command.__module__ == "figures.cli"  # tests/figures runs them


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs")
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(out / "trees"), "-b", "html"]
    built = subprocess.run([*words, str(DOCS), str(out / "html")], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return out / "html"


class Resources(HTMLParser):
    """Collects what a browser fetches when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "img", "link", "iframe", "source"}:
            self.found += [value for key, value in attrs if key in {"src", "href", "srcset"} and value]


@pytest.mark.slow
def test_the_built_pages(site: Path) -> None:
    """One test, so that two workers do not build the pages twice."""
    for name in ("index", "getting-started", "theory", "claims", "results", "estimators", "api", "search", "genindex"):
        _fetches_nothing_from_a_network(name, site)
    for sheet in (site / "_static").rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name
    assert "<math" in (site / "index.html").read_text(encoding="utf-8")
    theory, results, claims = (
        (site / f"{page}.html").read_text(encoding="utf-8") for page in ("theory", "results", "claims")
    )
    images = re.findall(r"<img [^>]*>", results + theory)
    assert len(images) == len(FIGURES)
    assert all(re.search(r'alt="[^"]{40,}"', image) for image in images)
    for claim in CLAIMS.values():
        _is_one_step_from_its_file_and_figure(claim, claims, theory, theory + results)


def _fetches_nothing_from_a_network(name: str, site: Path) -> None:
    page = Resources()
    page.feed((site / f"{name}.html").read_text(encoding="utf-8"))
    assert page.found
    assert [one for one in page.found if re.match(r"(https?:)?//", one)] == []
    local = {one.split("?")[0].split("#")[0] for one in page.found} - {""}
    assert [one for one in sorted(local) if not (site / one).is_file()] == []


def _is_one_step_from_its_file_and_figure(claim: Claim, claims: str, theory: str, figures: str) -> None:
    """And the figure from the claim."""
    place, figure = anchor(claim.label), f"figure-{claim.figure}".replace("_", "-")
    assert f'id="{place}"' in claims
    assert re.search(rf'href="[^"]*{Path(claim.source).name}"', claims)
    assert f'href="theory.html#{figure}"' in claims
    assert f'id="{figure}"' in figures
    assert f'href="claims.html#{place}"' in theory
