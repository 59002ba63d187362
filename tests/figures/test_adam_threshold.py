"""The numbers in the caption of `adam_threshold`."""

import re

import numpy as np
import pytest

from figures.plots import adam_threshold
from figures.plots.adam_threshold import AdamThreshold


@pytest.fixture(scope="module")
def data() -> AdamThreshold:
    return adam_threshold.compute()


def test_without_epsilon_low_q_is_no_slower(data: AdamThreshold) -> None:
    assert (np.diff(data.steps[0, [0, -1]], axis=0) > 0).all()


def test_where_epsilon_counts_steps_are_the_laws(data: AdamThreshold) -> None:
    found = re.search(r"measured over law is ([\d.]+) to ([\d.]+) \((\d+) runs\)", adam_threshold.caption(data))
    assert found
    low, high, runs = (float(one) for one in found.groups())
    assert 0.5 < low < high < 1.05
    assert runs >= 3


def test_the_smallest_q_is_the_laws(data: AdamThreshold) -> None:
    budget = adam_threshold.BUDGETS.index(1000)
    np.testing.assert_allclose(data.smallest, data.critical[budget, ::8], atol=0.03)
