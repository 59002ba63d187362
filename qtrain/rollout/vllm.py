"""The engine `vllm`: vLLM in this process, with a copy of the weights that is synced after every update.

vLLM allows only one engine per process; consecutive runs of the same model share it. On a GPU the engine sleeps while
the trainer works, so that both fit into the GPU's memory.
"""

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from qtrain.config import RolloutConfig
from qtrain.errors import UserError
from qtrain.forward.rows import forced_closer
from qtrain.policy.model import TokenIds
from qtrain.policy.weights import merged_state_dict
from qtrain.rollout.engine import Diverged, Rationales, RolloutBatch
from qtrain.rollout.memory import AtOnce
from qtrain.rollout.vllm_process import Process, get_llm, report_errors


class VllmEngine:
    """Engine that samples with vLLM; see `qtrain.rollout.engine.Engine`.

    Args:
        model: The policy; vLLM gets a copy of its weights.
        ids: Special tokens.
        config: `prompts` and `samples` determine the size of the KV cache; the table `vllm` has the other settings.

    Raises:
        UserError: vLLM is not installed, does not start, or already runs in this process for another model.
    """

    def __init__(self, model: PreTrainedModel, ids: TokenIds, config: RolloutConfig) -> None:
        self.ids, self.device = ids, model.device
        # vLLM runs the last token of a row too, and samples a token after it.
        self.max_positions: int = model.config.max_position_embeddings - 1
        self.llm = get_llm(model, config)
        self.temperature = config.temperature
        self.asleep = False
        Process.owner = self
        self.sync_weights(model)

    def start(self, prompts: Sequence[list[int]], config: RolloutConfig) -> RolloutBatch:
        """Wake vLLM up; the prompts are run with the first request."""
        if config.temperature != self.temperature:
            raise ValueError(
                f"rollout.temperature={config.temperature:g}: this engine was made for {self.temperature:g}"
            )
        self._wake()
        return _RequestBatch(self, prompts, config)

    def at_once(self, prompts: Sequence[list[int]], answer_tokens: int, config: RolloutConfig) -> AtOnce:
        """Return the whole batch: vLLM schedules requests within its own KV cache."""
        del answer_tokens
        return AtOnce(config.prompts_at_once or len(prompts), config.samples)

    def noise(self, generator: torch.Generator, prompts: int, samples: int, tokens: int) -> Tensor:
        """Draw a seed for each prompt, which its rows share, (N,)."""
        del tokens
        seeds = torch.randint(2**48, (prompts,), generator=generator, device=generator.device)
        return seeds.repeat_interleave(samples)

    def sync_weights(self, model: PreTrainedModel) -> None:
        """Copy this model's weights with the policy's temperature, and drop prefixes cached with the old weights."""
        self._wake()
        with report_errors("failed"):
            self.llm.collective_rpc(
                "reload_weights", kwargs={"weights_iterator": iter(list(tempered_weights(model, self.temperature)))}
            )
            if model.config.tie_word_embeddings:
                self.llm.apply_model(_refresh_output)
            if not self.llm.reset_prefix_cache():
                raise RuntimeError("its prefix cache cannot be reset while requests are running")

    def sleep(self) -> None:
        """Free the GPU's memory: the weights move to the CPU, and the KV cache is dropped."""
        if self.device.type == "cuda":
            self.llm.sleep(level=1)
            self.asleep = True

    def _wake(self) -> None:
        if Process.owner is not self:
            raise UserError("rollout.engine=vllm: a later run took this process's only vLLM; run one after the other")
        if self.asleep:
            self.llm.wake_up()
            self.asleep = False


def tempered_weights(model: PreTrainedModel, temperature: float) -> Iterator[tuple[str, Tensor]]:
    """Yield a model's weights such that its logits are divided by the temperature.

    vLLM reports log-probabilities of given tokens at temperature 1 only. The final norm's weight is a factor of all
    logits, so that dividing it makes the tempered policy's log-probabilities vLLM's own.

    Raises:
        UserError: The final norm's weight is no such factor.
    """
    if temperature == 1:
        yield from merged_state_dict(model)
        return
    norm = getattr(model.get_decoder(), "norm", None)
    name = next((f"{name}.weight" for name, module in model.named_modules() if module is norm), None)
    if norm is None or not isinstance(getattr(norm, "weight", None), Tensor) or not _is_factor(norm):
        raise UserError(
            f"rollout.temperature={temperature:g}: vLLM scores at temperature 1, and {type(model).__name__} has no "
            f"final norm to divide by it; use rollout.engine=transformers, or temperature=1"
        )
    for key, weight in merged_state_dict(model):
        yield key, weight / temperature if key == name else weight


@torch.no_grad()
def _is_factor(norm: nn.Module) -> bool:
    """Return whether halving a norm's weight halves its output."""
    weight = norm.get_parameter("weight")
    states = torch.linspace(-1.0, 2.0, len(weight), device=weight.device)[None]
    halved = torch.func.functional_call(norm, {"weight": weight / 2}, states)
    return torch.allclose(halved, norm(states) / 2, rtol=1e-4, atol=0)


def _refresh_output(model: Any) -> None:
    """Update the output matrix: on a CPU it is a packed copy, which syncing tied embeddings does not change."""
    model.lm_head.quant_method.process_weights_after_loading(model.lm_head)


