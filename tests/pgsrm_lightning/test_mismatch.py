"""Truncated importance sampling: ratios, weights and what is logged by hand; a whole step under another sampler."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import tensor
from torch.testing import assert_close

from pgsrm_lightning import GRPOConfig, KLConfig, PPOConfig, PromptData, ReinforceConfig, RLModule, SamplingConfig
from pgsrm_lightning.config import ImportanceSamplingConfig, VllmConfig
from pgsrm_lightning.engines.decoding import HfEngine
from pgsrm_lightning.engines.engine import Drawn
from pgsrm_lightning.losses import importance_ratios, kl_k3, truncated_weights
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Evaluation
from pgsrm_lightning.rollout.experience import Experience
from pgsrm_lightning.rollout.mismatch import corrected
from pgsrm_plugin import SpecError, parse_spec

CPU = torch.device("cpu")
SEMANTIC = parse_spec("encoder: {kind: hashing}\nterms: {semantic: {}}")
POLICY = tensor([[0.6, 0.5, 0.3], [0.2, 0.4, 0.9]]).log()
SAMPLER = tensor([[0.2, 0.5, 0.9], [0.4, 0.2, float("nan")]]).log()
MASK = tensor([[True, True, True], [True, True, False]])
RATIOS = tensor([[3.0, 1.0, 1 / 3], [0.5, 2.0, 1.0]])
ALGORITHMS = {
    "grpo": GRPOConfig(group_size=4, lr_actor=1e-3),
    "grpo, two minibatches": GRPOConfig(group_size=4, minibatches=2, lr_actor=1e-3, micro_batch_size=3),
    "ppo": PPOConfig(group_size=2, epochs=1, minibatches=2, lr_actor=1e-3),
    "reinforce": ReinforceConfig(group_size=2, lr_actor=1e-3),
}


def experience(sampler=SAMPLER, advantages=None):
    zeros = torch.zeros(2, 3)
    advantages = zeros if advantages is None else advantages
    ids = torch.zeros(2, 4, dtype=torch.long)
    return Experience(ids, ids, MASK, POLICY, POLICY, zeros, zeros, advantages, zeros, sampler_logprobs_BT=sampler)


def test_ratios_of_tokens_and_of_sequences_by_hand():
    assert_close(importance_ratios(POLICY, SAMPLER, MASK, "token"), RATIOS)
    whole = importance_ratios(POLICY, SAMPLER, MASK, "sequence")
    assert_close(whole, torch.ones(2, 3), msg="3 x 1 x 1/3 and 0.5 x 2")
    other = importance_ratios(POLICY, tensor([[0.3, 0.5, 0.3], [0.4, 0.4, 0.1]]).log(), MASK, "sequence")
    assert_close(other, tensor([[2.0] * 3, [0.5] * 3]))


def test_a_ratio_beyond_all_numbers_stays_finite():
    ratios = importance_ratios(tensor([[0.0]]), tensor([[-1e4]]), tensor([[True]]), "token")
    assert_close(ratios, tensor([[math.exp(20.0)]]))


def test_weights_are_cut_above_and_never_below():
    assert truncated_weights(tensor([0.0, 0.5, 2.0, 2.5]), 2.0).tolist() == [0.0, 0.5, 2.0, 2.0]


@pytest.mark.parametrize(("cap", "weights"), [(2.5, RATIOS.clamp(max=2.5)), (1.5, RATIOS.clamp(max=1.5))])
def test_what_is_logged_by_hand(cap, weights):
    meter = Meter(CPU)
    assert_close(corrected(experience(), ImportanceSamplingConfig(cap), meter).weights_BT, weights)
    counted = [3.0, 1.0, 1 / 3, 0.5, 2.0]
    assert meter.means() == pytest.approx(
        {
            "train/sampler_kl": sum(r - math.log(r) - 1 for r in counted) / 5,
            "train/sampler_ratio": sum(counted) / 5,
            "train/sampler_ratio_max": 3.0,
            "train/sampler_truncated": sum(r > cap for r in counted) / 5,
        },
        abs=1e-6,
    )


def test_the_estimate_is_of_the_kl_from_the_sampler_to_the_policy():
    pi, mu = tensor([0.7, 0.2, 0.1]), tensor([0.5, 0.3, 0.2])
    exact = (mu * (mu / pi).log()).sum()
    assert_close((mu * kl_k3(mu.log(), pi.log())).sum(), exact)


def test_the_largest_is_over_all_micro_batches():
    meter, settings = Meter(CPU), ImportanceSamplingConfig()
    for row in (0, 1):
        corrected(experience().rows(tensor([row])), settings, meter)
    corrected(experience().rows(torch.zeros(0, dtype=torch.long)), settings, meter)
    assert meter.means()["train/sampler_ratio_max"] == pytest.approx(3.0)
    assert meter.means()["train/sampler_ratio"] == pytest.approx((3 + 1 + 1 / 3 + 0.5 + 2) / 5)


def test_without_settings_it_is_logged_and_nothing_weighed():
    meter = Meter(CPU)
    assert corrected(experience(), None, meter).weights_BT is None
    assert {*meter.means()} == {"train/sampler_kl", "train/sampler_ratio", "train/sampler_ratio_max"}


def test_what_the_policy_drew_itself_is_left_alone():
    meter = Meter(CPU)
    own = experience(None)
    assert corrected(own, ImportanceSamplingConfig(), meter) is own
    assert meter.names == []


def gradient(algorithm, then, kl=0.1):
    logp = POLICY.clone().requires_grad_()
    entropy, values = logp * 0.5, torch.zeros(2, 3)
    loss = algorithm.build().loss(Evaluation(logp, entropy, values), then, kl, Meter(CPU))
    (torch.where(MASK, loss, 0.0).sum() / 5).backward()
    return loss.detach(), logp.grad


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=[*ALGORITHMS])
@pytest.mark.parametrize("level", ["token", "sequence"])
def test_equal_log_probabilities_give_the_plain_loss_and_gradient_bit_for_bit(algorithm, level):
    advantages = tensor([[1.3, -0.4, 0.7], [-1.1, 0.9, 0.2]])
    plain = gradient(algorithm, experience(None, advantages))
    same = corrected(experience(POLICY, advantages), ImportanceSamplingConfig(level=level), Meter(CPU))
    assert same.weights_BT is not None
    for one, other in zip(plain, gradient(algorithm, same), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=[*ALGORITHMS])
def test_each_tokens_policy_gradient_is_weighed_and_nothing_else(algorithm):
    advantages = tensor([[1.3, -0.4, 0.7], [-1.1, 0.9, 0.2]])
    then = corrected(experience(SAMPLER, advantages), ImportanceSamplingConfig(2.0), Meter(CPU))
    silent = gradient(algorithm, experience(None, torch.zeros(2, 3)))[1]  # of KL and entropy
    plain, weighed = gradient(algorithm, experience(None, advantages))[1], gradient(algorithm, then)[1]
    expected = torch.where(MASK, RATIOS.clamp(max=2.0) * (plain - silent) + silent, 0.0)
    assert_close(weighed, expected)
    assert not torch.allclose(weighed, plain)


class Off(HfEngine):
    """The policy's own draws, said to have been likelier by a factor than they were."""

    def __init__(self, factor):
        self.factor = factor

    def draw(self, policy, prompts, sampling, device, seed, go_on):
        drawn = super().draw(policy, prompts, sampling, device, seed, go_on)
        width = drawn.tokens_BT.shape[1]
        prompt = torch.tensor([list(prompt) for prompt in prompts])  # of one length each
        tokens = torch.cat([prompt, drawn.tokens_BT], dim=1)
        seen = policy.evaluate(tokens, torch.ones_like(tokens), width, sampling.temperature)
        return Drawn(drawn.tokens_BT, seen.logprobs_BT + math.log(self.factor))


