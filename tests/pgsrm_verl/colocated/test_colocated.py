"""The trainer mode pgsrm_sync: its checks and arithmetic, real worker groups, and real training runs."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("verl", reason="verl is not installed")

import verl_support as support
from minilm import needs_minilm

from pgsrm_plugin import RewardSample, SemanticReward, load_spec, parse_spec
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf import offline as embedded
from pgsrm_plugin.errors import DataError, SpecError
from pgsrm_plugin.types import RewardOutput
from pgsrm_verl.colocated import checks, memory
from pgsrm_verl.colocated.group import deal
from pgsrm_verl.colocated.metrics import reward_metrics
from pgsrm_verl.colocated.rollouts import last_outputs

SCRIPT = Path(__file__).parents[2] / "support" / "verl_colocated_script.py"
MINILM = {"kind": "hf", "model": embedded.MODEL, "revision": embedded.REVISION}
GIB = 2**30


# --- checks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("reward", "reward_model", {"enable": True}, "reward.reward_model.enable is true"),
        ("reward", "custom_reward_function", {"path": "my.py"}, "would never call it"),
        ("algorithm", "filter_groups", {"enable": True}, "groups are filtered while they are sampled"),
        ("actor_rollout_ref", "hybrid_engine", False, "actor_rollout_ref.hybrid_engine is false"),
    ],
)
def test_what_the_mode_cannot_do_is_refused(section, key, value, said):
    config = support.colocated_config()
    checks.check_config(config)
    config[section][key] = value
    with pytest.raises(SpecError, match=said):
        checks.check_config(config)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"adv_estimator": "gae"},
            "algorithm.adv_estimator=gae makes its own of rewards; set algorithm.adv_estimator=g",
        ),
        ({"adv_estimator": "rloo"}, "algorithm.adv_estimator=rloo makes its own"),
        ({"norm_adv_by_std_in_grpo": True}, "because algorithm.norm_adv_by_std_in_grpo is true; set it to false"),
        ({"n": 1}, "because actor_rollout_ref.rollout.n is 1; set it to 2 or more"),
    ],
)
def test_a_total_that_is_an_advantage_goes_with_an_algorithm_that_takes_it(changes, said):
    grouped = parse_spec("terms: {exact_match: {}}\naggregate: group_normalised")
    config = support.colocated_config()
    checks.check_training_spec(grouped, config, "grouped.yaml")
    for key, value in changes.items():
        (config["actor_rollout_ref"]["rollout"] if key == "n" else config["algorithm"])[key] = value
    with pytest.raises(SpecError, match=f"^grouped.yaml: aggregate: group_normalised .*{said}"):
        checks.check_training_spec(grouped, config, "grouped.yaml")
    checks.check_training_spec(parse_spec("terms: {exact_match: {}}"), config, "plain.yaml")


def test_the_rewards_of_a_run_ask_whether_spec_and_algorithm_go_together(tmp_path):
    from pgsrm_verl.colocated.rewards import ColocatedRewards

    (tmp_path / "grouped.yaml").write_text("terms: {exact_match: {}}\naggregate: group_normalised", encoding="utf-8")
    config = support.colocated_config(spec=str(tmp_path / "grouped.yaml"))
    ColocatedRewards(config)
    config["algorithm"]["adv_estimator"] = "gae"
    with pytest.raises(SpecError, match="adv_estimator=gae makes its own"):
        ColocatedRewards(config)


@pytest.mark.parametrize("mode", ["sync", "colocate_async", "separate_async"])
def test_colocated_settings_are_refused_in_other_modes(mode):
    config = support.colocated_config(offload=True)
    checks.refuse_colocated_settings(config)
    config["trainer"]["v1"]["trainer_mode"] = mode
    with pytest.raises(SpecError, match=rf"pgsrm.offload is for .* which trainer.v1.trainer_mode={mode} cannot have"):
        checks.refuse_colocated_settings(config)
    del config["pgsrm"]["offload"]
    checks.refuse_colocated_settings(config)


def test_colocated_settings_are_refused_by_the_legacy_trainer():
    config = support.colocated_config(placement="shard")
    config["trainer"]["use_v1"] = False
    with pytest.raises(SpecError, match=r"trainer.use_v1=False cannot have"):
        checks.refuse_colocated_settings(config)


def test_a_row_without_reference_is_named_before_anything_starts(tmp_path):
    from pgsrm_verl.colocated.rewards import ColocatedRewards

    table = support.rows(3)
    table[1]["reward_model"]["ground_truth"] = None
    config = support.colocated_config()
    config["data"]["train_files"] = str(support.write_parquet(tmp_path / "train.parquet", table))
    with pytest.raises(DataError, match=r"train.parquet: row 2"):
        ColocatedRewards(config)


def test_validation_rows_are_checked_against_the_validation_spec(tmp_path):
    from pgsrm_verl.colocated.rewards import ColocatedRewards

    table = support.rows(3)
    table[1]["reward_model"]["ground_truth"] = None
    format_only = tmp_path / "format.yaml"
    format_only.write_text("terms: {format: {tags: [answer]}}", encoding="utf-8")
    config = support.colocated_config(val_spec=str(format_only))
    config["data"]["val_files"] = str(support.write_parquet(tmp_path / "val.parquet", table))
    ColocatedRewards(config)
    del config["pgsrm"]["val_spec"]
    with pytest.raises(DataError, match=r"val.parquet: row 2"):
        ColocatedRewards(config)


# --- arithmetic --------------------------------------------------------------------------------------------------


def test_texts_are_dealt_out_by_length():
    assert deal(["dddd", "a", "ccc", "bb", "eeeee"], 2) == [[1, 2, 4], [3, 0]]
    assert deal(["a"], 3) == [[0], [], []]
    assert deal([], 2) == [[], []]


def test_the_last_output_of_a_session_counts_for_all():
    assert last_outputs(["u_0_0", "u_0_10", "u_1_0", "u_0_9", "v_w_0_0"]) == [1, 1, 2, 1, 4]
    assert last_outputs([]) == []


def test_metrics_by_hand():
    value_B = torch.tensor([0.0, 1.0, 0.5, 0.5], dtype=torch.float64)
    truncated_B = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    scored_B = torch.tensor([True, True, True, False])
    stats = {"encoder/texts": 5.0, "seconds": 2.0}
    output = RewardOutput(value_B, {"semantic": value_B}, {}, scored_B, {"truncated": truncated_B}, stats)
    assert reward_metrics(output) == {
        "pgsrm/semantic/mean": 0.5,
        "pgsrm/semantic/std": pytest.approx(0.125**0.5),
        "pgsrm/semantic/min": 0.0,
        "pgsrm/semantic/max": 1.0,
        "pgsrm/truncated": 0.25,
        "pgsrm/scored": 0.75,
        "pgsrm/encoder_texts": 5.0,
    }
    empty = torch.zeros(0, dtype=torch.float64)
    assert reward_metrics(RewardOutput(empty, {"semantic": empty}, {}, empty.bool(), {})) == {}


SIZE = memory.EncoderSize(parameters=1000, layer=100, rest=400, hidden=10, intermediate=40)
SPEC = HfEncoderSpec(model="m", batch_tokens=64, dtype="bfloat16")


def test_memory_by_hand():
    activations = 64 * 2 * (8 * 10 + 3 * 40)
    plan = memory.plan_memory(SIZE, SPEC, "shard", offload=False, ranks=3)
    assert plan == memory.MemoryPlan(667, 667, (400 + 2 * 100) * 2, activations, 2000)
    assert plan.peak == 667 + 1200 + activations
    assert memory.plan_memory(SIZE, SPEC, "replicate", offload=True, ranks=3) == memory.MemoryPlan(
        0, 2000, 0, activations, 2000
    )


def test_memory_that_does_not_fit_is_an_error_with_numbers(caplog):
    plan = memory.MemoryPlan(2 * GIB, 2 * GIB, GIB // 2, 3 * GIB // 2, 3 * GIB)
    with caplog.at_level(logging.INFO):
        memory.check_memory(plan, memory.Device(4 * GIB, 8 * GIB), SPEC, "replicate")
    assert (
        "takes 4.00 GiB on each rank (while loading 3.00; while scoring: parameters 2.00, gathered 0.50" in caplog.text
    )
    with pytest.raises(
        SpecError, match=r"the device has free 3.00 GiB; lower encoder.batch_tokens \(now 64\), or set "
    ):
        memory.check_memory(plan, memory.Device(3 * GIB, 8 * GIB), SPEC, "replicate")
    with pytest.raises(SpecError, match=r"pgsrm.memory_budget_gb allows 1.00 GiB"):
        memory.check_memory(plan, memory.Device(8 * GIB, 8 * GIB, budget_bytes=GIB), SPEC, "shard")


def test_a_rollout_that_wakes_up_beside_the_encoder_is_warned_of(caplog):
    plan = memory.MemoryPlan(2 * GIB, 2 * GIB, 0, 0, 2 * GIB)
    device = memory.Device(free_bytes=6 * GIB, total_bytes=8 * GIB, rollout_bytes=5 * GIB)
    memory.check_memory(plan, device, SPEC, "shard")
    assert "1.00 GiB more than there are; set pgsrm.offload=true" in caplog.text
    caplog.clear()
    offloaded = memory.MemoryPlan(0, 2 * GIB, 0, 0, 2 * GIB)
    memory.check_memory(offloaded, device, SPEC, "shard")
    assert not caplog.text


@needs_minilm
def test_the_size_is_that_of_the_model():
    size = memory.measure_size(HfEncoderSpec(**MINILM))
    # BERT, 6 layers of width 384: 4 projections, 2 of the feed-forward part, 2 norms.
    layer = 4 * (384 * 384 + 384) + (384 * 1536 + 1536) + (1536 * 384 + 384) + 4 * 384
    assert size == memory.EncoderSize(22_713_216, layer, 22_713_216 - 6 * layer, 384, 1536)


# --- real worker groups ------------------------------------------------------------------------------------------


def row(response: str, reference: str, uid: str = "u0", session: int = 0, **more) -> dict:
    return {"prompt": "q", "response": response, "reference": reference, "uid": uid, "session": session, **more}


MIXED = [
    row("The sky is blue.", "The sky is blue."),
    row("Grass is green.", "The sky is blue.", session=1),
    row("", "Fish live in water.", "u1"),
    row("water " * 40, "Fish live in water.", "u1", 1),
    row("x", "Cows eat grass.", "u2"),
    row("The sky is blue.", "The sky is blue.", "u0", 2),
]
SENTENCES = [
    row("The sky is blue. Fish live in water. Cows eat grass.", "The sky is blue. Cows eat grass."),
    row("Grass is green! The sky is blue.", "The sky is blue. Cows eat grass.", session=1),
    row("The sky is blue.", "The sky is blue. Cows eat grass.", session=2),
    row("No. Water is wet. The sky is blue.", "The sky is blue. Cows eat grass.", session=3),
    row("First. Then nothing.", "A dog barks.", "u3"),
    row("A dog barks. It does.", "A dog barks.", "u3", index=1),
]
"""The last two are outputs of one session, of which the last one's text counts."""
HASHED = {"encoder": {"kind": "hashing"}, "terms": {"semantic": {}}, "weights": {}}
PLAIN = {"use_kl_in_reward": False, "gamma": 1.0, "lam": 0.9, "norm_adv_by_std_in_grpo": True}
TURNS = [row("wrong", "A dog barks.", "u3"), row("A dog barks.", "A dog barks.", "u3", index=1)]


