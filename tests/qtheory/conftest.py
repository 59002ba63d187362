"""Fixtures of the theory's tests."""

import pytest
from array_libraries import LIBRARIES, Library


@pytest.fixture(params=LIBRARIES, ids=lambda module: module.__name__)
def library(request: pytest.FixtureRequest) -> Library:
    return Library(request.param)
