"""The command `qtrain`. Imports that need torch stay inside the commands, so that `--help` is quick."""

import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from qtrain.errors import UserError

app = App(
    name="qtrain",
    help="Train language models on the Tsallis loss continuum: GARL, PAFT and their neighbours.",
    version=lambda: version("qcontinuum"),
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
)

data_app = App(name="data", help="Look at the records of FinQA, HotPotQA and MuSiQue before training on them.")
app.command(data_app)

Several = Parameter(consume_multiple=True, negative=())


def main(words: Sequence[str] | None = None) -> None:
    """Run a command. Bad input ends in one line and exit status 2, Ctrl-C (or a polite kill) in 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except (UserError, CycloptsError) as error:
        message = " ".join(str(error).split())
        sys.stderr.write(f"qtrain: {message}\n")
        sys.exit(2)
    except OSError as error:
        # What no command could foresee: a name too long for the file system, a disk that fails.
        sys.stderr.write(f"qtrain: {_short(error.filename)}: {error.strerror or error}; choose another path\n")
        sys.exit(2)
    except KeyboardInterrupt:
        kept = "finished runs are kept, the same command goes on from there (train: with --resume)"
        sys.stderr.write(f"qtrain: interrupted; {kept}\n")
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


def _short(name: object) -> str:
    text = "" if name is None else " ".join(str(name).split())
    return text if len(text) <= 200 else f"{text[:200]}..."


@app.command
def pretrain(config: Path, /, *overrides: str) -> None:
    """Make the base model of a configuration, or find it in the cache, and print where it lies and its p0.

    Args:
        config: A TOML configuration.
        overrides: key=value, dotted keys, for example pretrain.p0=1e-4.
    """
    from qtrain.commands import pretrain_command

    pretrain_command(config, overrides)


@app.command
def train(config: Path, /, *overrides: str, out: Path | None = None, resume: bool = False) -> int:
    """Train one model and write its run folder.

    Args:
        config: A TOML configuration.
        overrides: key=value, dotted keys, for example estimator=paft:q=.5 optimizer.lr=1e-2.
        out: The run folder; by default runs/NAME-ESTIMATOR-seedN.
        resume: Go on from the folder's last checkpoint (see train.checkpoint_every); begin where there is none.
    """
    from qtrain.commands import train_command

    return train_command(config, overrides, out, resume=resume)


@app.command
def evaluate(run: Path, /, *, prompts: int | None = None, samples: int | None = None, seed: int = 1) -> None:
    """Evaluate a finished run's weights again on held-out prompts.

    Args:
        run: A run folder.
        prompts: Held-out prompts of each kind; by default the run's own number.
        samples: Samples a prompt; by default the run's own number.
        seed: Seeds the sampling; training evaluates with 0.
    """
    from qtrain.commands import evaluate_command

    evaluate_command(run, prompts, samples, seed)


@app.command
def compare(
    config: Path,
    /,
    *overrides: str,
    estimator: Annotated[list[str], Several],
    out: Path,
    seeds: int = 1,
    jobs: int | None = None,
) -> None:
    """Run several estimators from one configuration and write OUT/comparison.json.

    Args:
        config: A TOML configuration.
        overrides: key=value, dotted keys, for every run.
        estimator: Names with parameters: grpo rb_rloo garl:q=.25 paft:q=.75,k=8
        out: Folder of the comparison, one run folder in it per estimator and seed.
        seeds: Bases and training seeds 0 to N - 1.
        jobs: Worker processes of one thread each; by default one per core.
    """
    from qtrain.commands import compare_command

    compare_command(config, overrides, estimator, out, seeds, jobs)


@app.command
def study(
    name: str,
    /,
    *,
    seeds: int = 3,
    runs: Path | None = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    jobs: int | None = None,
) -> None:
    """Run one of the project's own experiments and write the data file that figures and docs are made from.

    Args:
        name: cold_start, adam_conflict, adam_alike, learning_rates, best_learning_rates, escape_exponents,
            adam_epsilon, common_factor or baseline.
        seeds: Bases and training seeds 0 to N - 1.
        runs: Where the run folders lie, finished ones are kept; by default runs/studies/NAME.
        output: The data file; by default figures/data/NAME.json.
        jobs: Worker processes of one thread each; by default one per core.
    """
    from qtrain.commands import study_command

    study_command(name, seeds, runs, output, jobs)


@app.command
def report(*runs: Path, output: Annotated[Path, Parameter(name=["--output", "-o"])]) -> None:
    """Write one self-contained HTML page about comparisons or single runs.

    Args:
        runs: Folders that `compare` or `train` wrote.
        output: The page.
    """
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
    max_prompt_tokens: int | None = None,
    max_answer_tokens: int | None = None,
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
    from qtrain.data.commands import check_command

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
    n: int = 3,
    variant: Literal["cold", "warm"] | None = None,
    tokenizer: Path | None = None,
    max_prompt_tokens: int | None = None,
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
    from qtrain.data.commands import show_command

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
