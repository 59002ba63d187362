"""Save and load the weights that training changes, as safetensors, and merge adapters into plain weights."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.errors import UserError
from qtrain.files import give_usual_mode

ADAPTER = ".lora_"
"""Part of the name of every adapter weight."""


def trained_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """The weights that a run may change, by name: those of the adapters if there are any, else all.

    Tied weights are one tensor with two names, of which the first is returned.
    """
    state = model.state_dict()
    adapters = {name: tensor for name, tensor in state.items() if ADAPTER in name}
    trained: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in (adapters or state).items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            trained[name] = tensor
    return trained


def save_model_weights(path: Path, model: PreTrainedModel) -> None:
    """Write a model's trained weights as safetensors."""
    write_tensors(path, {name: tensor.contiguous() for name, tensor in trained_weights(model).items()})


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, with the permissions that the umask gives new files.

    Raises:
        OSError: The file cannot be written.
        SafetensorError: The file cannot be written; safetensors raises its own exception.
    """
    save_file(dict(tensors), path)
    give_usual_mode(path)


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Load a folder's `model.safetensors` into a model of the same architecture.

    Raises:
        UserError: The file is missing, damaged, or from another model.
    """
    path = folder / "model.safetensors"
    try:
        loaded = load_file(path)
        expected = model.state_dict()
        for name, tensor in loaded.items():
            # torch would convert other types silently and lose precision.
            if name in expected and tensor.dtype != expected[name].dtype:
                raise ValueError(f"{name} is {tensor.dtype} instead of {expected[name].dtype}")
        missing = sorted(trained_weights(model).keys() - loaded.keys())
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        _, unknown = model.load_state_dict(loaded, strict=False)
        if unknown:
            raise ValueError(f"{unknown[0]} has no place in it")
    except Exception as error:
        # safetensors raises its own exception, torch a RuntimeError of many lines.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path}: not this configuration's weights: {reason}") from None


def merged_state_dict(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """All weights under the plain architecture's names, with adapters merged: the form that engines and exports use."""
    for name, parameter in model.named_parameters():
        if ADAPTER in name:
            continue
        weight = parameter.detach()
        if name.endswith(".base_layer.weight"):
            layer = model.get_submodule(name.removesuffix(".base_layer.weight"))
            weight = weight + layer.get_delta_weight("default")  # pyright: ignore[reportCallIssue]
        yield name.replace(".base_layer.", "."), weight
