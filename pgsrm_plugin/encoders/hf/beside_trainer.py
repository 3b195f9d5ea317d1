"""What a trainer in the same process must not do to an encoder: part it among its ranks, or give all ranks one GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.integrations import deepspeed


@contextmanager
def loaded_whole() -> Iterator[None]:
    """Models are loaded whole inside: while a trainer's DeepSpeed ZeRO-3 config is alive, transformers would part their
    weights among the ranks, and a model that DeepSpeed does not run cannot be called then ("'weight' must be 2-D")."""
    alive = getattr(deepspeed, "_hf_deepspeed_config_weak_ref", None)
    config = None if alive is None else alive()
    if config is None:
        yield
        return
    deepspeed.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        deepspeed.set_hf_deepspeed_config(config)


def auto_device() -> str:
    """The GPU of this process, or the CPU: before a trainer chose one, ``LOCAL_RANK`` says which it will be."""
    if not torch.cuda.is_available():
        return "cpu"
    rank = os.environ.get("LOCAL_RANK", "")
    is_one = rank.isdecimal() and int(rank) < torch.cuda.device_count()
    return f"cuda:{rank}" if is_one and not torch.cuda.current_device() else "cuda"
