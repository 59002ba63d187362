"""Create or load the model, encode examples, and look up special token ids.

Shape suffixes everywhere in qtrain: B prompts, M rationales per prompt, N = B * M rows (prompt-major), S prompt
tokens, R rationale tokens, A answer tokens, T tokens of a whole row, V vocabulary.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.utils import logging

from qtrain.config import AnyModelConfig, ModelConfig, PretrainedConfig, RolloutConfig
from qtrain.errors import UserError
from qtrain.files import writing
from qtrain.hub import MODEL, find_repository
from qtrain.tasks.base import Example
from qtrain.tasks.delimiters import closer_tokens, is_own_token, turn_ends


class TokenIds(NamedTuple):
    """Ids of the tokens that end a rationale, end an answer, and pad a row.

    Attributes:
        closer: The tokens between rationale and answer, at least one.
        end: Ends an answer.
        pad: Pads a row.
        ends: Tokens that end a rationale without closing it, so that the closer is forced.
        score_closer: Whether a forced closer belongs to the scored answer.
    """

    closer: tuple[int, ...]
    end: int
    pad: int
    ends: tuple[int, ...] = ()
    score_closer: bool = False


def end_and_pad(tokenizer: PreTrainedTokenizerFast) -> tuple[int, int]:
    """Look up the end token and the padding token.

    Raises:
        TypeError: The tokenizer lacks one of them.
    """
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    if not (isinstance(end, int) and isinstance(pad, int)):
        raise TypeError("the tokenizer lacks an end or a padding token")
    return end, pad


def token_ids(tokenizer: PreTrainedTokenizerFast, rollout: RolloutConfig | None = None) -> TokenIds:
    """Look up the special tokens.

    Args:
        tokenizer: The tokenizer.
        rollout: Gives the delimiters, whether END ends a rationale and whether closers are scored; None is the default.

    Raises:
        TypeError: The tokenizer lacks an end or a padding token.
        UserError: It lacks the delimiters.
    """
    rollout = rollout or RolloutConfig()
    end, pad = end_and_pad(tokenizer)
    ends = turn_ends(tokenizer) if rollout.end_ends_rationale else ()
    think, score_closer = rollout.delimiters, rollout.score_closer
    if score_closer is None:
        score_closer = not is_own_token(tokenizer, think)
    return TokenIds(closer_tokens(tokenizer, think), end, pad, ends, score_closer)


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text. Special tokens in the text are recognised, and none are added."""
    return tokenizer(list(texts), add_special_tokens=False)["input_ids"]


def encode_examples(
    tokenizer: PreTrainedTokenizerFast, examples: Sequence[Example]
) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts and gold answers as token ids; each answer ends with the end token."""
    end, _ = end_and_pad(tokenizer)
    answers = encode(tokenizer, [example.answer for example in examples])
    return encode(tokenizer, [example.prompt for example in examples]), [[*answer, end] for answer in answers]


def new_model(config: AnyModelConfig, tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3ForCausalLM:
    """Create a model with random weights.

    Args:
        config: The sizes of its architecture.
        tokenizer: Determines the vocabulary and the special tokens.
        seed: Seeds the weights; the state of the global generator is restored.

    Raises:
        ValueError: `config` names a pretrained model.
    """
    if not isinstance(config, ModelConfig):
        raise ValueError(f"{config.pretrained} is pretrained: load_pretrained reads it")
    end, pad = end_and_pad(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # transformers initialises from the global generator only
        model = Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=len(tokenizer),
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                num_key_value_heads=config.key_value_heads,
                head_dim=config.head_dim,
                max_position_embeddings=config.max_positions,
                tie_word_embeddings=config.tied_embeddings,
                # The library's 0.02 suits widths of thousands; at width 64 the model does not learn the sums.
                initializer_range=config.hidden_size**-0.5,
                eos_token_id=end,
                pad_token_id=pad,
            )
        )
    return model.eval()  # no dropout: training and sampling evaluate the same function


def find_pretrained(config: PretrainedConfig) -> bool:
    """Find a pretrained model, and return whether to read it from this disk only.

    Raises:
        UserError: It is neither a local folder nor on the hub, or lacks files.
    """
    return find_repository("model.pretrained", config.pretrained, config.revision, MODEL).local


def load_pretrained(config: PretrainedConfig, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Load a pretrained model in float32 on the CPU, without running its repository's code or unpickling.

    Raises:
        UserError: It cannot be read, or its vocabulary is smaller than the tokenizer's.
    """
    name, local = config.pretrained, find_pretrained(config)
    logging.disable_progress_bar()  # qtrain shows its own progress
    try:
        model = AutoModelForCausalLM.from_pretrained(
            name,
            revision=config.revision or "main",
            dtype=torch.float32,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=local,
        )
    except Exception as error:  # exceptions of transformers, the hub, safetensors and torch
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"model.pretrained={name!r}: cannot be loaded: {reason}") from None
    if len(tokenizer) > model.config.vocab_size:
        raise UserError(
            f"model.pretrained={name!r}: has {model.config.vocab_size} tokens and task.tokenizer {len(tokenizer)}; "
            f"give the tokenizer that belongs to it"
        )
    return model.eval()  # no dropout: training and sampling evaluate the same function


def empty_model(folder: Path) -> PreTrainedModel:
    """Create a model of the architecture in a folder's `config.json`, with arbitrary weights.

    Raises:
        UserError: The file cannot be read, or describes no causal language model.
    """
    try:
        shape = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.random.fork_rng(devices=[]):
            model = AutoModelForCausalLM.from_config(shape, dtype=torch.float32, trust_remote_code=False)
    except Exception as error:  # exceptions of transformers and json
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"{folder}: its config.json cannot be read: {reason}") from None
    return model.eval()


def write_model_files(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write a model folder without weights, unless it exists: the model's configuration and the tokenizer.

    Raises:
        UserError: The folder cannot be written.
    """
    if folder.exists():
        return
    partial = folder.with_name(f".{folder.name}.partial")
    with writing(folder):
        shutil.rmtree(partial, ignore_errors=True)
        model.config.save_pretrained(partial)
        if model.generation_config is not None:
            model.generation_config.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(folder)
