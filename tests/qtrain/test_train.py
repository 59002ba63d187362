"""Training, evaluation and bases on the tiny model: what a run leaves on disk, and that it can be repeated."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from figures.studies.baseline_gain import BaselineGain, baseline_gain
from figures.studies.score_norm import ScoreNorm, score_norm_sq
from qtheory.estimators import garl
from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.evaluation import evaluate
from qtrain.metrics import family_loss, relative_log_weights
from qtrain.policy.base import Base
from qtrain.policy.model import encode_examples, token_ids
from qtrain.policy.weights import load_weights
from qtrain.prepare import get_base
from qtrain.report import report_command
from qtrain.rollout.rollouts import Rollouts, roll_out
from qtrain.rollout.transformers import TransformersEngine
from qtrain.runs.folder import ESCAPED, EVALS, METRICS, TIMINGS, read_jsonl
from qtrain.tasks.base import Task
from qtrain.testbed.p0 import measure_p0
from qtrain.trainer import SamplingWarning, train
from qtrain.update import backward


def without_timings(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMINGS} for row in rows]


@pytest.mark.parametrize(
    "word",
    ["garl:q=.75", pytest.param("paft:q=.5", marks=pytest.mark.slow), pytest.param("grpo", marks=pytest.mark.slow)],
)
def test_a_run_leaves_everything_and_repeats_itself(
    word: str, config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    # The norm is measured at the first step, and not again before log P has moved by 100 nats.
    config = config.with_values({"estimator": word, "optimizer.lr": 0.1})
    results = [train(config, task, base, tmp_path / name, callbacks=[ScoreNorm(100.0)]) for name in ("one", "two")]
    assert without_timings(results)[0] == without_timings(results)[1]
    one, two = tmp_path / "one", tmp_path / "two"
    assert json.loads((one / "result.json").read_text()) == results[0]
    assert Config.model_validate(json.loads((one / "config.json").read_text())) == config
    assert {"command", "commit", "libraries"} <= set(json.loads((one / "environment.json").read_text()))
    metrics = read_jsonl(one / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [1, 2, 3]
    assert all(math.isfinite(value) for row in metrics for value in row.values())
    assert "score_norm_sq" in metrics[0]
    assert without_timings(metrics) == without_timings(read_jsonl(two / "metrics.jsonl"))
    assert [row["step"] for row in read_jsonl(one / "evals.jsonl")] == [0, 2, 3]
    assert {"prompt", "gold", "rationale", "answer", "log_w", "success"} <= set(read_jsonl(one / "samples.jsonl")[0])
    first, second = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    started = load_file(base.folder / "model.safetensors")
    moved = any(not torch.equal(first[name], started[name]) for name in first)
    # GRPO stands still where no sampled answer was right.
    assert moved == (word != "grpo" or any(row["reward"] > 0 for row in metrics))


def test_metrics_against_their_definitions(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    """With one prompt a step its pool can be had again: amplification, the paper's max c_m/M^q, tokens."""
    config = config.with_values(
        {"rollout.prompts": 1, "train.steps": 1, "estimator": "garl:q=.5", "task.variant": "cold"}
    )
    pools: list[Rollouts] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qtrain.step.backward", lambda *a, **k: (pools.append(a[2]), backward(*a, **k))[1])
        train(config, task, base, tmp_path / "run")
    row = read_jsonl(tmp_path / "run" / "metrics.jsonl")[0]
    w = np.exp(pools[0].log_w_BM.numpy()[0])
    others = (w.sum() - w) / 5
    assert row["max_c"] == pytest.approx(float((w / w.mean() ** 0.5 - others**0.5).max() / 6**0.5))
    for q in (0.25, 0.5, 0.75, 1):
        assert row[f"log_amplification_{q:g}"] == pytest.approx(-q * math.log(w.mean()))
    assert row["tokens"] == sum(map(len, pools[0].rationales))
    assert row["tokens_per_second"] == pytest.approx(row["tokens"] / row["seconds"])
    assert (row["q"], row["lr"]) == (0.5, 1e-3)


