"""Synthetic data files of the studies, and the tiny run of the trainer's tests."""

from pathlib import Path

import pytest
from synthetic import write_studies
from tiny_run import base, config, model, task

__all__ = ["base", "config", "data_folder", "model", "task"]


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the six synthetic data files."""
    return write_studies(tmp_path_factory.mktemp("figures") / "data")
