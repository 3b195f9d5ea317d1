"""What all protocols share: settings by the update rule's name, and another learning rate; what tables count."""

from __future__ import annotations

import dataclasses

import pytest

from pgsrm_lab.reproduce.composition.composition import PROTOCOL
from pgsrm_lab.reproduce.guards.protocol import GuardsProtocol
from pgsrm_lab.reproduce.paper.grid import PaperProtocol
from pgsrm_lab.reproduce.real.chat_protocol import ChatProtocol
from pgsrm_lab.reproduce.semantic.explaining import ExplainingProtocol
from pgsrm_lab.reproduce.semantic.semantic import Semantic
from pgsrm_lab.reproduce.study import Protocol
from pgsrm_lab.reproduce.summary import Results

RULES = [
    (PaperProtocol(), ("ppo", "reinforce")),
    (ChatProtocol(), ("grpo", "ppo")),
    (GuardsProtocol(), ("grpo",)),
    (ExplainingProtocol(), ("grpo",)),
    (PROTOCOL, ("grpo",)),
]
of_every_study = pytest.mark.parametrize(("protocol", "rules"), RULES, ids=lambda one: type(one).__name__)


@of_every_study
def test_another_learning_rate_is_every_rules_and_nothing_elses(protocol: Protocol, rules: tuple[str, ...]) -> None:
    other = protocol.with_lr(7e-6)
    assert type(other) is type(protocol)
    for rule in rules:
        settings = protocol.algorithm(rule)
        assert settings.name == rule
        assert settings.lr_actor != 7e-6
        assert other.algorithm(rule) == dataclasses.replace(settings, lr_actor=7e-6)
    changed = {
        field.name
        for field in dataclasses.fields(protocol)
        if getattr(protocol, field.name) != getattr(other, field.name)
    }
    assert changed == set(rules)
    assert other.digest != protocol.digest


@of_every_study
def test_no_learning_rate_leaves_it_as_it_is(protocol: Protocol, rules: tuple[str, ...]) -> None:
    assert protocol.with_lr(None) is protocol


def test_runs_of_two_children_with_the_same_seeds_are_no_more_seeds() -> None:
    row = {"task": "explanations", "arm": "semantic", "update": "grpo"}
    rows = [{**row, "seed": seed, "origin": origin} for origin in (None, "a real child") for seed in (1, 2, 3)]
    assert Results(Semantic(), rows).seeds == 3
    assert Results(Semantic(), [*rows, {**row, "seed": 7, "origin": None}]).seeds == 4
    assert Results(Semantic(), []).seeds == 0
