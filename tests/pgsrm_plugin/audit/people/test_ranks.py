"""Tau-b, rho and ROC AUC by hand, against scipy and scikit-learn, and what their intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from pgsrm_plugin.audit.people.ranks import area_under_roc, kendall, label_measures, rating_measures, spearman
from pgsrm_plugin.errors import DataError


def named(measures):
    return {one.name: one for one in measures}


def test_tau_b_by_hand():
    # Of 6 pairs 4 agree, 1 disagrees and 1 is a tie among the ratings: (4 - 1) / sqrt(6 x 5).
    assert kendall(np.array([1.0, 2, 3, 4]), np.array([1, 2, 2, 1.5])) == pytest.approx(
        kendalltau([1, 2, 3, 4], [1, 2, 2, 1.5]).statistic
    )
    assert kendall(np.array([1.0, 2, 4, 3]), np.array([1, 2, 3, 3])) == pytest.approx(5 / np.sqrt(6 * 5))


def test_no_order_is_no_agreement():
    flat, rising = np.ones(3), np.arange(3.0)
    assert [kendall(flat, rising), kendall(rising, flat), spearman(flat, rising)] == [0, 0, 0]


def test_within_prompts_is_the_mean_over_prompts_that_people_told_apart():
    rewards, ratings = [1, 2, 3, 3, 2, 1, 9, 9, 7], [1, 2, 3, 1, 2, 3, 4, 4, 1]
    groups = ["up"] * 3 + ["down"] * 3 + ["alike"] * 2 + ["alone"]
    found = named(rating_measures(rewards, ratings, groups))
    assert list(found) == [
        "Kendall's tau-b, within prompts", "Kendall's tau-b, all rows", "Spearman's rho, within prompts",
        "Spearman's rho, all rows",
    ]  # fmt: skip
    within, pooled = found["Kendall's tau-b, within prompts"], found["Kendall's tau-b, all rows"]
    assert (within.value, within.count, within.chance) == (0.0, 2, 0.0)
    assert (pooled.value, pooled.count) == (pytest.approx(kendalltau(rewards, ratings).statistic), 9)
    assert found["Spearman's rho, all rows"].value == pytest.approx(spearmanr(rewards, ratings).statistic)


def test_a_reward_without_order_has_zero_within_prompts():
    found = named(rating_measures([1, 1, 1, 2], [1, 2, 1, 2], ["a", "a", "b", "b"]))
    assert found["Kendall's tau-b, within prompts"].value == 0.5


def test_differences_within_an_encoders_noise_are_ties():
    found = named(rating_measures([0.5, 0.5 + 1e-8], [1, 2], ["a", "a"]))
    assert found["Kendall's tau-b, all rows"].value == 0.0


def test_without_groups_there_is_nothing_within_prompts():
    with pytest.raises(DataError, match=r"no prompt has two responses of different ratings.*add --pooled") as refused:
        rating_measures([1, 2, 3, 3], [1, 2, 3, 3], ["a", "b", "c", "c"])
    assert "\n" not in str(refused.value)
    assert len(rating_measures([1, 2, 3, 3], [1, 2, 3, 3], ["a", "b", "c", "c"], within=False)) == 2


@pytest.mark.parametrize("prompts", [1, 60])
def test_intervals_hold_the_value_and_shrink(prompts):
    rng = np.random.default_rng(1)
    ratings = rng.integers(1, 6, 240).astype(float)
    rewards = ratings + rng.normal(0, 2, 240)
    few, many = (
        named(rating_measures(rewards[:n], ratings[:n], np.arange(n) % prompts))
        for n in (60 if prompts == 1 else 120, 240)
    )
    for name, one in many.items():
        if one.low is None:  # one prompt has no spread over prompts
            assert (prompts, "within" in name) == (1, True)
            continue
        assert one.low < one.value < one.high
        if "all rows" in name:
            assert one.high - one.low < few[name].high - few[name].low


def test_pooled_intervals_resample_whole_prompts():
    """Ten copies of each row are no ten times as much knowledge."""
    rng = np.random.default_rng(2)
    ratings = rng.normal(size=30)
    rewards = ratings + rng.normal(size=30)
    alone = named(rating_measures(rewards, ratings, range(30), within=False))["Spearman's rho, all rows"]
    copied = named(rating_measures(np.tile(rewards, 10), np.tile(ratings, 10), list(range(30)) * 10, within=False))
    assert copied["Spearman's rho, all rows"].high - copied["Spearman's rho, all rows"].low == pytest.approx(
        alone.high - alone.low, rel=0.2
    )


def test_auc_by_hand():
    # Of 2 x 3 pairs of a right and a wrong answer, 4 are in order and 1 is a tie.
    assert area_under_roc(np.array([0.9, 0.5]), np.array([0.1, 0.5, 0.7])) == pytest.approx(4.5 / 6)


def test_auc_is_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    rewards = np.round(rng.normal(size=200) + labels, 1)
    (found,) = label_measures(rewards, labels)
    assert found.value == pytest.approx(sklearn.roc_auc_score(labels, rewards), abs=1e-9)
    assert found.low < found.value < found.high
    assert (found.count, found.chance) == (200, 0.5)


def test_one_row_of_a_class_has_no_interval():
    (found,) = label_measures([1.0, 0.5, 0.2], [1, 0, 0])
    assert (found.value, found.low, found.high) == (1.0, None, None)
