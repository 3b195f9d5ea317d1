"""`pgsrm train`: the recipes, and what a mistake gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pgsrm_lightning.cli import trainer
from pgsrm_plugin import DataError, SpecError

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes" / "lightning").glob("*.yaml"))
SPECS = {
    "exact": "terms: {exact_match: {}}",
    "semantic": "encoder: {kind: hashing}\nterms: {semantic: {}}",
}


@pytest.fixture
def spec_file(tmp_path):
    path = tmp_path / "reward.yaml"
    path.write_text(SPECS["semantic"])
    return str(path)


@pytest.fixture
def config_file(tmp_path, tiny_child, colour_file, spec_file):
    """A small valid run; returns a function that writes it with changes."""

    def write(**changes):
        config = {
            "model": {"child": tiny_child, "spec": spec_file, "ppo": {"epochs": 1}, "sampling": {"max_new_tokens": 2}},
            "data": {"train": colour_file, "prompts_per_step": 4, "steps": 2},
            "trainer": {
                "accelerator": "cpu",
                "default_root_dir": str(tmp_path / "runs"),
                "enable_progress_bar": False,
                "callbacks": [{"class_path": "pgsrm_lightning.RolloutLog", "init_args": {"every": 1}}],
            },
        }
        for key, value in changes.items():
            section, _, name = key.partition("__")
            config[section][name] = value
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    return write


def test_the_recipes_are_there():
    assert [path.stem for path in RECIPES] == [
        "grpo_guarded-credit_qwen2.5-0.5b_lora",
        "grpo_guarded_qwen2.5-0.5b_lora",
        "grpo_likelihood_qwen2.5-0.5b_lora",
        "grpo_pgsrm_gpt2",
        "grpo_pgsrm_qwen2.5-0.5b_lora",
        "grpo_pgsrm_qwen2.5-0.5b_vllm",
        "grpo_semantic_qwen2.5-0.5b",
        "ppo_pgsrm_gpt2",
    ]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_run_with_a_tiny_child(recipe, chat_child, colour_file, spec_file, tmp_path, capsys):
    arguments = ["--config", str(recipe), "--model.child", chat_child, "--model.spec", spec_file]
    arguments += ["--data.train", colour_file, f"--data.val={{held_out: {colour_file}}}"]
    arguments += ["--model.sampling.max_new_tokens=2", "--trainer.accelerator=cpu", "--trainer.fast_dev_run=true"]
    if "vllm" in recipe.stem:  # with vLLM: tests/pgsrm_lightning/test_vllm_engine.py
        arguments += ["--model.sampling.engine=hf", "--model.sampling.max_prompt_tokens=null"]
    if "lora" in recipe.stem:
        arguments += ["--model.lora.target_modules=[c_attn]"]
    trainer.main([*arguments, f"--trainer.default_root_dir={tmp_path}"])


def test_a_recipe_runs_for_fewer_steps_than_its_validation_interval(tiny_child, colour_file, spec_file, tmp_path):
    recipe = ROOT / "recipes" / "lightning" / "grpo_pgsrm_gpt2.yaml"
    arguments = ["--config", str(recipe), "--model.child", tiny_child, "--model.spec", spec_file]
    arguments += ["--data.train", colour_file, f"--data.val={{held_out: {colour_file}}}", "--data.steps=1"]
    trainer.main([*arguments, "--trainer.accelerator=cpu", f"--trainer.default_root_dir={tmp_path}"])
    folder = tmp_path / "lightning_logs" / "version_0"
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert (folder / "child" / "model.safetensors").is_file()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_name_specs_that_are_shipped(recipe, tmp_path, monkeypatch):
    from pgsrm_plugin import load_spec

    monkeypatch.chdir(tmp_path)
    load_spec(yaml.safe_load(recipe.read_text())["model"]["spec"])


def test_a_run_logs_writes_rollouts_and_resumes(config_file, tmp_path):
    trainer.main(["--config", config_file()])
    folder = tmp_path / "runs" / "lightning_logs" / "version_0"
    assert "train/reward/semantic" in (folder / "metrics.csv").read_text().splitlines()[0]
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3
    assert (folder / "rollouts.jsonl").is_file()
    assert (folder / "config.yaml").is_file()
    (checkpoint,) = (folder / "checkpoints").glob("*.ckpt")
    trainer.main(["--config", config_file(), "--ckpt_path", str(checkpoint), "--trainer.max_epochs=2"])
    resumed = (tmp_path / "runs" / "lightning_logs" / "version_1" / "metrics.csv").read_text().splitlines()
    assert len(resumed) == 3


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, ["--model.chld", "x"], "there is no setting 'model.chld'; did you mean 'model.child'?"),
        ({"model__chld": "x"}, [], "there is no setting 'model.chld'; did you mean 'model.child'?"),
        ({"model__ppo": {"epoch": 2}}, [], "there is no setting 'model.ppo.epoch'; did you mean 'model.ppo.epochs'?"),
        (
            {"model__ppo": {"kl": {"coeff": 2}}},
            [],
            "no setting 'model.ppo.kl.coeff'; did you mean 'model.ppo.kl.coef'?",
        ),
        ({"data__step": 3}, [], "there is no setting 'data.step'; did you mean 'data.steps'?"),
        ({}, ["--trainer.max_eposh=3"], "there is no setting 'trainer.max_eposh'; did you mean 'trainer.max_epochs'?"),
        ({"model__lora": {"rank": 3, "r": 2}}, [], "there is no setting 'model.lora.rank'"),
        (
            {"trainer__callbacks": [{"class_path": "pgsrm_lightning.RolloutLog", "init_args": {"evry": 3}}]},
            [],
            "there is no setting 'trainer.callbacks.evry'; did you mean 'trainer.callbacks.every'?",
        ),
        ({}, ["--model.chil", "x"], "there is no setting 'model.chil'; did you mean 'model.child'?"),
        ({}, ["--data.step=1"], "there is no setting 'data.step'; did you mean 'data.steps'?"),
        ({}, ["--model.ppo.lr_acto=1"], "no setting 'model.ppo.lr_acto'; did you mean 'model.ppo.lr_actor'?"),
        ({}, ["--trainer.strategy=nonsense"], "trainer: You selected an invalid strategy name"),
        ({"trainer__val_check_interval": 100}, [], "trainer: `val_check_interval` (100) must be less than or equal"),
        (
            {"model__sampling": {"max_new_tokens": 40}},
            [],
            "model.sampling.max_new_tokens: 40 leave no room for a prompt in this child's context of 32 tokens",
        ),
        ({"data__steps": "many"}, [], "data.steps: expected int or null, not 'many'"),
        ({}, ["--model.algorithm=pop"], "model.algorithm: expected one of 'ppo', 'grpo', 'reinforce', not 'pop'"),
        ({"model__ppo": {"clip": -1}}, [], "PPOConfig.clip must be above 0, not -1"),
        ({"model__child": "./nowhere"}, [], "child './nowhere': there is no such folder"),
        ({"model__spec": "./nowhere.yaml"}, [], "nowhere.yaml: there is no such spec file"),
        ({}, ["--ckpt_path=nowhere.ckpt"], "ckpt_path: there is no file nowhere.ckpt"),
        ({}, ["--config=nowhere.yaml"], "--config: there is no file nowhere.yaml"),
    ],
)
def test_a_mistake_gets_one_sentence(changes, arguments, message, config_file):
    with pytest.raises(SpecError) as caught:
        trainer.main(["--config", config_file(**changes), *arguments])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_that_is_not_lightnings_keeps_its_trace():
    with pytest.raises(ValueError, match="a fault of ours") as caught, trainer.in_one_sentence(ValueError):
        raise ValueError("a fault of ours")
    assert not isinstance(caught.value, SpecError)


def test_a_template_that_refuses_a_role_names_the_row(config_file, make_child, jsonl):
    child = make_child(chat=True)
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}x"
    (Path(child) / "chat_template.jinja").write_text(template)
    prompt = [{"role": "system", "content": "mix"}, {"role": "user", "content": "red"}]
    rows = [{"prompt": prompt[first:], "reference": "red"} for first in (1, 0)]
    with pytest.raises(
        DataError, match=r"rows\.jsonl:2: .* refuses field 'prompt' \(roles: system, user\): System role"
    ):
        trainer.main(["--config", config_file(model__child=child, data__train=jsonl("rows.jsonl", rows))])


def test_missing_data_is_said(config_file):
    with pytest.raises(DataError, match=r"nowhere\.jsonl: there is no such file"):
        trainer.main(["--config", config_file(data__train="./nowhere.jsonl")])


def test_broken_yaml_is_said(tmp_path):
    (tmp_path / "broken.yaml").write_text("model: [")
    with pytest.raises(SpecError, match=r"broken\.yaml: not valid YAML"):
        trainer.main(["--config", str(tmp_path / "broken.yaml")])


def test_a_corrupt_checkpoint_is_said(config_file, tmp_path):
    (tmp_path / "broken.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(SpecError, match=r"ckpt_path: .*broken\.ckpt is not a checkpoint"):
        trainer.main(["--config", config_file(), "--ckpt_path", str(tmp_path / "broken.ckpt")])


def test_the_command_exits_with_2_and_no_traceback(config_file):
    command = [sys.executable, "-m", "pgsrm_plugin.cli", "train", "--config", config_file()]
    done = subprocess.run([*command, "--model.chld=x"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("there is no setting 'model.chld'; did you mean 'model.child'?")
    assert "Traceback" not in done.stderr


def test_importing_the_commands_imports_nothing_heavy():
    code = "import sys, pgsrm_lightning.cli; print({'torch', 'lightning', 'transformers'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_help_lists_our_settings(capsys):
    with pytest.raises(SystemExit) as caught:
        trainer.main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "--model.ppo.clip" in shown
    assert "--data.prompts_per_step" in shown
