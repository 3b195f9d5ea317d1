"""The statistics of an audit by hand."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest, mannwhitneyu, spearmanr

from pgsrm_plugin.audit.card_measures import Share, auc, mean_or_none, spearman, spread
from pgsrm_plugin.audit.people.measures import wilson


def test_wilson_by_hand():
    # k = 2 of n = 10, z = 1.96: (0.2 + 0.19207 -+ 1.96 sqrt(0.016 + 0.0096036)) / 1.38415
    assert wilson(2, 10) == pytest.approx(((0.39207 - 0.31362) / 1.38415, (0.39207 + 0.31362) / 1.38415), abs=2e-5)
    assert wilson(0, 4)[0] == pytest.approx(0.0)
    assert wilson(4, 4)[1] == pytest.approx(1.0)


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 3), (250, 500), (500, 500)])
def test_wilson_is_scipys(count, of):
    found = binomtest(count, of).proportion_ci(method="wilson")
    assert wilson(count, of) == pytest.approx((found.low, found.high), abs=1e-12)


def test_a_share_of_nothing_is_none():
    assert Share.counted([]) == Share(0, 0, None, None, None)
    assert Share.counted([True, False]) == Share(1, 2, 0.5, *wilson(1, 2))


def test_auc_counts_ties_half():
    good, bad = [0.9, 0.5, 0.5], [0.5, 0.1, 0.9, 0.2]
    # 0.9: above 3, level with 1; each 0.5: above 2, level with 1
    assert auc(good, bad) == pytest.approx((3.5 + 2.5 + 2.5) / 12)
    assert auc(good, bad) == pytest.approx(mannwhitneyu(good, bad).statistic / 12)
    assert auc([], bad) is None


def test_spearman_is_scipys():
    first, second = [3.0, 1.0, 1.0, 7.0, 5.0], [9.0, 2.0, 2.0, 4.0, 9.0]
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert spearman([1.0, 1.0], [1.0, 2.0]) is None


def test_spread_and_means():
    assert spread([[1.0], []]) is None
    assert spread([[0.0, 2.0], [1.0, 1.0], [9.0]]) == pytest.approx((1 / 2) ** 0.5)
    assert mean_or_none([1.0, None, 3.0]) == 2.0
    assert mean_or_none([None]) is None
