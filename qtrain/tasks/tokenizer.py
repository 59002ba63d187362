"""A task's tokenizer: one token a byte, or that of a pretrained model in a folder or on the hub."""

import re
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qtrain.errors import UserError
from qtrain.hub import TOKENIZER, find_repository
from qtrain.tasks.base import END_THINK, SPECIAL_TOKENS, THINK, with_special_tokens


def load_tokenizer(folder: Path | None, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The byte tokenizer, or the `tokenizer.json` of a folder or of a model on the hub, whose code is not run.

    Args:
        folder: A folder, or what is no folder here: an id on the hub. None is the byte tokenizer.
        revision: A branch, tag or commit of the hub's.

    Raises:
        UserError: There is none, or one without THINK, END_THINK, an end and a padding token.
    """
    if folder is None:
        return byte_tokenizer()
    # The library would try older formats where tokenizer.json is missing, some of them pickles read by other packages.
    local = find_repository("task.tokenizer", str(folder), revision, TOKENIZER).local
    try:
        # The class is named here: AutoTokenizer would offer to run a class that the folder itself brings.
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, revision=revision or "main", local_files_only=local)
    except Exception as error:  # the library's own, json's, and a bare Exception from the Rust side
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"task.tokenizer={str(folder)!r}: no tokenizer can be read from it: {reason}") from None
    # A file may have them on; they would cut what is counted and what is encoded.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    vocabulary = tokenizer.get_vocab()
    missing = [token for token in (THINK, END_THINK) if token not in vocabulary]
    missing += [name for name in ("eos_token", "pad_token") if getattr(tokenizer, name) is None]
    if missing:
        raise UserError(
            f"task.tokenizer={str(folder)!r}: lacks {', '.join(missing)}; give a reasoning model's tokenizer"
        )
    return tokenizer


def reserved_tokens(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The control tokens, which a record's text must not contain: they are read as such whatever is around them.

    They are the special tokens, the delimiters, and of the other added tokens those that look like marks (`<|...|>`) or
    stand in the chat template (`<tool_call>`). Words that were added to a vocabulary are words.
    """
    template = str(tokenizer.chat_template or "")
    tokens = set(tokenizer.all_special_tokens) | {THINK, END_THINK}
    for token in tokenizer.added_tokens_decoder.values():
        text = token.content
        is_mark = not text[:1].isalnum() and not text[-1:].isalnum()
        if token.special or (is_mark and (re.fullmatch(r"<\|.*\|>", text) or text in template)):
            tokens.add(text)
    # A single character cannot be broken by a space, and white space is no control token.
    return sorted(token for token in tokens if len(token) > 1 and not any(map(str.isspace, token)))


def token_count(tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    """Tokens of a text, special tokens read as such and none added."""
    return len(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False))


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of 256 byte tokens and the special tokens, without merges.

    Every Unicode text survives encoding and decoding. Bytes that are not UTF-8 (a model may write any) decode
    to U+FFFD.
    """
    # ByteLevel stands a printable character for each byte; the vocabulary holds those characters.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    core = Tokenizer(models.BPE(vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    return with_special_tokens(core)


def without_special_tokens(text: str, tokens: Iterable[str] = SPECIAL_TOKENS) -> str:
    """Break every literal special token in a text with a space ("</think>" -> "< /think>").

    A prompt is encoded as one string in which special tokens are read as such; those of a record must not be.
    No special token contains a space, so that breaking one never makes another.
    """
    for token in tokens:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
