"""Rollouts: sample rationales and answers from the policy, and score gold answers, with one of two engines.

`engine` is the interface, `transformers` and `vllm` (with `vllm_process`) are the engines. The former draws by
`sampling`, and `caches` chooses its KV cache, `shared_prompt` or `own_cache`. `rollouts` samples a batch with an
engine, `mismatch` compares an engine with the trainer, and `memory` computes how much of a batch fits into the cache.
"""

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
    """Make the engine that a configuration names, with this model's weights.

    Args:
        config: `engine` names it; vllm also uses the sizes and the table `vllm`.
        model: The policy.
        ids: Special tokens.
        cache_bytes: Largest KV cache of the engine transformers (see `qtrain.rollout.memory.cache_limit`).

    Raises:
        UserError: The engine is not installed, does not start, or already runs in this process for another model.
    """
    if config.engine == "vllm":
        return VllmEngine(model, ids, config)
    return TransformersEngine(model, ids, cache_bytes)


def check_engine(config: RolloutConfig) -> None:
    """Check that the engine is installed, before any work is done.

    Raises:
        UserError: The engine is not installed.
    """
    if config.engine == "vllm":
        check_installed()
