"""What vLLM is made of in the process that trains: the child's configuration, and later its weights.

It is started with weights of its own making; the policy's are copied into their place before each draw.
"""

from __future__ import annotations

import contextlib
import copy
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pgsrm_lightning.config import VllmConfig
from pgsrm_plugin.errors import SpecError

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # so that weights are copied on the device, and not sent to a process
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # bound threads would stay bound while the child learns
    "VLLM_LOGGING_LEVEL": "ERROR",  # it warns of no tokenizer, and at each copying of layers that have no weights
}
"""What vLLM reads when it starts; the first is set whatever the user has, the others where they are not set."""


def merged_weights(lm: Any) -> Iterator[tuple[str, Tensor]]:
    """The child's weights under the names of its own checkpoint, one after the other; a tied one under both its names.

    With LoRA, each adapted weight is the base's plus its adapters' product, in a tensor of its own: adding it into the
    base and taking it off again would change the base by rounding.
    """
    base = plain(lm)
    for name, parameter in base.named_parameters(remove_duplicate=False):
        if "lora_" in name:
            continue
        owner, adapted, rest = name.partition(".base_layer.")
        weight = parameter.detach()
        if adapted and rest == "weight":
            layer = base.get_submodule(owner)
            weight = weight + sum(layer.get_delta_weight(adapter).detach() for adapter in layer.active_adapters)
        yield (f"{owner}.{rest}" if adapted else name), weight


def plain(lm: Any) -> Any:
    """The child itself, where it is wrapped by adapters."""
    return lm.get_base_model() if hasattr(lm, "get_base_model") else lm


def start(lm: Any, settings: VllmConfig, dtype: str, device: torch.device) -> Any:
    """vLLM on the child's configuration, with weights of its own making.

    Raises:
        SpecError: vLLM cannot run this child.
    """
    config = copy.deepcopy(plain(lm).config)
    config.architectures = [type(plain(lm)).__name__]
    config.tie_word_embeddings = False  # vLLM 0.28 on a CPU packs the head's copy, and reloads the embeddings' alone
    with _environment(), _threads_kept(), tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        try:
            from vllm import LLM

            return LLM(
                model=folder,
                load_format="dummy",
                skip_tokenizer_init=True,
                generation_config="vllm",  # and not what a hub's would add
                dtype=dtype,
                max_model_len=settings.max_model_len,
                gpu_memory_utilization=settings.gpu_memory_utilization,
                kv_cache_memory_bytes=None if settings.kv_cache_gib is None else int(settings.kv_cache_gib * 2**30),
                enforce_eager=settings.enforce_eager,
                enable_sleep_mode=sleeps(settings, device),
                logprobs_mode="processed_logprobs",  # of the distribution that is drawn from, after the temperature
                trust_remote_code=False,
                disable_log_stats=True,
            )
        except Exception as error:
            raise SpecError(
                f"model.sampling.engine: vLLM cannot run this child: {in_short(error)}; set engine: hf"
            ) from error


def in_short(error: Exception) -> str:
    """What vLLM raised, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


def sleeps(settings: VllmConfig, device: torch.device) -> bool:
    """Whether vLLM gives its memory up between draws."""
    return settings.sleep and device.type == "cuda"


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    forced = "VLLM_ENABLE_V1_MULTIPROCESSING"
    os.environ |= {name: value for name, value in ENVIRONMENT.items() if name == forced or before[name] is None}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _threads_kept() -> Iterator[None]:
    """On a CPU vLLM puts a function that does nothing in place of ``torch.set_num_threads``."""
    threads, setter = torch.get_num_threads(), torch.set_num_threads
    try:
        yield
    finally:
        torch.set_num_threads = setter
        torch.set_num_threads(threads)
