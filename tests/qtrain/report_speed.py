"""How long a browser takes over a long report, and a picture of it, for the docs.

`python tests/qtrain/report_speed.py --json figures/data/report_speed.json --picture docs/img/report.png`

The page compares 20 runs of 5,000 steps, whose numbers are made up. Loading ends when all curves are drawn.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from browser import Browser, browser, missing_programs
from report_cases import SAMPLE, write_comparison, write_run

from qtrain.report import report_command

RUNS, STEPS, REPEATS = 20, 5000, 5
METRICS = ("loss", "surrogate", "log_p", "mean_log_p", "ess", "log_w_min", "log_w_max", "gradient_norm", "lr", "kl")
"""Beside P; noise, as batches are."""

TOGGLE = "document.querySelector('[data-line]').click()"
"""Hide or show an estimator with its runs; both charts are drawn again."""


def write_long(folder: Path, runs: int = RUNS, steps: int = STEPS) -> Path:
    """A comparison of noisy runs over five seeds, with texts at 50 evaluations."""
    rng, rows = np.random.default_rng(0), []
    estimators = [("grpo", None), ("garl:q=0.5", 0.5), ("garl:q=0.75", 0.75), ("garl:q=1", 1.0)]
    for index in range(runs):
        (name, q), seed = estimators[index % len(estimators)], index // len(estimators)
        escape = 0.08 * steps * (1 + rng.random()) * (4 - 3 * (q or 0))
        rise = 1 / (1 + np.exp((escape - np.arange(steps)) / (0.03 * steps)))
        p = 0.9 * np.exp(-14 * (1 - rise) + 0.4 * (1 - rise) * rng.normal(size=steps))
        rows.append(write_run(folder / str(index), name, q=q, seed=seed, p_at_1=(0.0, float(p[-1]))))
        logs = {
            "metrics": [{"step": step, "p": one} for step, one in enumerate(p.tolist(), start=1)],
            "evals": [
                {"step": step, "p_at_1": float(p[max(0, step - 1)])} for step in range(0, steps + 1, steps // 50)
            ],
            "samples": [{"step": step, **SAMPLE, "log_w": -step} for step in range(50) for _ in range(24)],
        }
        for line, values in zip(logs["metrics"], rng.lognormal(size=(steps, len(METRICS))), strict=True):
            line.update(zip(METRICS, values.tolist(), strict=True))
        for file, lines in logs.items():
            (folder / str(index) / f"{file}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return write_comparison(folder, rows)


def timed(window: Browser, expression: str) -> float:
    """Milliseconds from an expression's start until the frame behind the promise that it gives."""
    window.run("window.began = performance.now()")
    frame = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
    window.settled(f"Promise.resolve({expression}).then(() => {frame})")
    return float(window.run("return performance.now() - window.began"))


def measure(picture: Path | None) -> dict[str, Any]:
    """The times, in seconds where the name says nothing else, and the picture where one is asked for."""
    with tempfile.TemporaryDirectory() as name:
        folder, page = write_long(Path(name) / "long"), Path(name) / "page.html"
        began = time.process_time()
        report_command((folder,), page)
        written = time.process_time() - began
        with browser() as window:
            first = window.open(page)
            loads = [window.open(page) for _ in range(REPEATS)]
            toggles = [timed(window, TOGGLE) for _ in range(REPEATS)]
            if picture:
                window.resize(1100, 1000)
                window.open(page)
                window.run("document.querySelector('h3').scrollIntoView()")
                window.picture(picture)
            version = window.driver.capabilities["browserVersion"]
        size = page.stat().st_size
    return {
        "runs": RUNS,
        "steps": STEPS,
        "metrics": len(METRICS) + 1,
        "megabytes": round(size / 1e6, 1),
        "written": round(written, 2),
        "first_load": round(first / 1e3, 2),
        "load": round(statistics.median(loads) / 1e3, 2),
        "toggle": round(statistics.median(toggles) / 1e3, 2),
        "repeats": REPEATS,
        "machine": {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {os.getloadavg()[0]:.0f} busy processes",
            "Chromium": version,
            "plotly": metadata.version("plotly"),
            "Python": platform.python_version(),
        },
    }


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--picture", type=Path, help="write the page's picture to this file")
    arguments = parser.parse_args()
    if missing := missing_programs():
        sys.stderr.write(f"report_speed: {' and '.join(missing)} missing: apt-get install chromium chromium-driver\n")
        sys.exit(2)
    text = json.dumps(measure(arguments.picture), indent=1) + "\n"
    sys.stdout.write(text)
    if arguments.json:
        arguments.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
