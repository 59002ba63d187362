"""The report in headless Chromium: a quiet console, toggles, texts that stay text, print, keyboard, dark mode."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser, missing_programs
from PIL import Image
from report_cases import write_comparison, write_run
from report_speed import write_long
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from qtrain.report import report_command
from qtrain.report.labels import MAX_CHARACTERS
from qtrain.report.palette import line_style, on_dark

pytestmark = pytest.mark.browser

HOSTILE = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<img src=x onerror='window.hacked = 3'>",
    "<a href='javascript:window.hacked = 4'>%{y} <b>bold</b></a>",
    "a\ud800b\u202ec\x00d",
]


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    assert not missing_programs(), "apt-get install chromium chromium-driver"
    with browser() as one:
        yield one


@pytest.fixture(autouse=True)
def plain_window(window: Browser) -> Iterator[None]:
    """Every test begins alike and ends with a quiet console."""
    window.resize(1280, 1000)
    window.prefer("light")
    yield
    assert window.messages() == []
    assert window.run("return performance.getEntriesByType('resource').map((one) => one.name)") == []


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two estimators, two seeds; one run diverged; four samples of which one is right."""
    out = tmp_path_factory.mktemp("report") / "cold"
    samples = ({"success": True, "rationale_coefficient": 0.5}, {}, {"rationale": "Find ME"}, {"prompt": "other="})
    rows = [
        write_run(out / f"{name}-{seed}", name, q=q, seed=seed, samples=samples, p=(1e-6, 1e-3 * (seed + 1), 0.1),
                  p_at_1=(0.0, 0.25, 0.5 + seed / 4), diverged_step=2 if (q, seed) == (1.0, 1) else None)
        for name, q in (("grpo", None), ("garl:q=1", 1.0)) for seed in (0, 1)
    ]  # fmt: skip
    write_comparison(out, rows)
    return written(out)


def written(*runs: Path) -> Path:
    path = runs[0].parent / "page.html"
    report_command(runs, path)
    return path


def traces(window: Browser, chart: int = 0) -> list[str]:
    """Names of the lines that a chart shows, single runs in brackets as they are pale."""
    return window.run(
        "return allCurves[0].charts[arguments[0]].plot.data.slice(0, -1)"
        ".map((one) => one.opacity < 1 ? `(${one.name})` : one.name)",
        chart,
    )


def click(window: Browser, selector: str, index: int = 0) -> None:
    window.driver.find_elements(By.CSS_SELECTOR, selector)[index].click()


def test_opens_and_draws(window: Browser, page: Path) -> None:
    window.open(page)
    assert traces(window) == [
        "(GRPO, seed 0)", "(GRPO, seed 1)", "(q = 1, seed 0)", "(q = 1, seed 1)", "GRPO", "q = 1"
    ]  # fmt: skip
    assert window.run("return document.querySelectorAll('.chart .main-svg').length") > 0
    crosses = window.run("return allCurves[0].charts.map((one) => one.plot.data.at(-1)).map((one) => [one.x, one.y])")
    assert crosses == [[[40], [0.75]], [[3], [0.1]]]  # the diverged run's last points


def test_nothing_can_be_sent_anywhere(window: Browser, page: Path) -> None:
    window.open(page)
    titles = window.run("return [...document.querySelectorAll('.modebar-btn')].map((one) => one.dataset.title)")
    assert titles
    assert not [title for title in titles if any(word in title for word in ("Share", "Cloud", "Edit", "Produced"))]


def test_toggles(window: Browser, page: Path) -> None:
    window.open(page)
    click(window, "[data-run]", 1)
    assert "(GRPO, seed 1)" not in traces(window)
    click(window, "[data-line]", 0)
    assert traces(window) == traces(window, 1) == ["(q = 1, seed 0)", "(q = 1, seed 1)", "q = 1"]
    click(window, "[name=means]")
    assert traces(window) == ["q = 1, seed 0", "q = 1, seed 1"]  # alone they are not pale
    click(window, "[name=runs]")
    assert traces(window) == []
    click(window, "[data-all='1']")
    click(window, "[name=means]")
    assert traces(window) == ["GRPO", "q = 1"]
    click(window, "[data-all='0']")
    assert traces(window) == []


