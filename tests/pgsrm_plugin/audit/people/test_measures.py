"""Shares of pairs with Wilson's intervals, by hand and against scipy."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from pgsrm_plugin.audit.people.measures import pair_measures, wilson

LIKE = (10, 10)


@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 1), (0, 40), (40, 40), (7, 10), (1234, 2000)])
def test_wilson_is_scipys(right, count):
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_sections_micro_and_macro_by_hand():
    margins = [0.1, 0.2, -0.3, 0.0, 0.5, 5e-7]
    found = {one.name: one for one in pair_measures(margins, ["b", "b", "b", "a", "a", "a"], [LIKE] * 6)}
    assert list(found) == ["a", "b", "all pairs (micro)", "mean of sections (macro)", "pairs of like length"]
    assert (found["a"].value, found["a"].count, found["a"].ties) == (pytest.approx(1 / 3), 3, 2)
    assert (found["b"].value, found["b"].count, found["b"].ties) == (pytest.approx(2 / 3), 3, 0)
    assert (found["all pairs (micro)"].value, found["all pairs (micro)"].ties) == (0.5, 2)
    assert (found["mean of sections (macro)"].value, found["mean of sections (macro)"].count) == (0.5, 2)
    assert (found["a"].low, found["a"].high) == wilson(1, 3)


def test_micro_weighs_pairs_and_macro_sections():
    found = {one.name: one.value for one in pair_measures([1, 1, 1, -1], list("aaab"), [LIKE] * 4)}
    assert (found["all pairs (micro)"], found["mean of sections (macro)"]) == (0.75, 0.5)


def test_one_section_is_not_measured_apart():
    assert next(one.name for one in pair_measures([1, 1], ["a", "a"], [LIKE] * 2)) == "all pairs (micro)"


@pytest.mark.parametrize(
    ("lengths", "count"),
    [([(100, 80), (80, 100), (100, 79)], 2), ([(100, 79), (79, 100), (5, 0)], 0), ([(0, 0)] * 3, 3)],
)
def test_like_lengths_differ_by_a_fifth_of_the_longer_at_most(lengths, count):
    found = {one.name: one for one in pair_measures([1, -1, 1], ["", "", ""], lengths)}
    assert ("pairs of like length" in found) == bool(count)
    if count:
        assert found["pairs of like length"].count == count
        assert found["pairs of like length"].value == pytest.approx({2: 1 / 2, 3: 2 / 3}[count])
