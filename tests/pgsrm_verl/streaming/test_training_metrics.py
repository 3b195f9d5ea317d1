"""The terms of a training step in verl's metrics: by hand, without padding, one row a session."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("verl", reason="verl is not installed")

from omegaconf import OmegaConf

from pgsrm_verl.streaming import training_metrics
from pgsrm_verl.streaming.training_metrics import term_metrics, with_terms

ROWS = [
    {"pgsrm/semantic": 0.25, "pgsrm/semantic/weighted": 0.5, "pgsrm/unscorable": 0.0, "acc": 1.0},
    {"pgsrm/semantic": 0.75, "pgsrm/semantic/weighted": 1.5, "pgsrm/unscorable": 1.0, "acc": 0.0},
]
BY_HAND = {
    "pgsrm/semantic/mean": 0.5,
    "pgsrm/semantic/std": 0.25,
    "pgsrm/semantic/min": 0.25,
    "pgsrm/semantic/max": 0.75,
    "pgsrm/unscorable": 0.5,
    "pgsrm/acc": 0.5,
}


def test_terms_by_hand():
    assert term_metrics(ROWS) == BY_HAND
    assert term_metrics([]) == {}


@pytest.fixture
def queue(monkeypatch):
    """verl's transfer queue as a dict; what was asked for."""
    stored = {"a_0_0": ROWS[0], "a_0_1": ROWS[0], "a_1_0": ROWS[1], "b_0_0": None}
    asked = []

    def get(keys, partition_id, select_fields):
        asked.append((keys, partition_id, select_fields))
        fields = [{"reward_extra_info": stored[key]} if stored[key] else {} for key in keys]
        return {"extra_fields": np.array(fields, dtype=object)}

    base = SimpleNamespace(tq=SimpleNamespace(kv_batch_get=get))
    monkeypatch.setattr(training_metrics, "compat", SimpleNamespace(trainer_base=base))
    return asked


def batch():
    keys = ["a_0_0", "a_0_1", "a_1_0", "b_0_0", "pad"]
    return SimpleNamespace(keys=keys, tags=[{}, {}, {}, {}, {"is_padding": True}], partition_id="train")


def config(name="pgsrm"):
    return OmegaConf.create({"reward": {"reward_manager": {"source": "register", "name": name}}})


def compute(metrics, name="pgsrm"):
    wrapped = with_terms(lambda self, batch, metrics, timing, **more: metrics.update(theirs=1.0))
    wrapped(SimpleNamespace(config=config(name)), batch(), metrics, {}, global_steps=1)
    return metrics


def test_sessions_count_once_and_padding_not_at_all(queue):
    assert compute({}) == {"theirs": 1.0, **BY_HAND}
    assert queue == [(["a_0_1", "a_1_0", "b_0_0"], "train", ["extra_fields"])]


def test_other_managers_and_the_colocated_mode_are_left_alone(queue):
    assert compute({}, "naive") == {"theirs": 1.0}
    assert compute({"pgsrm/semantic/mean": 0.1}) == {"pgsrm/semantic/mean": 0.1, "theirs": 1.0}
    assert queue == []
