"""The CPU as a verl platform: what verl asks of ``torch.cuda``, answered for a process without an accelerator."""

from __future__ import annotations

import resource
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pgsrm_verl import compat

NAME = "cpu"


class CpuDeviceModule(types.ModuleType):
    """``torch.cpu`` with the calls of ``torch.cuda`` that verl makes; memory figures are the process's own."""

    def __init__(self) -> None:
        super().__init__("pgsrm_verl.cpu.device_module")
        for name in _NOTHING_TO_DO:
            setattr(self, name, _nothing)
        for name in ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved"):
            setattr(self, name, _peak_resident_bytes)
        self.mem_get_info = _memory_info
        self.get_rng_state = torch.get_rng_state
        self.set_rng_state = torch.set_rng_state
        self.is_available = lambda: True
        self.device_count = lambda: 1
        self.current_device = lambda: 0
        self.get_device_name = lambda *_: "CPU"

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)


_NOTHING_TO_DO = (
    "empty_cache",
    "ipc_collect",
    "synchronize",
    "set_device",
    "manual_seed",
    "manual_seed_all",
    "reset_peak_memory_stats",
    "set_per_process_memory_fraction",
)


def _nothing(*_: object, **__: object) -> None:
    return None


def _peak_resident_bytes(*_: object) -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _memory_info(*_: object) -> tuple[int, int]:
    """(available, total) bytes of the machine."""
    import psutil

    memory = psutil.virtual_memory()
    return memory.available, memory.total


def register() -> None:
    """Registers the platform under :data:`NAME`, once."""
    if compat.PlatformRegistry.get(NAME) is None:
        compat.PlatformRegistry.register(platform=NAME)(_platform_class())


def _platform_class() -> type:
    device_module = CpuDeviceModule()

    class CpuPlatform(compat.PlatformBase):
        """Abstract methods of verl's ``PlatformBase``; every profiling and memory call does nothing."""

        device_name = property(lambda self: "cpu")
        vendor_name = property(lambda self: "cpu")
        device_module = property(lambda self: _device_module)

        def is_available(self) -> bool:
            return True

        def is_platform_available(self, use_smi_check: bool = False) -> bool:
            """False, so that it is never detected: it must be asked for by name."""
            return False

        def current_device(self) -> torch.device:
            """A device and not an index, as verl uses it as the target of ``.to()``."""
            return torch.device("cpu")

        def device_count(self) -> int:
            return 1

        def manual_seed(self, seed: int) -> None:
            torch.manual_seed(seed)

        def manual_seed_all(self, seed: int) -> None:
            torch.manual_seed(seed)

        def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
            return None, None

        def communication_backend_name(self) -> str:
            return "gloo"

        def visible_devices_envvar(self) -> str:
            return "CUDA_VISIBLE_DEVICES"

        @contextmanager
        def nvtx_range(self, msg: str) -> Iterator[None]:
            yield

        def ray_resource_name(self) -> str:
            """GPU: verl's resource pools count nothing else; logical ones are declared when Ray starts."""
            return "GPU"

        def ray_noset_envvars(self) -> list[str]:
            return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

        def is_ipc_supported(self) -> bool:
            return False

        set_device = synchronize = set_allocator_settings = empty_cache = _nothing
        profiler_start = profiler_stop = cudart = _nothing

    _device_module = device_module
    return CpuPlatform
