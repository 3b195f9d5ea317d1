"""What the colocated trainer mode cannot do, refused before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgsrm_plugin.crosscheck import Use, check_use
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.spec import RewardSpec

MODE = "pgsrm_sync"
_TAKES_ADVANTAGES = ("grpo", "grpo_vectorized")
"""Estimators that subtract the group's mean, which is 0 in an advantage, and divide by its deviation where asked to."""
_COLOCATED_KEYS = ("placement", "offload", "memory_budget_gb")


def check_config(config: Mapping[str, Any]) -> None:
    """Refuses a config under which the responses could not be scored between rollout and old_log_prob.

    Raises:
        SpecError: naming the key and what to set instead.
    """
    reward = config["reward"]
    if (reward.get("reward_model") or {}).get("enable"):
        raise SpecError(
            f"reward.reward_model.enable is true, and trainer.v1.trainer_mode={MODE} gives the rewards itself; set it "
            "to false, or use trainer_mode=sync"
        )
    if (reward.get("custom_reward_function") or {}).get("path"):
        raise SpecError(
            f"reward.custom_reward_function.path is set, and trainer.v1.trainer_mode={MODE} would never call it; leave "
            "it out, or use trainer_mode=sync"
        )
    if (config["algorithm"].get("filter_groups") or {}).get("enable"):
        raise SpecError(
            "algorithm.filter_groups.enable is true: groups are filtered while they are sampled, and "
            f"trainer.v1.trainer_mode={MODE} scores them afterwards; use trainer_mode=sync with "
            "reward.reward_manager.name=pgsrm"
        )
    if (config.get("pgsrm") or {}).get("parent") is not None:
        raise SpecError(
            f"pgsrm.parent asks a parent while responses come in, and trainer.v1.trainer_mode={MODE} scores a step at "
            "once; answer the prompts beforehand with `pgsrm parent generate` and `export`, or use trainer_mode=sync"
        )
    if config["actor_rollout_ref"].get("hybrid_engine") is False:
        raise SpecError(
            f"actor_rollout_ref.hybrid_engine is false, and trainer.v1.trainer_mode={MODE} needs rollout and training "
            "to take turns on the same GPUs; set it to true, or use an asynchronous mode with "
            "reward.reward_manager.name=pgsrm"
        )


def check_training_spec(spec: RewardSpec, config: Mapping[str, Any], label: str) -> None:
    """Refuses a training spec whose totals verl's algorithm would not use as what they are.

    Args:
        label: what messages call the spec.

    Raises:
        SpecError: naming verl's key and what to set instead.
    """
    algorithm = config["algorithm"]
    estimator = algorithm.get("adv_estimator", "gae")
    own = f"algorithm.adv_estimator={estimator} makes its own of rewards; set algorithm.adv_estimator=grpo"
    divides = algorithm.get("norm_adv_by_std_in_grpo", True)
    use = Use(
        own_advantages=None if estimator in _TAKES_ADVANTAGES else own,
        one_response="actor_rollout_ref.rollout.n is 1" if _responses(config) == 1 else None,
        subtracts_mean=f"algorithm.adv_estimator={estimator} subtracts the group's mean"
        if estimator in _TAKES_ADVANTAGES
        else None,
        divides_again="algorithm.norm_adv_by_std_in_grpo is true" if divides else None,
        weights=_weights(config),
        without_models="train with `pgsrm train`",
    )
    check_use(spec, use, label)


def check_policy_terms(spec: RewardSpec, config: Mapping[str, Any], label: str) -> None:
    """Refuses a spec, of validation too, that asks weights which verl does not hold.

    Raises:
        SpecError: naming verl's key and what to set instead.
    """
    check_use(spec.alone(), Use(weights=_weights(config)), label)


def _weights(config: Mapping[str, Any]) -> dict[str, str]:
    """The weights that terms can ask, each with what must be set first; verl keeps no running mean."""
    actor = config["actor_rollout_ref"].get("actor") or {}
    held = config["algorithm"].get("use_kl_in_reward") or actor.get("use_kl_loss")
    set_first = "set actor_rollout_ref.actor.use_kl_loss=true, for which verl holds a reference policy"
    return {"policy": "", "frozen": "" if held else f"{set_first} (its coefficient may be 0)"}


def _responses(config: Mapping[str, Any]) -> int:
    return int((config["actor_rollout_ref"].get("rollout") or {}).get("n", 1))


def refuse_colocated_settings(config: Mapping[str, Any]) -> None:
    """For every other trainer (asynchronous modes, ``sync``, the legacy one): colocated settings have no effect there.

    Raises:
        SpecError: the section ``pgsrm`` has such a setting.
    """
    trainer = config.get("trainer") or {}
    mode = (trainer.get("v1") or {}).get("trainer_mode", "sync") if trainer.get("use_v1", True) else None
    given = [key for key in _COLOCATED_KEYS if key in config["pgsrm"]]
    if mode != MODE and given:
        runs = f"trainer.v1.trainer_mode={mode}" if mode else "trainer.use_v1=False"
        raise SpecError(
            f"pgsrm.{given[0]} is for an encoder on the training GPUs, which {runs} cannot have: it scores responses "
            f"while the rollout goes on; set trainer.use_v1=True trainer.v1.trainer_mode={MODE}, or leave "
            f"pgsrm.{given[0]} out and say with pgsrm.encoder.where where the encoder runs"
        )
