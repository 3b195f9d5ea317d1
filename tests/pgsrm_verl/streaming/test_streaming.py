"""Streaming rewards in the stock trainer, end to end, with YAML alone: the real verl on this CPU."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path

import pytest

pytest.importorskip("verl", reason="verl is not installed")

import verl_support as support
from embedding_server import EmbeddingServer

from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec import load_spec, parse_spec
from pgsrm_plugin.types import RewardSample

OFFLINE = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@pytest.fixture
def endpoint():
    """Of the requests that hold a response, the first two get 500, the third comes too late."""
    with EmbeddingServer(["500", "500", "slow"], slow_s=2) as server:
        yield server


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    return support.build_assets(tmp_path_factory.mktemp("assets"))


def streaming(spec: Path, manager: str = "pgsrm") -> list[str]:
    """The lines that a user adds to their own config."""
    return [f"reward.reward_manager.name={manager}", f"+pgsrm.spec={spec}", "reward.num_workers=1"]


def test_grpo_with_an_endpoint_that_fails_then_is_slow_then_well(assets, endpoint, tmp_path):
    """Every response gets the reward that the core gives it, and verl's validation has the terms."""
    encoder = {"kind": "http", "base_url": endpoint.url, "model": "letters"}
    spec = tmp_path / "reward.yaml"
    text = {"encoder": {**encoder, "timeout_s": 1, "retries": 8}, "terms": {"semantic": {}, "repetition": {}}}
    spec.write_text(json.dumps({**text, "weights": {"semantic": 1.0, "repetition": -0.1}}))
    run = support.run_verl(
        [
            *support.small_overrides(assets, steps=2),
            *streaming(spec),
            "trainer.test_freq=2",
            "trainer.rollout_data_dir=rollouts",
            "trainer.validation_data_dir=validation",
        ],
        tmp_path / "run",
        seconds=240,
        environment=OFFLINE,
    )
    assert run.status == 0, run.tail()
    assert endpoint.served[:4] == ["500", "500", "slow", "well"]

    rollouts, validation = (support.dump_rows(tmp_path / "run", name) for name in ("rollouts", "validation"))
    assert (len(rollouts), len(validation)) == (2 * 8 * 4, 8), "nothing is lost"
    rows = rollouts + validation
    samples = [RewardSample(row["input"], row["output"], (row["gts"],)) for row in rows]
    direct = SemanticReward(load_spec(spec)).score(samples)
    assert [row["score"] for row in rows] == pytest.approx(direct.total_B.tolist(), abs=1e-6)
    terms = direct.terms["semantic"].tolist()[len(rollouts) :]
    assert [row["pgsrm/semantic"] for row in validation] == pytest.approx(terms, abs=1e-6)

    assert len(run.metrics) == 2
    for number, step in enumerate(run.metrics, 1):
        own = [i for i, row in enumerate(rollouts) if row["step"] == number]
        for term, values_B in direct.terms.items():
            values = values_B[own].tolist()
            by_hand = [statistics.fmean(values), statistics.pstdev(values), min(values), max(values)]
            told = [step[f"pgsrm/{term}/{kind}"] for kind in ("mean", "std", "min", "max")]
            assert told == pytest.approx(by_hand, abs=1e-6)
        assert step["pgsrm/response_chars"] == pytest.approx(direct.diagnostics["response_chars"][own].mean().item())
        assert {"pgsrm/acc", "pgsrm/unscorable", "pgsrm/truncated", "pgsrm/score_ms"} < set(step)

    last = run.metrics[-1]
    name = "val-aux/test/facts/pgsrm/{}/mean@1"
    assert last[name.format("semantic")] == pytest.approx(sum(terms) / 8, abs=1e-6)
    for metric in ("repetition/weighted", "unscorable", "truncated", "batch_rows", "queue_ms", "score_ms"):
        assert name.format(metric) in last
    assert "val-core/test/facts/acc/mean@1" in last


def test_a_row_without_a_reference_ends_the_run_before_the_first_step(assets, tmp_path):
    rows = support.rows(64)
    rows[40]["reward_model"]["ground_truth"] = None
    train = support.write_parquet(tmp_path / "holes.parquet", rows)
    spec = tmp_path / "reward.yaml"
    spec.write_text("encoder: {kind: hashing}\nterms: {semantic: {}}\n")
    run = support.run_verl(
        [*support.small_overrides(assets, steps=1), *streaming(spec), f"data.train_files={train}"],
        tmp_path / "run",
        seconds=240,
    )
    assert run.status == 1, run.tail()
    assert run.metrics == []
    assert "holes.parquet: row 41: field 'reference' is missing, and term 'semantic' compares with it" in run.tail(3)


def test_a_trl_that_would_break_verls_workers_ends_the_run_before_ray_starts(assets, tmp_path):
    (tmp_path / "site" / "trl-1.16.0.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "trl-1.16.0.dist-info" / "METADATA").write_text("Name: trl\nVersion: 1.16.0\n")
    paths = [str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    run = support.run_verl(
        [*support.small_overrides(assets, steps=1), *streaming(Path("pgsrm"))],
        tmp_path / "run",
        seconds=120,
        environment={"PYTHONPATH": os.pathsep.join(paths)},
    )
    assert run.status == 1, run.tail()
    assert "trl 1.16.0 is installed beside verl" in run.tail(3)
    assert "ray init kwargs" not in run.output


@pytest.mark.slow
def test_an_encoder_in_two_shared_actors_on_the_training_gpus(assets, tmp_path):
    """The reward workers and the trainer's processes share the (logical) GPUs, and rewards are the core's."""
    spec = tmp_path / "reward.yaml"
    spec.write_text("encoder: {kind: hashing}\nterms: {semantic: {}}\n")
    run = support.run_verl(
        [
            *support.small_overrides(assets, steps=2),
            *streaming(spec),
            "reward.num_workers=2",
            "+pgsrm.encoder={where: actors, replicas: 2, gpus_per_replica: 0.2}",
            "trainer.rollout_data_dir=rollouts",
        ],
        tmp_path / "run",
        seconds=240,
    )
    assert run.status == 0, run.tail()
    rows = support.dump_rows(tmp_path / "run")
    samples = [RewardSample(row["input"], row["output"], (row["gts"],)) for row in rows]
    direct = SemanticReward(parse_spec(spec.read_text())).score(samples).total_B.tolist()
    assert len(rows) == 64
    assert [row["score"] for row in rows] == pytest.approx(direct, abs=1e-6)


@pytest.mark.slow
def test_an_encoder_that_cannot_be_loaded_ends_the_run_before_the_first_step(assets, tmp_path):
    spec = tmp_path / "reward.yaml"
    spec.write_text("encoder: {kind: hf, model: ./no-such-model}\nterms: {semantic: {}}\n")
    overrides = [*support.small_overrides(assets, steps=1), *streaming(spec)]
    run = support.run_verl(overrides, tmp_path / "run", seconds=200)
    assert run.status == 1, run.tail()
    assert run.metrics == []
    assert "a reward worker could not start" in run.tail(40)
