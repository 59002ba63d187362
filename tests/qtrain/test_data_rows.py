"""Reading rows: what json reads from the whole file, in one pass over any pieces of it, and one line for the rest."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtrain.errors import UserError
from qtrain.tasks import rows as module
from qtrain.tasks.rows import BadRecord, JsonRow, read_rows

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


@pytest.fixture(params=[1, 5, 1 << 20], scope="module")
def chunk(request: pytest.FixtureRequest) -> Iterator[int]:
    """Read so many characters at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", request.param)
        yield request.param


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows") / "file.json"


@settings(max_examples=40)
@given(st.lists(VALUES, max_size=5), st.booleans(), st.booleans(), st.sampled_from(["", "\ufeff", "\n \t"]))
def test_an_array_gives_its_values(
    chunk: int, path: Path, values: list[Any], indented: bool, ascii_only: bool, before: str
) -> None:
    text = json.dumps(values, indent=1 if indented else None, ensure_ascii=ascii_only)
    path.write_text(f"{before}{text} \n", encoding="utf-8", errors="surrogatepass")
    assert list(read_rows(path)) == [
        JsonRow(f"record {index} (counted from 0)", value) for index, value in enumerate(values)
    ]


@settings(max_examples=40)
@given(st.lists(VALUES.filter(lambda value: not isinstance(value, list)), min_size=1, max_size=5), st.booleans())
def test_lines_give_their_values(chunk: int, path: Path, values: list[Any], windows: bool) -> None:
    end = "\r\n" if windows else "\n"
    path.write_bytes("".join(json.dumps(value) + end + end for value in values).encode()[: -len(end)])
    assert list(read_rows(path)) == [JsonRow(f"line {2 * index + 1}", value) for index, value in enumerate(values)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b'[{"a": 1}, {"a": 2]', "record 1 (counted from 0): not JSON: Expecting ',' delimiter"),
        (b'[{"a": 1}, {"a": 2}', "record 1 (counted from 0): not JSON: ',' is needed, not the end of the file"),
        (b'[{"a": 1} {"a": 2}]', "record 0 (counted from 0): not JSON: ',' is needed, not '{'"),
        (b'[{"a": 1}, ]', "record 1 (counted from 0): not JSON: Expecting value"),
        (b"[,]", "record 0 (counted from 0): not JSON: Expecting value"),
        (b'[{"a": "x', "record 0 (counted from 0): not JSON: Unterminated string"),
        (b"[1] [2]", "after the array: not JSON: the end of the file is needed, not '['"),
        (b"[1]]", "after the array: not JSON: "),
        (b"[1, \x1b[31m]", "not JSON: Expecting value"),
        (b"[1 \x1b[31m]", "',' is needed, not '\\x1b'"),
        (b"[" * 100_000, "not JSON: nested too deep"),
        (b"[" + b"9" * 5000 + b"]", "not JSON: Exceeds the limit"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
    ],
)
def test_an_array_that_breaks_ends_in_one_line(chunk: int, path: Path, text: bytes, line: str) -> None:
    path.write_bytes(text)
    with pytest.raises(UserError) as raised:
        list(read_rows(path))
    assert str(raised.value).startswith(f"{path}: ")
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_rows_before_the_break_are_read(path: Path) -> None:
    path.write_text('[{"a": 1}, {"a": 2}, {"a": ')
    read = read_rows(path)
    assert [next(read), next(read)] == [
        JsonRow("record 0 (counted from 0)", {"a": 1}),
        JsonRow("record 1 (counted from 0)", {"a": 2}),
    ]
    with pytest.raises(UserError, match="record 2"):
        next(read)


class Counted(io.StringIO):
    """A file that counts the characters read from it."""

    read_so_far = 0

    def read(self, size: int | None = -1, /) -> str:
        text = super().read(size)
        self.read_so_far += len(text)
        return text


def test_an_array_without_an_end_is_not_taken_into_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Counted('["' + "x" * 100_000)
    monkeypatch.setattr(module, "CHUNK", 64)
    monkeypatch.setattr(module, "LONGEST", 1000)
    monkeypatch.setattr(Path, "open", lambda *_, **__: file)
    with pytest.raises(UserError, match="Unterminated string"):
        list(read_rows(path))
    assert 1000 < file.read_so_far < 3000


def test_broken_lines_lose_one_row_each(path: Path) -> None:
    path.write_bytes(
        b'{"a": 1\n{"a": 2}\ncaf\xe9\n' + b"[" * 100_000 + b"\n" + b"9" * 5000 + b'\n{"a": "\xff"}\n{"a": 3}'
    )
    rows = list(read_rows(path))
    assert [row.value for row in rows if isinstance(row, JsonRow)] == [{"a": 2}, {"a": 3}]
    reasons = {row.where: row.reason for row in rows if isinstance(row, BadRecord)}
    assert reasons["line 1"] == "not JSON: Expecting ',' delimiter at its character 8"
    assert reasons["line 3"] == "not UTF-8: byte 0xe9; save the file as UTF-8"
    assert reasons["line 4"] == "not JSON: nested too deep"
    assert reasons["line 5"].startswith("not JSON: Exceeds the limit")
    assert reasons["line 6"] == "not UTF-8: byte 0xff; save the file as UTF-8"


def test_wrong_bytes_in_an_array_lose_one_row(chunk: int, path: Path) -> None:
    path.write_bytes(b'[{"a": "\xc3\xa9"}, {"a": "\xe9"}, {"a": 3}]')
    assert list(read_rows(path)) == [
        JsonRow("record 0 (counted from 0)", {"a": "é"}),
        BadRecord("record 1 (counted from 0)", "not UTF-8: byte 0xe9; save the file as UTF-8"),
        JsonRow("record 2 (counted from 0)", {"a": 3}),
    ]


@settings(max_examples=60)
@given(st.binary(max_size=60))
def test_any_bytes_give_rows_or_one_line(chunk: int, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    said = []
    try:
        said = [row.reason for row in read_rows(path) if isinstance(row, BadRecord)]
    except UserError as error:
        said = [str(error)]
    assert not any("\n" in text for text in said)


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    for path, why in (
        (tmp_path, "Is a directory"),
        (tmp_path / "no", "no such file"),
        (tmp_path / "file" / "x", "Not a"),
    ):
        with pytest.raises(UserError) as raised:
            list(read_rows(path))
        assert str(raised.value).startswith(f"{path}: ")
        assert why in str(raised.value)
