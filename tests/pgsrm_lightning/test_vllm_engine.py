"""Draws by a real vLLM on a CPU with a tiny llama, held against the policy's own pass (slow; `make test-vllm`)."""

from __future__ import annotations

import csv
import importlib.util
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from real_child import write_llama
from torch.testing import assert_close

from pgsrm_lightning import RLModule, SamplingConfig
from pgsrm_lightning.checks import check_one_process
from pgsrm_lightning.cli import trainer as command
from pgsrm_lightning.config import LoraConfig, VllmConfig
from pgsrm_lightning.engines import vllm_engine
from pgsrm_lightning.engines.colocation import merged_weights
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import generate
from pgsrm_plugin import PgsrmError, SpecError, parse_spec
from pgsrm_plugin.data.rows import Record

INSTALLED = importlib.util.find_spec("vllm") is not None
CPU = torch.device("cpu")
RECIPE = Path(__file__).parents[2] / "recipes" / "lightning" / "grpo_pgsrm_qwen2.5-0.5b_vllm.yaml"
PROMPTS = ["mix red and blue is", "red", "mix red and blue and green and red is"]
EXACT = parse_spec("terms: {exact_match: {}}")


def needs_vllm(test):
    """Marks what runs vLLM."""
    return pytest.mark.slow(pytest.mark.skipif(not INSTALLED, reason="vLLM is not installed")(test))


def sampling(**settings):
    return SamplingConfig(max_new_tokens=8, engine="vllm", **settings)


def records(times=1):
    return [Record({}, "d:1", prompt, None, ("red",), None, "", "g") for prompt in PROMPTS for _ in range(times)]


def moved(policy, seed=1, by=0.2):
    """The policy after an update: all that is trained is somewhere else."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.lm.parameters():
            if parameter.requires_grad:
                parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    return policy


def child(folder, tiny_child, **shape):
    """vLLM's attention on a CPU wants heads of 32."""
    shape = {"hidden_size": 64, "head_dim": 32, "initializer_range": 0.2, "max_position_embeddings": 512} | shape
    return write_llama(folder, tiny_child, **shape)


def engine_with(**settings):
    """Ready soon, and small."""
    return vllm_engine.VllmEngine(VllmConfig(enforce_eager=True, kv_cache_gib=0.01, **settings))


@pytest.fixture(scope="module", params=["all weights", "tied", "lora"])
def drawing(request, tiny_child, tmp_path_factory):
    """A policy, and an engine that is started for it."""
    folder = child(tmp_path_factory.mktemp("child"), tiny_child, tie_word_embeddings=request.param == "tied")
    policy = moved(Policy(folder, lora=LoraConfig(r=4) if request.param == "lora" else None))
    return policy, engine_with()


def draw(drawing, settings, seed, rows=None):
    policy, engine = drawing
    return generate(policy, rows or records(4), settings, CPU, seed, engine=engine)


@needs_vllm
def test_greedy_answers_after_each_update_are_the_policys_own(drawing):
    policy, _ = drawing
    seen = set()
    for update in range(3):
        moved(policy, seed=10 + update)
        own = generate(policy, records(), SamplingConfig(max_new_tokens=8), CPU, None)
        assert draw(drawing, sampling(), None, records()).texts == own.texts
        seen.add(tuple(own.texts))
    assert len(seen) == 3, "the updates must change the answers"


@needs_vllm
@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])
def test_its_log_probabilities_are_the_policys_at_the_temperature(drawing, temperature):
    policy, _ = drawing
    rollout = draw(drawing, sampling(temperature=temperature), 3, records(20))
    width = rollout.mask_BT.shape[1]
    own = policy.evaluate(rollout.tokens_BS, rollout.attention_BS, width, temperature).logprobs_BT
    mask = rollout.mask_BT
    assert_close(rollout.sampler_logprobs_BT[mask], own[mask], atol=1e-4, rtol=0)
    assert not rollout.sampler_logprobs_BT[~mask].any()
    assert {True, False} <= {*rollout.truncated_B.tolist()}, "some end by themselves, some are cut"


