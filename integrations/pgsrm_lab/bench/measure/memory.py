"""Peak memory of a piece of work, beyond what was in use before it."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """The most memory that this process (the GPU's, if ``device`` is one) holds beyond the start.

    On the CPU it is the resident set as Linux counts it: freed memory goes back to the system first, and the kernel's
    peak is reset. Elsewhere nothing is known.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        gc.collect()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before: float | None = torch.cuda.memory_allocated(device)
        else:
            _give_back()
            self._before = _resident("VmRSS") if _reset_peak() else None

    def forget(self) -> None:
        """The peak until now does not count."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            _reset_peak()

    def read_mb(self) -> float | None:
        """MiB beyond the start; None where the system does not tell."""
        if self._before is None:
            return None
        if self._device.type == "cuda":
            return (torch.cuda.max_memory_allocated(self._device) - self._before) / 2**20
        peak = _resident("VmHWM")
        return None if peak is None else max(0.0, peak - self._before) / 2**20


def _resident(field: str) -> float | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


def _reset_peak() -> bool:
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _give_back() -> None:
    """glibc keeps what is freed, and would give the next system for nothing what the last one asked for."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return
