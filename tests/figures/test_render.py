"""Every figure of the registry on synthetic data: its files, their size, their bytes."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.image import AxesImage
from matplotlib.text import Text

from figures.registry import FIGURES
from figures.render import STYLE, figure_files, write


@pytest.mark.slow
def test_files_have_the_same_bytes_in_another_process_and_under_other_settings(
    data_folder: Path, tmp_path: Path
) -> None:
    names = ["cold_start", "adam_testbed", "bias", "factorisations"]  # of data and of formulas, plain and schematic
    words = [sys.executable, "-m", "figures", "plot", *names, "--data", str(data_folder), "--out", str(tmp_path)]
    other = subprocess.Popen(words, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONHASHSEED": "7"})
    with mpl.rc_context({"font.size": 20, "svg.hashsalt": "other"}):
        here = figure_files(names, data_folder)
    assert other.wait() == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == here
    for name in names:
        width, _ = struct.unpack(">II", here[f"{name}.png"][16:24])
        assert width == 7 * 300
        assert here[f"{name}.svg"].startswith(b"<?xml")
        assert here[f"{name}.pdf"].startswith(b"%PDF")


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_size_in_print_and_type_that_can_be_read(name: str, data_folder: Path) -> None:
    entry = FIGURES[name]
    with mpl.rc_context():
        plt.style.use(STYLE)
        figure = entry.plot(entry.compute(data_folder))
        figure.draw_without_rendering()
        assert figure.get_figwidth() == 7
        assert not figure.findobj(AxesImage)  # vectors only
        texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text().strip()]
        assert min(float(text.get_fontsize()) for text in texts) >= 6
        # Nothing outside the page, and no legend entry twice.
        page = figure.bbox
        for legend in figure.legends:
            assert all(page.contains(*corner) for corner in legend.get_window_extent().corners())
            labels = [text.get_text() for text in legend.get_texts()]
            assert len(labels) == len(set(labels))
        plt.close(figure)


def test_write_replaces_whole_files(tmp_path: Path) -> None:
    write({"a.md": b"one"}, tmp_path / "new")
    write({"a.md": b"two"}, tmp_path / "new")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "new").iterdir()] == [("a.md", b"two")]
