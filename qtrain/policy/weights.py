"""A policy's weights as files: what training changes, as safetensors, whole or not at all; nothing is unpickled."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.errors import UserError
from qtrain.files import give_usual_mode

ADAPTER = ".lora_"
"""What the name of every adapter's weight holds."""


def trained_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """The weights that a run may change, by name: the adapters' where there are any, else all.

    Tied weights are one tensor under two names, of which the first is given.
    """
    state = model.state_dict()
    adapters = {name: tensor for name, tensor in state.items() if ADAPTER in name}
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in (adapters or state).items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            found[name] = tensor
    return found


def save_model_weights(path: Path, model: PreTrainedModel) -> None:
    """Write a model's trained weights as safetensors."""
    write_tensors(path, {name: tensor.contiguous() for name, tensor in trained_weights(model).items()})


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors that others may read as far as the umask lets them.

    Raises:
        OSError: The disk refuses it.
        SafetensorError: The disk refuses it, by the library's own exception.
    """
    save_file(dict(tensors), path)
    give_usual_mode(path)


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Read `model.safetensors` of a folder into a model of the same shape.

    Raises:
        UserError: The file is missing, damaged, or of another model.
    """
    path = folder / "model.safetensors"
    try:
        found = load_file(path)
        wanted = model.state_dict()
        for name, tensor in found.items():
            # torch would convert them without a word, whatever is lost.
            if name in wanted and tensor.dtype != wanted[name].dtype:
                raise ValueError(f"{name} is {tensor.dtype} instead of {wanted[name].dtype}")
        missing = sorted(trained_weights(model).keys() - found.keys())
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        _, unknown = model.load_state_dict(found, strict=False)
        if unknown:
            raise ValueError(f"{unknown[0]} has no place in it")
    except Exception as error:
        # safetensors raises its own exception class, torch a RuntimeError of many lines.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path}: not this configuration's weights: {reason}") from None


def merged_state_dict(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """All weights under the plain architecture's names, adapters folded in: what engines and other programs read."""
    for name, parameter in model.named_parameters():
        if ADAPTER in name:
            continue
        weight = parameter.detach()
        if name.endswith(".base_layer.weight"):
            layer = model.get_submodule(name.removesuffix(".base_layer.weight"))
            weight = weight + layer.get_delta_weight("default")  # pyright: ignore[reportCallIssue]
        yield name.replace(".base_layer.", "."), weight
