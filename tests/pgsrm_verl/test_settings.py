"""The ``pgsrm:`` section: what is valid, and what is said about what is not."""

from __future__ import annotations

import pytest

from pgsrm_plugin.errors import SpecError
from pgsrm_verl.settings import Settings, read_settings


def problem(section: object) -> str:
    with pytest.raises(SpecError) as raised:
        read_settings({"pgsrm": section})
    return str(raised.value)


def test_a_path_is_all_it_needs():
    settings = read_settings({"pgsrm": {"spec": "reward.yaml"}, "trainer": {"nnodes": 1}})
    assert settings == Settings(spec="reward.yaml")
    assert (settings.val_spec, settings.references, settings.memory_budget_gb) == (None, None, None)
    assert settings.micro_batch.model_dump() == {
        "max_rows": 256,
        "max_wait_ms": 10.0,
        "max_pending": 4096,
        "deadline_s": 120.0,
    }
    assert settings.encoder.model_dump() == {
        "where": "worker",
        "replicas": 1,
        "gpus_per_replica": 0.0,
        "deadline_s": 120.0,
    }
    assert (settings.placement, settings.offload) == ("shard", False)


def test_omegaconf_with_interpolation():
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create(
        {"where": "actors", "pgsrm": {"spec": "pgsrm", "encoder": {"where": "${where}", "replicas": 3}}}
    )
    settings = read_settings(config)
    assert (settings.encoder.where, settings.encoder.replicas) == ("actors", 3)


@pytest.mark.parametrize("config", [{}, {"pgsrm": None}])
def test_without_the_section_it_says_how_to_add_it(config):
    with pytest.raises(SpecError, match=r"no section `pgsrm`: add `\+pgsrm\.spec=reward\.yaml`"):
        read_settings(config)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"spek": "x", "spec": "y"}, "pgsrm.spek: unknown key; did you mean 'spec'? (known: spec, val_spec, "),
        ({"offload": True}, "pgsrm.spec: required key is missing; add `+pgsrm.spec="),
        (
            {"spec": "y", "micro_batch": {"max_row": 3}},
            "pgsrm.micro_batch.max_row: unknown key; did you mean 'max_rows'? (known: max_rows, max_wait_ms, ",
        ),
        ({"spec": "y", "encoder": {"replica": 3}}, "pgsrm.encoder.replica: unknown key; did you mean 'replicas'?"),
        ({"spec": "y", "encoder": {"where": "gpu"}}, "pgsrm.encoder.where: input should be 'worker' or 'actors'"),
        ({"spec": "y", "placement": "shards"}, "pgsrm.placement: input should be 'shard', 'replicate' or 'cpu'"),
        ({"spec": "y", "micro_batch": {"max_rows": 0}}, "pgsrm.micro_batch.max_rows: input should be greater than or"),
        ({"spec": "y", "encoder": {"deadline_s": 0}}, "pgsrm.encoder.deadline_s: input should be greater than 0"),
        ("reward.yaml", "pgsrm: must be a section, not 'reward.yaml'"),
    ],
)
def test_a_mistake_is_named_with_the_nearest_key(section, message):
    assert problem(section).startswith(message)


def test_all_mistakes_are_told_at_once():
    told = problem({"spec": "y", "placement": 3, "offlod": True}).splitlines()
    assert [line.split(":")[0] for line in told] == ["pgsrm.placement", "pgsrm.offlod"]
