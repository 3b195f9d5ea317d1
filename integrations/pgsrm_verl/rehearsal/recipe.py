"""A recipe: a YAML file on top of a trainer's config of verl's, composed by Hydra without importing verl."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pgsrm_plugin.errors import SpecError, did_you_mean

VERL_CONFIG = "ppo_trainer"
"""verl's own config, for a run that is all command line; also what a recipe builds on."""
SFT_CONFIG = "sft_trainer_engine"
"""What a recipe of supervised fine-tuning builds on."""

_OPEN_SECTIONS = {
    "pgsrm",  # checked by pgsrm_verl.settings
    "override_config",
    "engine_kwargs",
    "ray_init",
    "runtime_env",
    "sampler_kwargs",
    "reward_kwargs",
    "apply_chat_template_kwargs",
    "mm_processor_kwargs",
    "gateway_actor_kwargs",
}
"""Sections whose keys are another library's, or anyone's."""


@dataclass(frozen=True)
class Recipe:
    """A composed recipe.

    Attributes:
        source: the file, or None for verl's own config.
        overrides: those of the command line.
        config: everything, verl's defaults included; interpolations are resolved when read.
        base: the config of verl's that it builds on.
    """

    source: Path | None
    overrides: tuple[str, ...]
    config: DictConfig
    base: str = VERL_CONFIG

    def arguments(self) -> list[str]:
        """What verl's trainer is started with."""
        if self.source is None:
            return list(self.overrides)
        folder = str(self.source.parent)
        return ["--config-path", folder, "--config-name", self.source.stem, _search(self.source), *self.overrides]

    def get(self, key: str, default: Any = None) -> Any:
        """The value at a dotted key."""
        value = OmegaConf.select(self.config, key, default=default)
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def verl_folder() -> Path:
    """Where verl is installed; it is not imported.

    Raises:
        SpecError: it is not installed.
    """
    found = importlib.util.find_spec("verl")
    if found is None or not found.submodule_search_locations:
        raise SpecError("verl is not installed; run `pip install 'pgsrm-plugin[verl]'`")
    return Path(next(iter(found.submodule_search_locations)))


def read_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Composes a recipe and checks its keys.

    Args:
        name: a YAML file, or one of verl's own configs.
        overrides: in Hydra's syntax.

    Raises:
        SpecError: no such file, not YAML, does not compose, or has a key that verl does not know.
    """
    source, under = (None, name) if name in (VERL_CONFIG, SFT_CONFIG) else _file(name)
    base = _base(under)
    config = base if source is None and not overrides else _compose(source, overrides, under, base)
    for key in _unknown_keys(config, base):
        raise SpecError(f"{source or under}: {_explain_unknown(key, base)}")
    return Recipe(source, tuple(overrides), config, under)


@cache
def _base(name: str) -> DictConfig:
    return _compose(None, (), name)


def _file(name: str) -> tuple[Path, str]:
    """The file, and the config of verl's that it builds on."""
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        siblings = [entry.name for entry in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        raise SpecError(f"{name}: there is no such recipe{did_you_mean(path.name, siblings)}")
    if path.suffix != ".yaml":
        raise SpecError(f"{name}: a recipe's name ends in .yaml, as Hydra wants it")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        raise SpecError(f"{path}{f':{where.line + 1}' if where else ''}: not YAML: {_first_line(error)}") from None
    if not isinstance(content, dict):
        raise SpecError(f"{path}: a recipe is a mapping with `defaults: [{VERL_CONFIG}, _self_]`")
    for base in (VERL_CONFIG, SFT_CONFIG):
        if base in str(content.get("defaults")):
            return path, base
    raise SpecError(
        f"{path}: a recipe builds on verl's config; begin it with `defaults: [{VERL_CONFIG}, _self_]` "
        f"(supervised fine-tuning: {SFT_CONFIG})"
    )


def _search(source: Path | None) -> str:
    """The search path with verl's configs; the recipe's own entries stay."""
    own: list[str] = []
    if source is not None:
        content = yaml.safe_load(source.read_text(encoding="utf-8"))
        own = (content.get("hydra") or {}).get("searchpath") or []
    # Through pkg:// Hydra would import verl to find the folder.
    kept = [entry for entry in own if entry != "pkg://verl.trainer.config"]
    return f"hydra.searchpath=[{','.join([*kept, f'file://{_config_folder()}'])}]"


def _config_folder() -> Path:
    return verl_folder() / "trainer" / "config"


def _compose(source: Path | None, overrides: Sequence[str], under: str, base: DictConfig | None = None) -> DictConfig:
    folder = source.parent if source else _config_folder()
    search = [_search(source)] if source else []
    GlobalHydra.instance().clear()  # there is one a process, and it refuses to be set up twice
    try:
        with initialize_config_dir(str(folder), version_base=None):
            return compose(source.stem if source else under, [*search, *overrides])
    except OverrideParseException as error:
        raise SpecError(f"override {error.override!r} is not in Hydra's syntax (key=value)") from None
    except (HydraException, OmegaConfBaseException) as error:
        raise SpecError(_explain(error, source or under, base)) from None


def _explain(error: Exception, source: Path | str, base: DictConfig | None) -> str:
    override = re.match(r"Could not override '([^']+)'", str(error))
    if override and base is not None:
        hint = _explain_unknown(override[1], base)
        return f"override: {hint}; write +{override[1]}=... to add a key that verl's config does not list"
    return f"{source}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _explain_unknown(key: str, base: DictConfig) -> str:
    *section, name = key.split(".")
    known: object = base
    for number, part in enumerate(section):
        if not isinstance(known, Mapping) or part not in known:
            section, name = section[:number], part
            break
        known = known._get_node(part) if isinstance(known, DictConfig) else {}
    siblings = [str(sibling) for sibling in known] if isinstance(known, Mapping) else []
    return f"unknown key {'.'.join([*section, name])}{did_you_mean(name, siblings)}"


def _unknown_keys(config: DictConfig, base: DictConfig) -> Iterator[str]:
    """Keys that verl's YAML does not list and its sources never mention: nothing can read them."""
    extra = list(_extra_keys(OmegaConf.to_container(config), OmegaConf.to_container(base)))
    if extra:
        words = _words_of_verl()
        yield from (key for key in extra if key.rsplit(".", 1)[-1] not in words)


def _extra_keys(config: Any, base: Any, prefix: str = "") -> Iterator[str]:
    if not isinstance(config, Mapping):
        return
    for key, value in config.items():
        known = isinstance(base, Mapping) and key in base
        if key in _OPEN_SECTIONS:
            continue
        if not known:
            yield f"{prefix}{key}"
        if isinstance(value, Mapping) and not (known and not isinstance(base[key], Mapping)):
            yield from _extra_keys(value, base[key] if known else {}, f"{prefix}{key}.")


@cache
def _words_of_verl() -> frozenset[str]:
    words: set[str] = set()
    for path in verl_folder().rglob("*"):
        if path.suffix in (".py", ".yaml"):
            words.update(re.findall(r"[A-Za-z_]\w*", path.read_text(encoding="utf-8", errors="replace")))
    return frozenset(words)
