"""Real clients of other stacks, read from their wheels without the wheels' dependencies (`make stack-wheels`)."""

from __future__ import annotations

import atexit
import importlib
import importlib.machinery
import importlib.util
import logging
import os
import shutil
import sys
import zipfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType
from typing import Any

import pytest

WHEELS = Path(os.environ.get("PGSRM_STACK_WHEELS", Path(sys.prefix) / "stack-wheels"))


@cache
def unpacked(name: str) -> Path:
    """The folder with a wheel's packages; skips the test where the wheel was not fetched."""
    found = sorted(WHEELS.glob(f"{name}-*.whl"))
    if not found:
        pytest.skip(f"no wheel of {name} in {WHEELS}; `make stack-wheels` fetches it")
    folder = Path(mkdtemp(prefix=f"{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with zipfile.ZipFile(found[-1]) as archive:
        archive.extractall(folder)
    inner = sorted(folder.glob("*.data/purelib"))
    return inner[0] if inner else folder


def bare(name: str, folder: Path | None = None, **members: Any) -> ModuleType:
    """A package whose own ``__init__`` is not run, or a module with these members only."""
    module = ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=folder is not None)
    if folder is not None:
        module.__path__ = [str(folder)]
    vars(module).update(members)
    return module


def put(*modules: ModuleType) -> None:
    """Makes modules known, for the rest of the process: none of these packages is installed where tests run."""
    sys.modules.update({module.__name__: module for module in modules})


@cache
def openrlhf_agent() -> ModuleType:
    """OpenRLHF's ``openrlhf.utils.agent``, which samples responses and asks for their rewards."""
    root = unpacked("openrlhf") / "openrlhf"
    log = bare("openrlhf.utils.logging_utils", init_logger=logging.getLogger)
    put(bare("openrlhf", root), bare("openrlhf.utils", root / "utils"), log)
    return importlib.import_module("openrlhf.utils.agent")


@cache
def llama_factory_client() -> Any:
    """LLaMA-Factory's ``get_rewards_from_server``."""
    root = unpacked("llamafactory") / "llamafactory"
    names = ("", ".train", ".train.ppo", ".extras")
    put(*[bare("llamafactory" + name, root / name[1:].replace(".", "/")) for name in names])
    return importlib.import_module("llamafactory.train.ppo.ppo_utils").get_rewards_from_server


class GrpoSample:
    """As much of ms-swift's sample as its rewards look at."""

    def __init__(self, messages: list[dict[str, Any]], **extra: Any) -> None:
        self.messages = messages
        self.extra = extra

    def to_reward_row(self) -> dict[str, Any]:
        """The columns."""
        return {"messages": self.messages, "prompt_id": "0", "finish_reason": "stop", **self.extra}


class _Preprocessor:
    @staticmethod
    def rows_to_batched(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
        """Columns as lists, None where a row has none, as ms-swift's."""
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name) for row in rows] for name in names}


@cache
def swift_rewards() -> tuple[Any, dict[str, type]]:
    """ms-swift's ``compute_rewards_per_func``, and its table of reward functions."""
    root = unpacked("ms_swift") / "swift"
    put(
        bare("swift", root),
        bare("swift.utils", get_logger=logging.getLogger),
        bare("swift.infer_engine", InferRequest=object),
        bare("swift.dataset", RowPreprocessor=_Preprocessor),
        bare("swift.rl_core", root / "rl_core"),
        bare("swift.rl_core.data", GRPOSample=GrpoSample),
        bare("swift.rewards", root / "rewards"),
    )
    orms = importlib.import_module("swift.rewards.orm").orms
    vars(sys.modules["swift.rewards"])["orms"] = orms
    return importlib.import_module("swift.rl_core.grpo_algorithm").compute_rewards_per_func, orms


@cache
def skyrl_gym() -> ModuleType:
    """skyrl-gym's registry, without the environments that come with it."""
    root = unpacked("skyrl_gym") / "skyrl_gym"
    gym = bare("skyrl_gym", root)
    put(gym, bare("skyrl_gym.envs", root / "envs"))
    vars(gym)["Env"] = importlib.import_module("skyrl_gym.core").Env
    vars(gym)["error"] = importlib.import_module("skyrl_gym.error")
    return importlib.import_module("skyrl_gym.envs.registration")


def by_path(name: str, path: str | Path) -> ModuleType:
    """A module from its file, under another name, as several stacks load a user's functions."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
