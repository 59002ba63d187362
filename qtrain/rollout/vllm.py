"""The engine `vllm`: vLLM in this process, with weights of its own that are pushed after every update.

One engine a process is all that vLLM allows; runs of one model that follow each other share it. On a GPU it sleeps
while the trainer works, so that both fit into one memory.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.config import RolloutConfig
from qtrain.errors import UserError
from qtrain.policy.model import TokenIds
from qtrain.policy.weights import merged_state_dict
from qtrain.rollout.engine import Diverged, Rationales, RolloutBatch
from qtrain.rollout.memory import AtOnce
from qtrain.rollout.vllm_process import Process, failures, running


class VllmEngine:
    """See `qtrain.rollout.engine.Engine`.

    Args:
        model: The policy; vLLM gets a copy of its weights.
        ids: Special tokens.
        config: Sizes the KV cache by `prompts` and `samples`; its table `vllm`.

    Raises:
        UserError: vLLM is not installed, does not start, or runs in this process for another model.
    """

    def __init__(self, model: PreTrainedModel, ids: TokenIds, config: RolloutConfig) -> None:
        self.ids, self.device = ids, model.device
        # vLLM feeds a row's last token too and predicts one more.
        self.max_positions: int = model.config.max_position_embeddings - 1
        self.llm = running(model, config)
        self.asleep = False
        Process.owner = self
        self.sync_weights(model)

    def start(self, prompts: Sequence[list[int]], config: RolloutConfig) -> RolloutBatch:
        """Wake up; the prompts run with the first request."""
        self._wake()
        return _RequestGroup(self, prompts, config)

    def at_once(self, prompts: Sequence[list[int]], answer_tokens: int, config: RolloutConfig) -> AtOnce:
        """Everything: vLLM schedules its requests within its own cache."""
        del answer_tokens
        return AtOnce(config.prompts_at_once or len(prompts), config.samples)

    def noise(self, generator: torch.Generator, prompts: int, samples: int, tokens: int) -> Tensor:
        """A seed a prompt, which the prompt's rows share, (N,)."""
        del tokens
        seeds = torch.randint(2**48, (prompts,), generator=generator, device=generator.device)
        return seeds.repeat_interleave(samples)

    def sync_weights(self, model: PreTrainedModel) -> None:
        """Copy this model's weights and forget every cached prefix, which the old weights made."""
        self._wake()
        with failures("failed"):
            self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(list(merged_state_dict(model)))})
            if model.config.tie_word_embeddings:
                self.llm.apply_model(_refresh_output)
            if not self.llm.reset_prefix_cache():
                raise RuntimeError("its prefix cache cannot be reset while requests are running")

    def sleep(self) -> None:
        """Free the GPU's memory: weights go to the CPU's, the cache is dropped."""
        if self.device.type == "cuda":
            self.llm.sleep(level=1)
            self.asleep = True

    def _wake(self) -> None:
        if Process.owner is not self:
            raise UserError("rollout.engine=vllm: a later run took this process's only vLLM; run one after the other")
        if self.asleep:
            self.llm.wake_up()
            self.asleep = False


def _refresh_output(model: Any) -> None:
    """On a CPU the output matrix is a packed copy, which a push of tied embeddings leaves as it was."""
    model.lm_head.quant_method.process_weights_after_loading(model.lm_head)


