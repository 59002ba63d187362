"""What all tests share: real records where the checkout has them beside it, and Hypothesis settings."""

from pathlib import Path

import pytest
from hypothesis import settings

# A deadline is a timing in an assert, and a random seed is no seed.
settings.register_profile("qcontinuum", deadline=None, derandomize=True)
settings.load_profile("qcontinuum")

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the folder, leave out the tests that read it; with it they must run."""
    if SHARED_DATA is None:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("shared")])
        items[:] = [item for item in items if not item.get_closest_marker("shared")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say so where tests were left out."""
    if SHARED_DATA is None:
        terminalreporter.write_line("shared/data is not here: the tests marked `shared` were left out")
