"""What all tests share: real records where the checkout has them, groups that are left out, Hypothesis settings."""

from pathlib import Path

import pytest
from hypothesis import settings

# A deadline is a timing in an assert, and a random seed is no seed.
settings.register_profile("whole", deadline=None, derandomize=True)
# That of `make test`. The theory's property tests try the whole number in `make coverage`.
settings.register_profile("quick", settings.get_profile("whole"), max_examples=40)
settings.load_profile("whole")

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = next(
    (folder for folder in (ROOT.parent / "shared" / "data", ROOT / "shared" / "data") if folder.is_dir()),
    None,
)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real records. Tests that use it are marked `shared`."""
    assert SHARED_DATA is not None, "mark this test with pytest.mark.shared"
    return SHARED_DATA


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the groups that `make test` leaves out, as it needs neither Chromium nor a GPU."""
    parser.addoption("--browser", action="store_true", help="run the tests marked `browser`, and no others")
    parser.addoption("--gpu", action="store_true", help="run the tests marked `gpu`, and no others")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests of real records without their folder, and those on a GPU or in a browser unless asked for."""
    left_out = [
        item
        for item in items
        if (SHARED_DATA is None and item.get_closest_marker("shared"))
        or any(bool(item.get_closest_marker(group)) != config.getoption(group) for group in ("browser", "gpu"))
    ]
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(900))
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say so where tests were left out."""
    if SHARED_DATA is None:
        terminalreporter.write_line("shared/data is not here: the tests marked `shared` were left out")
    if not config.getoption("browser"):
        terminalreporter.write_line("the tests marked `browser` were left out: `make test-report` runs them")
    if not config.getoption("gpu"):
        terminalreporter.write_line("the tests marked `gpu` were left out: `make test-gpu` runs them")
