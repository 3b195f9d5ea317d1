"""Every name of verl's that this package uses, imported when it is first asked for; no other module imports verl.

``from pgsrm_verl import compat`` costs nothing; ``compat.RewardManagerBase`` imports verl. To use another name of
verl's add it to :data:`SYMBOLS`; to override, call or replace another member of a class or module of verl's, to
:data:`MEMBERS`. ``tests/pgsrm_verl/test_compat.py`` reads verl's sources and says which of them went away.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet

from pgsrm_plugin.errors import PgsrmError

SUPPORTED = ">=0.9.0,<0.10"
"""The versions of verl this package is written for; the extra ``verl`` in pyproject.toml says the same."""
TRL = "<1.13"
"""The versions of TRL that may be installed beside it."""

SYMBOLS = {
    "DataProto": "verl.protocol:DataProto",
    "RewardManagerBase": "verl.experimental.reward_loop.reward_manager.base:RewardManagerBase",
    "AgentLoopWorker": "verl.experimental.agent_loop.agent_loop:AgentLoopWorker",
    "RewardLoopManager": "verl.experimental.reward_loop.reward_loop:RewardLoopManager",
    "register_reward_manager": "verl.experimental.reward_loop.reward_manager.registry:register",
    "register_trainer": "verl.trainer.ppo.v1.trainer_base:register_trainer",
    "trainer_base": "verl.trainer.ppo.v1.trainer_base",
    "PPOTrainerSync": "verl.trainer.ppo.v1.trainer_sync:PPOTrainerSync",
    "RayWorkerGroup": "verl.single_controller.ray.base:RayWorkerGroup",
    "RayClassWithInitArgs": "verl.single_controller.ray.base:RayClassWithInitArgs",
    "Worker": "verl.single_controller.base.worker:Worker",
    "Dispatch": "verl.single_controller.base.decorator:Dispatch",
    "register_method": "verl.single_controller.base.decorator:register",
    "initialize_global_process_group_ray": "verl.utils.distributed:initialize_global_process_group_ray",
    "get_device_name": "verl.utils.device:get_device_name",
    "get_torch_device": "verl.utils.device:get_torch_device",
    "get_tensordict": "verl.utils.tensordict_utils:get_tensordict",
    "assign_non_tensor": "verl.utils.tensordict_utils:assign_non_tensor",
    "PlatformBase": "verl.plugin.platform:PlatformBase",
    "PlatformRegistry": "verl.plugin.platform:PlatformRegistry",
    "EngineRegistry": "verl.workers.engine.base:EngineRegistry",
    "BaseRollout": "verl.workers.rollout.base:BaseRollout",
    "RolloutReplica": "verl.workers.rollout.replica:RolloutReplica",
    "TokenOutput": "verl.workers.rollout.replica:TokenOutput",
    "HFModelConfig": "verl.workers.config:HFModelConfig",
    "omega_conf_to_dataclass": "verl.utils.config:omega_conf_to_dataclass",
    "ensure_async_iterator": "verl.workers.rollout.utils:ensure_async_iterator",
    "vLLMColocateWorkerExtension": "verl.workers.rollout.vllm_rollout.utils:vLLMColocateWorkerExtension",
}
"""Our name for each: ``module:name``, or ``module`` for a module as a whole."""

MEMBERS = (
    "verl.experimental.reward_loop.reward_manager.base:RewardManagerBase.run_single",
    "verl.experimental.reward_loop.reward_manager.base:RewardManagerBase.assemble_rm_scores",
    "verl.experimental.reward_loop.reward_loop:RewardLoopWorker.compute_score",
    "verl.experimental.reward_loop.reward_loop:RewardLoopManager.__init__",
    "verl.experimental.reward_loop.reward_loop:RewardLoopManager.reward_loop_workers",
    "verl.experimental.agent_loop.agent_loop:AgentLoopWorker._compute_score",
    "verl.experimental.agent_loop.agent_loop:AgentLoopWorker.config",
    "verl.single_controller.base.worker:Worker._query_dispatch_info",
    "verl.single_controller.ray.base:RayResourcePool.get_placement_groups",
    "verl.trainer.ppo.v1.trainer_base:PPOTrainer._build_replay_buffer",
    "verl.trainer.ppo.v1.trainer_base:PPOTrainer._compute_advantage",
    "verl.trainer.ppo.v1.trainer_base:PPOTrainer._compute_metrics",
    "verl.trainer.ppo.v1.trainer_base:PPOTrainer._compute_reward_colocate",
    "verl.trainer.ppo.v1.trainer_base:PPOTrainer._setup",
    "verl.trainer.ppo.v1.trainer_base:RewardLoopManager",
    "verl.trainer.ppo.v1.trainer_base:tq",
    "verl.trainer.ppo.utils:need_reference_policy",
    "verl.utils.config:validate_config",
    "verl.utils.distributed:initialize_global_process_group_ray",
    "verl.utils.model:load_valuehead_model",
    "verl.workers.engine.fsdp.transformer_impl:FSDPEngineWithLMHead",
    "verl.workers.engine.fsdp.transformer_impl:FSDPEngineWithValueHead",
    "verl.workers.engine.fsdp.transformer_impl:CPUOffloadPolicy",
    "verl.workers.engine_workers:ActorRolloutRefWorker.compute_log_prob",
    "verl.workers.engine_workers:ActorRolloutRefWorker.compute_ref_log_prob",
    "verl.workers.rollout.base:_ROLLOUT_REGISTRY",
    "verl.workers.rollout.replica:RolloutReplicaRegistry.register",
)
"""What we override, or rely on without importing it: ``module:Class.member``."""

MANAGER_PACKAGE = "verl.experimental.reward_loop.reward_manager"
"""Where verl looks a reward manager up."""
AGENT_LOOP_MODULE = "verl.experimental.agent_loop.agent_loop"
"""Where verl samples responses, and asks for their rewards."""
REWARD_LOOP_MODULE = "verl.experimental.reward_loop.reward_loop"
"""Where verl makes its reward workers."""
CONFIG_MODULE = "verl.utils.config"
"""Where verl checks a run's config, before it starts Ray."""
TRAINER_PACKAGE = "verl.trainer.ppo.v1"
"""Where verl looks a trainer mode up."""
TRAINER_MODULE = "verl.trainer.ppo.v1.trainer_base"
"""Where verl computes a step's metrics."""
POOL_NAME = "global_poolverl_group_"
"""How the names of the placement groups of verl's training GPUs begin: the pool's name, then what verl adds."""


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    Method = TypeVar("Method", bound=Callable[..., Any])

    # verl annotates only some of its functions, and its decorators not at all. So for mypy these are the classes that
    # we derive from, with the members of theirs that we use; every other name of SYMBOLS is Any.
    def register_method(*, dispatch_mode: Any) -> Callable[[Method], Method]: ...

    class RewardManagerBase:
        tokenizer: Any

        def __init__(self, config: Mapping[str, Any], tokenizer: Any, compute_score: Any) -> None: ...
        async def run_single(self, data: Any) -> dict[str, Any]: ...

    class PPOTrainerSync:
        role_worker_mapping: Mapping[Any, Any]
        resource_pool_manager: Any
        config: Any
        tokenizer: Any
        trainer_mode: str

        def __init__(self, config: Any) -> None: ...
        def _build_replay_buffer(self) -> Any: ...
        def _setup(self) -> None: ...
        def _compute_reward_colocate(self, batch: Any, metrics: dict[str, Any] | None = None) -> Any: ...
        def _compute_advantage(self, batch: Any, metrics: dict[str, Any]) -> Any: ...
        def _compute_metrics(
            self, batch: Any, metrics: dict[str, Any], timing_raw: dict[str, float], global_steps: int, epoch: int
        ) -> None: ...

    class Worker:
        world_size: int

    class RolloutReplica:
        config: Any
        model_config: Any
        replica_rank: int
        max_concurrency: int
        workers: list[Any]
        servers: list[Any]
        _server_handle: Any
        _server_address: str

        async def launch_servers(self) -> None: ...

    class BaseRollout:
        config: Any

        def __init__(self, config: Any, model_config: Any, device_mesh: Any) -> None: ...

    class PlatformBase: ...

    class vLLMColocateWorkerExtension: ...  # noqa: N801


