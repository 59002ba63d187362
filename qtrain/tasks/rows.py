"""Rows of a JSON array or of JSON lines, one at a time: what lies in the file, and what cannot be read as a row.

The form is found by the file's first character. JSON lines lose one row to a broken line. An array that breaks has no
next row to go on from, so that it ends the reading whatever the settings. A row's bytes must be UTF-8.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from qtrain.errors import UserError

CHUNK = 1 << 20
"""Characters read at a time."""

LONGEST = 1 << 26
"""Characters of the longest row of an array. Without a bound, one lost quote would take the file into memory."""

WHITESPACE = " \t\r\n"


class JsonRow(NamedTuple):
    """A JSON value, and where it stands ("line 3", "record 3 (counted from 0)")."""

    where: str
    value: object


class BadRecord(NamedTuple):
    """A row that is no record: where it stands, and why."""

    where: str
    reason: str


def read_rows(path: Path) -> Iterator[JsonRow | BadRecord]:
    """Read a file row by row.

    Raises:
        UserError: One line naming the file: it is missing, unreadable or empty, or its array breaks.
    """
    try:
        # Bytes that are not UTF-8 come through as lone surrogates, so that the row they stand in can be named.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            first = _first_character(file)
            if not first:
                raise UserError(f"{path}: is empty; a JSON array or JSON lines are needed")
            file.seek(0)
            yield from _array(path, file) if first == "[" else _lines(file)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


def _first_character(file: TextIO) -> str:
    while chunk := file.read(CHUNK):
        if text := chunk.lstrip(WHITESPACE):
            return text[0]
    return ""


def _lines(file: TextIO) -> Iterator[JsonRow | BadRecord]:
    for number, line in enumerate(file, start=1):
        where = f"line {number}"
        if not line.strip(WHITESPACE):
            continue
        if byte := _no_utf8(line):
            yield BadRecord(where, byte)
            continue
        try:
            row: JsonRow | BadRecord = JsonRow(where, json.loads(line))
        except (ValueError, RecursionError) as error:
            row = BadRecord(where, f"not JSON: {_why(error)}")
        yield row


def _array(path: Path, file: TextIO) -> Iterator[JsonRow | BadRecord]:
    window = _Window(file)
    window.skip("[")
    index = 0
    where = f"record {index} (counted from 0)"
    try:
        while window.next() != "]":
            if index:
                window.skip(",")
            where = f"record {index} (counted from 0)"
            value, text = window.value()
            byte = _no_utf8(text)
            yield BadRecord(where, byte) if byte else JsonRow(where, value)
            index += 1
        window.skip("]")
        where = "behind the array"
        window.skip("")
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: {where}: not JSON: {_why(error)}; what follows cannot be read: mend the file or fetch it again"
        ) from None


class _Window:
    """The part of an array that is in memory."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.text, self.at = file, "", 0
        self.decoder = json.JSONDecoder()

    def next(self) -> str:
        """The next character that is no white space, left where it is; nothing at the file's end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in WHITESPACE:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def skip(self, wanted: str) -> None:
        """Go over the next character, which must be `wanted` ("" is the file's end)."""
        found = self.next()
        if found != wanted:
            raise ValueError(f"{_named(wanted)} is needed, not {_named(found)}")
        self.at += len(wanted)

    def value(self) -> tuple[object, str]:
        """Go over the next value: what it is, and its text."""
        self.next()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
            except ValueError:
                # Broken, or cut off by the window's end: only more of the file can tell.
                if not self._more():
                    raise
                continue
            # A number may go on behind what looks like its end: "1" of "1e+5", whose next part begins with two signs.
            if len(self.text) - end < 3 and self._more():
                continue
            text = self.text[self.at : end]
            self.at = end
            return value, text

    def _more(self) -> bool:
        """Read on, and forget what has been gone over; whether there was more."""
        kept = len(self.text) - self.at
        # As much again as is kept: a long row is looked at a few times, not once a chunk.
        chunk = self.file.read(max(CHUNK, kept)) if kept <= LONGEST else ""
        if not chunk:
            return False
        self.text, self.at = self.text[self.at :] + chunk, 0
        return True


def _named(character: str) -> str:
    return ascii(character) if character else "the end of the file"


def _no_utf8(text: str) -> str | None:
    """The first byte that is not UTF-8, in words."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"not UTF-8: byte 0x{ord(text[error.start]) - 0xDC00:02x}; save the file as UTF-8"
    return None


def _why(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at its character {error.pos}"
    return "nested too deep" if isinstance(error, RecursionError) else str(error)
