"""Prompts in, responses out: tokenising, what an engine draws, and the masks of what is the policy's own.

Shape suffixes: ``B`` rows, ``P`` prompt tokens (left-padded), ``T`` response tokens (right-padded), ``S`` = P + T.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jinja2 import TemplateError
from torch import Tensor

from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.engines.decoding import HfEngine
from pgsrm_lightning.engines.engine import Engine, left_padded
from pgsrm_lightning.engines.vllm_engine import VllmEngine
from pgsrm_lightning.policy import Policy
from pgsrm_plugin.data.rows import Record
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.policy.cut import beginning


@dataclass(frozen=True)
class Rollout:
    """Sampled responses.

    Attributes:
        tokens_BS: prompts, left-padded, then responses, right-padded: nothing stands between the two.
        attention_BS: 1 on prompt tokens and on response tokens including the end-of-text token.
        mask_BT: bool, the response's own tokens including its end-of-text token, which is learned like any other.
        truncated_B: bool, no end-of-text token within ``max_new_tokens``.
        texts: the responses, decoded without special tokens.
        sampler_logprobs_BT: of the tokens under what they were drawn from, where that is not the policy itself
            (:class:`~pgsrm_lightning.engines.engine.Drawn`).
        guidance_B: how many of a prompt's last tokens the response went on from, where there is guidance.
    """

    tokens_BS: Tensor
    attention_BS: Tensor
    mask_BT: Tensor
    truncated_B: Tensor
    texts: list[str]
    sampler_logprobs_BT: Tensor | None = None
    guidance_B: tuple[int, ...] | None = None


def encode_prompt(record: Record, policy: Policy, sampling: SamplingConfig) -> list[int]:
    """The prompt's token ids: text as it is, chat messages (or text, with ``chat``) through the chat template.

    Raises:
        DataError: as :func:`prompt_tokens`, or the prompt is too long; the message names the row.
    """
    ids = prompt_tokens(record, policy, sampling.chat)
    context = _context(policy, sampling)
    room = context - sampling.max_new_tokens
    limit = room if sampling.max_prompt_tokens is None else min(sampling.max_prompt_tokens, room)
    if len(ids) > limit:
        raise DataError(
            f"{record.label}: field 'prompt' has {len(ids)} tokens, but at most {limit} fit "
            f"(context {context}, max_new_tokens {sampling.max_new_tokens}, "
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


def engine_of(sampling: SamplingConfig) -> Engine:
    """What draws, as the settings name it.

    Raises:
        SpecError: vLLM is named and not installed.
    """
    return HfEngine() if sampling.settings is None else VllmEngine(sampling.settings)


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
    engine: Engine | None = None,
    beginnings: Sequence[tuple[int, ...]] | None = None,
) -> Rollout:
    """One response to each record; greedy where ``seed`` is None.

    The random numbers depend on ``seed`` alone, and the process's own generators are left as they were.

    Args:
        go_on: called at each token; raises where the work is to end.
        engine: what draws; None: transformers, with the policy itself.
        beginnings: tokens that each response goes on from, as far as the context has room; they stand among the
            prompt's, so they are no part of the response.
    """
    encoded = {id(record): encode_prompt(record, policy, sampling) for record in records}
    prompts = [tuple(encoded[id(record)]) for record in records]
    guidance_B: tuple[int, ...] | None = None
    if beginnings is not None:
        room, decode = _context(policy, sampling) - sampling.max_new_tokens, policy.tokenizer.decode
        pairs = zip(prompts, beginnings, strict=True)
        given_B = [beginning(given, room - len(prompt), decode) for prompt, given in pairs]
        prompts = [(*prompt, *given) for prompt, given in zip(prompts, given_B, strict=True)]
        guidance_B = tuple(map(len, given_B))
    drawn = (engine or HfEngine()).draw(policy, prompts, sampling, device, seed, go_on)
    response_BT, logprobs_BT = drawn.tokens_BT, drawn.logprobs_BT
    prompt_BP, attention_BP = left_padded(prompts, policy.pad_id, device)
    tokens_BS = torch.cat([prompt_BP, response_BT], dim=1)
    mask_BT, truncated_B = response_mask(response_BT, policy.eos_ids)
    rows = [row[keep].tolist() for row, keep in zip(response_BT.cpu(), mask_BT.cpu(), strict=True)]
    texts = policy.tokenizer.batch_decode(rows, skip_special_tokens=True)
    attention_BS = torch.cat([attention_BP, mask_BT.long()], dim=1)
    return Rollout(tokens_BS, attention_BS, mask_BT, truncated_B, texts, logprobs_BT, guidance_B)


def _context(policy: Policy, sampling: SamplingConfig) -> int:
    """Tokens that prompt and response have together, at most."""
    return min(policy.context, sampling.context or policy.context)


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
