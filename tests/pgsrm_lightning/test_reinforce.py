"""REINFORCE with a baseline: loss and targets by hand, its gradient, and that it learns."""

from __future__ import annotations

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from pgsrm_lightning import KLConfig, PromptData, ReinforceConfig, RLModule, SamplingConfig
from pgsrm_lightning.algorithms.reinforce import Reinforce
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Evaluation
from pgsrm_lightning.rollout.experience import Experience
from pgsrm_plugin import RewardOutput, SpecError, parse_spec

EXACT = parse_spec("terms: {exact_match: {}}")
MASK = tensor([[True, True], [True, False]])
OLD_LOGP = tensor([[-1.0, -2.0], [-0.5, -9.0]])


def experience():
    zeros = torch.zeros(2, 2)
    ids = torch.zeros(2, 3, dtype=torch.long)
    values = tensor([[0.25, 0.5], [0.1, 7.0]])
    return Experience(ids, ids, MASK, OLD_LOGP, OLD_LOGP - 0.5, zeros, values, zeros, zeros)


def output(*rewards):
    total = tensor(rewards, dtype=torch.float64)
    return RewardOutput(total, {}, {}, torch.ones(2, dtype=torch.bool), {})


def test_every_token_has_the_whole_reward_as_return_and_no_advantage_is_whitened():
    then = Reinforce(ReinforceConfig()).targets(experience(), output(1.0, 0.0), ["a", "b"], kl_coef=9.0)
    assert_close(then.returns_BT, tensor([[1.0, 1.0], [0.0, 0.0]]))
    assert_close(then.advantages_BT, tensor([[0.75, 0.5], [-0.1, 0.0]]))


def test_the_loss_is_the_sum_of_its_parts_by_hand():
    config = ReinforceConfig(entropy_coef=0.1, value_coef=0.5)
    algorithm = Reinforce(config)
    then = algorithm.targets(experience(), output(1.0, 0.0), ["a", "b"], kl_coef=0.0)
    now = Evaluation(OLD_LOGP, entropy_BT=torch.full((2, 2), 2.0), values_BT=tensor([[0.5, 1.0], [0.0, 0.0]]))
    meter = Meter(torch.device("cpu"))
    loss = algorithm.loss(now, then, kl_coef=0.2, meter=meter)
    # policy 0.75, value 0.5 * 0.5 * 0.25 = 0.0625, KL 0.2 * 0.5 = 0.1, entropy -0.2
    assert loss[0, 0].item() == pytest.approx(0.75 + 0.0625 + 0.1 - 0.2)
    assert loss[1, 0].item() == pytest.approx(-0.1 * 0.5 + 0.0 + 0.1 - 0.2)
    assert meter.means()["train/policy_loss"] == pytest.approx((0.75 + 1.0 - 0.05) / 3)
    assert meter.means()["train/value_loss"] == pytest.approx((0.125 + 0.0 + 0.0) / 3)


def test_the_gradient_has_no_ratio_and_no_clip():
    logp = (OLD_LOGP + 3.0).requires_grad_()  # far from the rollout's policy: PPO would have clipped
    algorithm = Reinforce(ReinforceConfig(entropy_coef=0.0))
    then = algorithm.targets(experience(), output(1.0, 0.0), ["a", "b"], kl_coef=0.0)
    loss = algorithm.loss(Evaluation(logp, torch.zeros(2, 2), then.values_BT), then, 0.0, Meter(torch.device("cpu")))
    loss[MASK].sum().backward()
    assert_close(logp.grad, -then.advantages_BT)


def test_one_optimizer_step_a_batch():
    assert (ReinforceConfig.epochs, ReinforceConfig.minibatches) == (1, 1)
    with pytest.raises(TypeError):
        ReinforceConfig(epochs=4)
    with pytest.raises(SpecError, match=r"ReinforceConfig\.lr_actor must be above 0"):
        ReinforceConfig(lr_actor=0.0)


def test_the_child_learns(tiny_child, colour_file, quiet_trainer):
    config = ReinforceConfig(group_size=8, lr_actor=3e-3, lr_critic=1e-2, kl=KLConfig(coef=0.0))
    module = RLModule(tiny_child, EXACT, config, SamplingConfig(max_new_tokens=2))
    trainer = quiet_trainer()
    trainer.fit(module, PromptData(colour_file, {"seen": colour_file}, prompts_per_step=9, steps=80))
    assert float(trainer.callback_metrics["val/seen/accuracy"]) > 0.6
    assert float(trainer.callback_metrics["train/reward"]) > 0.4
