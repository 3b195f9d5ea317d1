"""Prompts in, responses out: tokenising, sampling, and the masks that say which tokens are the policy's own.

Shape suffixes: ``B`` rows, ``P`` prompt tokens (left-padded), ``T`` response tokens (right-padded), ``S`` = P + T.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jinja2 import TemplateError
from torch import Tensor
from transformers import (
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.policy import Policy
from pgsrm_plugin.data.rows import Record
from pgsrm_plugin.errors import DataError


@dataclass(frozen=True)
class Rollout:
    """Sampled responses.

    Attributes:
        tokens_BS: prompts, left-padded, then responses, right-padded: nothing stands between the two.
        attention_BS: 1 on prompt tokens and on response tokens including the end-of-text token.
        mask_BT: bool, the response's own tokens including its end-of-text token, which is learned like any other.
        truncated_B: bool, no end-of-text token within ``max_new_tokens``.
        texts: the responses, decoded without special tokens.
    """

    tokens_BS: Tensor
    attention_BS: Tensor
    mask_BT: Tensor
    truncated_B: Tensor
    texts: list[str]


def keyed_seed(*key: int) -> int:
    """A seed that is a pure function of the key (run seed, step, rank ...), well mixed, in [0, 2^63)."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def encode_prompt(record: Record, policy: Policy, sampling: SamplingConfig) -> list[int]:
    """The prompt's token ids: text as it is, chat messages (or text, with ``chat``) through the chat template.

    Raises:
        DataError: as :func:`prompt_tokens`, or the prompt is too long; the message names the row.
    """
    ids = prompt_tokens(record, policy, sampling.chat)
    room = policy.context - sampling.max_new_tokens
    limit = room if sampling.max_prompt_tokens is None else min(sampling.max_prompt_tokens, room)
    if len(ids) > limit:
        raise DataError(
            f"{record.label}: field 'prompt' has {len(ids)} tokens, but at most {limit} fit "
            f"(context {policy.context}, max_new_tokens {sampling.max_new_tokens}, "
            f"max_prompt_tokens {sampling.max_prompt_tokens})"
        )
    return ids


def prompt_tokens(record: Record, policy: Policy, chat: bool) -> list[int]:
    """The same, however long.

    Raises:
        DataError: the tokenizer has no chat template, or it refuses the prompt, or that is empty; the message names the
            row.
    """
    tokenizer, prompt = policy.tokenizer, record.prompt
    if isinstance(prompt, str) and not chat:
        ids = list(tokenizer(prompt)["input_ids"])
    else:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(m) for m in prompt]
        if not tokenizer.chat_template:
            raise DataError(
                f"{record.label}: the prompt is a chat, but this child's tokenizer has no chat template; "
                "give the prompt as text with `chat: false`, or take an instruction-tuned child"
            )
        try:
            ids = list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
        except TemplateError as error:
            roles = ", ".join(str(message.get("role")) for message in messages)
            raise DataError(
                f"{record.label}: the chat template of this child's tokenizer refuses field 'prompt' "
                f"(roles: {roles}): {' '.join(str(error).split())}"
            ) from None
    if not ids:
        raise DataError(f"{record.label}: field 'prompt' has no tokens")
    return ids


def always() -> None:
    """Nothing asks for the end."""


@torch.no_grad()
def generate(
    policy: Policy,
    records: Sequence[Record],
    sampling: SamplingConfig,
    device: torch.device,
    seed: int | None,
    go_on: Callable[[], None] = always,
) -> Rollout:
    """One response to each record; greedy where ``seed`` is None.

    The random numbers depend on ``seed`` alone, and the process's own generators are left as they were.

    Args:
        go_on: called at each token; raises where the work is to end.
    """
    encoded = {id(record): encode_prompt(record, policy, sampling) for record in records}
    prompts = [tuple(encoded[id(record)]) for record in records]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), _casting_once(device):
        torch.manual_seed(0 if seed is None else seed)
        sample = _by_decoding if policy.packs else _by_transformers
        response_BT = sample(policy, prompts, sampling, device, seed is not None, go_on)
    prompt_BP, attention_BP = _left_padded(prompts, policy.pad_id, device)
    tokens_BS = torch.cat([prompt_BP, response_BT], dim=1)
    mask_BT, truncated_B = response_mask(response_BT, policy.eos_ids)
    rows = [row[keep].tolist() for row, keep in zip(response_BT.cpu(), mask_BT.cpu(), strict=True)]
    texts = policy.tokenizer.batch_decode(rows, skip_special_tokens=True)
    return Rollout(tokens_BS, torch.cat([attention_BP, mask_BT.long()], dim=1), mask_BT, truncated_B, texts)


def _by_decoding(
    policy: Policy,
    prompts: Sequence[tuple[int, ...]],
    sampling: SamplingConfig,
    device: torch.device,
    random: bool,
    go_on: Callable[[], None],
) -> Tensor:
    """(B, T) response tokens: each distinct prompt is read once, and rows that have ended are computed no further.

    The random numbers are those that ``torch.multinomial`` would draw for all rows, as transformers' ``generate`` does:
    so a row's answer does not depend on which others have ended.
    """
    distinct = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    owner_B = torch.tensor([distinct[prompt] for prompt in prompts], device=device)
    prompt_UP, attention_UP = _left_padded([*distinct], policy.pad_id, device)
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
        scores_AV = logits_AV.to(torch.float32, copy=True)
        if random:
            for limit in limits:
                scores_AV = limit(None, scores_AV)
            noise_BV = torch.empty(len(prompts), scores_AV.shape[-1], device=device).exponential_(1)
            scores_AV = scores_AV.softmax(-1).div_(noise_BV if len(alive_A) == len(prompts) else noise_BV[alive_A])
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


def _by_transformers(
    policy: Policy,
    prompts: Sequence[tuple[int, ...]],
    sampling: SamplingConfig,
    device: torch.device,
    random: bool,
    go_on: Callable[[], None],
) -> Tensor:
    """The same by ``generate``, for an architecture whose state is something else than keys and values."""
    prompt_BP, attention_BP = _left_padded(prompts, policy.pad_id, device)
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


def response_mask(response_BT: Tensor, eos_ids: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Which tokens belong to the response: all up to and including the first end-of-text token.

    Found by position, not by comparing with the pad id, so it is right where pad and end-of-text are one token (gpt2).

    Returns:
        mask_BT and truncated_B, bool; truncated where there is no end-of-text token.

    >>> response_mask(torch.tensor([[5, 9, 9], [5, 6, 7]]), [9])
    (tensor([[ True,  True, False],
            [ True,  True,  True]]), tensor([False,  True]))
    """
    is_eos_BT = torch.isin(response_BT, torch.tensor(list(eos_ids), device=response_BT.device))
    ended_before_BT = is_eos_BT.long().cumsum(-1) - is_eos_BT.long() > 0
    return ~ended_before_BT, ~is_eos_BT.any(-1)


def _left_padded(rows: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    width = max(len(row) for row in rows)
    tokens_BP = torch.tensor([[pad_id] * (width - len(row)) + list(row) for row in rows], device=device)
    attention_BP = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return tokens_BP, attention_BP
