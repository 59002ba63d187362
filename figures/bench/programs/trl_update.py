"""Time an update by TRL's GRPOTrainer in its own training loop, with given completions instead of generated ones.

`trainer.train()` runs as a user's would: micro-batches, loss, logging of its metrics, clipping, optimizer, schedule. A
subclass replaces one method, `_generate_and_score_completions`, by one that hands over completions and per-token
advantages, which TRL accepts as (B, T). The time runs from the callback on_step_begin to on_step_end.
"""

import importlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from figures.bench.gradient import compare_gradient
from figures.bench.process import Clock, serve
from figures.bench.profile import profiled
from figures.bench.workload import IDS, Shape, Work, make_model, make_work
from qtrain.testbed.two_formats import character_tokenizer


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Time updates; see `figures.bench.suites.update` for the settings."""
    trl, trainer_callback = (importlib.import_module(name) for name in ("trl", "transformers.trainer_callback"))
    device, shape = torch.device(settings["device"]), Shape.of(settings["shape"])
    if settings["contender"] == "trl-compact":
        # On a GPU its head runs over the completion alone, on a CPU over the prompt too: force the former here.
        vars(importlib.import_module("trl.trainer.utils"))["_use_triton"] = lambda _: True
    warm_up = make_work(replace(shape, prompt=8, completion=shape.answer + 8))
    work = make_work(shape, settings["estimator"], settings["spread"])
    batches = iter([warm_up] + [work] * (settings["updates"] + 1))
    clock, at_gradient = Clock(device), dict[str, Any]()

    class Trainer(trl.GRPOTrainer):
        def _generate_and_score_completions(self, _: Any) -> dict[str, Any]:
            return {name: value.to(device) for name, value in _trl_batch(next(batches)).items()}

    class Timer(trainer_callback.TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            clock.start()

        def on_pre_optimizer_step(self, _: Any, state: Any, *__: Any, model: Any, **___: Any) -> None:
            if settings["gradient"] and state.global_step == settings["updates"]:
                clock.stop()
                at_gradient.update(clock.result(), **compare_gradient(model, Path(settings["gradient"])))
                clock.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.stop(part="seconds" in at_gradient)

    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(trl, Trainer, Timer, settings, shape, folder)
        trainer.train()
        # Peak memory is read before the gradients are compared; an optimizer's step needs no more than a backward pass.
        result = {**clock.result(), **at_gradient, **clock.times(), "rows": shape.samples}
        at_gradient.clear()
        for times in ("seconds", "cpu_seconds"):
            result[times] = result[times][1:]  # without the warm-up
        if settings["profile"]:
            tile = importlib.import_module("trl.trainer.utils")._CHUNKED_LOGPROB_CHUNK_SIZE
            trainer.args.max_steps = 1
            result["profile"] = profiled(trainer.train, shape.model.vocabulary, tile)
    return result


def _trainer(trl: Any, cls: type, timer: type, settings: dict[str, Any], shape: Shape, folder: str) -> Any:
    datasets = importlib.import_module("datasets")
    args = trl.GRPOConfig(
        output_dir=str(Path(folder) / "out"),
        use_cpu=settings["device"] == "cpu",
        num_generations=shape.samples,
        max_completion_length=shape.completion,
        max_steps=settings["updates"] + 1,
        learning_rate=0.0,  # the same work at unchanged weights
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **settings["options"],
    )
    return cls(
        model=make_model(shape, torch.device(settings["device"])),
        reward_funcs=_no_reward,
        args=args,
        train_dataset=datasets.Dataset.from_dict({"prompt": ["0"] * shape.samples}),
        processing_class=character_tokenizer("0123456789"),
        callbacks=[timer()],
    )


def _no_reward(completions: list, **_: Any) -> list[float]:
    """A reward function that TRL requires but never calls, as the completions come with advantages."""
    return [0.0] * len(completions)


def _trl_batch(work: Work) -> dict[str, torch.Tensor]:
    """The return value of TRL's method for one group of M samples, which have equal lengths and need no padding."""
    tokens_MT, coefficient_MR = work.tokens_MT, work.coefficient_MR
    prompt = tokens_MT.shape[1] - coefficient_MR.shape[1]
    assert not (tokens_MT == IDS.pad).any()
    return {
        "prompt_ids": tokens_MT[:, :prompt],
        "prompt_mask": torch.ones_like(tokens_MT[:, :prompt]),
        "completion_ids": tokens_MT[:, prompt:],
        "completion_mask": torch.ones_like(tokens_MT[:, prompt:]),
        "advantages": coefficient_MR,
        "num_items_in_batch": torch.tensor(coefficient_MR.numel()),
    }


if __name__ == "__main__":
    serve(measure, ("trl.trainer.grpo_trainer", "datasets"))
