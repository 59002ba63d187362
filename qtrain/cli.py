"""Define the command line of `qtrain`. Imports that need torch stay inside the commands, so that `--help` is quick."""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from qtheory.command.console import TextConsole
from qtheory.command.options import AS_TYPED, whole_number
from qtheory.command.run import importing, run_app
from qtrain.errors import UserError

PROGRAM = "qtrain"
RESUMABLE = "finished runs are kept, the same command goes on from there (train: with --resume)"

app = App(
    name=PROGRAM,
    help="Train language models on the Tsallis loss continuum: GARL, PAFT and their neighbours.",
    version=lambda: version("qcontinuum"),
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
    console=TextConsole(),
    default_parameter=AS_TYPED,
)

data_app = App(name="data", help="Inspect the records of a data set, or your own, before training on them.")
app.command(data_app)

Several = Parameter(consume_multiple=True, negative=())
Count = Annotated[int, whole_number(1)]
MaybeCount = Annotated[int | None, whole_number(1)]
# Bounded, because a list of this length is built at the start.
MaybeMany = Annotated[int | None, whole_number(1, 10**6)]
Seeds = Annotated[int, whole_number(1, 10**4)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Bad input ends it with one line and exit status 2, Ctrl-C and SIGTERM with status 130."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Only this help page imports the configuration's schema, which takes a second.
    if "train" in arguments[:1] and {"--help", "-h"} & set(arguments):
        with importing(PROGRAM):
            from qtrain.config.listing import settings_text
        help_page = app["train"]
        settings = f"```text\n{settings_text()}\n```"
        help_page.help_epilogue = f"Settings with defaults and types, in the TOML file or as key=value:\n\n{settings}"
    # qtrain reports an unreachable hub in one line; this silences the library's retries.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    status = run_app(
        PROGRAM,
        app,
        arguments,
        refused=(UserError, CycloptsError),
        interrupted=RESUMABLE if {"train", "compare"} & set(arguments[:1]) else "start the command again",
    )
    sys.exit(status)


@app.command
def pretrain(config: Path, /, *overrides: str) -> None:
    """Make a configuration's base model, unless it is cached, and print its folder and its p0.

    Args:
        config: A TOML configuration.
        overrides: key=value, dotted keys, for example pretrain.p0=1e-4.
    """
    with importing(PROGRAM):
        from qtrain.commands import pretrain_command

    pretrain_command(config, overrides)


