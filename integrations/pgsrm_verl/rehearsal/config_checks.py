"""What can be known of a recipe's reward, data and memory before anything starts."""

from __future__ import annotations

from dataclasses import dataclass

from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.spec import RewardSpec, load_spec
from pgsrm_verl.colocated.checks import MODE, check_config, check_training_spec, refuse_colocated_settings
from pgsrm_verl.colocated.memory import GIB, Device, MemoryPlan, check_memory, measure_size, plan_memory, shardable
from pgsrm_verl.datafiles import check_data
from pgsrm_verl.rehearsal.recipe import Recipe
from pgsrm_verl.rehearsal.standin_rows import data_file
from pgsrm_verl.rows import RowReader
from pgsrm_verl.settings import Settings, read_settings
from pgsrm_verl.streaming.preflight import CONVENTIONS, make_plan


@dataclass(frozen=True)
class Findings:
    """What the checks found out.

    Attributes:
        settings: the section ``pgsrm``; None if the reward is not ours.
        encoder_memory: what the encoder takes on each of the recipe's GPUs; None where it is not placed on them.
    """

    settings: Settings | None = None
    encoder_memory: MemoryPlan | None = None


def check(recipe: Recipe) -> Findings:
    """Checks settings, specs, data files and memory.

    Raises:
        SpecError: a setting or a spec is wrong, or the encoder does not fit its memory budget.
        DataError: a data file, a column or a reference is missing; the message names file and row.
    """
    for key in ("data.train_files", "data.val_files"):
        data_file(recipe, key)
    manager = recipe.get("reward.reward_manager.name")
    if recipe.get("trainer.v1.trainer_mode") == MODE and recipe.get("trainer.use_v1"):
        return _colocated(recipe, manager)
    if manager in CONVENTIONS and recipe.get("reward.reward_manager.source") == "register":
        settings = make_plan(recipe.config, manager).settings
        refuse_colocated_settings(recipe.config)
        return Findings(settings)
    if recipe.get("pgsrm") is not None:
        raise SpecError(
            "the recipe has a section `pgsrm`, but nothing uses it: set reward.reward_manager.name=pgsrm (or "
            f"semantic), or trainer.v1.trainer_mode={MODE}"
        )
    return Findings()


def _colocated(recipe: Recipe, manager: str) -> Findings:
    check_config(recipe.config)
    settings = read_settings(recipe.config)
    spec = load_spec(settings.spec)
    check_training_spec(spec, recipe.config, settings.spec)
    val_spec = load_spec(settings.val_spec) if settings.val_spec else None
    reader = RowReader.from_settings(settings, "semantic" if manager == "semantic" else "pgsrm")
    for files, scored_by in (("val_files", spec), ("train_files", val_spec or spec)):
        section = {**recipe.get("data"), files: None}
        check_data({"data": section}, reader, scored_by)
    return Findings(settings, _memory(recipe, settings, spec))


def _memory(recipe: Recipe, settings: Settings, spec: RewardSpec) -> MemoryPlan | None:
    encoder = shardable(spec.encoder) if spec.encoder is not None else None
    if settings.placement == "cpu" or encoder is None:
        return None
    ranks = recipe.get("trainer.n_gpus_per_node") * recipe.get("trainer.nnodes")
    plan = plan_memory(measure_size(encoder), encoder, settings.placement, settings.offload, ranks)
    if settings.memory_budget_gb is not None:
        budget = int(settings.memory_budget_gb * GIB)
        check_memory(plan, Device(budget, budget, budget_bytes=budget), encoder, settings.placement)
    return plan
