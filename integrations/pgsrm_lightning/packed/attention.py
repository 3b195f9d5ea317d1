"""Attention over packed rows: a response sees its prompt, which all responses to it share, and itself up to a token.

It is registered with transformers under :data:`NAME`; without packed rows it is transformers' ``sdpa``.

Shape suffixes: ``H`` heads, ``K`` key-value heads, ``Q`` heads of one key-value head, ``N`` tokens of the sequence,
``P`` prompt tokens, ``R`` responses, ``T`` tokens of the longest of them, ``D`` head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from pgsrm_lightning.packed.rows import Family

NAME = "pgsrm_families"
KEY = "pgsrm_families"
"""The keyword with which families reach the attention; it goes through the model, and through its checkpoints."""
MOST_SCORES = 1 << 24
"""Scores of one family that are held at once; beyond, torch's own attention computes them in pieces."""


def families_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' interface: query (1, H, N, D), key and value (1, K, N, D) to (1, N, H, D)."""
    families = kwargs.pop(KEY, None)
    if families is None:
        out: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return out
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out_HND = torch.cat([_of_family(family, query[0], key[0], value[0], scale) for family in families], dim=1)
    return out_HND.transpose(0, 1).unsqueeze(0), None


def _of_family(family: Family, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """(H, P + response tokens, D)."""
    start, middle, end = family.start, family.start + family.prompt, family.end
    q, k, v = (each[None, :, start:middle] for each in (query, key, value))
    prompt_HPD = scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=True)[0]
    if middle == end:
        return prompt_HPD
    index_RT, valid = _index(family, query.device)
    q_HRTD, k_KRTD, v_KRTD = (each[:, middle:end][:, index_RT] for each in (query, key, value))
    prompts = (key[:, start:middle], value[:, start:middle])
    width = family.prompt + index_RT.shape[1]
    few = query.shape[0] * index_RT.numel() * width <= MOST_SCORES
    out_HRTD = (_by_products if few else _by_sdpa)(q_HRTD, k_KRTD, v_KRTD, *prompts, scale)
    return torch.cat([prompt_HPD, out_HRTD.flatten(1, 2)[:, valid]], dim=1)


def _by_products(q_HRTD: Tensor, k_KRTD: Tensor, v_KRTD: Tensor, k_KPD: Tensor, v_KPD: Tensor, scale: float) -> Tensor:
    """One product of all responses' queries with the prompt's keys, one of each response's with its own."""
    heads, responses, length, width = q_HRTD.shape
    groups = k_KRTD.shape[0]
    q = q_HRTD.view(groups, heads // groups, responses, length, width).transpose(1, 2) * scale  # K R Q T D
    with_prompt = (q.flatten(1, 3) @ k_KPD.mT).view(*q.shape[:-1], -1)
    own = (q.flatten(2, 3) @ k_KRTD.mT).view(*q.shape[:-1], length)
    later = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
    scores = torch.cat([with_prompt, own.masked_fill(later, float("-inf"))], dim=-1)
    weights = scores.softmax(-1, dtype=torch.float32).to(v_KRTD.dtype)
    of_prompt, of_own = weights[..., :-length], weights[..., -length:]
    out: Tensor = (of_prompt.flatten(1, 3) @ v_KPD).view_as(q) + (of_own.flatten(2, 3) @ v_KRTD).view_as(q)
    return out.transpose(1, 2).reshape(heads, responses, length, width)


def _by_sdpa(q_HRTD: Tensor, k_KRTD: Tensor, v_KRTD: Tensor, k_KPD: Tensor, v_KPD: Tensor, scale: float) -> Tensor:
    """The same by torch's attention, a response a row, with the prompt's keys and values before its own."""
    heads, responses, length, _ = q_HRTD.shape
    groups, prompt = k_KPD.shape[0], k_KPD.shape[1]

    def joined(shared_KPD: Tensor, own_KRTD: Tensor) -> Tensor:
        both = torch.cat([shared_KPD.unsqueeze(1).expand(-1, responses, -1, -1), own_KRTD], dim=2)
        return both.transpose(0, 1).repeat_interleave(heads // groups, dim=1)

    seen = torch.ones(length, prompt + length, dtype=torch.bool, device=q_HRTD.device).tril(prompt)
    k, v = joined(k_KPD, k_KRTD), joined(v_KPD, v_KRTD)
    out = scaled_dot_product_attention(q_HRTD.transpose(0, 1), k, v, attn_mask=seen, scale=scale)
    return out.transpose(0, 1)


def _index(family: Family, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where each response's tokens stand after the prompt, (R, T), and which of R x T are tokens.

    Past a response's end stands any token: only what comes after the end could see it, and that is left out.
    """
    lengths = torch.tensor([length for length in family.lengths if length], device=device)
    first = lengths.cumsum(0) - lengths
    steps = torch.arange(int(lengths.max()), device=device)
    valid = steps < lengths.unsqueeze(1)
    return torch.where(valid, first.unsqueeze(1) + steps, 0), valid.flatten().nonzero().squeeze(1)


AttentionInterface.register(NAME, families_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
