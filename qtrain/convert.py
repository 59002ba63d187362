"""Convert a GGUF file into a model folder that transformers, vLLM and qtrain read: float32 weights and a tokenizer."""

import importlib
import importlib.util
import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from qtheory.command.console import TextConsole
from qtrain.errors import UserError, nearest_path
from qtrain.files import give_usual_mode

DIGITS = {
    **dict.fromkeys(["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "qwen2"], 1),
    **dict.fromkeys(["deepseek-r1-qwen", "tekken"], 1),
    **dict.fromkeys(["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "dbrx", "smaug-bpe", "lfm2"], 3),
    **dict.fromkeys(["gpt-2", "phi-2", "mpt", "olmo"], math.inf),
}
"""Most digits in one token, by the file's `tokenizer.ggml.pre`, as llama.cpp splits text before it merges."""

ROUND_TRIPS = (
    "Paul had 14 coins and lost 1234567.",
    "  Two spaces, a tab\tand\n\nline breaks  \n",
    "It's 3.5% of $1,000 (about 2^10); isn't it?",
    "naïve café, Ελληνικά, 数学, 🙂",
    "def f(x):\n    return x[0] ** 2  # comment",
)
"""Texts that a tokenizer must encode and decode without a change."""

_console = TextConsole()


class Converted(NamedTuple):
    """A converted model, before it is written.

    Attributes:
        model: In float32, without a quantization.
        tokenizer: The tokenizer of the file, or the one that was given for it.
        notes: One line for each thing that was repaired, or that the user should look at.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    notes: list[str]


def convert_command(source: Path, out: Path, tokenizer: Path | None) -> None:
    """See `qtrain.cli.convert`."""
    file = find_gguf(source)
    if out.exists():
        raise UserError(f"{out}: exists already; choose another folder")
    if importlib.util.find_spec("gguf") is None:
        raise UserError("the package gguf is not installed here: pip install 'qcontinuum[gguf]'")
    converted = convert(file, tokenizer)
    write(converted, out)
    model = converted.model
    for line in (
        *converted.notes,
        f"{out}: {type(model).__name__}, {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters, "
        f"{len(converted.tokenizer)} tokens, {'with' if converted.tokenizer.chat_template else 'no'} chat template",
    ):
        _console.print(line, markup=False, highlight=False, soft_wrap=True)


def find_gguf(source: Path) -> Path:
    """Return the GGUF file of a path: the file itself, or the only one in a folder.

    Raises:
        UserError: There is none, or there are several.
    """
    if source.is_dir():
        files = sorted(source.glob("*.gguf"))
        if len(files) != 1:
            names = ", ".join(file.name for file in files[:5])
            raise UserError(f"{source}: the folder has {f'several: {names}; name one' if files else 'no .gguf file'}")
        return files[0]
    if not source.exists():
        near = nearest_path(source)
        raise UserError(f"{source}: no such file{'' if near is None else f'; did you mean {str(near)!r}?'}")
    with source.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise UserError(f"{source}: is no GGUF file; `model.pretrained` reads folders of safetensors as they are")
    return source


def convert(file: Path, tokenizer_folder: Path | None = None) -> Converted:
    """Dequantise a GGUF file to float32 and make its tokenizer.

    Args:
        file: The file.
        tokenizer_folder: A folder with the model's own `tokenizer.json`, which is then taken instead of the file's.

    Raises:
        UserError: The file cannot be read, or the tokenizer changes a text or belongs to another model.
    """
    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        fields = importlib.import_module("gguf").GGUFReader(file).fields
        model = _plain_model(
            AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        )
        notes: list[str] = []
        if tokenizer_folder is None:
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            notes = split_digits(tokenizer, _value(fields, "tokenizer.ggml.pre"))
        else:
            tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_folder, local_files_only=True)
    except Exception as error:  # exceptions of transformers, gguf, numpy and torch
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"{file}: cannot be converted: {reason}") from None
    finally:
        logging.set_verbosity(verbosity)
    check_vocabulary(tokenizer, _value(fields, "tokenizer.ggml.tokens"), model.config.get_text_config().vocab_size)
    check_round_trips(tokenizer)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config, name, getattr(tokenizer, name))
        if model.generation_config is not None:
            setattr(model.generation_config, name, getattr(tokenizer, name))
    return Converted(model, tokenizer, notes)


def _value(fields: dict[str, Any], name: str) -> Any:
    return fields[name].contents() if name in fields else None


def _plain_model(dequantised: PreTrainedModel) -> PreTrainedModel:
    """Copy the weights into a model without a quantization: transformers does not save one that it dequantised."""
    values = dequantised.config.to_dict()
    values.pop("quantization_config", None)
    with torch.random.fork_rng(devices=[]):
        model = type(dequantised)(type(dequantised.config).from_dict(values)).float()
    model.load_state_dict(dequantised.state_dict())
    model.tie_weights()
    return model.eval()


def split_digits(tokenizer: PreTrainedTokenizerFast, name: str | None) -> list[str]:
    """Split numbers as the model's own tokenizer does, which transformers does not read from every file.

    Args:
        tokenizer: Changed if its model has one token a digit, and it does not split numbers.
        name: The file's `tokenizer.ggml.pre`; None for a SentencePiece tokenizer, which has no such step.

    Returns:
        A line if something was repaired or is unknown.
    """
    core = tokenizer.backend_tokenizer
    if name is None or core.pre_tokenizer is None:
        return []
    if name not in DIGITS:
        return [
            f"tokenizer.ggml.pre={name!r}: how it splits numbers and words is not known here; compare a few token ids "
            "with the original's, or give the original by --tokenizer"
        ]
    # A piece may have a space before its digits.
    longest = max(sum(map(str.isdigit, piece)) for piece, _ in core.pre_tokenizer.pre_tokenize_str("a 1234567"))
    if longest <= DIGITS[name]:
        return []
    if DIGITS[name] > 1:
        return [
            f"tokenizer.ggml.pre={name!r}: a token should have at most {DIGITS[name]} digits and has "
            "more; give the model's own tokenizer by --tokenizer"
        ]
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), core.pre_tokenizer])
    return [f"tokenizer.ggml.pre={name!r}: repaired: one token a digit, which transformers does not read from the file"]


def check_vocabulary(tokenizer: PreTrainedTokenizerFast, tokens: list[str], size: int) -> None:
    """Compare a tokenizer with the file's list of tokens.

    Raises:
        UserError: It has ids that the model lacks, or other tokens.
    """
    vocabulary = tokenizer.get_vocab()
    if max(vocabulary.values()) >= size:
        raise UserError(
            f"the tokenizer has {max(vocabulary.values()) + 1} tokens and the model {size}; give the model's own by "
            "--tokenizer FOLDER"
        )
    # Some vocabularies spell a space in another way, so that a share of the tokens must be the same, not all.
    same = sum(vocabulary.get(token) == index for index, token in enumerate(tokens))
    if same < 0.99 * len(tokens):
        raise UserError(
            f"the tokenizer has {same} of the file's {len(tokens)} tokens at their ids: it belongs to another model"
        )


def check_round_trips(tokenizer: PreTrainedTokenizerFast) -> None:
    """Encode and decode `ROUND_TRIPS`.

    Raises:
        UserError: A text comes back changed.
    """
    for text in ROUND_TRIPS:
        decoded = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False), clean_up_tokenization_spaces=False)
        if decoded != text:
            raise UserError(
                f"the tokenizer that transformers reads from the file changes {text!r} to {decoded!r}; give the "
                "model's own by --tokenizer FOLDER"
            )


def write(converted: Converted, out: Path) -> None:
    """Write a model folder completely or not at all.

    Raises:
        UserError: The folder cannot be written.
    """
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        converted.model.save_pretrained(partial)
        converted.tokenizer.save_pretrained(partial)
        for path in partial.glob("*.safetensors"):
            give_usual_mode(path)
        partial.rename(out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}") from None
