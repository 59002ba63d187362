"""Malformed records and files of the three data sets, and malformed or hostile tokenizer folders."""

# ruff: noqa: E501 - tables of cases

import json
from pathlib import Path
from typing import Any

from broken_files import CANARY, Rng, edit, hostile_pickle, pick, replace, spoil, valid_json
from good_inputs import COMMANDS, DATA
from qa_cases import LINES, RECORDS

NEEDED = {
    "finqa": ("id", "pre_text", "post_text", "table", "qa", "qa.question", "qa.answer"),
    "hotpotqa": ("_id", "question", "answer", "context"),
    "musique": ("id", "paragraphs", "question", "answer", "answer_aliases"),
    "pairs": ("question", "answer"),
}
"""Fields without which a record is none, by the data sets' own descriptions."""

NO_VALUE: tuple[Any, ...] = (None, 7, {"a": 1}, float("nan"), "\ud800", [[7]], True, [None])
"""No field above may be one of these."""


def records(rng: Rng, here: Path) -> list[str]:
    """One malformed record among good ones, and the setting to refuse it."""
    name = pick(rng, RECORDS)
    path = here / DATA[name]
    rows: list[Any] = [RECORDS[name](number) for number in range(8)]
    at, key = int(rng.integers(8)), str(pick(rng, NEEDED[name]))
    *parents, last = key.split(".")
    inner = rows[at]
    for parent in parents:
        inner = inner[parent]
    lines = [json.dumps(row) for row in rows]
    match int(rng.integers(6)):
        case 0:
            del inner[last]
            lines[at] = json.dumps(rows[at])
        case 1 | 2:
            inner[last] = pick(rng, NO_VALUE)
            lines[at] = json.dumps(rows[at])
        case 3:
            lines[at] = str(
                pick(rng, ("[]", "7", "null", '"x"', "NaN", "[" * 9_000 + "]" * 9_000, "9" * 5_000, "{", "{'a': 1}"))
            )
        case 4:
            lines[at] = lines[(at + 1) % 8]  # its id comes twice
        case _:
            lines[at] = lines[at][:-1] + ', "x": "\udc80\udcff"}'  # bytes that are no UTF-8
    text = "\n".join(lines) if name in LINES else "[" + ",\n".join(lines) + "]"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return _command(rng, name)


def data_files(rng: Rng, here: Path) -> list[str]:
    """A file that is no JSON array or JSON lines, or another data set's."""
    name = pick(rng, RECORDS)
    path = here / DATA[name]
    match int(rng.integers(4)):
        case 0:
            other = pick(rng, [one for one in RECORDS if one != name])
            path.write_bytes((here / DATA[other]).read_bytes())
        case 1:
            replace(
                path,
                str(pick(rng, ("[]", "{}", "\n\n", "7", '"x"', "[7]", "id,question,answer\n1,a,b\n", "<html></html>"))),
            )
        case _:
            spoil(rng, path, _rows_are_json)
    return _command(rng, name)


