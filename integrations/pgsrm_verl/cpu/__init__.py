"""verl on a CPU: 1..N gloo workers, FSDP2, and a Hugging Face or vLLM rollout, for tests and rehearsals.

It works through verl's own registries (platform, engine, rollout) and the few patches listed in
:data:`pgsrm_verl.cpu.patches.PATCHES`. Nothing happens unless the environment says ``VERL_PLATFORM=cpu``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from pgsrm_verl.cpu.overrides import cpu_environment, cpu_overrides

__all__ = ["activate_if_asked", "asked", "cpu_environment", "cpu_overrides"]


def asked(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment selects this platform (``VERL_PLATFORM=cpu``)."""
    return environment.get("VERL_PLATFORM", "").strip().lower() == "cpu"


def activate_if_asked() -> bool:
    """Makes this process able to train on a CPU if :func:`asked`; returns whether it was. Cheap, and idempotent.

    It must run inside or right after ``import verl`` in every process: before verl's engine and rollout modules.
    """
    if not asked():
        return False
    from pgsrm_verl.cpu import patches, platform

    platform.register()
    patches.install()
    return True
