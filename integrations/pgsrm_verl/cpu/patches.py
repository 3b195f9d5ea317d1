"""Every change to verl that a CPU run needs, applied when verl imports the module concerned, never before.

Two kinds: entries in verl's own registries, and replaced functions. For the latter, :attr:`Patch.obstacle` quotes the
source that makes the replacement necessary; a test looks for it, so that a patch goes when its reason does.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pgsrm_verl import compat
from pgsrm_verl.cpu import vllm_metadata
from pgsrm_verl.cpu.overrides import HF_ROLLOUT
from pgsrm_verl.hooks import after_import


@dataclass(frozen=True)
class Patch:
    """One change.

    Attributes:
        module: the verl module after whose import the change is made.
        apply: makes it, given the module.
        where: file:line of the obstacle in verl 0.9.1, or of the registry that is used.
        obstacle: source text that makes a replacement necessary; empty for a registry entry.
    """

    module: str
    apply: Callable[[ModuleType], None]
    where: str
    obstacle: str = ""


def _single_backend(module: Any) -> None:
    """verl/utils/distributed.py:63 and :89 ask for "cpu:gloo,cpu:gloo" here, and torch refuses a device named twice."""
    initialize = module.initialize_global_process_group_ray

    @functools.wraps(initialize)
    def with_one_backend(timeout_second: float | None = None, backend: str | None = None) -> None:
        initialize(timeout_second=timeout_second, backend=backend or "cpu:gloo")

    module.initialize_global_process_group_ray = with_one_backend

    def initialize_global_process_group(timeout_second: float = 36000) -> tuple[int, int, int]:
        with_one_backend(timeout_second)
        local_rank, rank, world_size = (int(os.environ[name]) for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE"))
        return local_rank, rank, world_size

    module.initialize_global_process_group = initialize_global_process_group


def _value_head_with_sdpa(module: Any) -> None:
    """verl/utils/model.py:649 loads every critic with flash_attention_2, which needs a GPU."""

    def load_valuehead_model(
        local_path: str, torch_dtype: object, model_config: object, trust_remote_code: bool
    ) -> Any:
        from transformers import AutoModelForTokenClassification

        return AutoModelForTokenClassification.from_pretrained(
            local_path,
            dtype=torch_dtype,
            config=model_config,
            trust_remote_code=trust_remote_code,
            attn_implementation="sdpa",
        )

    module.load_valuehead_model = load_valuehead_model


def _engines(module: Any) -> None:
    """verl/workers/engine/fsdp/transformer_impl.py:1143 and :1594 register engines for cuda and npu only.

    Also ``:462``: a reference policy's weights are offloaded from the device into pinned memory, which only an
    accelerator's driver can pin. On a CPU they lie where offloading would put them: no policy is the same.
    """

    def no_policy(pin_memory: bool = True) -> None:
        return None

    module.CPUOffloadPolicy = no_policy
    register = compat.EngineRegistry.register
    register(model_type="language_model", backend=["fsdp2"], device="cpu")(module.FSDPEngineWithLMHead)
    register(model_type="value_model", backend=["fsdp2"], device="cpu")(module.FSDPEngineWithValueHead)


def _rollout_adapter(module: Any) -> None:
    """verl/workers/rollout/base.py:89: the adapters by name; the table has no public way in."""
    module._ROLLOUT_REGISTRY[(HF_ROLLOUT, "async")] = "pgsrm_verl.cpu.hf_rollout.HfAdapter"


def _rollout_replica(module: Any) -> None:
    """verl/workers/rollout/replica.py, RolloutReplicaRegistry: loaders of replica classes by name."""

    def load() -> type:
        from pgsrm_verl.cpu.hf_rollout import HfReplica

        return HfReplica

    module.RolloutReplicaRegistry.register(HF_ROLLOUT, load)


PATCHES = (
    Patch(
        "verl.utils.distributed",
        _single_backend,
        "verl/utils/distributed.py:89",
        'backend = backend or f"cpu:gloo,{get_device_name()}:{get_nccl_backend()}"',
    ),
    Patch(
        "verl.utils.model",
        _value_head_with_sdpa,
        "verl/utils/model.py:649",
        'attn_implementation="flash_attention_2"',
    ),
    Patch(
        "verl.workers.engine.fsdp.transformer_impl",
        _engines,
        "verl/workers/engine/fsdp/transformer_impl.py:462",
        "offload_policy = CPUOffloadPolicy(pin_memory=True)",
    ),
    Patch("verl.workers.rollout.base", _rollout_adapter, "verl/workers/rollout/base.py:89"),
    Patch("verl.workers.rollout.replica", _rollout_replica, "verl/workers/rollout/replica.py:312"),
)

_installed: list[Patch] = []


def install() -> None:
    """Arranges for every patch to be applied when its module is imported. Idempotent."""
    if _installed:
        return
    _installed.extend(PATCHES)
    for patch in PATCHES:
        after_import(patch.module, patch.apply)
    vllm_metadata.install()
