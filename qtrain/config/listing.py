"""List every setting with its type and default, for `qtrain train --help`."""

from collections.abc import Collection
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from qtrain.config.estimator import EstimatorChoice
from qtrain.config.model import ModelConfig, PretrainedConfig
from qtrain.config.reward import RewardChoice
from qtrain.config.tables import Config
from qtrain.tasks import TASKS
from qtrain.tasks.qa_config import PairsConfig, QAConfig

TABLES = {
    "model": ((PretrainedConfig, "a pretrained model"), (ModelConfig, "or a new Qwen3 of this shape")),
    "task": ((QAConfig, "finqa, hotpotqa, musique, pairs"), (PairsConfig, "pairs alone")),
}
"""Tables whose keys depend on a choice: each alternative and what it is for."""
DERIVED = {"rollout.rationale_budget", "rollout.answer_budget"}
"""Settings whose default suits the model and the records (see `qtrain.prepare`)."""


def settings_text() -> str:
    """Every key of a configuration on a line with its default and type."""
    lines = []
    for name, field in Config.model_fields.items():
        if name in TABLES:
            for model, note in TABLES[name]:
                bases = [base for base, _ in TABLES[name] if base is not model and issubclass(model, base)]
                inherited = {key for base in bases for key in base.model_fields}
                lines += [f"[{name}]  {note}", *_lines(model, f"{name}.", inherited)]
            if name == "task":
                lines.append(f"  name is one of {', '.join(TASKS)}, or module:object")
        elif model := _table(field.annotation):
            optional = "  none by default" if field.default is None else ""
            lines += [f"[{name}]{optional}", *_lines(model, f"{name}.")]
        else:
            lines.append(_line(name, field))
    return "\n".join(lines)


def _lines(model: type[BaseModel], prefix: str, left_out: Collection[str] = ()) -> list[str]:
    lines = []
    for name, field in model.model_fields.items():
        if name in left_out:
            continue
        if table := _table(field.annotation):
            lines += _lines(table, f"{prefix}{name}.")
        else:
            lines.append(_line(prefix + name, field))
    return lines


def _table(annotation: Any) -> type[BaseModel] | None:
    """The table that a key holds, if it holds one."""
    for member in (annotation, *get_args(annotation)):
        if isinstance(member, type) and issubclass(member, BaseModel):
            return member
    return None


def _line(key: str, field: FieldInfo) -> str:
    default = "(derived)" if key in DERIVED else _value(field.get_default(call_default_factory=True, validated_data={}))
    return f"  {key:<28} {default:<13} {_type(field.annotation)}"


def _value(value: Any) -> str:
    if value is PydanticUndefined:
        return "(needed)"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[]" if not value else ",".join(map(str, value))
    if isinstance(value, str):
        return repr(value)
    return f"{value}"


def _type(annotation: Any) -> str:
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(members[0])
    if origin is Literal:
        return " | ".join(str(member) for member in members)
    if origin in (UnionType, Union):
        return " | ".join(dict.fromkeys(_type(member) for member in members if member is not NoneType))
    if origin is tuple:
        return f"list of {_type(members[0])}"
    names = {str: "text", int: "whole number", float: "number", bool: "true | false", Path: "path"}
    own = {EstimatorChoice: "NAME:PARAMETER=VALUE", RewardChoice: "NAME | module:function | table of weights"}
    return (names | own)[annotation]
