"""Build examples from question records, or state why a record is left out."""

from typing import NamedTuple

from transformers import PreTrainedTokenizerFast

from qtrain.tasks.base import Example
from qtrain.tasks.delimiters import DEFAULT_DELIMITERS, Delimiters
from qtrain.tasks.limits import RowLimits
from qtrain.tasks.prompts import fit, render
from qtrain.tasks.qa_config import QAConfig
from qtrain.tasks.records import Record, Turn
from qtrain.tasks.tokenizer import reserved_tokens, token_count, without_special_tokens

CHAT_TEMPLATE = "{context}{question}"
"""Template of the last turn of a record that is a chat."""

TOO_LONG = ("longer than rollout.answer_budget", "longer than max_prompt_tokens", "longer than the model's positions")
"""Endings of the reasons that `task.long_answers` and `task.long_prompts` govern."""


class Draft(NamedTuple):
    """A record with its answer measured. Its prompt is built later, when the budgets are known.

    Attributes:
        record: The record.
        answer: y*, without END.
        answer_tokens: Length of y*, END included.
        reason: The filter that leaves the record out whatever the budgets are; "" for none.
    """

    record: Record
    answer: str
    answer_tokens: int
    reason: str


class BuildResult(NamedTuple):
    """An example, or the reason why the record is left out.

    Attributes:
        example: The example; None if a filter left the record out.
        reason: The filter that left it out; "" for none.
        prompt_tokens: Length of the whole prompt, before any cut.
        answer_tokens: Length of y*, END included.
        cut: Whether the beginning of the example's context was cut off.
        unreachable: Whether y* is longer than the answer budget, so that no sampled answer can equal it.
    """

    example: Example | None
    reason: str
    prompt_tokens: int
    answer_tokens: int
    cut: bool
    unreachable: bool


class ExampleBuilder:
    """Filters the records of one data set and turns them into examples.

    Args:
        config: The table `[task]`.
        tokenizer: The tokenizer that `config` names.
        think: The delimiters of a rationale.
    """

    def __init__(
        self, config: QAConfig, tokenizer: PreTrainedTokenizerFast, think: Delimiters = DEFAULT_DELIMITERS
    ) -> None:
        self.config, self.tokenizer, self.think = config, tokenizer, think
        self.template = config.data_set().warm
        self.reserved = reserved_tokens(tokenizer, think)

    def draft(self, record: Record) -> Draft:
        """Measure a record's answer, and apply the filters that need no budgets."""
        config = self.config
        answer = config.answer_prefix + self._clean(record.answer)
        tokens = token_count(self.tokenizer, answer) + 1
        reason = ""
        if not record.answerable:
            reason = "not answerable"
        elif not record.answer and not config.empty_answers:
            reason = "empty answer"
        elif config.max_answer_tokens is not None and tokens > config.max_answer_tokens:
            reason = "answer longer than max_answer_tokens"
        return Draft(record, answer, tokens, reason)

    def build(self, draft: Draft, limits: RowLimits) -> BuildResult:
        """Build a record's example within the limits, whose budgets must be resolved.

        Raises:
            UserError: The tokenizer's chat template does not show the question unchanged.
        """
        config, record = self.config, draft.record
        room = limits.prompt_room(draft.answer_tokens)
        by_positions = room is not None and room < config.max_prompt_tokens
        limit = room if room is not None and by_positions else config.max_prompt_tokens
        limit_name = TOO_LONG[2] if by_positions else TOO_LONG[1]
        question = self._clean(record.question)
        context = self._clean(f"{record.context}\n") if record.context else ""
        # A chat is shown as it is, since its own turns hold the instructions.
        template = CHAT_TEMPLATE if record.chat else self.template
        earlier = [Turn(turn.role, self._clean(turn.content)) for turn in record.chat[:-1]]
        prompt, tokens = fit(
            self.tokenizer,
            lambda shortened: render(
                config.variant, self.tokenizer, template, shortened, question, earlier=earlier, think=self.think
            ),
            context,
            limit,
        )
        cut = tokens > limit
        unreachable = 0 < limits.answer_budget < draft.answer_tokens
        reason = draft.reason
        if not reason and unreachable and config.long_answers != "keep":
            reason = f"answer {TOO_LONG[0]}"
        elif not reason and prompt is None:
            reason = f"question {limit_name}"
        elif not reason and cut and config.long_prompts != "cut":
            reason = f"prompt {limit_name}"
        if reason or prompt is None:
            return BuildResult(None, reason, tokens, draft.answer_tokens, cut=False, unreachable=unreachable)
        aliases = tuple(map(self._clean, record.aliases))
        messages = [turn._asdict() for turn in record.chat] or None
        example = Example(record.id, prompt, draft.answer, aliases=aliases, messages=messages, columns=record.columns)
        return BuildResult(example, "", tokens, draft.answer_tokens, cut, unreachable)

    def refuses(self, reason: str) -> bool:
        """True if a record left out for this reason ends the run (see `long_answers`, `long_prompts`)."""
        setting = self.config.long_answers if reason.startswith("answer") else self.config.long_prompts
        return setting == "fail" and reason.endswith(TOO_LONG)

    def _clean(self, text: str) -> str:
        return without_special_tokens(text, self.reserved)
