"""The rollout engines by name: what samples rationales and answers, scores given answers, and takes new weights."""

from transformers import PreTrainedModel

from qtrain.config import RolloutConfig
from qtrain.policy.model import TokenIds
from qtrain.rollout.engine import Engine
from qtrain.rollout.transformers import TransformersEngine
from qtrain.rollout.vllm import VllmEngine
from qtrain.rollout.vllm_process import check_installed


def make_engine(
    config: RolloutConfig, model: PreTrainedModel, ids: TokenIds, *, cache_bytes: int | None = None
) -> Engine:
    """The engine of a configuration, with this model's weights.

    Args:
        config: Its `engine`, and for vllm its sizes and its table `vllm`.
        model: The policy.
        ids: Special tokens.
        cache_bytes: Of transformers, most memory of its KV cache (see `qtrain.rollout.memory.cache_limit`).

    Raises:
        UserError: It is not installed, does not start, or this process already runs it for another model.
    """
    if config.engine == "vllm":
        return VllmEngine(model, ids, config)
    return TransformersEngine(model, ids, cache_bytes)


def check_engine(config: RolloutConfig) -> None:
    """Refuse an engine that is not installed, before any work is done.

    Raises:
        UserError: It is not.
    """
    if config.engine == "vllm":
        check_installed()
