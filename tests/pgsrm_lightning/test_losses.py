"""Losses and advantages against values computed by hand and against naive loops."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from pgsrm_lightning import advantages, losses
from pgsrm_lightning.rollout import generate as rollout

TRUE = torch.ones(1, 3, dtype=torch.bool)


@pytest.mark.parametrize("module", [losses, advantages, rollout])
def test_the_examples_in_the_docstrings(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped"),
    [
        (1.0, 2.0, -2.0, False),
        (1.1, 2.0, -2.2, False),
        (1.5, 2.0, -2.4, True),  # no reward for going beyond 1.2
        (0.5, 2.0, -1.0, False),  # a good token that became unlikely: full gradient back
        (0.5, -2.0, 1.6, True),
        (1.5, -2.0, 3.0, False),  # a bad token that became likely: full gradient back
    ],
)
def test_clipped_policy_loss(ratio, advantage, loss, clipped):
    logp = tensor([math.log(ratio)], requires_grad=True)
    got = losses.clipped_policy_loss(logp, torch.zeros(1), tensor([advantage]), clip=0.2)
    assert_close(got, tensor([loss]))
    got.sum().backward()
    assert bool(losses.is_clipped(logp, torch.zeros(1), tensor([advantage]), 0.2)) is clipped
    assert (logp.grad.item() == 0.0) is clipped


@pytest.mark.parametrize(
    ("value", "old", "target", "loss"),
    [(1.0, 0.0, 1.0, 0.5 * 0.8**2), (0.1, 0.0, 1.0, 0.5 * 0.9**2), (1.0, 0.0, 0.0, 0.5 * 1.0**2)],
)
def test_clipped_value_loss(value, old, target, loss):
    got = losses.clipped_value_loss(tensor([value]), tensor([old]), tensor([target]), clip=0.2)
    assert_close(got, tensor([loss]))


def test_token_logprobs_divide_by_the_temperature_before_the_softmax():
    logits = tensor([[[math.log(1.0), math.log(3.0)]]])
    assert_close(losses.token_logprobs(logits, tensor([[1]])), tensor([[math.log(3 / 4)]]))
    assert_close(losses.token_logprobs(logits, tensor([[1]]), temperature=0.5), tensor([[math.log(9 / 10)]]))


def test_entropy_is_that_of_the_distribution():
    logits = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0))
    assert_close(losses.entropy(logits, 0.7), torch.distributions.Categorical(logits=logits / 0.7).entropy())


@pytest.mark.parametrize("estimator", [losses.kl_k1, losses.kl_k3])
def test_kl_estimators_have_the_kl_as_expectation(estimator):
    p, q = tensor([0.5, 0.3, 0.2]), tensor([0.2, 0.2, 0.6])
    exact = (p * (p / q).log()).sum()
    assert_close((p * estimator(p.log(), q.log())).sum(), exact)


def test_k3_is_never_negative_and_k1_can_be():
    logp, ref = tensor([-2.0, -1.0]), tensor([-1.0, -2.0])
    assert (losses.kl_k3(logp, ref) > 0).all()
    assert losses.kl_k1(logp, ref).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("coef", "kl", "expected"),
    [(0.1, 1.51, 0.15), (0.1, 1.5, 0.1), (0.1, 0.67, 0.1), (0.15, 0.66, 0.1), (0.0, 9.0, 0.0), (1e-6, 0.0, 1e-6)],
)
def test_adaptive_kl_coefficient(coef, kl, expected):
    assert losses.adapt_kl_coef(coef, kl, target=1.0) == pytest.approx(expected)


def test_kl_coefficient_comes_back_after_a_long_quiet_time():
    coef = 5e-5
    for _ in range(2000):
        coef = losses.adapt_kl_coef(coef, 0.0, target=0.8)
    for _ in range(30):
        coef = losses.adapt_kl_coef(coef, 9.0, target=0.8)
    assert coef > 0.1


def test_masked_mean_ignores_what_is_masked_even_where_it_is_not_finite():
    values, mask = tensor([[1.0, float("inf"), 5.0]]), tensor([[True, False, True]])
    assert losses.masked_mean(values, mask).item() == 3.0
    assert losses.masked_mean(values, torch.zeros(1, 3)).item() == 0.0


def test_token_rewards_put_the_score_on_the_last_token_of_each_row():
    mask = tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]]).bool()
    logp, ref = torch.full((3, 3), -1.0), torch.full((3, 3), -3.0)
    got = advantages.token_rewards(tensor([1.0, 0.5, 7.0]), logp, ref, mask, kl_coef=0.1)
    assert_close(got, tensor([[-0.2, -0.2, 0.8], [0.3, 0.0, 0.0], [0.0, 0.0, 0.0]]))


def test_gae_is_the_sum_of_discounted_errors():
    generator = torch.Generator().manual_seed(1)
    rewards, values = torch.randn(3, 4, generator=generator), torch.randn(3, 4, generator=generator)
    lengths, gamma, lam = [4, 2, 1], 0.9, 0.7
    mask = torch.arange(4).unsqueeze(0) < tensor(lengths).unsqueeze(1)
    got, returns = advantages.gae(rewards, values, mask, gamma, lam)
    for row, length in enumerate(lengths):
        v = [*values[row, :length].tolist(), 0.0]
        deltas = [rewards[row, t].item() + gamma * v[t + 1] - v[t] for t in range(length)]
        for t in range(4):
            naive = sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, length)) if t < length else 0.0
            assert got[row, t].item() == pytest.approx(naive, abs=1e-5)
            assert returns[row, t].item() == pytest.approx(naive + (v[t] if t < length else 0.0), abs=1e-5)


def test_gae_with_lambda_one_is_the_reward_to_come_less_the_value():
    got, returns = advantages.gae(tensor([[0.0, 0.0, 1.0]]), tensor([[0.2, 0.5, 0.9]]), TRUE, gamma=1.0, lam=1.0)
    assert_close(got, tensor([[0.8, 0.5, 0.1]]))
    assert_close(returns, torch.ones(1, 3))


def test_whitening_uses_only_what_counts():
    got = advantages.whiten(tensor([[1.0, 2.0, 3.0, 50.0]]), tensor([[True, True, True, False]]), spread=tensor(1.0))
    step = math.sqrt(1.5)
    assert_close(got, tensor([[-step, 0.0, step, 0.0]]))


def test_whitening_of_equal_advantages_is_zero():
    assert advantages.whiten(torch.full((1, 3), 0.3), TRUE, spread=tensor(1.0)).tolist() == [[0.0, 0.0, 0.0]]


def test_group_advantages():
    rewards = tensor([1.0, 0.0, 2.0, 0.0, 5.0], dtype=torch.float64)
    got = advantages.group_advantages(rewards, ["a", "b", "a", "b", "a"], torch.ones(5, dtype=torch.bool))
    mean, std = 8 / 3, math.sqrt(((1 - 8 / 3) ** 2 + (2 - 8 / 3) ** 2 + (5 - 8 / 3) ** 2) / 3)
    expected = [(1 - mean) / std, 0.0, (2 - mean) / std, 0.0, (5 - mean) / std]
    assert got.tolist() == pytest.approx(expected)


def test_differences_below_noise_are_no_advantage():
    rewards = tensor([0.7, 0.7 + 1e-7, 0.7 - 1e-7], dtype=torch.float64)
    got = advantages.group_advantages(rewards, [0, 0, 0], torch.ones(3, dtype=torch.bool))
    assert got.tolist() == [0.0, 0.0, 0.0]


def test_unscored_rows_are_no_part_of_their_group():
    rewards = tensor([1.0, 3.0, 0.0], dtype=torch.float64)
    got = advantages.group_advantages(rewards, ["a"] * 3, tensor([True, True, False]))
    assert got.tolist() == pytest.approx([-1.0, 1.0, 0.0])


def test_explained_variance():
    returns, mask = tensor([0.0, 1.0, 2.0]), torch.ones(3)
    assert advantages.explained_variance(returns, returns, mask).item() == 1.0
    assert advantages.explained_variance(torch.full((3,), 9.0), returns, mask).item() == pytest.approx(0.0)
    assert advantages.explained_variance(-returns, returns, mask).item() == pytest.approx(-3.0)
    assert advantages.explained_variance(returns, torch.ones(3), mask).item() == 0.0
