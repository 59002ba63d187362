"""The byte tokenizer: every text survives, a token is a byte, and outside text has no special token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtrain.tasks.base import END, END_THINK, PAD, THINK
from qtrain.tasks.tokenizer import byte_tokenizer, without_special_tokens

SPECIAL = (PAD, THINK, END_THINK, END)
TOKENIZER = byte_tokenizer()
FRAGMENTS = [*SPECIAL, "<", ">", "/", "|", " ", "think>", "<think", "<|", "|>", "end", "é", "x"]


def ids(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def pieces() -> st.SearchStrategy[str]:
    """Texts that are crowded with special tokens and with halves of them."""
    return st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)


def test_vocabulary_is_four_special_tokens_and_256_bytes() -> None:
    assert len(TOKENIZER) == 260
    assert TOKENIZER.convert_tokens_to_ids(list(SPECIAL)) == [0, 1, 2, 3]
    assert (TOKENIZER.pad_token, TOKENIZER.eos_token) == (PAD, END)


@given(st.one_of(st.text(), pieces()))
def test_decoding_undoes_encoding(text: str) -> None:
    assert TOKENIZER.decode(ids(text)) == text


@given(st.text())
def test_plain_text_takes_one_token_a_byte(text: str) -> None:
    tokens = ids(without_special_tokens(text))
    assert len(tokens) == len(without_special_tokens(text).encode())
    assert not set(tokens) & {0, 1, 2, 3}


def test_each_byte_has_a_token_of_its_own() -> None:
    # Characters that between them hold every byte but the 13 that UTF-8 never uses; surrogates are left out.
    points = [*range(0x800), *range(0x800, 0xD800, 64), *range(0xE000, 0x110000, 64)]
    token_of: dict[int, set[int]] = {}
    text = "".join(map(chr, points))
    for byte, token in zip(text.encode(), ids(text), strict=True):
        token_of.setdefault(byte, set()).add(token)
    assert all(len(tokens) == 1 for tokens in token_of.values())
    assert len(set.union(*token_of.values())) == len(token_of) == 256 - 13


def test_bytes_that_are_no_utf8_decode_to_the_replacement_character() -> None:
    assert TOKENIZER.decode(ids("é")[:1]) == "\N{REPLACEMENT CHARACTER}"


def test_special_tokens_are_read_as_such_in_a_prompt() -> None:
    assert ids(f"a{THINK}b{END_THINK}c{END}{PAD}")[1::2] == [1, 2, 3]


@given(pieces())
def test_no_text_from_outside_becomes_a_special_token(text: str) -> None:
    clean = without_special_tokens(text)
    assert not set(ids(clean)) & {0, 1, 2, 3}
    assert ids(clean + THINK)[-1] == 1
    assert set(ids(clean + THINK)[:-1]).isdisjoint({0, 1, 2, 3})
    assert clean.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("</think>", "< /think>"),
        ("a<|end|>b", "a< |end|>b"),
        ("<<think>", "<< think>"),
        ("1 < 2 | 3", "1 < 2 | 3"),
    ],
)
def test_special_tokens_are_broken_by_a_space(text: str, clean: str) -> None:
    assert without_special_tokens(text) == clean
