"""Load a task's tokenizer, the byte tokenizer or a pretrained model's, and protect its control tokens."""

import re
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qtrain.errors import UserError
from qtrain.hub import TOKENIZER, find_repository
from qtrain.tasks.base import SPECIAL_TOKENS, with_special_tokens
from qtrain.tasks.delimiters import DEFAULT_DELIMITERS, END_THINK, THINK, Delimiters, closer_tokens


def load_tokenizer(
    folder: Path | None, revision: str | None = None, think: Delimiters | None = None
) -> PreTrainedTokenizerFast:
    """Load the byte tokenizer, or the `tokenizer.json` of a folder or of a model on the hub. No code of it is run.

    Args:
        folder: A folder, or if no such folder exists an id on the hub. None is the byte tokenizer.
        revision: A branch, tag or commit on the hub.
        think: Delimiters that it must be able to encode; None checks none.

    Raises:
        UserError: There is no tokenizer, or it lacks the delimiters or an end token.
    """
    tokenizer = byte_tokenizer() if folder is None else _read_tokenizer(folder, revision)
    if think is not None:
        closer_tokens(tokenizer, think)
    return tokenizer


def _read_tokenizer(folder: Path, revision: str | None) -> PreTrainedTokenizerFast:
    # If tokenizer.json is missing, the library would try older formats, some of which other packages unpickle.
    local = find_repository("task.tokenizer", str(folder), revision, TOKENIZER).local
    try:
        # Not AutoTokenizer, which would offer to run a class that is defined in the folder.
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, revision=revision or "main", local_files_only=local)
    except Exception as error:  # of the library, of json, and a bare Exception from Rust
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"task.tokenizer={str(folder)!r}: no tokenizer can be read from it: {reason}") from None
    # A file may switch these on, which would change both counts and encodings.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        # Llama, Mistral and GPT-2 have none. Padding is neither scored nor attended to, so that any token will do.
        tokenizer.pad_token = tokenizer.eos_token
    missing = ["eos_token"] if tokenizer.eos_token is None else []
    if missing:
        raise UserError(
            f"task.tokenizer={str(folder)!r}: lacks {', '.join(missing)}; name it in its tokenizer_config.json"
        )
    return tokenizer


def lacks_begin_token(tokenizer: PreTrainedTokenizerFast, prompt: str) -> bool:
    """Whether a tokenizer begins texts with a token that this prompt, in which none is added, does not begin with."""
    begin = tokenizer.bos_token
    added = tokenizer.backend_tokenizer.encode("").ids
    return begin is not None and tokenizer.bos_token_id in added[:1] and not prompt.startswith(str(begin))


def reserved_tokens(tokenizer: PreTrainedTokenizerFast, think: Delimiters = DEFAULT_DELIMITERS) -> list[str]:
    """List the control tokens, which a record's text must not contain: the tokenizer recognises them in any context.

    Control tokens are the special tokens, delimiters that are no plain text, and those added tokens that look like
    markup (`<|...|>`) or occur in the chat template (`<tool_call>`). Ordinary words that were added to the vocabulary
    are not among them.
    """
    template = str(tokenizer.chat_template or "")
    tokens = {THINK, END_THINK, *tokenizer.all_special_tokens, *(set(think) & set(tokenizer.get_added_vocab()))}
    for token in tokenizer.added_tokens_decoder.values():
        text = token.content
        is_mark = not text[:1].isalnum() and not text[-1:].isalnum()
        if token.special or (is_mark and (re.fullmatch(r"<\|.*\|>", text) or text in template)):
            tokens.add(text)
    # A single character cannot be split by a space, and a token with white space is not a control token.
    return sorted(token for token in tokens if len(token) > 1 and not any(map(str.isspace, token)))


def token_count(tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    """Count the tokens of a text, in which special tokens are recognised; none are added."""
    return len(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False))


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer with 256 byte tokens and the special tokens, without merges.

    Encoding and decoding preserves every Unicode text. Bytes that are not UTF-8, which a model may write, decode to
    U+FFFD.
    """
    # ByteLevel represents each byte by a printable character; the vocabulary consists of those characters.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    core = Tokenizer(models.BPE(vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    return with_special_tokens(core)


def without_special_tokens(text: str, tokens: Iterable[str] = SPECIAL_TOKENS) -> str:
    """Split every literal special token in a text by a space ("</think>" -> "< /think>").

    A prompt is encoded as one string in which special tokens are recognised; those in a record's text must not be.
    No special token contains a space, so that splitting one token never forms another.
    """
    for token in tokens:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
