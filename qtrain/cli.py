"""The command `qtrain`. Imports that need torch stay inside the commands, so that `--help` is quick."""

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

app = App(
    name=PROGRAM,
    help="Train language models on the Tsallis loss continuum: GARL, PAFT and their neighbours.",
    version=lambda: version("qcontinuum"),
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
    console=TextConsole(),
    default_parameter=AS_TYPED,
)

data_app = App(name="data", help="Look at the records of FinQA, HotPotQA and MuSiQue before training on them.")
app.command(data_app)

Several = Parameter(consume_multiple=True, negative=())
Count = Annotated[int, whole_number(1)]
MaybeCount = Annotated[int | None, whole_number(1)]
# Of these a list is made at the start.
MaybeMany = Annotated[int | None, whole_number(1, 10**6)]
Seeds = Annotated[int, whole_number(1, 10**4)]


def main(words: Sequence[str] | None = None) -> None:
    """Run a command. Bad input ends in one line and exit status 2, Ctrl-C (or a polite kill) in 130."""
    words = sys.argv[1:] if words is None else words
    # The configuration's schema takes a second to import, so that this help page alone does it.
    if "train" in words[:1] and {"--help", "-h"} & set(words):
        with importing(PROGRAM):
            from qtrain.config.listing import settings_text
        help_page = app["train"]
        help_page.help_format = "plaintext"
        help_page.help_epilogue = f"Settings with their defaults and types (TOML, or key=value):\n\n{settings_text()}"
    # A hub that cannot be reached is one line of ours, not ten of its library's retries.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    status = run_app(
        PROGRAM,
        app,
        words,
        refused=(UserError, CycloptsError),
        interrupted="finished runs are kept, the same command goes on from there (train: with --resume)",
    )
    sys.exit(status)


@app.command
def pretrain(config: Path, /, *overrides: str) -> None:
    """Make the base model of a configuration, or find it in the cache, and print where it lies and its p0.

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
        resume: Go on from the folder's last checkpoint (see train.checkpoint_every); begin where there is none. A
            finished run goes on if train.steps has been raised.
        allow_changes: Resume though records, tokenizer or base weights are not those that the run was made from.
        on_bad_record: Of tasks that read records: skip counts malformed ones, fail refuses the first.
        allow_code: Run code that a run folder's config.json names as module:object (that of a TOML file runs anyway).
    """
    with importing(PROGRAM):
        from qtrain.commands import train_command

    more = () if on_bad_record is None else (f"task.on_bad_record={on_bad_record}",)
    return train_command(
        config, overrides + more, out, resume=resume, allow_changes=allow_changes, allow_code=allow_code
    )


@app.command
def evaluate(
    run: Path,
    /,
    *,
    prompts: MaybeMany = None,
    samples: MaybeMany = None,
    seed: Annotated[int, whole_number(0)] = 1,
    checkpoint: Literal["last", "best"] = "last",
    half: Literal["validation", "test"] | None = None,
    data: Path | None = None,
    base: str | None = None,
    allow_changes: Annotated[bool, Parameter(negative=())] = False,
    allow_code: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Evaluate a finished run's weights again on held-out prompts.

    Args:
        run: A run folder.
        prompts: Held-out prompts of each kind; by default the run's own number.
        samples: Samples a prompt; by default the run's own number.
        seed: Seeds the sampling; training evaluates with 0.
        checkpoint: The weights at the end, or those of the best evaluation by maj@k.
        half: Of the held-out records (see task.held_out_half); by default what the run evaluated on.
        data: Where its records are now, if they have moved.
        base: Where its pretrained model is now, if that has moved.
        allow_changes: Evaluate though records, tokenizer or base weights are not those that the run was made from.
        allow_code: Run code that the run folder names as module:object.
    """
    with importing(PROGRAM):
        from qtrain.commands import evaluate_command

    evaluate_command(
        run,
        prompts,
        samples,
        seed,
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
    """Write a finished run's model as a folder that transformers and vLLM read, adapters folded in.

    Args:
        run: A run folder.
        out: The new folder.
        checkpoint: The weights at the end, or those of the best evaluation by maj@k.
        base: Where its pretrained model is now, if that has moved (of runs with adapters).
        allow_changes: Fold adapters into a base that has changed.
        force: Export a run that has diverged.
        allow_code: Run code that the run folder names as module:object (needed for adapters on a base made here).
    """
    with importing(PROGRAM):
        from qtrain.commands import export_command

    export_command(run, out, checkpoint, base, allow_changes=allow_changes, force=force, allow_code=allow_code)


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
        overrides: key=value, dotted keys, for every run.
        estimator: Names with parameters: grpo rb_rloo garl:q=.25 paft:q=.75,k=8
        out: Folder of the comparison, one run folder in it per estimator and seed.
        seeds: Bases and training seeds 0 to N - 1.
        jobs: Runs at a time. By default one a GPU; without GPUs one a core, or a single one of a wide model.
    """
    with importing(PROGRAM):
        from qtrain.commands import compare_command

    compare_command(config, overrides, estimator, out, seeds, jobs)


@app.command
def report(*runs: Path, output: Annotated[Path, Parameter(name=["--output", "-o"])]) -> None:
    """Write one self-contained HTML page about comparisons or single runs.

    Args:
        runs: Folders that `compare` or `train` wrote.
        output: The page.
    """
    with importing(PROGRAM):
        from qtrain.report import report_command

    report_command(runs, output)


@data_app.command
def check(
    name: str,
    /,
    *,
    path: Path,
    variant: Literal["cold", "warm"] = "cold",
    tokenizer: Path | None = None,
    max_prompt_tokens: Annotated[int | None, whole_number(2)] = None,
    max_answer_tokens: MaybeCount = None,
    on_bad_record: Literal["skip", "fail"] = "skip",
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Count a file's records: kept, dropped and malformed by reason, types of answers, lengths in tokens.

    Args:
        name: finqa, hotpotqa or musique.
        path: A file in the official layout or in the hub's.
        variant: How records are put before the model, for the prompts' lengths.
        tokenizer: Folder of a pretrained tokenizer; by default one token a byte.
        max_prompt_tokens: Longest prompt; by default the task's own.
        max_answer_tokens: Longest answer; by default there is no limit.
        on_bad_record: skip counts malformed records, fail refuses the first.
        as_json: Print one JSON object.
    """
    with importing(PROGRAM):
        from qtrain.tasks.inspection import check_command

    check_command(
        name,
        path,
        variant=variant,
        tokenizer=tokenizer,
        max_prompt_tokens=max_prompt_tokens,
        max_answer_tokens=max_answer_tokens,
        on_bad_record=on_bad_record,
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
    full: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Print the first examples of a split as a model sees them.

    Args:
        name: finqa, hotpotqa or musique.
        path: A file, or the folder of the official files; by default data/NAME.
        split: Which of the official files, where PATH is a folder.
        n: How many.
        variant: cold or warm; by default both.
        tokenizer: Folder of a pretrained tokenizer, whose chat template warm prompts then use.
        max_prompt_tokens: Cut prompts to so many tokens; by default they are whole.
        full: Print long prompts whole, not only their ends.
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
        full=full,
    )