class _RequestBatch:
    """A `RolloutBatch`; every call is a batch of vLLM requests, which share their prefixes in vLLM's KV cache."""

    def __init__(self, engine: VllmEngine, prompts: Sequence[list[int]], config: RolloutConfig) -> None:
        self.engine, self.prompts, self.config = engine, prompts, config
        self.prefixes: list[list[int]] = []
        """Prompt, rationale and closer of each row."""
        self.scored: list[int] = []
        """Number of last tokens of each prefix that count in log w."""

    def rationales(self, noise: Tensor, *, score_norms: bool) -> Rationales:
        """Sample M rationales for each prompt.

        vLLM stops at single tokens only. A closer of several tokens is searched afterwards, and the tokens after it are
        dropped, which leaves the same distribution and costs the time to sample them.
        """
        if score_norms:
            raise UserError("rollout.engine=vllm: vLLM gives no squared scores; use rollout.engine=transformers")
        ids, samples = self.engine.ids, self.config.samples
        stops = [*(ids.closer if len(ids.closer) == 1 else ()), *ids.ends]
        results = self._sample(self.prompts, stops, self.config.rationale_budget, samples, noise)
        outputs = [row for result in results for row in sorted(result.outputs, key=lambda row: row.index)]
        tokens = [until_closed(row.token_ids, ids.closer) for row in outputs]
        log_p = [_log_p(row, output.logprobs[: len(row)]) for row, output in zip(tokens, outputs, strict=True)]
        truncated = [tuple(row[-len(ids.closer) :]) != ids.closer for row in tokens]
        ended = [is_open and row[-1] in ids.ends for row, is_open in zip(tokens, truncated, strict=True)]
        closers = [forced_closer(ids, row) if is_open else [] for row, is_open in zip(tokens, truncated, strict=True)]
        self.scored = [len(closer) * ids.score_closer for closer in closers]
        self.prefixes = [
            self.prompts[index // samples] + row + closer
            for index, (row, closer) in enumerate(zip(tokens, closers, strict=True))
        ]
        return Rationales(tokens, log_p, torch.tensor(truncated), None, torch.tensor(ended) if ids.ends else None)

    def score(self, answers: Sequence[list[int]]) -> Tensor:
        """Run the answers after the cached prefixes of their rows.

        If a request asks for log-probabilities of its own tokens, vLLM does not read its prefix cache by default; if
        told to read it, it returns only those of the tokens that were not cached. If a part of the answer is cached
        too, as for the second of two equal rows, the row is run again without reading the cache.
        """
        rows = [prefix + answer for prefix, answer in zip(self.prefixes, answers, strict=True)]
        results = self._score(rows, read_cache=True)
        incomplete = [
            index
            for index, (prefix, scored, result) in enumerate(zip(self.prefixes, self.scored, results, strict=True))
            if result.num_cached_tokens is None or result.num_cached_tokens >= len(prefix) - scored
        ]
        if incomplete:
            complete = self._score([rows[index] for index in incomplete], read_cache=False)
            for index, result in zip(incomplete, complete, strict=True):
                results[index] = result
        log_w = [
            sum(_log_p(row[-scored - len(answer) :], result.prompt_logprobs[-scored - len(answer) :]))
            for row, answer, scored, result in zip(rows, answers, self.scored, results, strict=True)
        ]
        return torch.tensor(log_w, dtype=torch.float64)

    def answers(self, noise: Tensor) -> list[list[int]]:
        """Sample an answer for each row."""
        results = self._sample(self.prefixes, [self.engine.ids.end], self.config.answer_budget, 1, noise)
        for result in results:
            _log_p(result.outputs[0].token_ids, result.outputs[0].logprobs)
        return [list(result.outputs[0].token_ids) for result in results]

    def _score(self, rows: list[list[int]], *, read_cache: bool) -> list[Any]:
        parameters = _sampling_params(
            max_tokens=1, prompt_logprobs=0, temperature=0.0, skip_reading_prefix_cache=not read_cache
        )
        return self._generate(rows, [parameters] * len(rows))

    def _sample(
        self, prompts: Sequence[list[int]], stops: list[int], budget: int, samples: int, noise_N: Tensor
    ) -> list[Any]:
        """Sample up to `budget` tokens, including the first of `stops`; vLLM uses seed + i for sample i of a prompt."""
        parameters = [
            _sampling_params(
                n=samples,
                seed=seed,
                max_tokens=budget,
                stop_token_ids=stops,
                ignore_eos=True,  # `stops` contains END if it ends the row
                logprobs=0,
                temperature=1.0,  # the weights contain the policy's (see `tempered_weights`)
                top_p=self.config.top_p,
                top_k=self.config.top_k or 0,
            )
            for seed in noise_N[::samples].tolist()
        ]
        return self._generate(prompts, parameters)

    def _generate(self, rows: Sequence[list[int]], parameters: list[Any]) -> list[Any]:
        requests = [{"prompt_token_ids": row} for row in rows]
        # vLLM has its own dtype, which the trainer's autocast must not change.
        with report_errors("failed"), torch.autocast(self.engine.device.type, enabled=False):
            return self.engine.llm.generate(requests, parameters, use_tqdm=False)


def until_closed(tokens: Sequence[int], closer: tuple[int, ...]) -> list[int]:
    """Cut tokens after the first occurrence of a closer, if there is one."""
    row = list(tokens)
    for end in range(len(closer), len(row) + 1):
        if tuple(row[end - len(closer) : end]) == closer:
            return row[:end]
    return row


def _sampling_params(**settings: Any) -> Any:
    return importlib.import_module("vllm").SamplingParams(detokenize=False, **settings)


def _log_p(tokens: Sequence[int], log_probs: Any) -> list[float]:
    """Return the log-probability of each token from vLLM's entries.

    Raises:
        Diverged: A log-probability is NaN.
    """
    log_p = [entry[token].logprob for token, entry in zip(tokens, log_probs, strict=True)]
    if any(value != value for value in log_p):
        raise Diverged("vLLM's log-probabilities are not finite: the weights have diverged; lower the learning rate")
    return log_p
