"""Start vLLM, once per process, and turn its errors into one line."""

import copy
import importlib
import importlib.util
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from qtrain.config import RolloutConfig
from qtrain.errors import UserError

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: weights are handed over without a copy on disk
    "VLLM_LOGGING_LEVEL": "ERROR",  # progress has the terminal
    "VLLM_NO_USAGE_STATS": "1",
}
"""Environment variables that vLLM reads when it is imported. Values set by the user are kept, except for the first."""

CPU_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # models that fit a CPU are slowed down by threads that wait for each other
    "TORCHDYNAMO_DISABLE": "1",  # compiling takes longer than such a model's whole run
    "VLLM_CPU_CI_ENV": "1",  # fewer and quicker warm-ups
}
"""Further environment variables without a GPU."""

CPU_BLOCK = 32
"""Tokens per block of the KV cache on a CPU. With vLLM's default of 128, short prompts would not be shared."""


def installed() -> bool:
    """Return whether vLLM is installed. A folder named vllm without code, a namespace package, does not count."""
    spec = importlib.util.find_spec("vllm")
    return spec is not None and spec.origin is not None


def check_installed() -> None:
    """Check that vLLM is installed.

    Raises:
        UserError: vLLM is not installed.
    """
    if not installed():
        raise UserError(
            "rollout.engine=vllm: vLLM is not installed here; with a GPU `pip install 'qcontinuum[vllm]'`, without one "
            "`make test-vllm` puts a CPU build into .venv-vllm; or use rollout.engine=transformers"
        )


@contextmanager
def report_errors(event: str) -> Iterator[None]:
    """Turn any exception of vLLM, which has many classes of them, into a one-line UserError chained to it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"rollout.engine=vllm: vLLM {event}: {reason}") from error


class Process:
    """The process's vllm.LLM, the settings and model it was made for, and the engine that uses it now."""

    llm: Any = None
    made_for: str = ""
    owner: object = None


def get_llm(model: PreTrainedModel, config: RolloutConfig) -> Any:
    """Return the process's vllm.LLM, which is started at the first call.

    Raises:
        UserError: vLLM cannot be started, or was started for another model.
    """
    check_installed()
    settings = _settings(model, config)
    made_for = json.dumps([settings, model.config.to_dict()], sort_keys=True, default=str)
    if Process.llm is None:
        Process.llm = _start(model.config, type(model).__name__, settings)
        Process.made_for = made_for
    elif Process.made_for != made_for:
        raise UserError(
            "rollout.engine=vllm: this process already runs vLLM for another model or rollout size, and vLLM allows "
            "one a process; give each its own command"
        )
    return Process.llm


def _settings(model: PreTrainedModel, config: RolloutConfig) -> dict[str, Any]:
    """Return the arguments of vllm.LLM.

    Raises:
        UserError: A row does not fit into the cache's limit.
    """
    shape, on_gpu = model.config, model.device.type == "cuda"
    itemsize = torch.empty(0, dtype=getattr(torch, config.vllm.dtype)).element_size()
    token_bytes = 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim * itemsize
    # The cache has room for a batch of full length, within the limit. A row may waste most of a block, and vLLM itself
    # reserves a block.
    row_bytes = (shape.max_position_embeddings + 2 * CPU_BLOCK) * token_bytes
    max_bytes = int(config.vllm.cache_gib * 2**30)
    if max_bytes < row_bytes:
        raise UserError(
            f"rollout.vllm.cache_gib={config.vllm.cache_gib:g}: a row of {shape.max_position_embeddings} tokens needs "
            f"{row_bytes / 2**30:.2g}; raise it"
        )
    settings = {
        "dtype": config.vllm.dtype,
        "max_model_len": shape.max_position_embeddings,
        "kv_cache_memory_bytes": min(config.prompts * config.samples * row_bytes, max_bytes),
        "skip_tokenizer_init": True,  # token in, token out
        "load_format": "dummy",  # the weights are synced afterwards
        "generation_config": "vllm",  # no sampling defaults from a model's folder
        "logprobs_mode": "raw_logprobs",  # the model's own, whatever the sampling settings
        "enable_prefix_caching": True,
        "enforce_eager": not on_gpu,
        "enable_sleep_mode": on_gpu,
    }
    return settings if on_gpu else settings | {"block_size": CPU_BLOCK}


def _start(shape: PreTrainedConfig, architecture: str, settings: dict[str, Any]) -> Any:
    for key, value in (ENVIRONMENT if settings["enable_sleep_mode"] else ENVIRONMENT | CPU_ENVIRONMENT).items():
        os.environ.setdefault(key, value)
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    shape = copy.deepcopy(shape)
    shape.architectures = [architecture]
    with tempfile.TemporaryDirectory() as folder:
        shape.save_pretrained(folder)
        with report_errors("does not start"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about vLLM's own code do not concern the user
            vllm = importlib.import_module("vllm")
            if not settings["enable_sleep_mode"]:
                _check_head_dim(shape.head_dim)
            return vllm.LLM(folder, **settings)


def _check_head_dim(head_dim: int) -> None:
    """Check that vLLM supports this size on a CPU, where it would otherwise fail at the first request."""
    backend = importlib.import_module("vllm.v1.attention.backends.cpu_attn").CPUAttentionBackend
    if not backend.supports_head_size(head_dim):
        sizes = ", ".join(map(str, backend.get_supported_head_sizes()))
        raise UserError(f"model.head_dim={head_dim}: vLLM on a CPU has {sizes}; choose one, or engine=transformers")
