"""The engine that draws by vLLM: in the process that trains, on its device, with a copy of the policy's weights.

The policy's weights are copied into vLLM's, in place, before each draw. Between draws vLLM sleeps on a GPU: weights and
cache are given up, as the next draw brings new ones.

Shape suffixes: ``B`` rows, ``T`` response tokens.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from pgsrm_lightning.config import SamplingConfig, VllmConfig
from pgsrm_lightning.engines.colocation import in_short, merged_weights, plain, sleeps, start
from pgsrm_lightning.engines.engine import Drawn, keyed_seed, left_padded
from pgsrm_lightning.policy import Policy
from pgsrm_plugin.errors import PgsrmError, SpecError

TOLERANCE = {"float32": 0.01, "bfloat16": 0.25, "float16": 0.1}
"""Nats a token by which vLLM and the policy may differ on the first tokens, by vLLM's dtype."""


class VllmEngine:
    """Draws by vLLM, which is started at the first draw.

    Raises:
        SpecError: vLLM is not installed.
    """

    def __init__(self, settings: VllmConfig) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise SpecError(
                "model.sampling.engine: vllm needs vLLM: pip install 'pgsrm-plugin[vllm]'; or set engine: hf"
            )
        self._settings = settings
        self._llm: Any = None
        self._asleep = self._compared = False
        self._calls = 0

    def draw(
        self,
        policy: Policy,
        prompts: Sequence[tuple[int, ...]],
        sampling: SamplingConfig,
        device: torch.device,
        seed: int | None,
        go_on: Callable[[], None],
    ) -> Drawn:
        """See :class:`~pgsrm_lightning.engines.engine.Engine`. Row i draws with a seed of its own, made of both.

        Raises:
            SpecError: vLLM cannot run this child, or does not take its weights.
            PgsrmError: vLLM failed while it drew.
        """
        dtype = self._dtype(device)
        with torch.autocast(device.type, enabled=False), isolate_rng():
            if self._llm is None:
                self._llm = start(policy.lm, self._settings, dtype, device)
            self._load(policy, device)
            if not (self._compared or sampling.limited):
                self._compare(policy, prompts[0], sampling, device, TOLERANCE[dtype])
                self._compared = True
            drawn = self._draw(policy, prompts, sampling, device, seed, go_on)
            if sleeps(self._settings, device):
                self._llm.sleep(level=2)
                self._asleep = True
        return drawn

    def _dtype(self, device: torch.device) -> str:
        if self._settings.dtype != "auto":
            return self._settings.dtype
        mixed = torch.is_autocast_enabled(device.type)
        return str(torch.get_autocast_dtype(device.type) if mixed else torch.float32).removeprefix("torch.")

    def _load(self, policy: Policy, device: torch.device) -> None:
        """Copies the policy's weights into vLLM's, and forgets the keys and values that the old ones made."""
        if self._asleep:
            torch.cuda.empty_cache()  # what the update has left in PyTorch's own pool
            self._llm.wake_up(tags=["weights"])
        try:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": merged_weights(policy.lm)})
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise SpecError(
                f"model.sampling.engine: this vLLM does not take the weights of {type(plain(policy.lm)).__name__} in "
                f"place: {in_short(error)}; it was tried with vLLM 0.28; or set engine: hf"
            ) from error
        if self._asleep:
            self._llm.wake_up(tags=["kv_cache"])
            self._asleep = False
        if not self._llm.reset_prefix_cache():
            raise PgsrmError("vLLM did not forget the keys and values that earlier weights have made")

    def _draw(
        self,
        policy: Policy,
        prompts: Sequence[tuple[int, ...]],
        sampling: SamplingConfig,
        device: torch.device,
        seed: int | None,
        go_on: Callable[[], None],
    ) -> Drawn:
        answers = self._run(policy, prompts, sampling, seed, go_on)
        tokens = [list(answer.token_ids) for answer in answers]
        tokens_BT = _right_padded(tokens, policy.pad_id, device)
        if seed is None:
            return Drawn(tokens_BT)
        taken = [
            [ranked[token].logprob for token, ranked in zip(row, answer.logprobs, strict=True)]
            for row, answer in zip(tokens, answers, strict=True)
        ]
        logprobs_BT = _right_padded(taken, 0.0, device)
        if not bool(logprobs_BT.isfinite().all()):
            raise PgsrmError("vLLM gave a token a log-probability that is not finite; set model.sampling.engine: hf")
        return Drawn(tokens_BT, logprobs_BT)

    def _run(
        self,
        policy: Policy,
        prompts: Sequence[tuple[int, ...]],
        sampling: SamplingConfig,
        seed: int | None,
        go_on: Callable[[], None],
    ) -> list[Any]:
        """vLLM's answers, in order. Its loop is run here, so that it can be ended between two tokens."""
        engine = self._llm.llm_engine
        done: dict[int, Any] = {}
        self._calls += 1
        names = {f"{self._calls}-{row}": row for row in range(len(prompts))}
        try:
            for name, row in names.items():
                params = _params(policy, sampling, None if seed is None else keyed_seed(seed, row))
                engine.add_request(name, {"prompt_token_ids": list(prompts[row])}, params)
            while engine.has_unfinished_requests():
                done |= {names[output.request_id]: output for output in engine.step() if output.finished}
                go_on()
        except BaseException as error:
            with contextlib.suppress(Exception):
                engine.abort_request([*names])
            if isinstance(error, (RuntimeError, ValueError)):
                raise PgsrmError(f"vLLM failed: {in_short(error)}; model.sampling.engine: hf does without") from error
            raise
        answers = [done[row].outputs[0] for row in range(len(prompts))]
        for answer in answers:
            if answer.finish_reason not in ("stop", "length"):
                raise PgsrmError(f"vLLM ended a response for another reason than its length: {answer.finish_reason}")
        return answers

    def _compare(
        self,
        policy: Policy,
        prompt: tuple[int, ...],
        sampling: SamplingConfig,
        device: torch.device,
        tolerance: float,
    ) -> None:
        """Holds vLLM's log-probabilities of a response against the policy's own: did every weight find its place?"""
        drawn = self._draw(policy, [prompt], sampling, device, 0, lambda: None)
        assert drawn.logprobs_BT is not None
        tokens_BS = torch.cat([left_padded([prompt], policy.pad_id, device)[0], drawn.tokens_BT], dim=1)
        width = drawn.tokens_BT.shape[1]
        ours_BT = policy.evaluate(tokens_BS, torch.ones_like(tokens_BS), width, sampling.temperature).logprobs_BT
        apart = float((ours_BT - drawn.logprobs_BT).abs().mean())
        if not apart <= tolerance:
            raise SpecError(
                f"model.sampling.engine: vLLM's log-probabilities are {apart:.3g} nats a token away from the child's, "
                f"above {tolerance:g}: it does not compute {type(plain(policy.lm)).__name__} with the weights that it "
                "was given; set engine: hf"
            )


def _params(policy: Policy, sampling: SamplingConfig, seed: int | None) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    random = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k, "seed": seed}
    return SamplingParams(
        max_tokens=sampling.max_new_tokens,
        stop_token_ids=list(policy.eos_ids),
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
        **({"temperature": 0.0} if seed is None else random | {"logprobs": 0}),  # 0: of the token that was drawn
    )


def _right_padded(rows: Sequence[Sequence[float]], filler: float, device: torch.device) -> Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows], device=device)
