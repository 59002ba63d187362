"""GGUF files: weights and tokenizers against those that the file was made from, and bad input in one line."""

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from qtrain import convert as convert_module
from qtrain.cli import main
from qtrain.convert import check_round_trips, check_vocabulary, convert_command, find_gguf, split_digits
from qtrain.errors import UserError
from qtrain.tasks.tokenizer import byte_tokenizer

MERGES = [("1", "2"), ("12", "3"), ("h", "e"), ("Ġ", "t")]


def pairs_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes and a few merges, one of them of digits, without a split of numbers."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|endoftext|>", *alphabet, *("".join(pair) for pair in MERGES)]
    core = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges=MERGES))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    return tokenizer.backend_tokenizer.encode(text).tokens


def test_numbers_are_split_where_the_models_own_tokenizer_splits_them() -> None:
    tokenizer = pairs_tokenizer()
    assert split_digits(tokenizer, "gpt-2") == []
    assert pieces(tokenizer, "the 1234") == ["t", "he", "Ġ", "123", "4"]
    assert split_digits(tokenizer, "smollm") == [
        "tokenizer.ggml.pre='smollm': repaired: one token a digit, which transformers does not read from the file"
    ]
    assert pieces(tokenizer, "the 1234") == ["t", "he", "Ġ", "1", "2", "3", "4"]
    check_round_trips(tokenizer)
    assert split_digits(tokenizer, "smollm") == []


def test_splits_that_cannot_be_repaired_are_told() -> None:
    tokenizer = pairs_tokenizer()
    assert split_digits(tokenizer, None) == []
    assert "at most 3 digits" in split_digits(tokenizer, "llama-bpe")[0]
    assert "'unheard-of': how it splits" in split_digits(tokenizer, "unheard-of")[0]


def test_a_tokenizer_that_changes_texts_or_belongs_to_another_model_is_refused() -> None:
    tokenizer = pairs_tokenizer()
    tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    check_vocabulary(tokenizer, tokens, len(tokens))
    with pytest.raises(UserError, match=r"^the tokenizer has 261 tokens and the model 260; give .*FOLDER$"):
        check_vocabulary(tokenizer, tokens, 260)
    with pytest.raises(UserError, match="belongs to another model"):
        check_vocabulary(byte_tokenizer(), tokens, 1000)
    tokenizer.backend_tokenizer.decoder = decoders.Fuse()
    with pytest.raises(UserError, match=r"changes 'Paul had .* --tokenizer FOLDER$"):
        check_round_trips(tokenizer)


def test_bad_paths_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (tmp_path / "other.gguf").write_bytes(b"what")
    lines = {
        tmp_path / "empty": "the folder has no .gguf file",
        tmp_path: "the folder has several: model.gguf, other.gguf; name one",
        tmp_path / "modl.gguf": f"no such file; did you mean '{tmp_path / 'model.gguf'}'?",
        tmp_path / "other.gguf": "is no GGUF file",
    }
    for path, line in lines.items():
        with pytest.raises(SystemExit) as stopped:
            main(["convert", str(path), str(tmp_path / "out")])
        assert stopped.value.code == 2
        error = capsys.readouterr().err
        assert line in error
        assert error.count("\n") == 1
    assert find_gguf(tmp_path / "model.gguf") == tmp_path / "model.gguf"
    with pytest.raises(UserError, match="empty: exists already"):
        convert_command(tmp_path / "model.gguf", tmp_path / "empty", None)


def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(convert_module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=re.escape("pip install 'qcontinuum[gguf]'")):
        convert_command(tmp_path / "model.gguf", tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def write_gguf(path: Path, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> dict[str, np.ndarray]:
    """Write a Qwen3 with matrices in Q8_0, and return the weights that the file stands for, by transformers' names."""
    gguf = importlib.import_module("gguf")
    kind, config = gguf.GGMLQuantizationType.Q8_0, model.config
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_vocab_size(config.vocab_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])])
    writer.add_token_types([3] + [1] * (len(tokenizer) - 1))
    writer.add_token_merges([" ".join(pair) for pair in MERGES])
    writer.add_eos_token_id(0)
    writer.add_pad_token_id(0)
    names, weights = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config.num_hidden_layers), {}
    for name, tensor in model.state_dict().items():
        values = tensor.numpy().astype(np.float32)
        gguf_name = names.get_name(name, try_suffixes=(".weight",))
        if values.ndim == 2:
            quantised = gguf.quants.quantize(values, kind)
            writer.add_tensor(gguf_name, quantised, raw_dtype=kind)
            values = gguf.quants.dequantize(quantised, kind)
        else:
            writer.add_tensor(gguf_name, values)
        weights[name] = values
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


@pytest.mark.slow
@pytest.mark.parametrize("own_tokenizer", [False, True])
def test_weights_and_tokens_are_those_of_the_file(
    own_tokenizer: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = pairs_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "head_dim": 128}
        heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64}
        model = Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=len(tokenizer),
                tie_word_embeddings=False,
                eos_token_id=0,
                pad_token_id=0,
                **sizes,
                **heads,
            )
        ).eval()
    weights = write_gguf(tmp_path / "tiny.gguf", model, tokenizer)
    model.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    tokenizer.save_pretrained(tmp_path / "own")
    options = ["--tokenizer", str(tmp_path / "own")] * own_tokenizer
    main_status(["convert", str(tmp_path), str(tmp_path / "out"), *options])
    assert ("repaired" in capsys.readouterr().out) != own_tokenizer
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    tokens = torch.arange(40)[None]
    with torch.no_grad():
        torch.testing.assert_close(again(tokens).logits, model(tokens).logits, rtol=0, atol=0)
    assert again.config.eos_token_id == 0
    read = PreTrainedTokenizerFast.from_pretrained(tmp_path / "out")
    assert pieces(read, "the 1234") == ["t", "he", "Ġ", *(["123", "4"] if own_tokenizer else ["1", "2", "3", "4"])]
    assert (read.eos_token, read.pad_token) == ("<|endoftext|>", "<|endoftext|>")


def main_status(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 0
