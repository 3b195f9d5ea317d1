"""The engines that a parent runs on, by name."""

from __future__ import annotations

import importlib
from typing import Any

from pydantic import ValidationError

from pgsrm_plugin.asking.engines.base import AnyEngine, AsyncEngine, BatchEngine, Completion
from pgsrm_plugin.asking.engines.settings import HfSettings, OpenAISettings, VllmSettings
from pgsrm_plugin.asking.store.answers import ParentConfig
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.section import Section

__all__ = ["ENGINES", "AnyEngine", "AsyncEngine", "BatchEngine", "Completion", "build_engine"]

ENGINES: dict[str, tuple[type[Section], str, str]] = {
    "hf": (HfSettings, "pgsrm_plugin.asking.engines.hf", "HfEngine"),
    "vllm": (VllmSettings, "pgsrm_plugin.asking.engines.vllm", "VllmEngine"),
    "openai": (OpenAISettings, "pgsrm_plugin.asking.engines.openai.chat", "OpenAIEngine"),
}
"""Name -> its settings, and the module and the class that run it; loaded when asked for."""


def build_engine(config: ParentConfig, **settings: Any) -> AnyEngine:
    """The engine that ``config.engine`` names.

    Args:
        settings: fields of the engine's settings, see :mod:`pgsrm_plugin.asking.engines.settings`.

    Raises:
        SpecError: there is no such engine, a setting is wrong, or the model cannot be loaded.
    """
    if config.engine not in ENGINES:
        raise SpecError(f"engine {config.engine!r} is unknown; the engines are {', '.join(ENGINES)}")
    schema, module, name = ENGINES[config.engine]
    try:
        checked = schema(**settings)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise SpecError(f"engine {config.engine}: {problems}") from None
    engine: AnyEngine = getattr(importlib.import_module(module), name)(config, checked)
    return engine
