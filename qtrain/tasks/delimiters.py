"""Look up the strings before and after a rationale, and the tokens that end a model's turn."""

from typing import NamedTuple

from transformers import PreTrainedTokenizerFast

from qtrain.errors import UserError

THINK, END_THINK = "<think>", "</think>"


class Delimiters(NamedTuple):
    """The setting `rollout.think`: a rationale follows the opener and ends with the closer.

    Attributes:
        opener: Text at the end of every prompt; may be empty.
        closer: Text between rationale and answer.
    """

    opener: str = THINK
    closer: str = END_THINK


DEFAULT_DELIMITERS = Delimiters()


def closer_tokens(tokenizer: PreTrainedTokenizerFast, think: Delimiters) -> tuple[int, ...]:
    """Encode the closer.

    Raises:
        UserError: The tokenizer lacks the default delimiters, or cannot encode the given ones.
    """
    where = f"rollout.think={list(think)!r}: "
    if think == DEFAULT_DELIMITERS:
        vocabulary = tokenizer.get_vocab()
        missing = [text for text in think if text not in vocabulary]
        if missing:
            raise UserError(
                f"{where}the tokenizer lacks the token {' and '.join(missing)}; set other delimiters, texts of any "
                f'number of tokens: rollout.think=["", "\\nAnswer:"]'
            )
        return (vocabulary[think.closer],)
    opener, closer = (tokenizer.encode(text, add_special_tokens=False) for text in think)
    for text, tokens in zip(think, (opener, closer), strict=True):
        # Some tokenizers, the testbed's for one, write padding for what they do not know.
        is_padding = tokenizer.pad_token_id in tokens and str(tokenizer.pad_token) not in text
        if is_padding or (tokenizer.unk_token_id is not None and tokenizer.unk_token_id in tokens):
            raise UserError(f"{where}the tokenizer has no tokens for {text!r}; choose a text that it can encode")
    if not closer:
        raise UserError(f"{where}the tokenizer makes no token of the closer {think.closer!r}; choose another text")
    return tuple(closer)


def is_own_token(tokenizer: PreTrainedTokenizerFast, think: Delimiters) -> bool:
    """Return whether the closer is a single token that was added to the vocabulary for such a purpose."""
    return think == DEFAULT_DELIMITERS or think.closer in tokenizer.get_added_vocab()


def turn_ends(tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
    """Return the end token, and the token after an assistant's turn in the chat template if it is another one."""
    end = tokenizer.eos_token_id
    ends = [end] if isinstance(end, int) else []
    if tokenizer.chat_template is None:
        return tuple(ends)
    answer = "The answer."
    turns = [{"role": "user", "content": "A question?"}, {"role": "assistant", "content": answer}]
    try:
        chat = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except Exception:  # a template may raise anything, and need not know an assistant's turn
        return tuple(ends)
    _, shown, after = chat.rpartition(answer)
    first = tokenizer.encode(after.lstrip(), add_special_tokens=False)[:1] if shown else []
    # Some templates write plain text after a turn, which is no mark of its end.
    return tuple(dict.fromkeys([*ends, *(token for token in first if token in tokenizer.added_tokens_decoder)]))