@needs_vllm
def test_tokens_are_drawn_from_that_distribution(drawing):
    policy, _ = drawing
    settings = SamplingConfig(max_new_tokens=1, engine="vllm", temperature=1.7)
    rollout = draw(drawing, settings, 5, records()[:1] * 3000)
    logits = policy.lm(input_ids=rollout.tokens_BS[:1, :-1]).logits[0, -1].detach()
    expected = torch.softmax(logits / 1.7, -1)
    share = torch.bincount(rollout.tokens_BS[:, -1], minlength=8) / 3000
    deviation = (expected * (1 - expected) / 3000).sqrt()
    assert ((share - expected).abs() <= 4 * deviation + 1e-3).all()
    assert (share - torch.softmax(logits, -1)).abs().max() > 0.02, "and not from that of temperature 1"


@needs_vllm
def test_draws_depend_on_the_seed_alone_and_the_process_is_left_as_it_was(drawing):
    def state():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before, threads = state(), torch.get_num_threads()
    first = draw(drawing, sampling(temperature=1.7), 7)
    assert state() == before
    torch.set_num_threads(threads + 1)
    assert torch.get_num_threads() == threads + 1
    torch.set_num_threads(threads)
    draw(drawing, sampling(), 8, records(1))
    again, other = draw(drawing, sampling(temperature=1.7), 7), draw(drawing, sampling(temperature=1.7), 8)
    assert again.texts == first.texts
    assert torch.equal(again.sampler_logprobs_BT, first.sampler_logprobs_BT)
    assert other.texts != first.texts
    assert any(len({*first.texts[row : row + 4]}) > 1 for row in (0, 4, 8)), "rows of one prompt differ"


@needs_vllm
def test_what_earlier_weights_have_made_of_a_prompt_is_forgotten(drawing):
    policy, _ = drawing
    long = [Record({}, "d:1", "mix red and blue is " * 60, None, ("red",), None, "", "g")] * 2
    for update in (20, 21):
        moved(policy, seed=update)
        rollout = draw(drawing, sampling(), 3, long)
        width = rollout.mask_BT.shape[1]
        own = policy.evaluate(rollout.tokens_BS, rollout.attention_BS, width, 1.0).logprobs_BT
        mask = rollout.mask_BT
        assert_close(rollout.sampler_logprobs_BT[mask], own[mask], atol=1e-3, rtol=0)


@needs_vllm
def test_the_end_can_be_asked_for_between_two_tokens(drawing):
    policy, engine = drawing
    asked = []

    def stop():
        asked.append(None)
        if len(asked) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(policy, records(4), sampling(), CPU, 7, stop, engine)
    fresh = draw(drawing, sampling(temperature=1.7), 7)
    assert fresh.texts == draw(drawing, sampling(temperature=1.7), 7).texts


@needs_vllm
def test_limits_are_kept(drawing):
    greedy = draw(drawing, sampling(), None, records()).texts
    assert draw(drawing, sampling(top_k=1, importance_sampling=None), 4, records()).texts == greedy


@needs_vllm
def test_a_weight_that_does_not_arrive_is_seen(tiny_child, tmp_path, monkeypatch):
    policy = moved(Policy(child(tmp_path / "child", tiny_child)))
    lost = "model.layers.1.mlp.down_proj.weight"
    kept = lambda lm: (each for each in merged_weights(lm) if each[0] != lost)  # noqa: E731
    monkeypatch.setattr(vllm_engine, "merged_weights", kept)
    engine = engine_with()
    with pytest.raises(SpecError, match=r"nats a token away from the child's, above 0\.01: it does not compute Llama"):
        generate(policy, records(), sampling(), CPU, 1, engine=engine)


@needs_vllm
def test_another_precision_is_off_by_more_and_drawn_all_the_same(tiny_child, tmp_path):
    policy = moved(Policy(child(tmp_path / "child", tiny_child)))
    engine = engine_with(dtype="bfloat16")
    rollout = generate(policy, records(4), sampling(), CPU, 1, engine=engine)
    own = policy.evaluate(rollout.tokens_BS, rollout.attention_BS, rollout.mask_BT.shape[1], 1.0).logprobs_BT
    apart = (own - rollout.sampler_logprobs_BT)[rollout.mask_BT].abs()
    assert 1e-4 < apart.mean() < 0.1


