"""What ``import verl`` loads: the reward managers ``pgsrm`` and ``semantic``, and the trainer mode ``pgsrm_sync``.

verl imports this module at its own import, in every process, and hides an error of it at DEBUG level. So nothing is
registered there and then, which would cost every process seconds of imports, but when verl first imports the package
that holds the registry. What fails is logged at ERROR level and raised again, out of verl's own import of that package.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from pgsrm_verl import compat
from pgsrm_verl.hooks import after_import

logger = logging.getLogger(__name__)


def register_managers() -> None:
    """Registers the reward managers: their module does, at its end, also where it is what imported verl."""
    importlib.import_module("pgsrm_verl.streaming.manager")


def register_trainers() -> None:
    """Registers the trainer mode, likewise."""
    importlib.import_module("pgsrm_verl.colocated.trainer")


def check_runs() -> None:
    """Lets verl's reward loop find out, when it makes its reward workers, whether they can work."""
    from pgsrm_verl.streaming.preflight import checked

    # The class itself is changed: verl's trainers have imported it by name, or will.
    compat.RewardLoopManager.__init__ = checked(compat.RewardLoopManager.__init__)


def hand_over_masks() -> None:
    """Lets verl's agent loop tell our reward managers which tokens the policy wrote."""
    from pgsrm_verl.streaming.handover import handing_over

    # The class itself is changed: verl's own workers derive from it.
    compat.AgentLoopWorker._compute_score = handing_over(compat.AgentLoopWorker._compute_score)


def log_terms() -> None:
    """Lets verl's trainers log what our reward managers say of each response."""
    from pgsrm_verl.streaming.training_metrics import with_terms

    # The class itself is changed: verl's trainer modes derive from it, and inherit this method.
    trainer = compat.trainer_base.PPOTrainer
    trainer._compute_metrics = with_terms(trainer._compute_metrics)


def check_neighbours() -> None:
    """Lets verl find out, when it checks a config of ours and before it starts Ray, whether its workers could start."""
    config: Any = importlib.import_module(compat.CONFIG_MODULE)
    config.validate_config = _checked(config.validate_config)


def _checked(validate: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(validate)
    def check(config: Any, *args: Any, **kwargs: Any) -> None:
        # Only FSDP's workers import it.
        if config.get("pgsrm") is not None and str(config.actor_rollout_ref.actor.get("strategy")).startswith("fsdp"):
            compat.check_trl()
        validate(config, *args, **kwargs)

    return check


REGISTRATIONS: dict[str, Callable[[], None]] = {
    compat.CONFIG_MODULE: check_neighbours,
    compat.MANAGER_PACKAGE: register_managers,
    compat.TRAINER_PACKAGE: register_trainers,
    compat.REWARD_LOOP_MODULE: check_runs,
    compat.AGENT_LOOP_MODULE: hand_over_masks,
    compat.TRAINER_MODULE: log_terms,
}
"""What is done when verl first imports which of its modules."""


def check() -> None:
    """Registers everything now; ``pgsrm doctor`` calls it.

    Raises:
        Exception: whatever stands in the way.
    """
    compat.check_trl()
    for package in REGISTRATIONS:
        importlib.import_module(package)


def start() -> None:
    """Arranges for the registrations in this process, and brings the CPU platform where it was asked for."""
    _loudly("work with this verl", compat.check_version)
    if os.environ.get("VERL_PLATFORM") == "cpu":
        _loudly("bring its CPU platform", _activate_cpu)
    for package, register in REGISTRATIONS.items():
        after_import(package, _registration(package, register))


def _registration(package: str, register: Callable[[], None]) -> Callable[[ModuleType], None]:
    return lambda module: _loudly(f"register itself with {package}", register)


def _activate_cpu() -> None:
    from pgsrm_verl.cpu import activate_if_asked

    activate_if_asked()


def _loudly(what: str, action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:
        logger.error("pgsrm-plugin could not %s: %s: %s", what, type(error).__name__, error)
        raise


start()