def test_axes_and_measures(window: Browser, page: Path) -> None:
    window.open(page)
    types = "return allCurves[0].charts.map((one) => [one.plot.layout.xaxis.type, one.plot.layout.yaxis.type])"
    assert window.run(types) == [["linear", "linear"], ["linear", "log"]]
    click(window, "figure input", 0)
    click(window, "figure input", 1)
    assert window.run(types)[0] == ["log", "log"]
    window.driver.find_element(By.CSS_SELECTOR, "figure select").send_keys("mean log P")
    assert window.run(types)[0] == ["log", "linear"]
    assert window.run("return allCurves[0].charts[0].plot.data.at(-2).y") == [-1.5] * 3


def test_hover_tells_every_estimator(window: Browser, page: Path) -> None:
    window.open(page)
    chart = window.driver.find_elements(By.CSS_SELECTOR, ".chart .nsewdrag")[0]
    ActionChains(window.driver).move_to_element(chart).pause(0.2).perform()
    text = window.run("return document.querySelector('.hoverlayer').textContent")
    assert "step 20" in text
    assert "GRPO : 0.25" in text
    assert "q = 1 : 0.25" in text


def test_keyboard_reads_the_values_and_reaches_everything(window: Browser, page: Path) -> None:
    window.open(page)
    chart = window.driver.find_elements(By.CSS_SELECTOR, ".chart")[0]
    window.run("arguments[0].focus()", chart)
    said = "return document.querySelector('figure output').value"
    chart.send_keys(Keys.END)
    assert window.run(said) == "Step 40. GRPO: 0.625; q = 1: 0.625"
    chart.send_keys(Keys.ARROW_LEFT)
    assert window.run(said) == "Step 20. GRPO: 0.250; q = 1: 0.250"
    reached = set()
    window.run("document.activeElement.blur()")
    for _ in range(120):
        ActionChains(window.driver).send_keys(Keys.TAB).perform()
        reached.add(window.run("return document.activeElement.name || document.activeElement.classList[0]"))
    assert {"chart", "means", "runs", "run", "when", "success", "search", "modebar-btn"} <= reached
    boxes = "return [...document.querySelectorAll('input')].every((one) => one.labels.length || one.ariaLabel)"
    assert window.run(boxes)
    assert window.run("return [...document.querySelectorAll('.chart')].every((one) => one.ariaLabel)")


def cards(window: Browser) -> list[str]:
    return [one.text for one in window.driver.find_elements(By.CSS_SELECTOR, ".found > li")]


def choose(window: Browser, name: str, value: str) -> None:
    window.run(
        "const field = document.querySelector('.samples').elements[arguments[0]]; field.value = arguments[1];"
        "field.dispatchEvent(new Event('input', { bubbles: true }))",
        name,
        value,
    )


def test_sample_browser(window: Browser, page: Path) -> None:
    window.open(page)
    count = "return document.querySelector('.samples output').value"
    assert window.run(count) == "4 of 32 samples, 1 right"
    first, other = cards(window)
    assert first.startswith("GRPO, seed 0 · step 40, last evaluation\nprompt 33447=\ngold A1")
    assert "coefficient of the rationale" in first
    assert "0.5" in first
    assert "coefficient" not in other
    choose(window, "success", "right")
    assert window.run(count) == "1 of 32 samples, 1 right"
    choose(window, "success", "")
    choose(window, "run", "")
    choose(window, "when", "")
    assert window.run(count) == "32 of 32 samples, 8 right"
    window.driver.find_element(By.CSS_SELECTOR, "[name=search]").send_keys("find me")
    assert window.run(count) == "8 of 32 samples, 0 right"
    assert all("Find ME" in card for card in cards(window))


def test_many_prompts_are_shown_in_parts(window: Browser, tmp_path: Path) -> None:
    samples = [{"prompt": f"{index}="} for index in range(50)]
    write_run(tmp_path / "run", "garl:q=1", q=1.0, samples=samples)
    window.open(written(tmp_path / "run"))
    shown = []
    for _ in range(3):
        shown.append(len(cards(window)))
        window.run("document.querySelector('.samples button').click()")
    assert shown == [20, 40, 50]
    assert not window.driver.find_element(By.CSS_SELECTOR, ".samples button").is_displayed()


