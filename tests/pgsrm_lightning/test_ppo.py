"""PPO's targets by hand: whitened as far as the rewards vary."""

from __future__ import annotations

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from pgsrm_lightning import KLConfig, PPOConfig
from pgsrm_lightning.algorithms.ppo import PPO
from pgsrm_lightning.rollout.experience import Experience
from pgsrm_plugin import RewardOutput

COEF = KLConfig().coef


def targets(rewards, values, log_ratios=(0.1, -0.1), scored=(True, True)):
    """Of responses of one token, whose KL penalties are the coefficient times the log-ratios to the reference."""
    ids, zeros = torch.zeros(len(rewards), 2, dtype=torch.long), torch.zeros(len(rewards), 1)
    logp = torch.full_like(zeros, -1.0)
    ref = logp - tensor(log_ratios).unsqueeze(-1)
    mask = tensor(scored).unsqueeze(-1)
    e = Experience(ids, ids, mask, logp, ref, zeros, tensor(values).unsqueeze(-1), zeros, zeros)
    output = RewardOutput(tensor(rewards, dtype=torch.float64), {}, {}, tensor(scored), {})
    return PPO(PPOConfig()).targets(e, output, [*range(len(rewards))], COEF)


def advantages(*args):
    return targets(*args).advantages_BT.flatten()


def test_the_return_of_a_single_token_is_its_reward_less_the_kl_penalty():
    assert_close(targets([0.0, 1.0], [0.5, 0.25]).returns_BT, tensor([[-5e-6], [1 + 5e-6]]), atol=1e-7, rtol=0.0)


def test_where_rewards_vary_the_advantages_are_whitened():
    assert_close(advantages([0.0, 1.0], [0.5, 0.5]), tensor([-1.0, 1.0]))
    assert_close(advantages([0.0, 0.01], [0.3, 0.3]), tensor([-1.0, 1.0]))


@pytest.mark.parametrize("reward", [1.0, 0.7])
def test_a_solved_task_takes_no_step_on_the_noise_of_the_kl_penalty(reward):
    """Equal rewards and a critic that knows them: what is left is -5e-5 * +-0.1."""
    assert COEF == 5e-5
    assert_close(advantages([reward] * 2, [reward] * 2), tensor([-5e-6, 5e-6]), atol=1e-7, rtol=0.0)


def test_where_the_critic_explains_the_rewards_noise_is_measured_in_a_hundredth_of_their_deviation():
    assert_close(advantages([0.0, 1.0], [0.0, 1.0]), tensor([-1e-3, 1e-3]), atol=2e-5, rtol=0.0)  # 5e-6 / (0.5 / 100)


def test_equal_rewards_never_enlarge_the_critics_error_and_bound_it_by_one():
    assert_close(advantages([3.0, 3.0], [3.0, 2.9], (0.0, 0.0)), tensor([-0.05, 0.05]))
    assert_close(advantages([3.0, 3.0], [3.0, -7.0], (0.0, 0.0)), tensor([-1.0, 1.0]))


def test_the_deviation_of_the_rewards_is_that_of_scored_rows():
    """The unscored row's total of 0 does not make the others' rewards vary."""
    got = advantages([1.0, 1.0, 0.0], [1.0, 1.0, 0.0], (0.1, -0.1, 0.0), (True, True, False))
    assert_close(got, tensor([-5e-6, 5e-6, 0.0]), atol=1e-7, rtol=0.0)