class _RequestGroup:
    """B prompts with M rows each; every call is one batch of requests, which share their prefixes in vLLM's cache."""

    def __init__(self, engine: VllmEngine, prompts: Sequence[list[int]], config: RolloutConfig) -> None:
        self.engine, self.prompts, self.config = engine, prompts, config
        self.closed: list[list[int]] = []
        """Prompt, rationale and END_THINK of each row."""

    def rationales(self, noise: Tensor, *, score_norms: bool) -> Rationales:
        """M samples a prompt."""
        if score_norms:
            raise UserError("rollout.engine=vllm: vLLM gives no squared scores; use rollout.engine=transformers")
        end_think, samples = self.engine.ids.end_think, self.config.samples
        results = self._sample(self.prompts, end_think, self.config.rationale_budget, samples, noise)
        rows = [sorted(result.outputs, key=lambda row: row.index) for result in results]
        tokens = [list(row.token_ids) for pool in rows for row in pool]
        log_p = [_log_p(row.token_ids, row.logprobs) for pool in rows for row in pool]
        forced = [row[-1] != end_think for row in tokens]
        self.closed = [
            self.prompts[index // samples] + row + [end_think] * force
            for index, (row, force) in enumerate(zip(tokens, forced, strict=True))
        ]
        return Rationales(tokens, log_p, torch.tensor(forced), None)

    def score(self, answers: Sequence[list[int]]) -> Tensor:
        """Run the answers behind the cached prefixes of their rows.

        vLLM gives the log-probabilities of a prompt's tokens behind the part that it found in its cache; by default it
        looks for none. A row whose answer is itself in the cache, as two alike rows have it, runs whole.
        """
        rows = [closed + answer for closed, answer in zip(self.closed, answers, strict=True)]
        results = self._score(rows, whole=False)
        cached = [
            place
            for place, (closed, result) in enumerate(zip(self.closed, results, strict=True))
            if result.num_cached_tokens is None or result.num_cached_tokens >= len(closed)
        ]
        if cached:
            again = self._score([rows[place] for place in cached], whole=True)
            for place, result in zip(cached, again, strict=True):
                results[place] = result
        log_w = [
            sum(_log_p(answer, result.prompt_logprobs[-len(answer) :]))
            for answer, result in zip(answers, results, strict=True)
        ]
        return torch.tensor(log_w, dtype=torch.float64)

    def answers(self, noise: Tensor) -> list[list[int]]:
        """One sample a row."""
        results = self._sample(self.closed, self.engine.ids.end, self.config.answer_budget, 1, noise)
        for result in results:
            _log_p(result.outputs[0].token_ids, result.outputs[0].logprobs)
        return [list(result.outputs[0].token_ids) for result in results]

    def _score(self, rows: list[list[int]], *, whole: bool) -> list[Any]:
        parameters = _sampling(max_tokens=1, prompt_logprobs=0, temperature=0.0, skip_reading_prefix_cache=whole)
        return self._generate(rows, [parameters] * len(rows))

    def _sample(self, prompts: Sequence[list[int]], stop: int, budget: int, samples: int, noise_N: Tensor) -> list[Any]:
        """Sample up to `budget` tokens, the stop token included; the i-th sample of a prompt has seed + i."""
        parameters = [
            _sampling(
                n=samples,
                seed=seed,
                max_tokens=budget,
                stop_token_ids=[stop],
                ignore_eos=True,  # END has no meaning within a rationale
                logprobs=0,
                temperature=self.config.temperature,
                top_p=self.config.top_p,
                top_k=self.config.top_k or 0,
            )
            for seed in noise_N[::samples].tolist()
        ]
        return self._generate(prompts, parameters)

    def _generate(self, rows: Sequence[list[int]], parameters: list[Any]) -> list[Any]:
        requests = [{"prompt_token_ids": row} for row in rows]
        # The trainer's autocast is not vLLM's, which has its own type.
        with failures("failed"), torch.autocast(self.engine.device.type, enabled=False):
            return self.engine.llm.generate(requests, parameters, use_tqdm=False)


def _sampling(**settings: Any) -> Any:
    return importlib.import_module("vllm").SamplingParams(detokenize=False, **settings)


def _log_p(tokens: Sequence[int], log_probs: Any) -> list[float]:
    """Each token's own entry.

    Raises:
        Diverged: One is not a number.
    """
    found = [entry[token].logprob for token, entry in zip(tokens, log_probs, strict=True)]
    if any(value != value for value in found):
        raise Diverged("vLLM's log-probabilities are not finite: the weights have diverged; lower the learning rate")
    return found
