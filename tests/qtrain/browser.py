"""Headless Chromium for the tests of the report: Debian's packages chromium and chromium-driver, no network."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

PROGRAMS = ("chromium", "chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT = 30.0
"""Seconds until a page counts as hanging."""


def missing_programs() -> list[str]:
    """What of the two is not on the path."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Browser:
    """One window."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: Path) -> float:
        """Load a page from the disk and wait until its curves are drawn. Returns the milliseconds that took."""
        self.driver.get(page.resolve().as_uri())
        drawn = "return document.documentElement.dataset.drawn"
        try:
            return float(WebDriverWait(self.driver, WAIT, poll_frequency=0.02).until(lambda _: self.run(drawn)))
        except TimeoutException:
            raise AssertionError(f"{page}: not drawn after {WAIT:g} s; the console says {self.messages()}") from None

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a function's body in the page."""
        return self.driver.execute_script(script, *arguments)

    def settled(self, script: str, *arguments: Any) -> Any:
        """Run an expression and wait for the promise that it gives."""
        words = f"const done = arguments[arguments.length - 1]; Promise.resolve({script}).then(() => done())"
        return self.driver.execute_async_script(words, *arguments)

    def messages(self) -> list[str]:
        """What the console got since the last call: errors, warnings, refusals of the content security policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def resize(self, width: int, height: int) -> None:
        """Set the window's inner size in CSS pixels, at one device pixel each."""
        self._cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme: str) -> None:
        """Prefer the colours light or dark."""
        self._cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path) -> None:
        """Write what the window shows as PNG."""
        path.write_bytes(base64.b64decode(self._cdp("Page.captureScreenshot", format="png")["data"]))

    def pdf(self, path: Path) -> None:
        """Print the page on A4."""
        found = self._cdp("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def _cdp(self, command: str, **parameters: Any) -> dict[str, Any]:
        return self.driver.execute_cdp_cmd(command, parameters)


@contextmanager
def browser() -> Iterator[Browser]:
    """A window that is closed at the end."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
