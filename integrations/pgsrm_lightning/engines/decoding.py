"""The engine that computes with the policy itself, by transformers.

Shape suffixes: ``B`` rows, ``A`` rows that have not ended, ``U`` distinct prompts, ``P`` prompt tokens (left-padded),
``T`` response tokens, ``S`` = P + T, ``V`` vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import (
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.engines.engine import Drawn, left_padded
from pgsrm_lightning.engines.prepacked import prepacked
from pgsrm_lightning.policy import Policy


class HfEngine:
    """Draws from the policy's own forward pass: the distribution is that which is trained."""

    def draw(
        self,
        policy: Policy,
        prompts: Sequence[tuple[int, ...]],
        sampling: SamplingConfig,
        device: torch.device,
        seed: int | None,
        go_on: Callable[[], None],
    ) -> Drawn:
        """See :class:`~pgsrm_lightning.engines.engine.Engine`."""
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), _casting_once(device):
            torch.manual_seed(0 if seed is None else seed)
            sample = _by_decoding if policy.packs else _by_transformers
            with prepacked(policy.lm, len(prompts), sampling.max_new_tokens):
                return Drawn(sample(policy, prompts, sampling, device, seed is not None, go_on))


def _by_decoding(
    policy: Policy,
    prompts: Sequence[tuple[int, ...]],
    sampling: SamplingConfig,
    device: torch.device,
    random: bool,
    go_on: Callable[[], None],
) -> Tensor:
    """(B, T) response tokens: each distinct prompt is read once, and rows that have ended are computed no further.

    Random numbers are drawn for all rows at each token, so a row's answer does not depend on which others have ended.
    """
    distinct = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    owner_B = torch.tensor([distinct[prompt] for prompt in prompts], device=device)
    prompt_UP, attention_UP = left_padded([*distinct], policy.pad_id, device)
    limits = _limits(sampling)
    eos = torch.tensor(list(policy.eos_ids), device=device)
    positions_UP = (attention_UP.cumsum(-1) - 1).clamp(min=0)
    out = policy.next_logits(prompt_UP, attention_UP, positions_UP, None)
    cache = out.past_key_values
    cache.batch_select_indices(owner_B)
    logits_AV, attention_AS, position_A = out.logits[owner_B, -1], attention_UP[owner_B], positions_UP[owner_B, -1]
    alive_A = torch.arange(len(prompts), device=device)
    response_BT = torch.full((len(prompts), sampling.max_new_tokens), policy.pad_id, device=device)
    for t in range(sampling.max_new_tokens):
        scores_AV = logits_AV.float()
        if random:
            for limit in limits:
                scores_AV = limit(None, scores_AV)
            token_A = _sample(scores_AV.softmax(-1), alive_A, len(prompts))
        else:
            token_A = scores_AV.argmax(-1)
        response_BT[alive_A, t] = token_A
        go_on()
        kept = (~torch.isin(token_A, eos)).nonzero().squeeze(1)
        if not len(kept) or t + 1 == sampling.max_new_tokens:
            return response_BT[:, : t + 1]
        if len(kept) < len(alive_A):
            cache.batch_select_indices(kept)
            alive_A, token_A = alive_A[kept], token_A[kept]
            attention_AS, position_A = attention_AS[kept], position_A[kept]
        attention_AS = torch.cat([attention_AS, attention_AS.new_ones(len(alive_A), 1)], dim=1)
        position_A = position_A + 1
        logits_AV = policy.next_logits(token_A.unsqueeze(1), attention_AS, position_A.unsqueeze(1), cache).logits[:, -1]
    raise AssertionError("max_new_tokens is at least 1")


def _sample(probabilities_AV: Tensor, alive_A: Tensor, rows: int) -> Tensor:
    """A token (A,) of each row that has not ended."""
    device = probabilities_AV.device
    if device.type == "cpu":
        return draw(probabilities_AV, torch.rand(rows)[alive_A])
    # A GPU's cumulative sum is not the same, bit for bit, in each run; and noise costs it nothing.
    noise_BV = torch.empty(rows, probabilities_AV.shape[-1], device=device).exponential_(1)
    return (probabilities_AV / noise_BV[alive_A]).argmax(-1)


def draw(probabilities_AV: Tensor, uniform_A: Tensor) -> Tensor:
    """Tokens (A,): of each row the first whose cumulative probability exceeds a number in [0, 1).

    One random number a row, where ``torch.multinomial`` takes one a token: on a CPU that costs as much as the model's
    head.

    >>> draw(torch.tensor([[0.25, 0.0, 0.75]]).expand(4, 3), torch.tensor([0.0, 0.24, 0.25, 0.99]))
    tensor([0, 0, 2, 2])
    """
    sums_AV = probabilities_AV.cumsum(-1)
    whole_A = sums_AV[:, -1]
    below_A = torch.minimum(uniform_A * whole_A, whole_A.nextafter(torch.zeros_like(whole_A)))  # rounding
    return torch.searchsorted(sums_AV, below_A.unsqueeze(-1), right=True).squeeze(-1)


def _by_transformers(
    policy: Policy,
    prompts: Sequence[tuple[int, ...]],
    sampling: SamplingConfig,
    device: torch.device,
    random: bool,
    go_on: Callable[[], None],
) -> Tensor:
    """The same by ``generate``, for an architecture whose state is something else than keys and values."""
    prompt_BP, attention_BP = left_padded(prompts, policy.pad_id, device)
    limits = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k} if random else {}

    def ask(tokens_BS: Tensor, *args: object, **kwargs: object) -> Tensor:
        go_on()
        return torch.zeros(len(tokens_BS), dtype=torch.bool, device=tokens_BS.device)  # stops no row by itself

    tokens_BS: Tensor = policy.lm.generate(
        input_ids=prompt_BP,
        attention_mask=attention_BP,
        max_new_tokens=sampling.max_new_tokens,
        stopping_criteria=StoppingCriteriaList([ask]),
        do_sample=random,
        **limits,
    )
    return tokens_BS[:, prompt_BP.shape[1] :]


def _limits(sampling: SamplingConfig) -> list[Callable[[Any, Tensor], Tensor]]:
    """What transformers' ``generate`` would do to the logits, in its order."""
    limits: list[Callable[[Any, Tensor], Tensor]] = []
    if sampling.temperature != 1.0:
        limits.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        limits.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        limits.append(TopPLogitsWarper(sampling.top_p))
    return limits


@contextlib.contextmanager
def _casting_once(device: torch.device) -> Iterator[None]:
    """Under autocast, weights are cast once and not at each token; Lightning switches that cache off."""
    if not torch.is_autocast_enabled(device.type):
        yield
        return
    try:
        with torch.autocast(device.type, torch.get_autocast_dtype(device.type), cache_enabled=True):
            yield
    finally:
        torch.clear_autocast_cache()  # what was cast without gradient must not serve where one is taken
