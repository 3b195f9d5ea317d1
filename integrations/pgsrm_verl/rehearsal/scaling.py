"""What a rehearsal changes in a recipe's settings, each change with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pgsrm_plugin.errors import SpecError
from pgsrm_verl.rehearsal.recipe import Recipe

PROMPTS = 4
LARGEST_GROUP = 4
LONGEST_RESPONSE = 32
SYNC_MODES = ("sync", "pgsrm_sync")

_PLACE = "kept in the rehearsal's own folder"

_ACTOR = "actor_rollout_ref.actor"
_ROLLOUT = "actor_rollout_ref.rollout"
_REF = "actor_rollout_ref.ref"


@dataclass(frozen=True)
class Change:
    """One setting of a rehearsal, the recipe's own value (``was``), and the reason."""

    key: str
    value: Any
    why: str
    was: Any = None

    @property
    def tells(self) -> bool:
        """Whether a reader learns from it: not a file's place, and not what the recipe says too."""
        return self.value is not None and self.value != self.was and self.why != _PLACE

    @property
    def override(self) -> str:
        return f"++{self.key}={hydra_value(self.value)}"


@dataclass(frozen=True)
class Sizes:
    """The batch of a rehearsal, scaled down so that everything divides."""

    workers: int
    group: int
    mini: int
    micro: int
    prompt: int
    response: int

    @property
    def sequence(self) -> int:
        return self.prompt + self.response


