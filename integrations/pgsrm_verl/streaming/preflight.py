"""What a streaming run needs, worked out from its config, with everything that is wrong said before it starts."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pgsrm_plugin.crosscheck import Use, check_use
from pgsrm_plugin.errors import ScorerError, SpecError
from pgsrm_plugin.spec import RewardSpec, load_spec
from pgsrm_verl.colocated.checks import refuse_colocated_settings
from pgsrm_verl.datafiles import Seen, look_through
from pgsrm_verl.rows import Convention, RowReader
from pgsrm_verl.settings import Settings, read_settings
from pgsrm_verl.streaming.online import check_parent

CONVENTIONS: tuple[Convention, ...] = ("pgsrm", "semantic")
"""Our reward managers' names, which are also those of the conventions by which they read rows."""
_INSTEAD = "set trainer.v1.trainer_mode=pgsrm_sync, which scores a whole step at once"
_STOCK = ("verl's stock trainer", _INSTEAD)
_USE = Use(one_by_one=_INSTEAD, cannot_mask=_STOCK, cannot_stop=_STOCK, without_tokens=_INSTEAD)


@dataclass(frozen=True)
class Plan:
    """The parts of a streaming run.

    Attributes:
        seen: what the data files showed.
    """

    settings: Settings
    spec: RewardSpec
    val_spec: RewardSpec | None
    reader: RowReader
    seen: Seen


def is_ours(config: Mapping[str, Any]) -> bool:
    """Whether a config names a reward manager of ours."""
    manager = config["reward"]["reward_manager"]
    return manager.get("source", "register") == "register" and manager["name"] in CONVENTIONS


def make_plan(config: Mapping[str, Any], convention: Convention) -> Plan:
    """Reads settings, specs and references, and looks through the data files unless that was done; builds no encoder.

    Raises:
        SpecError: a setting or a spec is wrong, or asks for what cannot be done response by response.
        DataError: a row of the data files lacks what its reward compares with; the message names file and row.
    """
    settings = read_settings(config)
    refuse_colocated_settings(config)
    refuse_other_rewards(config["reward"])
    if settings.parent is not None:
        check_parent(settings.parent, config["reward"])
    spec = streaming_spec(settings.spec)
    val_spec = streaming_spec(settings.val_spec) if settings.val_spec is not None else None
    reader = RowReader.from_settings(settings, convention)
    seen = Seen.from_text(settings.checked) if settings.checked else look_through(config, reader, spec, val_spec)
    reader = replace(reader.for_specs([one for one in (spec, val_spec) if one is not None]), known=seen.known)
    return Plan(settings, spec, val_spec, reader, seen)


def checked(initialise: Callable[..., None]) -> Callable[..., None]:
    """The constructor of verl's ``RewardLoopManager``, made to fail when a reward manager of ours cannot work.

    Without it verl does not wait for its reward workers: what stops one would appear only in the log while the rollout
    goes on, and the asynchronous modes would ask the dead for ever. So the plan is made here first; the workers are
    told what the data files showed and do not look again; and after they are made, they are waited for: they load the
    encoder, which the first reward would wait for anyway.
    """

    @functools.wraps(initialise)
    def check(self: Any, config: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        ours = is_ours(config)
        if ours:
            config = told(config, make_plan(config, config["reward"]["reward_manager"]["name"]).seen)
        initialise(self, config, *args, **kwargs)
        if ours:
            _wait_for(self.reward_loop_workers)

    return check


def told(config: Mapping[str, Any], seen: Seen) -> Mapping[str, Any]:
    """A copy of the config that says what the data files showed."""
    from omegaconf import OmegaConf

    config = copy.deepcopy(config)
    OmegaConf.update(config, "pgsrm.checked", seen.as_text(), force_add=True)  # type: ignore[arg-type]
    return config


def _wait_for(workers: Sequence[Any]) -> None:
    import ray

    try:
        ray.get([worker.__ray_ready__.remote() for worker in workers])
    except ray.exceptions.RayActorError as error:
        raise ScorerError(f"a reward worker could not start: {error}") from error


def streaming_spec(path: str) -> RewardSpec:
    """The spec of a file, or of a shipped name, if it can be scored response by response.

    Raises:
        SpecError: it cannot be loaded, or it needs a whole group or step.
    """
    spec = load_spec(path)
    check_use(spec, _USE, path)
    return spec


def refuse_other_rewards(reward: Mapping[str, Any]) -> None:
    """Refuses a second source of rewards beside this one.

    Raises:
        SpecError: a custom reward function or a reward model is configured too.
    """
    if (reward.get("custom_reward_function") or {}).get("path"):
        raise SpecError(
            "reward.custom_reward_function.path is set, and this reward manager would ignore it; leave it out, or use "
            "reward.reward_manager.name=naive"
        )
    if (reward.get("reward_model") or {}).get("enable"):
        raise SpecError(
            "reward.reward_model.enable is true, and verl would then never ask this reward manager; set it to false"
        )