@app.command
def train(
    config: Path,
    /,
    *overrides: str,
    out: Path | None = None,
    resume: bool = False,
    allow_changes: Annotated[bool, Parameter(negative=())] = False,
    on_bad_record: Literal["skip", "fail"] | None = None,
    allow_code: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Train one model and write its run folder.

    Args:
        config: A TOML configuration.
        overrides: key=value, dotted keys, for example estimator=paft:q=.5 optimizer.lr=1e-2.
        out: The run folder; by default runs/NAME-ESTIMATOR-seedN.
        resume: Continue from the folder's last checkpoint (see train.checkpoint_every), or start if there is none. A
            finished run continues if train.steps has been raised.
        allow_changes: Resume even if records, tokenizer or base weights have changed since the run started.
        on_bad_record: For tasks that read records: skip drops and counts malformed records, fail stops at the first.
        allow_code: Run code that a run folder's config.json names as module:object (code in a TOML file always runs).
    """
    with importing(PROGRAM):
        from qtrain.commands import train_command

    extra = () if on_bad_record is None else (f"task.on_bad_record={on_bad_record}",)
    return train_command(
        config, overrides + extra, out, resume=resume, allow_changes=allow_changes, allow_code=allow_code
    )


@app.command
def measure(
    config: Path,
    /,
    *overrides: str,
    prompts: MaybeMany = None,
    samples: MaybeMany = None,
    training: Annotated[bool, Parameter(negative=())] = False,
    json_path: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Measure where training would start, without training, and print what it advises.

    Args:
        config: A TOML configuration.
        overrides: key=value, dotted keys, for example rollout.rationale_budget=128.
        prompts: Prompts to measure per group; by default eval.prompts.
        samples: Samples per prompt; by default eval.samples.
        training: Measure on training prompts instead of held-out ones.
        json_path: Also write the numbers to this file.
    """
    with importing(PROGRAM):
        from qtrain.commands import measure_command

    measure_command(config, overrides, prompts, samples, json_path, training=training)


@app.command
def evaluate(
    run: Path,
    /,
    *,
    prompts: MaybeMany = None,
    samples: MaybeMany = None,
    seed: Annotated[int, whole_number(0)] = 1,
    rewards: Annotated[list[str] | None, Several] = None,
    checkpoint: Literal["last", "best"] = "last",
    half: Literal["validation", "test"] | None = None,
    data: Path | None = None,
    base: str | None = None,
    allow_changes: Annotated[bool, Parameter(negative=())] = False,
    allow_code: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Evaluate the weights of a finished run on held-out prompts.

    Args:
        run: A run folder.
        prompts: Held-out prompts per group; by default as in the run.
        samples: Samples per prompt; by default as in the run.
        seed: Seed of the sampling; evaluations during training use 0.
        rewards: Rewards to report, such as em f1 math mine:score (see docs/scores.md), with no need of --allow-code; by
            default as in the run.
        checkpoint: The weights at the end of training, or at the best evaluation by maj@k.
        half: Half of the held-out records (see task.held_out_half); by default as in the run.
        data: New path of the records, if they have moved.
        base: New path of the pretrained model, if it has moved.
        allow_changes: Evaluate even if records, tokenizer or base weights have changed since the run started.
        allow_code: Run code that the run folder names as module:object.
    """
    with importing(PROGRAM):
        from qtrain.commands import evaluate_command

    evaluate_command(
        run,
        prompts,
        samples,
        seed,
        rewards,
        checkpoint,
        half,
        data,
        base,
        allow_changes=allow_changes,
        allow_code=allow_code,
    )


@app.command
def export(
    run: Path,
    out: Path,
    /,
    *,
    checkpoint: Literal["last", "best"] = "last",
    base: str | None = None,
    allow_changes: Annotated[bool, Parameter(negative=())] = False,
    force: Annotated[bool, Parameter(negative=())] = False,
    allow_code: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Write a finished run's model in the format of transformers and vLLM, with adapters merged.

    Args:
        run: A run folder.
        out: The new folder.
        checkpoint: The weights at the end of training, or at the best evaluation by maj@k.
        base: New path of the pretrained model, if it has moved (for runs with adapters).
        allow_changes: Merge adapters into a base that has changed.
        force: Export a run that has diverged.
        allow_code: Run code that the run folder names as module:object (needed for adapters on a base made by qtrain).
    """
    with importing(PROGRAM):
        from qtrain.commands import export_command

    export_command(run, out, checkpoint, base, allow_changes=allow_changes, force=force, allow_code=allow_code)


@app.command
def convert(source: Path, out: Path, /, *, tokenizer: Path | None = None) -> None:
    """Convert a GGUF file into a model folder for `model.pretrained`, dequantised to float32.

    Args:
        source: A .gguf file, or a folder that holds one.
        out: The new folder.
        tokenizer: Folder with the model's own tokenizer.json, to take instead of the file's tokenizer.
    """
    with importing(PROGRAM):
        from qtrain.convert import convert_command

    convert_command(source, out, tokenizer)


@app.command
def compare(
    config: Path,
    /,
    *overrides: str,
    estimator: Annotated[list[str], Several],
    out: Path,
    seeds: Seeds = 1,
    jobs: MaybeCount = None,
) -> None:
    """Run several estimators from one configuration and write OUT/comparison.json.

    Args:
        config: A TOML configuration.
        overrides: key=value, dotted keys, for all runs.
        estimator: Estimators with parameters, such as grpo rb_rloo garl:q=.25 paft:q=.75,k=8
        out: Folder of the comparison; it gets one run folder per estimator and seed.
        seeds: Number of seeds; base models and training use seeds 0 to N - 1.
        jobs: Simultaneous runs. By default one per GPU; without GPUs one per core, or only one if the model is wide.
    """
    with importing(PROGRAM):
        from qtrain.commands import compare_command

    compare_command(config, overrides, estimator, out, seeds, jobs)


@app.command
def report(*runs: Path, output: Annotated[Path, Parameter(name=["--output", "-o"])]) -> None:
    """Write one self-contained HTML page about comparisons or single runs.

    Args:
        runs: Folders written by `compare` or `train`.
        output: The page.
    """
    with importing(PROGRAM):
        from qtrain.report import report_command

    report_command(runs, output)


@data_app.command
def check(
    name: str,
    /,
    *overrides: str,
    path: Path | None = None,
    variant: Literal["cold", "warm"] | None = None,
    tokenizer: Path | None = None,
    max_prompt_tokens: Annotated[int | None, whole_number(2)] = None,
    max_answer_tokens: MaybeCount = None,
    on_bad_record: Literal["skip", "fail"] | None = None,
    prompt: str | None = None,
    answer: str | None = None,
    extract: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Count records: kept, dropped and malformed by reason, answer types, lengths in tokens.

    Args:
        name: A TOML configuration, whose records are checked with its model's tokenizer and budgets; or a data set
            (finqa, hotpotqa, musique, pairs), of which one file is checked.
        overrides: For a configuration: key=value, dotted keys, for example task.max_prompt_tokens=2048.
        path: For a data set: a file in the official layout or in the hub's; for pairs also a folder.
        variant: For a data set: the prompt format, which determines prompt lengths; by default cold.
        tokenizer: For a data set: folder of a pretrained tokenizer; by default one token per byte.
        max_prompt_tokens: For a data set: longest prompt; by default the task's limit.
        max_answer_tokens: For a data set: longest answer; by default no limit.
        on_bad_record: For a data set: skip (the default) drops and counts malformed records, fail stops at the first.
        prompt: For pairs: column of the question or the chat (task.prompt).
        answer: For pairs: column of the gold answer (task.answer).
        extract: For pairs: boxed, after_hashes, regex:PATTERN or module:function (task.extract).
        as_json: Print one JSON object.
    """
    options = {
        "path": path,
        "variant": variant,
        "tokenizer": tokenizer,
        "max_prompt_tokens": max_prompt_tokens,
        "max_answer_tokens": max_answer_tokens,
        "on_bad_record": on_bad_record,
        "prompt": prompt,
        "answer": answer,
        "extract": extract,
    }
    if name.lower().endswith((".toml", ".json")):
        for key, value in options.items():
            if value is not None:
                setting = "data" if key == "path" else f"task.{key}"
                option = f"--{key.replace('_', '-')}"
                raise UserError(f"{option} {value}: a configuration names it; write {setting}={value} instead")
        with importing(PROGRAM):
            from qtrain.commands import check_data_command

        check_data_command(Path(name), overrides, as_json=as_json)
        return
    if overrides:
        raise UserError(f"override {overrides[0]!r}: only a configuration (mine.toml) takes key=value")
    with importing(PROGRAM):
        from qtrain.tasks.data_sets import data_set
        from qtrain.tasks.inspection import check_command

    data_set(name)
    if path is None:
        raise UserError(f"data check {name}: add --path FILE, or give a configuration (mine.toml)")
    check_command(
        name,
        path,
        variant=variant or "cold",
        tokenizer=tokenizer,
        max_prompt_tokens=max_prompt_tokens,
        max_answer_tokens=max_answer_tokens,
        on_bad_record=on_bad_record or "skip",
        columns={"prompt": prompt, "answer": answer, "extract": extract},
        as_json=as_json,
    )


@data_app.command
def show(
    name: str,
    /,
    *,
    path: Path | None = None,
    split: Literal["train", "dev", "test"] = "dev",
    n: Count = 3,
    variant: Literal["cold", "warm"] | None = None,
    tokenizer: Path | None = None,
    max_prompt_tokens: Annotated[int | None, whole_number(2)] = None,
    prompt: str | None = None,
    answer: str | None = None,
    extract: str | None = None,
    full: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Print the first examples of a split as a model with the default delimiters sees them.

    Args:
        name: finqa, hotpotqa, musique or pairs.
        path: A file, or the folder of the official files; by default data/NAME.
        split: The official file to read, if PATH is a folder.
        n: Number of examples.
        variant: cold or warm; by default both.
        tokenizer: Folder of a pretrained tokenizer, whose chat template formats warm prompts.
        max_prompt_tokens: Cut prompts to this number of tokens; by default they are not cut.
        prompt: Column of the question or the chat, for pairs (task.prompt).
        answer: Column of the gold answer, for pairs (task.answer).
        extract: boxed, after_hashes, regex:PATTERN or module:function, for pairs (task.extract).
        full: Print long prompts in full, not only their ends.
    """
    with importing(PROGRAM):
        from qtrain.tasks.inspection import show_command

    show_command(
        name,
        path=path,
        split=split,
        n=n,
        variant=variant,
        tokenizer=tokenizer,
        max_prompt_tokens=max_prompt_tokens,
        columns={"prompt": prompt, "answer": answer, "extract": extract},
        full=full,
    )
