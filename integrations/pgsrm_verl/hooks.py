"""Runs an action right after a module's first import, as a part of that import."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

Action = Callable[[ModuleType], None]


def after_import(module: str, action: Action) -> None:
    """Calls ``action(module)`` once the module has executed: now if it is imported already, else when it will be.

    What the action raises then, the import raises; and so does every later attempt, until the action succeeds.
    """
    if module in sys.modules:
        action(sys.modules[module])
    else:
        sys.meta_path.insert(0, _Watcher(module, action))


class _Watcher(MetaPathFinder):
    """Finds one module through the other finders and lets its loader call the action; then it withdraws."""

    def __init__(self, module: str, action: Action) -> None:
        self._module = module
        self._action = action

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._module or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)  # find_spec asks all finders, and would ask this one again
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                try:
                    execute(module)
                    self._action(module)
                except BaseException:
                    sys.meta_path.insert(0, self)
                    raise

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        else:
            sys.meta_path.insert(0, self)
        return spec