@needs_vllm
@pytest.mark.parametrize(
    ("shape", "settings", "error", "message"),
    [
        ({"head_dim": 8}, {}, PgsrmError, r"vLLM failed: RuntimeError: .* model\.sampling\.engine: hf does without"),
        ({}, {"max_model_len": 100}, SpecError, r"vLLM cannot run this child: .* set engine: hf"),
    ],
)
def test_a_child_that_vllm_cannot_run_is_an_error(shape, settings, error, message, tmp_path, tiny_child):
    policy = Policy(write_llama(tmp_path / "child", tiny_child, **shape))
    engine = engine_with(**settings)
    with pytest.raises(error, match=message):
        generate(policy, records(), sampling(), CPU, 1, engine=engine)


@pytest.fixture
def run(tmp_path, tiny_child, colour_file):
    """Runs `pgsrm train` with changes to its config; returns what was logged at each step, and the folder."""
    (tmp_path / "spec.yaml").write_text("encoder: {kind: hashing}\nterms: {semantic: {}}")
    config = {
        "model": {
            "child": child(tmp_path / "child", tiny_child),
            "spec": str(tmp_path / "spec.yaml"),
            "algorithm": "grpo",
            "grpo": {"group_size": 4, "lr_actor": 0.01},
            "sampling": {"max_new_tokens": 6, "engine": "vllm", "vllm": {"enforce_eager": True, "kv_cache_gib": 0.01}},
        },
        "data": {"train": colour_file, "val": {"seen": colour_file}, "prompts_per_step": 3, "steps": 3},
        "trainer": {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "default_root_dir": str(tmp_path),
            "callbacks": [
                {
                    "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
                    "init_args": {"every_n_train_steps": 1, "save_top_k": -1, "filename": "{step}"},
                }
            ],
        },
    }

    def train(*arguments, **model):
        if "algorithm" in model:
            config["model"].pop("grpo")
        config["model"] |= model
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(config))
        command.main(["--config", str(path), *arguments])
        folder = max((tmp_path / "lightning_logs").iterdir(), key=lambda each: int(each.name.split("_")[1]))
        rows = [row for row in csv.DictReader((folder / "metrics.csv").open()) if row["train/reward"]]
        return [{name: float(value) for name, value in row.items() if value and "time" not in name} for row in rows], (
            folder / "checkpoints"
        )

    return train


@needs_vllm
def test_a_run_learns_logs_and_resumes(run):
    steps, checkpoints = run()
    assert [step["step"] for step in steps] == [0, 1, 2]
    for step in steps:
        assert step["train/grad_norm"] > 0
        assert 0 <= step["train/sampler_kl"] < 1e-6
        assert step["train/sampler_ratio"] == pytest.approx(1.0, abs=1e-4)
        assert step["train/sampler_ratio_max"] == pytest.approx(1.0, abs=1e-3)
        assert step["train/sampler_truncated"] == 0.0
    assert steps[2]["train/kl"] > 0.01, "the policy must have moved, and vLLM with it"
    resumed, _ = run("--ckpt_path", str(checkpoints / "step=2.ckpt"))
    assert resumed == [steps[2]]


@needs_vllm
@pytest.mark.parametrize("algorithm", ["ppo", "reinforce"])
def test_other_algorithms_run_with_sequence_weights_and_adapters(algorithm, run):
    correction = "--model.sampling.importance_sampling={level: sequence, cap: 1.5}"
    steps, _ = run(correction, "--data.steps=2", algorithm=algorithm, lora={"r": 2})
    assert len(steps) == 2
    assert all(step["train/sampler_ratio"] == pytest.approx(1.0, abs=1e-3) for step in steps)


@needs_vllm
def test_its_recipe_runs(tiny_child, chat_child, tmp_path, colour_file):
    (tmp_path / "spec.yaml").write_text("encoder: {kind: hashing}\nterms: {semantic: {}}")
    arguments = ["--config", str(RECIPE), "--model.child", child(tmp_path / "child", chat_child)]
    arguments += ["--model.spec", str(tmp_path / "spec.yaml"), "--data.train", colour_file]
    arguments += [
        "--model.sampling.max_new_tokens=2",
        "--model.sampling.vllm={enforce_eager: true, kv_cache_gib: 0.01}",
    ]
    command.main([*arguments, "--trainer.accelerator=cpu", "--data.steps=1", f"--trainer.default_root_dir={tmp_path}"])
    (metrics,) = tmp_path.rglob("metrics.csv")
    (row,) = csv.DictReader(metrics.open())
    assert 0.0 < float(row["train/sampler_kl"]) < 1e-2, "bfloat16 in both, by other kernels"