def _rows_are_json(data: bytes) -> bool:
    """A file may begin with a byte order mark."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data.lstrip()[:1] == b"[":
        return valid_json(data)
    rows = [line for line in data.split(b"\n") if line.strip()]
    return bool(rows) and all(map(valid_json, rows))


def _command(rng: Rng, name: str) -> list[str]:
    if rng.random() < 0.5:
        return ["data", "check", name, "--path", DATA[name], "--on-bad-record", "fail"]
    return ["train", "questions.toml", f"task.name={name}", f"data={DATA[name]}", "--out", "new"]


CALL = f".mkdir('{CANARY}')"
TEMPLATES = (
    "{{ cycler.__init__.__globals__.os" + CALL + " }}",
    "{{ lipsum.__globals__['os']" + CALL + " }}",
    "{{ ''.__class__.__mro__[1].__subclasses__()[0]() }}",
    "{{ self.__init__.__globals__.__builtins__.__import__('os')" + CALL + " }}",
    "{{ messages.__class__.__base__.__subclasses__() }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "{{ ('{0.__class__.__base__.__subclasses__}' | attr('format'))(messages) }}",
    "{{ (messages | attr('__class__')).mro() }}",
    "{{ namespace.__init__.__globals__.sys.modules.os" + CALL + " }}",
    "{% import 'os' as os %}{{ os" + CALL + " }}",
    "{% include '/etc/passwd' %}", "{% extends messages %}",
    "{{ raise_exception('no') }}", "{{ messages[7].content }}", "{{ messages.append(7) }}", "{{ nothing() }}", "{{ 1 / 0 }}",
    "{{ range(10 ** 9) | list }}", "{{ 'a' * 10 ** 18 }}", "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "{% if %}",
    "{{ " + "(" * 2_000 + "1" + ")" * 2_000 + " }}", "{{ messages | map(attribute='x.y') | list | first }}", "{{ 'x' | int('y') + 'z' }}",
    "{{ '%d' | format('x') }}", "{{ messages[0]['content'].encode('nothing') }}", "{{ strftime_now(7) }}", "{% for x in 7 %}{% endfor %}",
)  # fmt: skip
"""Chat templates that leave the sandbox, or fail in ways that a template can."""

SOURCE = f"import os\nos.mkdir({CANARY!r})\n\n\nclass Evil:\n    pass\n"

CONFIG_WRONG: tuple[tuple[str, Any], ...] = (
    ("eos_token", None), ("eos_token", 7), ("pad_token", [1]), ("eos_token", {"a": 1}), ("chat_template", 7),
    ("chat_template", {"a": "b"}), ("chat_template", []), ("added_tokens_decoder", 7), ("added_tokens_decoder", {"x": "y"}),
    ("extra_special_tokens", 7), ("added_tokens_decoder", {"1": {"content": 7}}),
)  # fmt: skip
CORE_WRONG: tuple[tuple[str, Any], ...] = (
    ("model", {}), ("model", {"type": "WordLevel"}), ("model", None), ("added_tokens", "x"), ("pre_tokenizer", {"type": "Evil"}), ("decoder", 7),
    ("version", "9.0"), ("model.vocab", {"a": -1}), ("model.vocab", {"a": 2**40}), ("model.vocab", {}), ("model.merges", [["x", "y"]]),
    ("model.vocab", {"<think>": 0}), ("normalizer", {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}), ("added_tokens", [{"id": 1}]),
    ("model.vocab", {"a": 1.5}), ("post_processor", {"type": "TemplateProcessing"}), ("truncation", 7), ("padding", "x"),
)  # fmt: skip


def tokenizer_folder(rng: Rng, here: Path) -> list[str]:
    """A folder of a tokenizer: broken, of another kind, or with code in it."""
    folder = here / "tokenizer"
    config, core = folder / "tokenizer_config.json", folder / "tokenizer.json"
    words = COMMANDS["check"]
    match int(rng.integers(7)):
        case 0 | 1:
            template = pick(rng, TEMPLATES)
            (folder / "chat_template.jinja").unlink(missing_ok=True)
            if rng.random() < 0.5:
                edit(config, lambda table: table.update(chat_template=template))
            else:
                (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        case 2:
            # Code beside a tokenizer that lacks what training needs: that it is refused is for the second reason.
            name = pick(
                rng, ("tokenization_evil", "tokenization_qwen3", "modeling_evil", "__init__", "configuration_evil")
            )
            (folder / f"{name}.py").write_text(SOURCE, encoding="utf-8")
            classes = {"AutoTokenizer": [f"{name}.Evil", f"{name}.Evil"], "AutoConfig": f"{name}.Evil"}
            edit(
                config,
                lambda table: table.update(
                    auto_map=classes, tokenizer_class="Evil", trust_remote_code=True, eos_token=None
                ),
            )
            (folder / "config.json").write_text(
                json.dumps({"auto_map": classes, "model_type": "evil"}), encoding="utf-8"
            )
        case 3:
            key, value = pick(rng, CONFIG_WRONG)
            (folder / "chat_template.jinja").unlink(missing_ok=True) if key == "chat_template" else None
            edit(config, lambda table: table.update({key: value}))
        case 4:
            key, value = pick(rng, CORE_WRONG)
            edit(core, lambda table: _set(table, key, value))
        case 5:
            spoil(rng, core, _object)
        case _:
            core.unlink()
            (folder / pick(rng, ("tokenizer.model", "vocab.json", "spiece.model", "tokenizer.pkl"))).write_bytes(
                hostile_pickle()
            )
    return (
        words
        if rng.random() < 0.5
        else ["train", "questions.toml", "task.tokenizer=tokenizer", "task.variant=warm", "--out", "new"]
    )


def _set(table: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        table = table[parent]
    table[last] = value


def _object(data: bytes) -> bool:
    return valid_json(data) and isinstance(json.loads(data), dict)
