"""A tokenizer for any text, one token a UTF-8 byte, and how outside text is kept from holding special tokens."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qtrain.tasks.base import SPECIAL_TOKENS, with_special_tokens


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
