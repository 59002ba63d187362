"""Refuse models for which the packed forward pass would be wrong, in one line before a run starts."""

import torch
from transformers import PreTrainedModel

from qtrain.errors import UserError
from qtrain.forward.attention import packed_attention
from qtrain.forward.head import log_probs, output_matrix
from qtrain.forward.micro_batches import run_micro_batches
from qtrain.forward.rows import RATIONALE, PackedRow

TOLERANCE = 1e-3
"""Largest allowed difference in nats between a token's log p here and by the model's own forward pass.

It is far above rounding.
"""


def check_model(model: PreTrainedModel) -> None:
    """Refuse a model that is more than a decoder with rotary positions and full causal attention, and an output matrix.

    The configuration is read first. Then three tokens are run both ways, which catches what a configuration does not
    show, such as scaled or capped logits.

    Raises:
        UserError: The model is not supported; one line gives the reason.
    """
    config, name = model.config.get_text_config(), type(model).__name__
    kinds = sorted({str(kind) for kind in getattr(config, "layer_types", None) or []} - {"full_attention"})
    if kinds:
        raise UserError(f"{name}: layers of kind {', '.join(kinds)}: {_NEEDED}")
    window = getattr(config, "sliding_window", None)
    if window is not None and getattr(config, "use_sliding_window", True):
        raise UserError(f"{name}: sliding_window={window}: {_NEEDED}")
    output_matrix(model)
    _compare(model, name)


_NEEDED = "training needs full causal attention in every layer, since rationales share one run of their prompt"


@torch.no_grad()
def _compare(model: PreTrainedModel, name: str) -> None:
    prompt, row = [1, 2], PackedRow(0, [3], [RATIONALE])
    try:
        with packed_attention(model):
            micro_batch, states_KD = next(run_micro_batches(model, [prompt], [row], max_tokens=None))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{name}: its attention cannot be replaced: {error}") from None
    actual = log_probs(output_matrix(model), states_KD, micro_batch.target_K)
    tokens = torch.tensor([prompt + row.tokens], device=model.device)
    expected = model(input_ids=tokens, use_cache=False).logits[0, 1].float().log_softmax(-1)[row.tokens[0]]
    if not torch.allclose(actual[0].float(), expected, rtol=0, atol=TOLERANCE):
        raise UserError(
            f"{name}: log p of a token is {float(actual[0]):.6g} by its decoder and output matrix and "
            f"{float(expected):.6g} by its own forward pass, which does more; choose another architecture"
        )
