"""Choose a model's forward pass for training: packed rows if that is the same function, else padded rows."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from qtrain.errors import UserError
from qtrain.forward.attention import packed_attention
from qtrain.forward.head import log_probs, output_matrix
from qtrain.forward.micro_batches import run_packed
from qtrain.forward.packing import PackedBatch
from qtrain.forward.plain import PaddedBatch, run_padded
from qtrain.forward.rows import RATIONALE, PackedRow
from qtrain.policy.device import Dtype

TOLERANCE = 1e-3
"""Largest allowed difference in nats between a token's log p here and by the model's own forward pass.

It is far above rounding.
"""

TRIAL = ([[1, 2, 3], [4, 5, 6, 7, 1]], [[2, 4, 6], [5, 3], [1, 7], [3, 6, 2, 5]])
"""Two prompts of different lengths and two rows of each, as token ids, that are run both ways."""


class ForwardPass:
    """Runs rows through a model and gives the states, or the logits, that predict their tokens.

    Args:
        model: The model.
        reason: Why rows cannot be packed; None if they are.
        has_matrix: Whether the model's logits are its output matrix times its decoder's states.

    Attributes:
        reason: As above.
    """

    def __init__(self, model: PreTrainedModel, reason: str | None, *, has_matrix: bool) -> None:
        self._model, self.reason, self._has_matrix = ref(model), reason, has_matrix

    @property
    def is_packed(self) -> bool:
        """Whether rows are packed, so that each prompt is run once for all its rows."""
        return self.reason is None

    @property
    def model(self) -> PreTrainedModel:
        """The model; it is not kept alive by this object."""
        model = self._model()
        assert model is not None
        return model

    @property
    def head(self) -> nn.Linear | nn.Identity:
        """The last layer, for the functions of `qtrain.forward.head`: an identity if `run` yields logits."""
        return output_matrix(self.model) if self._has_matrix else nn.Identity()

    def attention(self) -> AbstractContextManager[None]:
        """Return the context for `run` and for the backward passes that follow it."""
        return packed_attention(self.model) if self.is_packed else nullcontext()

    def run(
        self,
        prompts: Sequence[list[int]],
        rows: Sequence[PackedRow],
        *,
        max_tokens: int | None,
        dtype: Dtype = "float32",
    ) -> Iterator[tuple[PackedBatch | PaddedBatch, Tensor]]:
        """Run rows; arguments and results as in `run_packed` and `run_padded`."""
        if self.is_packed:
            return run_packed(self.model, prompts, rows, max_tokens=max_tokens, dtype=dtype)
        return run_padded(self.model, prompts, rows, max_tokens=max_tokens, dtype=dtype, logits=not self._has_matrix)


_passes: WeakKeyDictionary[PreTrainedModel, ForwardPass] = WeakKeyDictionary()
"""The forward pass of each model that has been tried."""


def forward_pass(model: PreTrainedModel) -> ForwardPass:
    """Return a model's forward pass, chosen at the first call.

    Rows are packed if every layer has full causal attention that can be replaced, and the output is a matrix. The
    configuration is read first. Then a few rows are run both ways, which catches what a configuration does not show,
    such as scaled or capped logits, or positions that the model counts by itself.

    Raises:
        UserError: The model is not causal; one line says so.
    """
    if model not in _passes:
        with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
            trial = run_alone(model)
            if not trial.log_p_K.isfinite().all():
                # The weights have diverged, which the caller reports, and tell nothing about the model.
                return ForwardPass(model, partial_attention(model), has_matrix=True)
            _passes[model] = _choose(model, trial)
    return _passes[model]


def check_model(model: PreTrainedModel) -> list[str]:
    """Choose a model's forward pass before a run starts, and say so in one line if rows are not packed.

    Raises:
        UserError: The model is not causal.
    """
    reason = forward_pass(model).reason
    if reason is None:
        return []
    return [f"{type(model).__name__}: {reason}: each rollout is run with its own prompt, padded, which is slower"]


def partial_attention(model: PreTrainedModel) -> str | None:
    """Name the attention of a model that has layers without full causal attention; None if it has none."""
    config = model.config.get_text_config()
    kinds = sorted({str(kind) for kind in getattr(config, "layer_types", None) or []} - {"full_attention"})
    if kinds:
        return f"layers of kind {', '.join(kinds)}"
    window = getattr(config, "sliding_window", None)
    if window is not None and getattr(config, "use_sliding_window", True):
        return f"sliding_window={window}"
    return None


class Trial(NamedTuple):
    """The rows of `TRIAL` by the model's own forward pass.

    Attributes:
        prompts: Token ids of each prompt.
        rows: The rows.
        log_p_K: log p of the rows' tokens, row by row.
    """

    prompts: list[list[int]]
    rows: list[PackedRow]
    log_p_K: Tensor


def _choose(model: PreTrainedModel, trial: Trial) -> ForwardPass:
    reason, has_matrix = partial_attention(model), _has_only_a_matrix(model, trial)
    if reason is None and not has_matrix:
        reason = "it does more to its states than to multiply them by an output matrix"
    if reason is None:
        reason = _difference(ForwardPass(model, None, has_matrix=True), trial)
    return ForwardPass(model, reason, has_matrix=has_matrix)


def run_alone(model: PreTrainedModel) -> Trial:
    """Run each row by itself.

    Raises:
        UserError: Later tokens change a token's log p.
    """
    vocabulary = model.config.get_text_config().vocab_size
    prompts, tokens = ([[token % vocabulary for token in row] for row in part] for part in TRIAL)
    rows = [PackedRow(index // 2, row, [RATIONALE] * len(row)) for index, row in enumerate(tokens)]
    log_p = []
    for row in rows:
        prompt = prompts[row.prompt]
        whole = torch.tensor([prompt + row.tokens], device=model.device)
        log_p_TV = model(input_ids=whole, use_cache=False).logits[0].float().log_softmax(-1)
        log_p.append(log_p_TV[len(prompt) - 1 : -1].gather(1, whole[0, len(prompt) :, None])[:, 0])
        without_end = model(input_ids=whole[:, :-1], use_cache=False).logits[0].float().log_softmax(-1)
        if not torch.allclose(without_end, log_p_TV[:-1], rtol=0, atol=TOLERANCE, equal_nan=True):
            raise UserError(
                f"{type(model).__name__}: log p of a token depends on later tokens; a causal language model is needed"
            )
    return Trial(prompts, rows, torch.cat(log_p))


def _has_only_a_matrix(model: PreTrainedModel, trial: Trial) -> bool:
    """Return whether logits are the output matrix times the decoder's states, by one row of the trial.

    The tolerance is rounding's, since a cap on the logits changes small ones little.
    """
    tokens = torch.tensor([trial.prompts[0] + trial.rows[0].tokens], device=model.device)
    try:
        matrix = output_matrix(model)
        logits = matrix(model.get_decoder()(input_ids=tokens, use_cache=False).last_hidden_state)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, UserError, ValueError):
        return False
    expected = model(input_ids=tokens, use_cache=False).logits
    return logits.shape == expected.shape and bool((logits - expected).abs().max() <= 1e-6 * expected.abs().max())


def _difference(packed: ForwardPass, trial: Trial) -> str | None:
    """Say how packed rows differ from the model's own forward pass on the trial; None if they do not."""
    try:
        with packed.attention():
            ((batch, states_KD),) = packed.run(trial.prompts, trial.rows, max_tokens=None)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        return f"its attention cannot be replaced: {' '.join(str(error).split())[:100]}"
    # Packing keeps the order of rows, and of tokens within a row.
    log_p_K = log_probs(packed.head, states_KD, batch.target_K).float()
    worst = int((log_p_K - trial.log_p_K).abs().argmax())
    if abs(float(log_p_K[worst] - trial.log_p_K[worst])) <= TOLERANCE:
        return None
    return (
        f"log p of a token is {float(log_p_K[worst]):.6g} by packed rows and {float(trial.log_p_K[worst]):.6g} by its "
        "own forward pass"
    )