# --- without vLLM -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gpt2", "llama", "lora", "lora on gpt2"])
def test_merged_weights_are_those_of_the_whole_model_and_the_base_is_left_alone(kind, tiny_child, tmp_path):
    from transformers import AutoModelForCausalLM

    folder = tiny_child if "gpt2" in kind else write_llama(tmp_path / "llama", tiny_child)
    modules = ["c_attn", "c_proj"] if "gpt2" in kind else ["q_proj", "down_proj"]
    policy = moved(Policy(folder, lora=LoraConfig(r=2, target_modules=modules) if "lora" in kind else None))
    before = {name: value.clone() for name, value in policy.lm.state_dict().items()}
    merged = dict(merged_weights(policy.lm))
    policy.save_pretrained(tmp_path / "whole", merge=True)
    whole = dict(AutoModelForCausalLM.from_pretrained(tmp_path / "whole").named_parameters(remove_duplicate=False))
    assert [*merged] == [*whole]
    for name, value in whole.items():
        assert_close(merged[name], value.detach(), atol=1e-6, rtol=0)
    assert all(torch.equal(value, before[name]) for name, value in policy.lm.state_dict().items())


@pytest.mark.skipif(INSTALLED, reason="vLLM is installed")
def test_without_vllm_the_message_says_what_to_install(tiny_child):
    with pytest.raises(SpecError, match=r"model.sampling.engine: vllm needs vLLM: pip install 'pgsrm-plugin\[vllm\]'"):
        RLModule(tiny_child, EXACT, sampling=SamplingConfig(engine="vllm"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "ddp", "devices": 2}, "vllm draws in the one process that trains; set trainer.devices: 1 and"),
        ({"device": "mps"}, "vllm runs on CUDA GPUs and CPUs, not on mps; set engine: hf"),
        ({"device": "cuda:1"}, "and the child is on number 1; set trainer.devices: 1, and CUDA_VISIBLE_DEVICES=1"),
        ({"device": "cuda:0"}, None),
        ({"device": "cpu"}, None),
    ],
)
def test_a_trainer_beside_which_it_cannot_draw_is_refused(settings, message, quiet_trainer):
    from lightning.pytorch.strategies import SingleDeviceStrategy

    device = settings.pop("device", None)
    trainer = quiet_trainer(**settings)
    if device is not None:
        trainer.strategy._root_device = torch.device(device)
        assert isinstance(trainer.strategy, SingleDeviceStrategy)
    if message is None:
        check_one_process(trainer)
        return
    with pytest.raises(SpecError, match=message):
        check_one_process(trainer)


def test_a_prompt_must_fit_what_vllm_takes(tiny_child):
    from pgsrm_lightning.rollout.generate import encode_prompt
    from pgsrm_plugin import DataError

    settings = sampling(vllm=VllmConfig(max_model_len=12))
    with pytest.raises(DataError, match=r"has 5 tokens, but at most 4 fit \(context 12, max_new_tokens 8"):
        encode_prompt(records()[0], Policy(tiny_child), settings)


def test_settings_can_be_given_on_the_command_line(tmp_path, tiny_child, colour_file):
    (tmp_path / "spec.yaml").write_text("terms: {exact_match: {}}")
    base = ["--model.child", tiny_child, "--model.spec", str(tmp_path / "spec.yaml"), "--data.train", colour_file]
    with pytest.raises(SpecError, match="importance_sampling: null, or engine: hf"):
        command.main([*base, "--model.sampling.engine=vllm", "--model.sampling.top_p=0.9"])
    with pytest.raises(SpecError, match=r"no setting 'model.sampling.vllm.sleeep'; did you mean"):
        command.main([*base, "--model.sampling.vllm.sleeep=true"])
    arguments = ["--model.sampling.engine=vllm", "--model.sampling.importance_sampling=null"]
    if not INSTALLED:
        with pytest.raises(SpecError, match="needs vLLM"):
            command.main([*base, *arguments, "--model.sampling.top_p=0.9", f"--trainer.default_root_dir={tmp_path}"])