def sizes(recipe: Recipe, workers: int, prompt_tokens: int, own_tokenizer: bool) -> Sizes:
    """A batch of :data:`PROMPTS` prompts with the recipe's number of updates a step (at most 2).

    Args:
        prompt_tokens: of the longest prompt among the rows taken.
        own_tokenizer: whether the recipe's limit on prompts counts the same tokens.
    """
    group = min(recipe.get(f"{_ROLLOUT}.n", 1), LARGEST_GROUP)
    updates = recipe.get("data.train_batch_size") // max(1, recipe.get(f"{_ACTOR}.ppo_mini_batch_size"))
    mini = PROMPTS // 2 if updates > 1 else PROMPTS
    each = mini * group // workers
    limit = recipe.get("data.max_prompt_length")
    prompt = min(limit, _rounded(prompt_tokens)) if own_tokenizer else _rounded(prompt_tokens)
    response = min(recipe.get("data.max_response_length"), LONGEST_RESPONSE)
    return Sizes(workers, group, mini, each // 2 if each % 2 == 0 else each, prompt, response)


def refuse(recipe: Recipe) -> None:
    """Refuses what cannot be rehearsed on a CPU.

    Raises:
        SpecError: saying what, and what instead.
    """
    strategy = recipe.get(f"{_ACTOR}.strategy")
    if strategy not in ("fsdp", "fsdp2"):
        raise SpecError(f"{_ACTOR}.strategy is {strategy!r}, and only fsdp and fsdp2 run on a CPU; use model_engine=dp")
    if recipe.get("reward.reward_model.enable"):
        raise SpecError(
            "reward.reward_model.enable is true, and a generative reward model cannot be rehearsed; set it to false"
        )
    for section, key in ((_ACTOR, "ppo_mini_batch_size"), ("data", "train_batch_size"), (_ROLLOUT, "n")):
        value = recipe.get(f"{section}.{key}")
        if not isinstance(value, int) or value < 1:
            raise SpecError(f"{section}.{key} must be a whole number of at least 1, not {value!r}")
    train, mini = recipe.get("data.train_batch_size"), recipe.get(f"{_ACTOR}.ppo_mini_batch_size")
    if train < mini:
        raise SpecError(f"data.train_batch_size ({train}) must be at least {_ACTOR}.ppo_mini_batch_size ({mini})")
    gpus = recipe.get("trainer.n_gpus_per_node") * recipe.get("trainer.nnodes")
    rows = train * recipe.get(f"{_ROLLOUT}.n")
    if rows % gpus:
        raise SpecError(f"data.train_batch_size x {_ROLLOUT}.n = {rows} rows do not divide among {gpus} GPUs")


def changes(recipe: Recipe, size: Sizes, steps: int, folder: Path) -> list[Change]:
    """Every change of a setting, apart from those of the devices (:func:`pgsrm_verl.cpu.cpu_overrides`)."""
    listed = [*_batch(recipe, size), *_lengths(recipe, size), *_training(recipe, steps), *_files(folder)]
    return [replace(change, was=recipe.get(change.key)) for change in listed]


def _batch(recipe: Recipe, size: Sizes) -> Iterator[Change]:
    why = f"a step of {PROMPTS} prompts"
    yield Change("data.train_batch_size", PROMPTS, why)
    yield Change("data.gen_batch_size", None, why)
    yield Change("data.val_batch_size", None, why)
    yield Change(f"{_ACTOR}.ppo_mini_batch_size", size.mini, "as many updates a step as the recipe's, at most 2")
    yield Change("critic.ppo_mini_batch_size", size.mini, "as many updates a step as the recipe's, at most 2")
    if recipe.get(f"{_ROLLOUT}.n") != size.group:
        yield Change(f"{_ROLLOUT}.n", size.group, f"groups of at most {LARGEST_GROUP}")
    if recipe.get(f"{_ROLLOUT}.val_kwargs.n") > 2:
        yield Change(f"{_ROLLOUT}.val_kwargs.n", 2, "at most 2 validation responses a prompt")
    for key in (f"{_ACTOR}.ppo_micro_batch_size", "critic.ppo_micro_batch_size"):
        yield Change(key, None, "deprecated form of the setting below")
        yield Change(f"{key}_per_gpu", size.micro, "two micro-batches, so that gradients accumulate")
    for section in (_REF, _ROLLOUT):
        yield Change(f"{section}.log_prob_micro_batch_size", None, "deprecated form of the setting below")
        yield Change(f"{section}.log_prob_micro_batch_size_per_gpu", size.micro, "as the actor's")
    yield Change("critic.forward_micro_batch_size", None, "deprecated form of the setting below")
    yield Change("critic.forward_micro_batch_size_per_gpu", size.micro, "as the critic's")


def _lengths(recipe: Recipe, size: Sizes) -> Iterator[Change]:
    yield Change("data.max_prompt_length", size.prompt, "the longest prompt of the rows taken")
    yield Change("data.max_response_length", size.response, f"at most {LONGEST_RESPONSE} tokens")
    yield Change(f"{_ROLLOUT}.max_model_len", size.sequence, "prompt + response")
    yield Change(f"{_ROLLOUT}.max_num_batched_tokens", max(2048, size.sequence), "prompt + response")
    yield Change(f"{_ROLLOUT}.max_num_seqs", 32, "one small batch")
    tokens = 2 * size.sequence
    for key in (
        f"{_ACTOR}.ppo_max_token_len_per_gpu",
        f"{_REF}.log_prob_max_token_len_per_gpu",
        f"{_ROLLOUT}.log_prob_max_token_len_per_gpu",
        "critic.ppo_max_token_len_per_gpu",
        "critic.forward_max_token_len_per_gpu",
    ):
        if recipe.get(f"{_ACTOR}.use_dynamic_bsz") or key.startswith("critic"):
            yield Change(key, tokens, "two sequences")


def _training(recipe: Recipe, steps: int) -> Iterator[Change]:
    yield Change("trainer.total_training_steps", steps, "a rehearsal")
    yield Change("trainer.total_epochs", steps, "a rehearsal")
    yield Change("trainer.val_before_train", False, "validation after the last step")
    yield Change("trainer.val_only", False, "a rehearsal trains")
    yield Change("trainer.test_freq", steps, "validation after the last step")
    yield Change("trainer.save_freq", steps, "a checkpoint after the last step")
    yield Change("trainer.resume_mode", "disable", "starts anew")
    yield Change("trainer.critic_warmup", 0, "so that the policy is trained too")
    yield Change("trainer.logger", ["console", "file"], "nothing leaves this machine")
    yield Change("trainer.default_hdfs_dir", None, "nothing leaves this machine")
    mode = recipe.get("trainer.v1.trainer_mode")
    if mode not in SYNC_MODES:
        yield Change("trainer.v1.trainer_mode", "sync", "asynchronous modes need GPUs of their own for the rollout")
    if (recipe.get("actor_rollout_ref.model.lora_rank") or 0) > 0:
        yield Change("actor_rollout_ref.model.lora.merge", True, "the CPU rollout takes merged weights")
    if recipe.get("pgsrm.memory_budget_gb") is not None:
        yield Change("pgsrm.memory_budget_gb", None, "checked for the recipe's own GPUs")
    replicas = recipe.get("pgsrm.encoder.replicas")
    if replicas and replicas > 2:
        yield Change("pgsrm.encoder.replicas", 2, "at most 2 encoder actors")


def _files(folder: Path) -> Iterator[Change]:
    model = folder / "model"
    yield Change("data.train_files", str(folder / "train.parquet"), "a few of your rows")
    yield Change("data.val_files", str(folder / "val.parquet"), "a few of your rows")
    yield Change("data.train_max_samples", -1, "a few of your rows")
    yield Change("data.val_max_samples", -1, "a few of your rows")
    yield Change("data.tokenizer", None, "the stand-in's")
    yield Change("actor_rollout_ref.model.path", str(model), "a tiny model of the same family, random weights")
    yield Change("critic.model.path", str(model), "a tiny model of the same family, random weights")
    for section in ("actor_rollout_ref.model", "critic.model"):
        for key in ("tokenizer_path", "hf_config_path"):
            yield Change(f"{section}.{key}", None, "the stand-in's")
    yield Change("trainer.default_local_dir", str(folder / "checkpoints"), _PLACE)
    yield Change("trainer.rollout_data_dir", str(folder / "rollouts"), _PLACE)
    yield Change("trainer.validation_data_dir", str(folder / "validation"), _PLACE)


def _rounded(tokens: int) -> int:
    return -(-tokens // 16) * 16


def hydra_value(value: Any) -> str:
    """In an override."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(hydra_value, value))}]"
    return str(value) if re.fullmatch(r"[\w./+-]+", str(value)) else f"'{value}'"
