"""Every figure of the registry on synthetic data: its files, their size, their bytes."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text

from figures.registry import FIGURES
from figures.render import STYLE, figure_files, write


@pytest.mark.parametrize("name", FIGURES)
def test_same_bytes_in_another_process_and_under_other_settings(name: str, data_folder: Path, tmp_path: Path) -> None:
    with mpl.rc_context({"font.size": 20, "svg.hashsalt": "other"}):
        here = figure_files([name], data_folder)
    words = [sys.executable, "-m", "figures", name, "--data", str(data_folder), "--out", str(tmp_path)]
    subprocess.run(words, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == here


@pytest.mark.parametrize("name", FIGURES)
def test_size_in_print(name: str, data_folder: Path) -> None:
    files = figure_files([name], data_folder)
    width, _ = struct.unpack(">II", files[f"{name}.png"][16:24])
    assert width == 7 * 300
    assert files[f"{name}.svg"].startswith(b"<?xml")
    assert files[f"{name}.pdf"].startswith(b"%PDF")
    assert b"<image" not in files[f"{name}.svg"]  # vectors only


@pytest.mark.parametrize("name", FIGURES)
def test_type_can_be_read(name: str, data_folder: Path) -> None:
    entry = FIGURES[name]
    with mpl.rc_context():
        plt.style.use(STYLE)
        figure = entry.plot(entry.compute(data_folder))
        figure.draw_without_rendering()
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