class CompatError(PgsrmError, ImportError):
    """verl is missing, of a version that this package does not know, or lacks a name that it should have."""


def __getattr__(name: str) -> Any:
    if name not in SYMBOLS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; names of verl's are listed in SYMBOLS")
    return load(SYMBOLS[name])


@cache
def load(symbol: str) -> Any:
    """The object behind ``module:name`` or ``module``.

    What else goes wrong while verl's module is imported is no lack of a name, and is raised as it is.

    Raises:
        CompatError: verl does not have it, or its module is only half imported, in a circle of imports.
    """
    check_version()
    module, _, name = symbol.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("verl"):
            raise
        raise _lacking(symbol) from error
    if not name:
        return found
    try:
        return getattr(found, name)
    except AttributeError as error:
        if getattr(found.__spec__, "_initializing", False):
            raise CompatError(
                f"{module} is still being imported and has no {name} yet: the imports go in a circle; "
                f"import {module.partition('.')[0]} first, or report this with the traceback"
            ) from error
        raise _lacking(symbol) from error


def _lacking(symbol: str) -> CompatError:
    return CompatError(
        f"verl {version('verl')} has no {symbol.replace(':', '.')}, although pgsrm-plugin supports verl "
        f"{SUPPORTED}; please report this"
    )


def check_version() -> None:
    """Refuses a verl that this package is not written for.

    Raises:
        CompatError: with the version found, the ones supported, and the command that mends it.
    """
    try:
        installed = version("verl")
    except PackageNotFoundError:
        raise CompatError("verl is not installed; run `pip install 'pgsrm-plugin[verl]'`") from None
    if not SpecifierSet(SUPPORTED).contains(installed, prereleases=True):
        raise CompatError(
            f"verl {installed} is installed, and this pgsrm-plugin works with verl {SUPPORTED}; "
            f"run `pip install 'verl{SUPPORTED}'`, or install a newer pgsrm-plugin"
        )


def check_trl() -> None:
    """Refuses a TRL beside which verl's workers die.

    Raises:
        CompatError: with the version found, what verl wants of it, and the command that mends it.
    """
    try:
        installed = version("trl")
    except PackageNotFoundError:
        return
    if not SpecifierSet(TRL).contains(installed, prereleases=True):
        raise CompatError(
            f"trl {installed} is installed beside verl {version('verl')}, whose workers import "
            "AutoModelForCausalLMWithValueHead from it (verl/models/transformers/monkey_patch.py), and it is not there "
            f"from 1.13 on; run `pip install 'trl{TRL}'`, or train with TRL in another environment"
        )
