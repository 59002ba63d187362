"""Render the prompt of a record, cold or warm, and cut long prompts to fit.

cold   context, question, opener   without a task description or format instruction; of a chat the earlier turns'
       texts come first, a line each
warm   the data set's template with context and question, as the user's turn of the tokenizer's chat template with
       thinking on (as plain text if the tokenizer has no chat template), opener; of a chat after its earlier turns

The opener is the first of the delimiters `rollout.think`, by default <think>.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from transformers import PreTrainedTokenizerFast

from qtrain.errors import UserError
from qtrain.tasks.delimiters import DEFAULT_DELIMITERS, Delimiters
from qtrain.tasks.records import Turn
from qtrain.tasks.tokenizer import token_count

Variant = Literal["cold", "warm"]


def render(
    variant: Variant,
    tokenizer: PreTrainedTokenizerFast,
    template: str,
    context: str,
    question: str,
    *,
    earlier: Sequence[Turn] = (),
    think: Delimiters = DEFAULT_DELIMITERS,
) -> str:
    """Render a prompt, up to and including the opener.

    Args:
        variant: cold or warm.
        tokenizer: Its chat template is used for warm prompts, if it has one.
        template: The data set's warm template.
        context: The context; each line ends with a line break.
        question: The question.
        earlier: Turns of a chat before the question.
        think: The delimiters of a rationale.

    Raises:
        UserError: The tokenizer's chat template fails on these turns, does not show them unchanged, or closes the
            thought that it should leave open.
    """
    lines = "".join(f"{turn.content}\n" for turn in earlier)
    if variant == "cold":
        return lines + context + question + think.opener
    text = template.format(context=context, question=question)
    if tokenizer.chat_template is None:
        return f"{lines}{text}\n{think.opener}"
    turns = [*(turn._asdict() for turn in earlier), {"role": "user", "content": text}]
    try:
        chat = str(
            tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, enable_thinking=True)
        )
    except Exception as error:  # a template may raise anything, MemoryError and RecursionError included
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"task.tokenizer: its chat template fails: {reason}") from None
    before, shown, after = chat.rpartition(text.strip())  # a template may strip the turn
    if not shown:
        raise UserError(
            f"task.tokenizer: its chat template does not show the user's turn as it is: {_ends(text)} becomes "
            f"{_ends(chat)}; set task.variant=cold, or give a tokenizer whose template takes plain text"
        )
    if dropped := next((turn for turn in earlier if turn.content.strip() not in before), None):
        raise UserError(
            f"task.tokenizer: its chat template does not show the {dropped.role}'s turn as it is: "
            f"{_ends(dropped.content)}; set task.variant=cold, or leave such turns out of the records"
        )
    if think.closer in after and think.opener not in after.rpartition(think.closer)[2]:
        raise UserError(
            f"task.tokenizer: its chat template closes the thought before the model has begun it: the prompt ends in "
            f"{_ends(after)}; set task.variant=cold, or give a template that leaves thinking on"
        )
    # Some templates open the thought themselves, others leave that to the model.
    opens_itself = bool(think.opener) and after.rstrip().endswith(think.opener)
    return f"{before}{shown}{after.rstrip()}" if opens_itself else f"{chat}{think.opener}"


def _ends(text: str) -> str:
    """The first and last characters of a text, in quotes and with escapes."""
    return repr(text if len(text) <= 60 else f"{text[:30]}...{text[-30:]}")


def fit(
    tokenizer: PreTrainedTokenizerFast, render_context: Callable[[str], str], context: str, limit: int
) -> tuple[str | None, int]:
    """Cut a context from the left, in whole characters, until its prompt has at most `limit` tokens.

    Args:
        tokenizer: Counts the tokens.
        render_context: Renders the prompt for a context.
        context: The whole context.
        limit: Most tokens of the prompt.

    Returns:
        The prompt, or None if it is too long even without context; and the length of the whole prompt, in tokens.
    """
    prompt = render_context(context)
    whole = tokens = token_count(tokenizer, prompt)
    if tokens <= limit:
        return prompt, whole
    starts = [start for start, _ in tokenizer.backend_tokenizer.encode(context, add_special_tokens=False).offsets]
    cut = 0
    while tokens > limit:
        if cut >= len(starts):
            return None, whole
        cut += tokens - limit
        while cut < len(starts) and starts[cut] == starts[cut - 1]:
            cut += 1  # a token inside a character, which is cut as a whole
        prompt = render_context(context[starts[cut] :] if cut < len(starts) else "")
        tokens = token_count(tokenizer, prompt)
    return prompt, whole
