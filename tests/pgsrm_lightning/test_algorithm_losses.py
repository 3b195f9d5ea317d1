"""The losses of PPO and GRPO by hand, and what the optimizer trains."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from pgsrm_lightning import GRPOConfig, PPOConfig, ReinforceConfig
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Evaluation
from pgsrm_lightning.rollout.experience import Experience

LOGP = tensor([[-1.0, -2.0, -3.0]])
MASK = tensor([[True, True, False]])
NOW = Evaluation(LOGP + math.log(1.5), torch.full((1, 3), 2.0), tensor([[1.0, 0.1, 50.0]]))
"""Each token 1.5 times as probable as at rollout, an entropy of 2, and new values."""


def experience(ref=LOGP, values=(0.0, 0.0, 0.0), returns=(1.0, 0.3, 0.0)):
    ids = torch.zeros(1, 4, dtype=torch.long)
    advantages = tensor([[2.0, -2.0, 7.0]])
    return Experience(ids, ids, MASK, LOGP, ref, LOGP, tensor([[*values]]), advantages, tensor([[*returns]]))


def test_ppo():
    config, meter = PPOConfig(clip=0.2, value_clip=0.2, value_coef=0.5, entropy_coef=0.1), Meter(torch.device("cpu"))
    loss = config.build().loss(NOW, experience(), 9.0, meter)  # its KL penalty stands in the rewards
    # policy -1.2 * 2 and 1.5 * 2; value 0.5 * 0.8^2 (0.2 is as far as it may go) and 0.5 * 0.2^2; entropy 0.1 * 2
    assert_close(loss[0, :2], tensor([-2.4 + 0.5 * 0.32 - 0.2, 3.0 + 0.5 * 0.02 - 0.2]))
    assert meter.means() == pytest.approx(
        {"train/policy_loss": 0.3, "train/clip_fraction": 0.5, "train/value_loss": 0.17}, abs=1e-6
    )


def test_grpo():
    config, meter = GRPOConfig(clip=0.2, entropy_coef=0.1), Meter(torch.device("cpu"))
    loss = config.build().loss(NOW, experience(ref=NOW.logprobs_BT + math.log(2)), 0.5, meter)
    # the same policy part; k3 of a ratio of 2 is 2 - ln 2 - 1
    kl = 0.5 * (1 - math.log(2))
    assert_close(loss[0, :2], tensor([-2.4 + kl - 0.2, 3.0 + kl - 0.2]))
    assert meter.means() == pytest.approx({"train/policy_loss": 0.3, "train/clip_fraction": 0.5}, abs=1e-6)


def test_what_a_critic_explains_is_measured():
    # the residual has half the deviation of the returns 0 and 2, so a quarter of their variance; the third is masked
    e = experience(values=(0.0, 1.0, 9.0), returns=(0.0, 2.0, -9.0))
    for config in (PPOConfig(), ReinforceConfig(), GRPOConfig()):
        meter = Meter(torch.device("cpu"))
        meter.add("other", 1.0)
        config.build().measure(e, meter)
        explained = {"train/explained_variance": 0.75} if config.uses_values else {}
        assert meter.means() == pytest.approx({"other": 1.0, **explained})


def test_each_part_is_trained_at_its_own_rate_and_what_is_frozen_is_not():
    policy = SimpleNamespace(lm=torch.nn.Linear(2, 2), value_head=torch.nn.Linear(2, 1))
    policy.lm.bias.requires_grad_(False)
    lm = {"params": [policy.lm.weight], "lr": 0.001}
    head = {"params": [policy.value_head.weight, policy.value_head.bias], "lr": 0.01}
    assert PPOConfig(lr_actor=0.001, lr_critic=0.01).parameter_groups(policy) == [lm, head]
    assert GRPOConfig(lr_actor=0.001).parameter_groups(policy) == [lm]
