"""From a question record to an example, or to the reason why it is left out."""

from typing import NamedTuple

from transformers import PreTrainedTokenizerFast

from qtrain.data import data_set
from qtrain.data.records import Record
from qtrain.tasks.base import Example
from qtrain.tasks.byte_tokenizer import without_special_tokens
from qtrain.tasks.prompts import fit, render
from qtrain.tasks.qa_config import QAConfig
from qtrain.tasks.tokenizer import reserved_tokens, token_count


class Made(NamedTuple):
    """What became of a record.

    Attributes:
        example: None where a filter left the record out.
        reason: Which filter.
        prompt_tokens: Length of the whole prompt, before it is cut.
        answer_tokens: Length of y*, END included.
        cut: Whether the example's prompt lost its beginning.
    """

    example: Example | None
    reason: str
    prompt_tokens: int
    answer_tokens: int
    cut: bool


class ExampleMaker:
    """Puts records of one data set before the model, and filters them.

    Args:
        config: The table `[task]`.
        tokenizer: Built from `config`.
    """

    def __init__(self, config: QAConfig, tokenizer: PreTrainedTokenizerFast) -> None:
        self.config, self.tokenizer = config, tokenizer
        self.template = data_set(config.name).warm
        self.reserved = reserved_tokens(tokenizer)

    def make(self, record: Record) -> Made:
        """Make a record's example."""
        config = self.config
        question = self._clean(record.question)
        context = self._clean(f"{record.context}\n") if record.context else ""
        answer = config.answer_prefix + self._clean(record.answer)
        answer_tokens = token_count(self.tokenizer, answer) + 1
        prompt, tokens = fit(
            self.tokenizer,
            lambda kept: render(config.variant, self.tokenizer, self.template, kept, question),
            context,
            config.max_prompt_tokens,
        )
        cut = tokens > config.max_prompt_tokens
        reason = ""
        if not record.answerable:
            reason = "not answerable"
        elif not record.answer and not config.empty_answers:
            reason = "empty answer"
        elif config.max_answer_tokens is not None and answer_tokens > config.max_answer_tokens:
            reason = "answer longer than max_answer_tokens"
        elif prompt is None:
            reason = "question longer than max_prompt_tokens"
        elif cut and config.long_prompts == "drop":
            reason = "prompt longer than max_prompt_tokens"
        if reason or prompt is None:
            return Made(None, reason, tokens, answer_tokens, cut=False)
        aliases = tuple(map(self._clean, record.aliases))
        return Made(Example(record.id, prompt, answer, aliases=aliases), "", tokens, answer_tokens, cut)

    def _clean(self, text: str) -> str:
        return without_special_tokens(text, self.reserved)
