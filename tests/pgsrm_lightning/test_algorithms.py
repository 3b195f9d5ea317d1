"""An algorithm is one file: the tuple is the only list, its kinds' names stand nowhere else, and each is whole."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import pgsrm_lightning
from pgsrm_lightning import PPOConfig
from pgsrm_lightning.algorithms import ALGORITHMS
from pgsrm_plugin import SpecError

ROOT = Path(pgsrm_lightning.__file__).parent
EACH = pytest.mark.parametrize("settings", ALGORITHMS, ids=lambda settings: settings.name)


def literals(path):
    return {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}


@EACH
def test_no_other_file_spells_an_algorithms_name(settings):
    spelled = {path.relative_to(ROOT) for path in ROOT.rglob("*.py") if settings.name in literals(path)}
    assert spelled == {Path(inspect.getfile(settings)).relative_to(ROOT)}


@EACH
def test_the_settings_build_their_algorithm_which_says_what_it_logs(settings):
    algorithm = settings().build()
    assert inspect.getfile(type(algorithm)) == inspect.getfile(settings)
    assert algorithm.config == settings()
    assert (algorithm.config.epochs, algorithm.config.minibatches) >= (1, 1)
    assert ("train/value_loss" in algorithm.logged) == settings.uses_values


@EACH
def test_bounds_that_several_share_are_each_ones(settings):
    with pytest.raises(SpecError, match=rf"{settings.__name__}\.micro_batch_size must be at least 1, not 0"):
        settings(micro_batch_size=0)
    assert settings(micro_batch_size=None).micro_batch_size is None


def test_a_bound_refuses_what_is_no_number():
    with pytest.raises(SpecError, match=r"PPOConfig\.lr_actor must be above 0, not nan"):
        PPOConfig(lr_actor=float("nan"))


def test_every_public_name_is_found():
    assert sorted(pgsrm_lightning.__all__) == sorted(pgsrm_lightning._HOMES)
    for name in pgsrm_lightning.__all__:
        assert getattr(pgsrm_lightning, name).__name__ == name


def test_type_checkers_see_the_same_names():
    (guarded,) = [node for node in ast.parse((ROOT / "__init__.py").read_text()).body if isinstance(node, ast.If)]
    homes = {alias.name: node.module for node in guarded.body for alias in node.names}
    assert homes == {name: f"pgsrm_lightning.{home}" for name, home in pgsrm_lightning._HOMES.items()}