def test_small_batches_recomputation_and_bfloat16_leave_a_run_as_it_is(
    config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    config = config.with_values({"optimizer.lr": 0.1, "estimator": "garl:q=.5"})
    start, moves = load_file(base.folder / "model.safetensors"), []
    changes: list[dict[str, Any]] = [
        {},
        {"train.micro_batch_tokens": 70, "train.gradient_checkpointing": True},
        {
            "train.dtype": "bfloat16",
            "train.micro_batch_tokens": 70,
            "train.gradient_checkpointing": True,
            "train.kl": 1e-9,
        },
    ]
    for index, change in enumerate(changes):
        train(config.with_values({**change, "train.steps": 1}), task, base, tmp_path / str(index))
        end = load_file(tmp_path / str(index) / "model.safetensors")
        moves.append(torch.cat([(end[name] - start[name]).flatten() for name in sorted(start)]))
    plain, small, rough = moves
    assert float((small - plain).norm() / plain.norm()) < 1e-4
    # bfloat16 samples other rationales where two are nearly as likely: the direction is what remains.
    assert float(torch.cosine_similarity(rough, plain, dim=0)) > 0.85  # on the same rationales: test_update


def test_training_stops_at_the_wanted_p(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    config = config.with_values({"train.steps": 50, "train.stop_at_p": 1e-9})
    assert train(config, task, base, tmp_path / "run")["steps"] == 1


@pytest.mark.parametrize("word", ["rb_rloo", "garl:q=.75", "paft:q=.5"])
def test_relative_weights_are_one_common_factor(
    word: str, config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    """After one SGD step every weight has moved in the same direction, further by (1 / largest w)^(1-q)."""
    config = config.with_values({"estimator": word, "train.steps": 1, "optimizer.lr": 10.0})
    start = load_file(base.folder / "model.safetensors")
    moves = []
    for setting in (False, True):
        folder = tmp_path / str(setting)
        train(config.with_values({"train.relative_weights": setting}), task, base, folder)
        end = load_file(folder / "model.safetensors")
        moves.append(torch.cat([(end[name] - start[name]).flatten() for name in sorted(start)]))
    plain, other = moves
    top = read_jsonl(tmp_path / "False" / "metrics.jsonl")[0]["log_w_max"]
    factor = math.exp(-top * (1 - float(config.estimator.q or 0)))
    assert factor > 2
    assert float((other - factor * plain).norm() / other.norm()) < 1e-3


@pytest.mark.parametrize("word", ["bound:q=.75", "jepo", "logprob", "rb_pkpo:k=2", "pkpo:k=2", "sign"])
def test_a_registered_name_is_all_that_a_run_needs(
    word: str, config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    config = config.with_values({"estimator": word, "train.steps": 1, "eval.samples": 1})
    assert train(config, task, base, tmp_path / "run")["steps"] == 1


def test_the_loss_outside_the_family_without_rewards_is_that_of_the_mean_weight() -> None:
    log_w_BM = torch.tensor([[0.0, -math.inf], [0.2, 0.4]], dtype=torch.float64)
    log_w_BM[1] = log_w_BM[1].log()
    rollouts = Rollouts([], [], [], torch.zeros(2, 2, dtype=torch.bool), log_w_BM, None, None)
    assert family_loss(None, rollouts) == pytest.approx(1 - 0.4)
    assert family_loss(1.0, rollouts) == pytest.approx(-(math.log(0.5) + math.log(0.3)) / 2)


def test_the_mean_of_the_tokens_log_probabilities_divides_by_their_number(
    config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    largest = []
    for word in ("logprob", "logprob_mean"):
        folder = tmp_path / word
        train(config.with_values({"estimator": word, "train.steps": 1}), task, base, folder)
        largest.append(read_jsonl(folder / "metrics.jsonl")[0]["max_answer_coefficient"])
    lengths = {len(answer) for answer in encode_examples(task.tokenizer, task.held_out(8))[1]}
    assert largest[0] == 1
    assert 1 / largest[1] in lengths


def test_relative_weights_leave_a_batch_of_impossible_answers_alone() -> None:
    nothing = torch.full((2, 3), -math.inf, dtype=torch.float64)
    assert torch.equal(relative_log_weights(nothing), nothing)
    some = torch.tensor([[-math.inf, -900.0], [-905.0, -1000.0]], dtype=torch.float64)
    assert relative_log_weights(some).tolist() == [[-math.inf, 0.0], [-5.0, -100.0]]


@pytest.mark.slow
def test_baseline_gain_is_that_of_the_variance_itself(
    config: Config, task: Task, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one prompt: the ratio of the gradients' variances, with the baseline and without, over many pools."""
    config = config.with_values({"estimator": "garl:q=.25", "rollout.samples": 4})
    example = next(one for one in task.batch(8, np.random.default_rng(0)) if not one.group)
    monkeypatch.setattr(task, "batch", lambda size, _: [example] * size)
    monkeypatch.setattr("figures.studies.baseline_gain.PROMPTS", 100)
    model = base.load(config, task)
    found = baseline_gain(model, task, config, np.random.default_rng(0))
    ids, generator = token_ids(task.tokenizer), torch.Generator().manual_seed(1)
    gradients: dict[str, list[torch.Tensor]] = {"none": [], "loo": []}
    for _ in range(200):
        encoded = encode_examples(task.tokenizer, [example])
        rollouts = roll_out(TransformersEngine(model, ids), *encoded, config.rollout, generator, sample_answers=False)
        for baseline, estimates in gradients.items():
            coefficients = garl(rollouts.log_w_BM, 0.25, baseline=baseline)  # pyright: ignore[reportArgumentType]
            backward(model, ids, rollouts, coefficients, on_sampled_answers=False)
            estimates.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    none, loo = (float(torch.stack(estimates).var(0).sum()) for estimates in gradients.values())
    assert found["variance_none"] == pytest.approx(none, rel=0.2)
    assert found["variance_loo"] == pytest.approx(loo, rel=0.2)
    assert found["variance_weighted"] < none
    assert found["best_multiplier"] > 0


@pytest.mark.slow
def test_a_run_logs_the_baselines_gain_when_asked(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    train(config, task, base, tmp_path / "run", callbacks=[BaselineGain(every=2)])
    metrics = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert [row["step"] for row in metrics if "best_multiplier" in row] == [1, 3]


def test_a_rate_that_is_too_large_gives_a_result_that_says_so(
    config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    config = config.with_values({"optimizer.lr": 1e30, "train.steps": 20})
    result = train(config, task, base, tmp_path / "run")
    assert result["diverged_step"] is not None
    assert result["p_at_1"] is None
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result


def test_finished_runs_and_other_folders_are_not_overwritten(
    config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    train(config, task, base, tmp_path / "run")
    with pytest.raises(UserError, match="holds a finished run"):
        train(config, task, base, tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="not a run folder"):
        train(config, task, base, tmp_path / "mine")
    (tmp_path / "run" / "result.json").unlink()
    with pytest.raises(UserError, match="holds the checkpoints of an interrupted run; add --resume"):
        train(config, task, base, tmp_path / "run")
    assert train(config, task, base, tmp_path / "run", resume=True)["steps"] == 3


def test_evaluation_agrees_with_its_own_texts(config: Config, task: Task, base: Base) -> None:
    config = config.with_values({"eval.prompts": 3, "eval.samples": 4})
    engine = TransformersEngine(base.load(config, task), token_ids(task.tokenizer))
    evaluation = evaluate(engine, task, config, seed=0)
    assert len(evaluation.texts) == 2 * 3 * 4
    for easy, ending in ((False, ""), (True, "_easy")):
        texts = [text for text in evaluation.texts if (text["group"] == "easy") == easy]
        pools = np.array([text["success"] for text in texts], dtype=float).reshape(3, 4)
        w = np.exp([text["log_w"] for text in texts]).reshape(3, 4)
        assert evaluation.scores[f"p_at_1{ending}"] == pytest.approx(pools.mean())
        assert evaluation.scores[f"p_at_4{ending}"] == pytest.approx(pools.any(1).mean())
        assert evaluation.scores[f"p{ending}"] == pytest.approx(w.mean())
        assert evaluation.scores[f"mean_log_p{ending}"] == pytest.approx(np.log(w.mean(1)).mean())
        answered, golds = [text["answer"] for text in texts], [text["gold"] for text in texts]
        scores = {
            "exact_match": np.mean([answer == gold for answer, gold in zip(answered, golds, strict=True)]),
            "distinct_answers": len(set(answered)),
            "constant_answer": max(golds.count(answer) for answer in golds) / len(golds),
            "forced": np.mean([text["forced"] for text in texts]),
        }
        assert {name: evaluation.scores[f"{name}{ending}"] for name in scores} == pytest.approx(scores)
        lengths = [len(task.tokenizer.encode(text["rationale"], add_special_tokens=False)) for text in texts]
        assert evaluation.scores[f"rationale_tokens{ending}"] == pytest.approx(np.mean(lengths))
        # GARL at q = 1: w/wbar on answers, one less its baseline's wbar^0 on rationales.
        answers = np.array([text["answer_coefficient"] for text in texts]).reshape(3, 4)
        assert answers == pytest.approx(w / w.mean(1, keepdims=True))
        rationales = np.array([text["rationale_coefficient"] for text in texts]).reshape(3, 4)
        assert rationales == pytest.approx(answers - 1)


def test_bases_are_cached_and_depend_on_the_seed(config: Config, task: Task, base: Base) -> None:
    assert get_base(config, task) == base
    assert get_base(config.with_values({"optimizer.lr": 0.5, "train.seed": 4}), task) == base
    assert get_base(config.with_values({"pretrain.seed": 1}), task).folder != base.folder


def test_pretraining_lowers_the_loss(config: Config, task: Task, base: Base) -> None:
    del base  # it points the cache to a folder of this test
    losses: list[float] = []
    settings = {"pretrain.steps": 160, "pretrain.batch": 16, "pretrain.lr": 1e-2}
    get_base(config.with_values(settings), task, progress=lambda *report: losses.append(report[2]))
    assert len(losses) == 160
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


@pytest.mark.parametrize("wanted", [1e-3, 1e-5])
def test_p0_is_moved_to_the_wanted_value(wanted: float, config: Config, task: Task, base: Base) -> None:
    moved = get_base(config.with_values({"pretrain.p0": wanted}), task)
    measured = measure_p0(moved.load(config, task), task, config, seed=7)
    # One more sample of rationales than the one that the offset was solved on: 128 prompts x 32.
    assert measured == pytest.approx(wanted, rel=0.15)
    assert moved.about["p0"] == pytest.approx(wanted, rel=0.15)
    before, after = (load_file(folder / "model.safetensors") for folder in (base.folder, moved.folder))
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["lm_head.weight"]
    assert int((before["lm_head.weight"] != after["lm_head.weight"]).any(1).sum()) == 1


def test_p0_out_of_reach_is_one_line(config: Config, task: Task, base: Base) -> None:
    del base
    with pytest.raises(UserError, match=r"pretrain.p0=0.999: choose a value between"):
        get_base(config.with_values({"pretrain.p0": 0.999}), task)
    with pytest.raises(UserError, match="embeddings are tied"):
        get_base(config.with_values({"pretrain.p0": 0.1, "model.tied_embeddings": True}), task)


@pytest.mark.slow
def test_score_norm_is_that_of_autograd_on_an_enumerated_p(config: Config, task: Task, base: Base) -> None:
    """With a rationale budget of 1 the rationales can be enumerated: ||grad mean log P||^2 over all prompts' mean."""
    config = config.with_values({"task.variant": "cold", "task.digits": 2, "rollout.rationale_budget": 1})
    model = base.load(config, task)
    estimates = [score_norm_sq(model, task, config, np.random.default_rng(seed)) for seed in range(4)]
    exact = exact_score_norm_sq(model, task, config)
    error = np.std(estimates, ddof=1) / len(estimates) ** 0.5
    assert error < 0.2 * exact
    assert abs(np.mean(estimates) - exact) < 4 * error


def exact_score_norm_sq(model: Any, task: Task, config: Config) -> float:
    """||grad of the mean over 256 training prompts of log sum_z p(z|x) p(y*|x, z)||^2, by autograd."""
    from qtrain.forward.log_probs import row_log_probs
    from qtrain.policy.model import encode_examples, token_ids

    ids = token_ids(task.tokenizer)
    examples = [example for example in task.batch(512, np.random.default_rng(99)) if not example.group]
    prompts, gold = encode_examples(task.tokenizer, examples)
    tokens = range(len(task.tokenizer))
    rows = [(prompt, token, answer) for prompt, answer in zip(prompts, gold, strict=True) for token in tokens]
    log_p = row_log_probs(
        model,
        ids,
        [prompt for prompt, _, _ in rows],
        [[token] for _, token, _ in rows],
        [token != ids.closer[0] for _, token, _ in rows],
        [answer for _, _, answer in rows],
    )
    log_P = (log_p.rationale_N + log_p.answer_N).reshape(len(examples), -1).logsumexp(1).mean()
    model.zero_grad()
    log_P.backward()
    return sum(float(p.grad.square().sum()) for p in model.parameters())


def test_damaged_weights_are_one_line(config: Config, task: Task, base: Base) -> None:
    path = base.folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not this configuration's weights") as error:
        load_weights(base.load(config, task), base.folder)
    assert "\n" not in str(error.value)


def test_sampling_settings_do_not_move_what_is_called_p(config: Config, task: Task, base: Base, tmp_path: Path) -> None:
    """P and log P of one base are the model's own; p@1 is of what is sampled."""
    config = config.with_values({"estimator": "grpo", "train.steps": 2, "eval.prompts": 8, "eval.every": 1})
    results, metrics = {}, {}
    for top_k in (None, 1):
        run = tmp_path / f"run-{top_k}"
        settings = config.with_values({"rollout.top_k": top_k, "optimizer.lr": 1e-30})
        if top_k is None:
            results[top_k] = train(settings, task, base, run)
        else:
            with pytest.warns(SamplingWarning, match=r"top_k=1: grpo samples from another distribution"):
                results[top_k] = train(settings, task, base, run)
        metrics[top_k] = read_jsonl(run / METRICS)
    for name in ("p0", "p", "mean_log_p", "p_easy", "mean_log_p_easy", "escape_step"):
        assert results[None][name] == results[1][name]
    assert {"p", "log_p", "mean_log_p", "p_easy"} <= metrics[None][0].keys()
    names = {name for name in metrics[1][0] if name.endswith(("p_easy", "log_p")) or name in ("p", "sampled_p")}
    assert names == {"sampled_p", "sampled_log_p", "sampled_mean_log_p", "sampled_p_easy"}
    assert (tmp_path / "run-1" / "warnings.jsonl").read_text().count("SamplingWarning") == 1
    report_command((tmp_path / "run-1",), tmp_path / "report.html")


def test_escape_is_seen_at_evaluations_where_batches_do_not_show_p(
    config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    """With p0 above the threshold: batches would say step 1, evaluations say the first of theirs."""
    config = config.with_values(
        {"estimator": "garl:q=1", "optimizer.name": "adamw", "optimizer.lr": 0.02, "train.steps": 40, "eval.every": 7}
    )
    plain = train(config, task, base, tmp_path / "plain")
    off_policy_setting = config.with_values({"rollout.top_p": 0.999, "rollout.force_sampling": True})
    with pytest.warns(SamplingWarning):
        result = train(off_policy_setting, task, base, tmp_path / "run")
    assert plain["escape_step"] is not None
    evals = [row for row in read_jsonl(tmp_path / "run" / EVALS) if row["step"] and row["p"] > ESCAPED]
    assert result["escape_step"] == evals[0]["step"]


@pytest.mark.parametrize("word", ["grpo", "dr_grpo", "maxrl"])
def test_a_group_of_one_is_refused_where_it_says_nothing(word: str, config: Config) -> None:
    with pytest.raises(UserError, match=rf"rollout.samples=1: {word} compares the samples of one prompt"):
        config.with_values({"estimator": word, "rollout.samples": 1})
    for other in ("garl:q=.5", "rloo", "paft:q=1"):
        config.with_values({"estimator": other, "rollout.samples": 1})


def test_a_configuration_that_was_not_prepared_is_refused(
    config: Config, task: Task, base: Base, tmp_path: Path
) -> None:
    rollout = config.rollout.model_copy(update={"answer_budget": 0})
    with pytest.raises(ValueError, match="prepare chooses them"):
        train(config.model_copy(update={"rollout": rollout}), task, base, tmp_path / "run")
    assert not (tmp_path / "run").exists()