class Spy(Callback):
    def on_train_batch_end(self, trainer, module, *_):
        self.logged = {name: float(value) for name, value in trainer.callback_metrics.items()}


class Plain(RLModule):
    """By gradient descent, whose steps are as long as the gradient is."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.policy.parameters(), lr=0.1)


def one_step(child, file, make_trainer, algorithm, engine=None, correction=None):
    spy = Spy()
    module = Plain(child, SEMANTIC, algorithm, SamplingConfig(max_new_tokens=3))
    start = module.policy.lm.lm_head.weight.detach().clone()
    if engine is not None:
        module.engine = engine
        module.sampling = replace(module.sampling, importance_sampling=correction)
    make_trainer(callbacks=[spy]).fit(module, PromptData(file, prompts_per_step=3, steps=1))
    return module.policy.lm.lm_head.weight.detach() - start, spy.logged


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=[*ALGORITHMS])
def test_a_whole_step_is_weighed_and_logged(algorithm, tiny_child, colour_file, quiet_trainer):
    algorithm = replace(algorithm, kl=KLConfig(0.0), entropy_coef=0.0, grad_norm=1e9)
    if algorithm.uses_values:
        algorithm = replace(algorithm, value_coef=0.0)
    step = lambda *rest: one_step(tiny_child, colour_file, quiet_trainer, algorithm, *rest)  # noqa: E731
    plain, logged = step()
    assert not any("sampler" in name for name in logged)
    half, logged = step(Off(2.0), ImportanceSamplingConfig())
    assert logged["train/sampler_ratio"] == pytest.approx(0.5, abs=1e-5)
    assert logged["train/sampler_ratio_max"] == pytest.approx(0.5, abs=1e-5)
    assert logged["train/sampler_truncated"] == 0.0
    assert logged["train/sampler_kl"] == pytest.approx(0.5 - math.log(0.5) - 1, abs=1e-5)
    capped, logged = step(Off(0.2), ImportanceSamplingConfig())
    assert logged["train/sampler_truncated"] == 1.0
    uncorrected, logged = step(Off(2.0), None)
    assert "train/sampler_truncated" not in logged
    assert_close(uncorrected, plain)
    if algorithm.minibatches == 1:  # else the second starts from where the first one led
        assert plain.abs().max() > 1e-4
        assert_close(half, plain / 2, atol=1e-7, rtol=1e-4)
        assert_close(capped, plain * 2, atol=1e-7, rtol=1e-4)


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vllm": VllmConfig(sleep=False)}, "model.sampling.vllm is set, but model.sampling.engine is hf"),
        (
            {"importance_sampling": ImportanceSamplingConfig(3.0)},
            "which draws from the policy itself, so there is nothing to correct",
        ),
        ({"engine": "vllm", "temperature": 0.001}, r"vLLM takes 0.01 to 2, not 0.001; change it, or engine: hf"),
        ({"engine": "vllm", "temperature": 3.0}, r"vLLM takes 0.01 to 2, not 3"),
        ({"engine": "vllm", "top_p": 0.9}, "every importance ratio would hold the share that is left"),
        ({"engine": "vllm", "top_k": 5}, "set top_p: 1.0 and top_k: 0, or importance_sampling: null, or engine: hf"),
        ({"engine": "vllm", "vllm": VllmConfig(max_model_len=16)}, "16 leaves no room for a prompt beside max_new_to"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, message):
    with pytest.raises(SpecError, match=message):
        SamplingConfig(**settings)


def test_limits_are_allowed_where_nothing_is_corrected():
    assert SamplingConfig(engine="vllm", top_p=0.9, top_k=5, importance_sampling=None).limited
    assert SamplingConfig(top_p=0.9, top_k=5).limited


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImportanceSamplingConfig(cap=0.0), "ImportanceSamplingConfig.cap must be above 0, not 0"),
        (
            lambda: VllmConfig(gpu_memory_utilization=1.5),
            "VllmConfig.gpu_memory_utilization must be at most 1, not 1.5",
        ),
    ],
)
def test_values_keep_within_their_bounds(make, message):
    with pytest.raises(SpecError, match=message):
        make()
