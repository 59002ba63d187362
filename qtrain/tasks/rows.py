"""Read the rows of a JSON array or of JSON lines one at a time, and report rows that cannot be read.

The file's first character decides between the two formats. In JSON lines, a broken line costs one row. After a syntax
error in an array the next row cannot be located, so that it ends the reading whatever the settings. Rows must be UTF-8.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from qtrain.errors import UserError

CHUNK = 1 << 20
"""Characters read at a time."""

LONGEST = 1 << 26
"""Characters of the longest row of an array. Without a limit, a missing quote would read the whole file into memory."""

WHITESPACE = " \t\r\n"


class JsonRow(NamedTuple):
    """A JSON value and its position in the file ("line 3", "record 3 (counted from 0)")."""

    where: str
    value: object


class BadRecord(NamedTuple):
    """A row that is not a valid record.

    Attributes:
        where: Its position in the file.
        reason: What is wrong with it.
        repeated: Whether it would be valid if no record before it had its id.
    """

    where: str
    reason: str
    repeated: bool = False


def read_rows(path: Path) -> Iterator[JsonRow | BadRecord]:
    """Read a file row by row.

    Raises:
        UserError: The file is missing, unreadable or empty, or its array has a syntax error.
    """
    try:
        # Bytes that are not UTF-8 become lone surrogates, so that the message can name their row.
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
        if reason := utf8_error(line):
            yield BadRecord(where, reason)
            continue
        try:
            row: JsonRow | BadRecord = JsonRow(where, json.loads(line))
        except (ValueError, RecursionError) as error:
            row = BadRecord(where, f"not JSON: {_json_error(error)}")
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
            reason = utf8_error(text)
            yield BadRecord(where, reason) if reason else JsonRow(where, value)
            index += 1
        window.skip("]")
        where = "after the array"
        window.skip("")
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: {where}: not JSON: {_json_error(error)}; what follows cannot be read: mend the file or fetch "
            f"it again"
        ) from None


class _Window:
    """The part of an array that is in memory, and the current position in it."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.text, self.at = file, "", 0
        self.decoder = json.JSONDecoder()

    def next(self) -> str:
        """Peek at the next character that is not white space; "" at the end of the file."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in WHITESPACE:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def skip(self, wanted: str) -> None:
        """Move past the next character, which must be `wanted` ("" is the end of the file)."""
        character = self.next()
        if character != wanted:
            raise ValueError(f"{_named(wanted)} is needed, not {_named(character)}")
        self.at += len(wanted)

    def value(self) -> tuple[object, str]:
        """Move past the next value; returns the value and its text."""
        self.next()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
            except ValueError:
                # Either a syntax error or a value cut off at the window's end; only more of the file can tell.
                if not self._more():
                    raise
                continue
            # A number may continue after the window's end: of "1e+5" cut to "1e+", the decoder reads the 1 alone.
            if len(self.text) - end < 3 and self._more():
                continue
            text = self.text[self.at : end]
            self.at = end
            return value, text

    def _more(self) -> bool:
        """Read another part of the file and drop the text before the position; False at the end of the file."""
        pending = len(self.text) - self.at
        # At least doubles the pending text, so that a long row is parsed a few times and not once per chunk.
        chunk = self.file.read(max(CHUNK, pending)) if pending <= LONGEST else ""
        if not chunk:
            return False
        self.text, self.at = self.text[self.at :] + chunk, 0
        return True


def _named(character: str) -> str:
    return ascii(character) if character else "the end of the file"


def utf8_error(text: str) -> str | None:
    """Describe the first byte that is not UTF-8; None if there is none."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"not UTF-8: byte 0x{ord(text[error.start]) - 0xDC00:02x}; save the file as UTF-8"
    return None


def _json_error(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at its character {error.pos}"
    return "nested too deep" if isinstance(error, RecursionError) else str(error)