def test_hostile_texts_stay_text(window: Browser, tmp_path: Path) -> None:
    samples: list[dict[str, str]] = [dict.fromkeys(("prompt", "gold", "rationale", "answer"), text) for text in HOSTILE]
    folders = [tmp_path / str(index) for index in range(4)]
    for folder, text in zip(folders, HOSTILE[:4], strict=True):
        warned = [{"step": 1, "category": text, "message": text}]
        write_run(folder, text, q=None, name=text, samples=samples, scores={text: 0.5}, warned=warned)
    window.open(written(*folders))
    window.run("for (const one of document.querySelectorAll('.samples select')) one.value = ''")
    window.run("document.querySelector('[name=when]').dispatchEvent(new Event('input', { bubbles: true }))")
    for select in window.driver.find_elements(By.CSS_SELECTOR, "figure select"):
        for option in select.find_elements(By.TAG_NAME, "option"):
            if "window.hacked" in option.text:
                option.click()
    for chart in window.driver.find_elements(By.CSS_SELECTOR, ".chart"):
        window.run("arguments[0].focus()", chart)
        chart.send_keys(Keys.HOME)
    assert window.run("return window.hacked ?? null") is None
    assert window.run("return document.querySelectorAll('main img, main b b, .chart a, .found a').length") == 0
    text = "\n".join(cards(window))
    for one in HOSTILE[:4]:
        assert one in text
    assert "a⟨U+D800⟩b⟨U+202E⟩c⟨U+0000⟩d" in text


def test_a_script_that_got_in_would_not_run(window: Browser, page: Path) -> None:
    window.open(page)
    window.run("document.body.append(document.createRange().createContextualFragment('<script>hacked = 1</script>'))")
    window.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"hacked = 1\">')")
    assert window.run("return window.hacked ?? null") is None
    assert any("Content Security Policy" in message for message in window.messages())
    window.driver.get("about:blank")


def test_a_megabyte_is_cut(window: Browser, tmp_path: Path) -> None:
    write_run(tmp_path / "run", "garl:q=1", q=1.0, samples=[{"rationale": "7" * 1_000_000}] * 4)
    window.open(written(tmp_path / "run"))
    assert f"the first {MAX_CHARACTERS:,} of 1,000,000 characters" in cards(window)[0]
    assert window.run("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_the_window(window: Browser, page: Path, width: int) -> None:
    window.resize(width, 900)
    window.open(page)
    assert window.run("return document.documentElement.scrollWidth") <= width


def test_dark_mode_reaches_the_charts(window: Browser, page: Path) -> None:
    colours = (
        "const plot = allCurves[0].charts[0].plot; return [plot.data.at(-2).line.color, plot.layout.paper_bgcolor]"
    )
    garl = line_style("garl:q=1", 1.0).color
    window.open(page)
    assert window.run(colours) == [garl, "#ffffff"]
    window.prefer("dark")
    window.settled("drawAll()")
    assert window.run(colours) == [on_dark(garl), "#16181a"]


def test_print_is_light_and_fits_the_paper(window: Browser, page: Path, tmp_path: Path) -> None:
    window.prefer("dark")
    window.open(page)
    window.run(
        "window.printed = [];"
        "addEventListener('beforeprint', () => window.printed = allCurves[0].charts.map("
        "(one) => [one.plot.layout.paper_bgcolor, one.plot.layout.width]))"
    )
    window.pdf(tmp_path / "page.pdf")
    assert window.run("return window.printed") == [["#ffffff", 330]] * 2
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert window.run("return allCurves[0].charts[0].plot.layout.paper_bgcolor") == "#16181a"


def test_long_runs_keep_their_extremes_and_can_be_toggled(window: Browser, tmp_path: Path) -> None:
    """20 runs of 5,000 steps; `report_speed.py` measures the times."""
    write_long(tmp_path / "long")
    window.open(written(tmp_path / "long"))
    assert len(traces(window, 1)) == 24
    assert "by the smallest and the largest value" in window.run("return document.querySelector('.curves').textContent")
    click(window, "[data-line]", 0)
    assert len(traces(window, 1)) == 18


def test_pictures_are_not_blank(window: Browser, page: Path, tmp_path: Path) -> None:
    window.open(page)
    window.run("document.querySelector('.charts').scrollIntoView()")
    window.picture(tmp_path / "page.png")
    colours = Image.open(io.BytesIO((tmp_path / "page.png").read_bytes())).convert("RGB").getcolors(1 << 24)
    assert colours is not None
    assert len(colours) > 50