def step(rows: list[dict], partition: str = "train") -> dict:
    return {"rows": rows, "partition": partition}


def write_spec(path: Path, **changes) -> str:
    spec = {
        "encoder": {**MINILM, "batch_tokens": 64},
        "terms": {"semantic": {"alpha": 2}, "length": {"mode": "relative", "unit": "words"}},
    }
    path.write_text(json.dumps(spec | {"weights": {"semantic": 1, "length": 0.25}} | changes), encoding="utf-8")
    return str(path)


def write_broken_encoder(folder: Path) -> str:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(embedded.installed_folder()), device="cpu")
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    model.save(str(folder))
    return str(folder)


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    return support.build_assets(tmp_path_factory.mktemp("assets"))


@pytest.fixture(scope="module")
def specs(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("specs")
    broken = {"kind": "hf", "model": write_broken_encoder(folder / "broken"), "self_test": False}
    return {
        "plain": write_spec(folder / "plain.yaml"),
        "masked": write_spec(
            folder / "masked.yaml",
            unscorable="mask",
            terms={"semantic": {"alpha": 2}, "likelihood": {}},
            weights={"semantic": 1, "likelihood": 0},
        ),
        "grouped": write_spec(folder / "grouped.yaml", aggregate="group_normalised", unscorable="mask"),
        "broken": write_spec(folder / "broken.yaml", encoder=broken),
        "bertscore": write_spec(folder / "bertscore.yaml", terms={"bertscore": {}}, weights={}),
        "uncredited": write_spec(folder / "uncredited.yaml", **HASHED),
        "credited": write_spec(folder / "credited.yaml", **HASHED, credit={"kind": "leave_one_out", "alpha": 2.0}),
        "credit 0": write_spec(folder / "credit0.yaml", **HASHED, credit={"kind": "leave_one_out", "alpha": 0}),
        "no_encoder": write_spec(folder / "none.yaml", encoder=None, terms={"exact_match": {}}, weights={}),
    }


@pytest.fixture(scope="module")
def groups(assets, specs, tmp_path_factory) -> dict[str, dict]:
    """What the cases gave, one after the other on a worker group of two ranks."""
    from pgsrm_verl.cpu import cpu_environment
    from pgsrm_verl.processes import run_limited, short_temp_dir

    folder = tmp_path_factory.mktemp("groups")
    several = [step(MIXED), step(TURNS), step([]), step(MIXED[:1]), step(MIXED, "val")]
    cases = {
        "shard": {"pgsrm": {"spec": specs["plain"], "val_spec": specs["no_encoder"]}, "steps": several},
        "offload": {
            "pgsrm": {"spec": specs["grouped"], "placement": "replicate", "offload": True},
            "steps": [step(MIXED)],
        },
        "bertscore": {"pgsrm": {"spec": specs["bertscore"]}, "steps": [step(MIXED), step(MIXED[4:5])]},
        "broken": {"pgsrm": {"spec": specs["broken"]}, "steps": [step(MIXED)]},
        **{
            f"{spec} {estimator}": {
                "pgsrm": {"spec": specs[spec]},
                "algorithm": {"adv_estimator": estimator, **PLAIN},
                "steps": [step(SENTENCES)],
            }
            for spec in ("uncredited", "credited", "credit 0")
            for estimator in ("grpo", "rloo", "gae")
        },
        "budget": {"pgsrm": {"spec": specs["plain"], "memory_budget_gb": 0.01}, "steps": []},
    }
    with short_temp_dir() as ray_dir:
        job = {
            "ray": str(ray_dir),
            "workers": 2,
            "tokenizer": str(assets.model),
            "config": support.colocated_config(),
            "cases": cases,
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        finished = run_limited(
            [sys.executable, str(SCRIPT), "job.json"],
            seconds=540,
            environment={**cpu_environment(), "HF_HUB_OFFLINE": "1"},
            folder=folder,
            log=folder / "output.log",
        )
    assert finished.status == 0, finished.output[-4000:]
    return torch.load(folder / "results.pt", weights_only=False)


def directly(spec_file: str, rows: list[dict]) -> RewardOutput:
    """The reward as the command and Lightning compute it."""
    samples = [
        RewardSample(r["prompt"], r["response"], (r["reference"],), r["reference"], group=r["uid"]) for r in rows
    ]
    return SemanticReward(load_spec(spec_file)).score(samples)


def totals(facts: dict) -> list[float]:
    return [sum(row_T) for row_T in facts["rm_scores"]]


@needs_minilm
def test_two_ranks_score_as_one_process_does(groups, specs):
    facts = groups["shard"]["steps"][0]
    expected = directly(specs["plain"], MIXED)
    scorable = [i for i, r in enumerate(MIXED) if r["response"]]
    for i in scorable:
        assert totals(facts)[i] == pytest.approx(float(expected.total_B[i]), abs=1e-6)
        assert facts["rm_scores"][i][:-1] == [0.0] * (len(facts["rm_scores"][i]) - 1)
    assert facts["rm_scores"][2] == []  # no token to put a reward on
    assert facts["rm_scores"][0] == facts["rm_scores"][5]  # bit by bit
    metrics = facts["metrics"]
    assert metrics["pgsrm/semantic/mean"] == pytest.approx(float(expected.terms["semantic"].mean()), abs=1e-6)
    assert metrics["pgsrm/unscorable"] == pytest.approx(1 / 6)
    assert metrics["pgsrm/encoder_texts_computed"] == 6.0  # 4 responses, 3 references, one text is both
    assert metrics["pgsrm/encoder_parameters_gib"] == pytest.approx(22_713_216 * 4 / 2 / GIB, rel=0.01)
    assert groups["shard"]["identity"] == SemanticReward(load_spec(specs["plain"])).encoder.identity


@needs_minilm
def test_a_session_of_several_outputs_is_scored_by_its_last(groups, specs):
    expected = float(directly(specs["plain"], TURNS[1:]).total_B[0])
    assert totals(groups["shard"]["steps"][1]) == pytest.approx([expected, expected], abs=1e-6)


@needs_minilm
def test_an_empty_step_and_a_rank_without_work_do_not_hang(groups):
    empty, one = groups["shard"]["steps"][2:4]
    assert empty["metrics"] == {}
    assert totals(one) == pytest.approx([1.25], abs=1e-6)  # cosine 1, and as long as the reference
    assert one["metrics"]["pgsrm/encoder_texts_computed"] == 0.0
    assert one["metrics"]["pgsrm/encoder_tokens"] == 0.0


@needs_minilm
def test_validation_has_its_own_reward_and_carries_its_terms(groups):
    facts = groups["shard"]["steps"][4]
    assert totals(facts) == [1.0, 0.0, 0, 0.0, 0.0, 1.0]
    infos = [field["reward_extra_info"] for field in facts["extra_fields"]]
    assert [info["pgsrm/exact_match"] for info in infos] == [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert [info["acc"] for info in infos] == [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert len({tuple(info) for info in infos}) == 1
    assert all(field["turn"] == 1 for field in facts["extra_fields"])


@needs_minilm
def test_groups_are_normalised_and_unscored_rows_leave_loss_and_group(groups, specs):
    facts = groups["offload"]["steps"][0]
    expected = directly(specs["grouped"], MIXED)
    assert expected.scored_B.tolist() == [True, True, False, True, True, True]
    for i in (0, 1, 3, 4, 5):
        assert totals(facts)[i] == pytest.approx(float(expected.total_B[i]), abs=1e-5)
        assert set(facts["response_mask"][i]) == set(facts["loss_mask"][i]) == {1}
    assert facts["uid"] == ["u0", "u0", "u1-unscored-2", "u1", "u2", "u0"]
    assert groups["offload"]["bytes"] == 22_713_216 * 4


@needs_minilm
def test_token_states_come_from_the_ranks_too(groups, specs):
    whole, one = groups["bertscore"]["steps"]
    expected = directly(specs["bertscore"], MIXED).total_B.tolist()
    assert [total for total, r in zip(totals(whole), MIXED, strict=True) if r["response"]] == pytest.approx(
        [total for total, r in zip(expected, MIXED, strict=True) if r["response"]], abs=1e-6
    )
    assert totals(one) == pytest.approx([expected[4]], abs=1e-6)


@needs_minilm
def test_vectors_that_are_no_numbers_fail_the_step(groups):
    assert groups["broken"]["error"] == "ScorerError"
    assert "returned a vector that is not finite" in groups["broken"]["message"]
    assert groups["broken"]["steps"] == []


@needs_minilm
def test_an_encoder_beyond_the_budget_is_refused_before_it_is_loaded(groups):
    assert groups["budget"]["error"] == "SpecError"
    assert "pgsrm.memory_budget_gb allows 0.01 GiB" in groups["budget"]["message"]
    assert "identity" not in groups["budget"]


@needs_minilm
@pytest.mark.parametrize("spec", ["plain", "no_encoder"])
def test_without_an_encoder_on_the_gpus_there_is_no_worker_group(specs, spec):
    from pgsrm_verl.colocated.rewards import ColocatedRewards
    from pgsrm_verl.colocated.rollouts import Rollouts

    samples = [RewardSample(r["prompt"], r["response"], (r["reference"],), r["reference"]) for r in MIXED]
    rewards = ColocatedRewards(support.colocated_config(spec=specs[spec], placement="cpu"))
    rewards.start(pool=None)
    output, metrics = rewards.score(Rollouts(samples, [1] * len(samples)), "train")
    assert output.total_B.tolist() == directly(specs[spec], MIXED).total_B.tolist()
    assert metrics.get("pgsrm/encoder_tokens", 0) > 0 or spec == "no_encoder"
    _, again = rewards.score(Rollouts(samples, [1] * len(samples)), "train")
    assert again.get("pgsrm/encoder_tokens", 0) == 0


# --- real training runs ------------------------------------------------------------------------------------------


def colocated(assets, spec: str, steps: int = 2, **pgsrm) -> list[str]:
    mode = ["trainer.v1.trainer_mode=pgsrm_sync", f"+pgsrm.spec={spec}"]
    return [*support.small_overrides(assets, steps), *mode, *(f"+pgsrm.{key}={value}" for key, value in pgsrm.items())]


@pytest.mark.timeout(700)
@needs_minilm
def test_grpo_with_a_sharded_encoder_trains_validates_and_saves(assets, specs, tmp_path):
    run = support.run_verl(
        [
            *colocated(assets, specs["plain"]),
            "trainer.test_freq=2",
            "trainer.save_freq=2",
            "+trainer.rollout_data_dir=rollouts",
        ],
        tmp_path,
        workers=2,
        seconds=580,
    )
    assert run.status == 0, run.tail()
    assert [metrics["step"] for metrics in run.metrics] == [1.0, 2.0]
    for metrics in run.metrics:
        for kind in ("mean", "std", "min", "max"):
            assert f"pgsrm/semantic/{kind}" in metrics
        assert metrics["timing_s/reward"] > 0
        assert metrics["pgsrm/encoder_tokens"] > 0
        assert metrics["pgsrm/encoder_parameters_gib"] == pytest.approx(22_713_216 * 4 / 2 / GIB, rel=0.01)
        assert abs(metrics["rollout_corr/kl"]) < 1e-5
    assert "val-aux/test/facts/pgsrm/semantic/mean@1" in run.metrics[-1]
    assert "val-core/test/facts/acc/mean@1" in run.metrics[-1]
    assert support.checkpoint_steps(tmp_path) == [2]
    assert "on each rank (while loading" in run.output

    dumped = support.dump_rows(tmp_path)
    assert len(dumped) == 2 * 32
    reward = SemanticReward(load_spec(specs["plain"]))
    output = reward.score([RewardSample("", entry["output"], (entry["gts"],)) for entry in dumped])
    torch.testing.assert_close(
        torch.tensor([entry["score"] for entry in dumped], dtype=torch.float64), output.total_B, atol=1e-6, rtol=0
    )


@pytest.mark.timeout(700)
@needs_minilm
def test_ppo_with_critic_kl_in_the_reward_and_a_term_that_asks_the_actor(assets, specs, tmp_path):
    run = support.run_verl(
        [
            *colocated(assets, specs["masked"], placement="replicate", offload="true"),
            "algorithm.adv_estimator=gae",
            "algorithm.use_kl_in_reward=true",
            "critic.optim.lr=1e-3",
            "actor_rollout_ref.rollout.n=2",
        ],
        tmp_path,
        workers=2,
        seconds=580,
    )
    assert run.status == 0, run.tail()
    assert len(run.metrics) == 2
    for metrics in run.metrics:
        assert {"critic/vf_loss", "actor/reward_kl_penalty", "pgsrm/semantic/std"} <= metrics.keys()
        assert metrics["pgsrm/encoder_parameters_gib"] == pytest.approx(22_713_216 * 4 / GIB)
        assert -10 <= metrics["pgsrm/likelihood/mean"] < 0
        assert 0 < metrics["pgsrm/policy_share"] < 1
        assert metrics["pgsrm/policy_continuations"] <= 16


@pytest.mark.slow
@pytest.mark.timeout(1300)
@needs_minilm
def test_it_resumes_from_a_checkpoint(assets, specs, tmp_path):
    overrides = [*colocated(assets, specs["plain"]), "trainer.save_freq=1", "trainer.resume_mode=auto"]
    overrides += ["actor_rollout_ref.actor.use_kl_loss=true"]
    first = support.run_verl([*overrides, "trainer.total_training_steps=1"], tmp_path, workers=2, seconds=600)
    assert first.status == 0, first.tail()
    second = support.run_verl([*overrides, "trainer.total_training_steps=3"], tmp_path, workers=2, seconds=600)
    assert second.status == 0, second.tail()
    assert [metrics["step"] for metrics in second.metrics] == [2.0, 3.0]
    assert "actor/kl_loss" in second.metrics[0]
    assert support.checkpoint_steps(tmp_path) == [1, 2, 3]


@pytest.mark.slow
@needs_minilm
def test_a_broken_encoder_fails_the_run(assets, specs, tmp_path):
    run = support.run_verl(colocated(assets, specs["broken"]), tmp_path, workers=2, seconds=290)
    assert run.status not in (0, None)
    assert run.metrics == []
    assert "ScorerError" in run.output
    assert "returned a vector that is not finite" in run.output


# --- credit -------------------------------------------------------------------------------------------------------


def credited_directly(tokenizer, spec_file: str) -> list[list[float]]:
    """What each token's advantage is above its response's, from the reward itself; alpha is 2."""
    from pgsrm_plugin.credit.alignment import token_spans
    from pgsrm_plugin.credit.altered import token_credit

    def decode(ids):
        return tokenizer.decode(ids, skip_special_tokens=True)

    reward = SemanticReward(load_spec(spec_file))
    ids = [tokenizer(one["response"], add_special_tokens=False)["input_ids"] for one in SENTENCES]
    samples = [
        RewardSample(one["prompt"], decode(own), (one["reference"],)) for one, own in zip(SENTENCES, ids, strict=True)
    ]
    rows = reward.credit(samples).rows
    above = [[0.0] * len(own) for own in ids]
    for i in (0, 1, 2, 3, 5):  # the fifth response is no last output of its session
        if rows[i].credits:
            above[i] = [2.0 * one for one in token_credit(reward.spec.credit, rows[i], token_spans(ids[i], decode))[0]]
    return above


@pytest.mark.parametrize("estimator", ["grpo", "rloo"])
def test_credit_is_added_to_the_advantages(groups, specs, assets, estimator):
    """After verl's own estimator, so a response's mean stays; nothing is on an output that is not scored."""
    from transformers import AutoTokenizer

    plain, credited, none = (groups[f"{spec} {estimator}"] for spec in ("uncredited", "credited", "credit 0"))
    plain, credited, none = (one["steps"][0] for one in (plain, credited, none))
    assert none["advantages"] == plain["advantages"], "alpha 0 is no credit, to the bit"
    assert credited["rm_scores"] == none["rm_scores"] == plain["rm_scores"]
    expected = credited_directly(AutoTokenizer.from_pretrained(str(assets.model)), specs["credited"])
    for before, after, above in zip(plain["advantages"], credited["advantages"], expected, strict=True):
        assert after == pytest.approx([a + b for a, b in zip(before, above, strict=True)], abs=1e-6)
        assert sum(after) == pytest.approx(sum(before), abs=1e-5)
    assert max(abs(one) for row_T in expected for one in row_T) > 0.05
    assert credited["advantages"][4] == plain["advantages"][4]
    assert credited["metrics"]["pgsrm/credit_texts"] == (4 + 3 + 3 + 3) / 5  # "No." may be short for number
    assert credited["metrics"]["pgsrm/credit_size"] > 0.01
    assert credited["metrics"]["pgsrm/credit_seconds"] > 0
    assert "pgsrm/credit_texts" not in plain["metrics"]


def test_credit_is_part_of_the_tokens_rewards_where_these_are_taken(specs, assets, groups):
    from transformers import AutoTokenizer

    plain, credited, none = (groups[f"{spec} gae"]["steps"][0] for spec in ("uncredited", "credited", "credit 0"))
    assert none["rm_scores"] == plain["rm_scores"]
    expected = credited_directly(AutoTokenizer.from_pretrained(str(assets.model)), specs["credited"])
    for before, after, above in zip(plain["rm_scores"], credited["rm_scores"], expected, strict=True):
        assert after == pytest.approx([a + b for a, b in zip(before, above, strict=True)], abs=1e-6)
    assert totals(credited) == pytest.approx(totals(plain), abs=1e-6)


def test_credit_is_refused_where_responses_are_streamed(tmp_path):
    from pgsrm_verl.streaming.preflight import streaming_spec

    spec = write_spec(tmp_path / "s.yaml", **HASHED, credit="prefix")
    with pytest.raises(SpecError, match=r"credit: prefix says which tokens .* set trainer.v1.trainer_mode=pgsrm_sync"):
        streaming_spec(spec)
