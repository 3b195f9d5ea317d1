"""What a CPU run needs from its environment and from verl's configuration, in one place."""

from __future__ import annotations

HF_ROLLOUT = "hf_cpu"
"""``actor_rollout_ref.rollout.name`` of the in-process Hugging Face server."""

_ACTOR = "actor_rollout_ref.actor"
_REF = "actor_rollout_ref.ref"
_ROLLOUT = "actor_rollout_ref.rollout"
_OBJECT_STORE_BYTES = 500_000_000


def cpu_environment() -> dict[str, str]:
    """The variables to set before verl starts: the platform, no hidden threads, no calls home."""
    return {
        "VERL_PLATFORM": "cpu",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "WANDB_MODE": "disabled",
        "HYDRA_FULL_ERROR": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }


def cpu_overrides(workers: int, *, rollout: str = HF_ROLLOUT, ray_temp_dir: str | None = None) -> list[str]:
    """Hydra overrides that put a recipe's actor, critic, reference and rollout on ``workers`` CPU processes.

    Sizes (batches, lengths), model and data stay as they are. Every override is of the form ``++key=value``, so that
    it holds whether or not the recipe already says something about the key.

    Args:
        workers: how many gloo ranks train, at least 1; verl sees them as GPUs of one node.
        rollout: "hf_cpu" (nothing to install) or "vllm" (needs the vllm-cpu package).
        ray_temp_dir: where Ray keeps its sockets and logs; short, as a socket's path is limited to 107 characters.

    Raises:
        ValueError: ``workers`` or ``rollout`` is out of range.
    """
    if workers < 1:
        raise ValueError(f"a CPU run needs at least 1 worker, not {workers}")
    if rollout not in (HF_ROLLOUT, "vllm"):
        raise ValueError(f"rollout on a CPU is {HF_ROLLOUT!r} or 'vllm', not {rollout!r}")
    values: dict[str, object] = {
        **_devices(workers, ray_temp_dir),
        **_model("actor_rollout_ref.model"),
        **_model("critic.model"),
        **_engine(_ACTOR, "fsdp_config"),
        **_engine(_REF, "fsdp_config"),
        **_engine("critic", "fsdp"),
        **_rollout(rollout),
    }
    return [f"++{key}={_hydra(value)}" for key, value in values.items()]


def _devices(workers: int, ray_temp_dir: str | None) -> dict[str, object]:
    ray_init: dict[str, object] = {
        "num_cpus": 16 + 8 * workers,  # logical: verl reserves several for each worker, none is ever pinned
        "num_gpus": workers,  # logical: verl's resource pools count GPUs
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
    }
    if ray_temp_dir is not None:
        ray_init["_temp_dir"] = ray_temp_dir
    return {
        "trainer.device": "cpu",
        "trainer.nnodes": 1,
        "trainer.n_gpus_per_node": workers,
        **{f"ray_kwargs.ray_init.{name}": value for name, value in ray_init.items()},
        "data.dataloader_num_workers": 0,
        "reward.num_workers": 1,
        "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
    }


def _model(section: str) -> dict[str, object]:
    return {
        f"{section}.override_config.attn_implementation": "sdpa",
        f"{section}.use_remove_padding": False,
        f"{section}.enable_gradient_checkpointing": False,
        f"{section}.use_liger": False,
        f"{section}.use_fused_kernels": False,
    }


def _engine(section: str, fsdp: str) -> dict[str, object]:
    parallel = {f"{section}.{fsdp}.mixed_precision.{kind}_dtype": "fp32" for kind in ("param", "reduce", "buffer")}
    # verl's config of the critic has no such key, and refuses keys that it does not have.
    compile_ = {} if section == "critic" else {f"{section}.use_torch_compile": False}
    return {
        f"{section}.strategy": "fsdp2",
        f"{section}.{fsdp}.strategy": "fsdp2",
        f"{section}.ulysses_sequence_parallel_size": 1,
        f"{section}.{fsdp}.use_torch_compile": False,
        f"{section}.{fsdp}.dtype": "float32",
        f"{section}.{fsdp}.model_dtype": "fp32",
        f"{section}.{fsdp}.fsdp_size": -1,
        f"{section}.{fsdp}.param_offload": False,
        f"{section}.{fsdp}.optimizer_offload": False,
        f"{section}.{fsdp}.offload_policy": False,
        **compile_,
        **parallel,
    }


def _rollout(name: str) -> dict[str, object]:
    values: dict[str, object] = {
        f"{_ROLLOUT}.name": name,
        f"{_ROLLOUT}.dtype": "float32",
        f"{_ROLLOUT}.tensor_model_parallel_size": 1,
        f"{_ROLLOUT}.data_parallel_size": 1,
        f"{_ROLLOUT}.pipeline_model_parallel_size": 1,
        f"{_ROLLOUT}.free_cache_engine": False,
        f"{_ROLLOUT}.agent.num_workers": 1,
    }
    if name == "vllm":
        values |= {
            f"{_ROLLOUT}.enforce_eager": True,
            f"{_ROLLOUT}.load_format": "auto",
            f"{_ROLLOUT}.enable_sleep_mode": False,
            f"{_ROLLOUT}.checkpoint_engine.update_weights_bucket_megabytes": 64,
            f"{_ROLLOUT}.engine_kwargs.vllm.worker_extension_cls": ("pgsrm_verl.cpu.vllm_extension.CpuWorkerExtension"),
        }
    return values


def _hydra(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
