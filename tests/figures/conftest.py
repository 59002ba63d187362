"""Synthetic data files shared by the tests of the figures."""

from pathlib import Path

import pytest
from synthetic import write_studies


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the six synthetic data files."""
    return write_studies(tmp_path_factory.mktemp("figures") / "data")
