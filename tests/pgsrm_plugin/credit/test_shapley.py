"""Shapley values against brute force over all orders, and by numbers worked out by hand."""

from __future__ import annotations

import doctest
import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsrm_plugin import SpecError, parse_spec
from pgsrm_plugin.credit import shapley
from pgsrm_plugin.credit.owen import Owen
from pgsrm_plugin.credit.shapley import beginnings, coalitions, exact, permutations, sampled


def brute_force(players: int, value) -> list[float]:
    """Another way to the same: the mean gain over every order there is."""
    shares = [0.0] * players
    orders = list(itertools.permutations(range(players)))
    for order in orders:
        there: set[int] = set()
        for player in order:
            before = value(frozenset(there))
            there.add(player)
            shares[player] += (value(frozenset(there)) - before) / len(orders)
    return shares


def table(players: int, seed: int) -> dict[frozenset[int], float]:
    source = random.Random(seed)
    return {one: source.uniform(-1, 1) for one in coalitions(players)}


def test_doctests() -> None:
    assert doctest.testmod(shapley).failed == 0


def test_three_players_by_hand() -> None:
    """The game with which OSPO's code, without the part {0, 2}, puts the third before the second."""
    values = {"": 0, "0": 0.1, "1": 0.3, "2": 0.2, "01": 0.5, "02": 0.3, "12": 0.6, "012": 0.9}
    value = {frozenset(map(int, names)): one for names, one in values.items()}
    assert exact(3, value) == pytest.approx([0.1833333, 0.4333333, 0.2833333], abs=1e-7)


@given(players=st.integers(2, 5), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_exact_is_the_mean_over_all_orders_and_adds_up(players: int, seed: int) -> None:
    value = table(players, seed)
    found = exact(players, value)
    assert found == pytest.approx(brute_force(players, value.__getitem__), abs=1e-12)
    assert sum(found) == pytest.approx(value[frozenset(range(players))] - value[frozenset()], abs=1e-12)


def test_a_player_that_adds_nothing_has_nothing_and_equals_have_the_same() -> None:
    def value(there: frozenset[int]) -> float:
        return math.sqrt(len(there & {0, 2})) + 0.25 * (1 in there)

    found = exact(4, {one: value(one) for one in coalitions(4)})
    assert found[3] == pytest.approx(0.0, abs=1e-15)
    assert found[0] == pytest.approx(found[2])
    assert found[1] == pytest.approx(0.25)


@given(players=st.integers(3, 9), seed=st.integers(0, 10**6), pairs=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_estimates_add_up_in_every_draw(players: int, seed: int, pairs: int) -> None:
    orders = permutations(players, 2 * pairs, seed)
    value = {one: math.sin(7 * sum(one) + len(one)) for one in beginnings(orders)}
    assert sum(sampled(orders, value)) == pytest.approx(value[frozenset(range(players))] - value[frozenset()])
    assert len(value) <= 2 * pairs * (players - 1) + 2


def test_estimates_come_near_with_more_orders_and_all_orders_are_exact() -> None:
    value = table(5, 3)
    every = list(itertools.permutations(range(5)))
    assert sampled(every, value) == pytest.approx(exact(5, value), abs=1e-12)
    wrong = [
        max(abs(a - b) for a, b in zip(sampled(permutations(5, count, 11), value), exact(5, value), strict=True))
        for count in (4, 4000)
    ]
    assert wrong[1] < 0.03 < wrong[0]


def test_a_pair_of_orders_is_exact_where_only_pairs_of_segments_matter() -> None:
    """The gains of a pair, of which one order has the first before the second and the other the second before the
    first, are what Shapley gives each: half. So one pair of orders suffices, and two orders of any kind would not."""
    players, source = 7, random.Random(5)
    own = [source.uniform(-1, 1) for _ in range(players)]
    both = {pair: source.uniform(-1, 1) for pair in itertools.combinations(range(players), 2)}

    def value(there: frozenset[int]) -> float:
        return sum(own[i] for i in there) + sum(one for pair, one in both.items() if there.issuperset(pair))

    orders = permutations(players, 2, seed=1)
    expected = [own[i] + sum(one for pair, one in both.items() if i in pair) / 2 for i in range(players)]
    found = sampled(orders, {one: value(one) for one in beginnings(orders)})
    assert found == pytest.approx(expected)
    alone = [orders[0], orders[0]]
    assert sampled(alone, {one: value(one) for one in beginnings(alone)}) != pytest.approx(expected)


def test_the_same_text_has_the_same_orders() -> None:
    assert permutations(9, 8, 42) == permutations(9, 8, 42) != permutations(9, 8, 43)
    assert permutations(8, 2, 0)[0] == (4, 1, 5, 2, 0, 3, 7, 6), "on any machine"


# --- the kind ---------------------------------------------------------------------------------------------------------


def test_up_to_six_segments_all_parts_are_scored_and_beyond_the_orders_beginnings() -> None:
    one = Owen()
    assert [len(one.kept(n, 5)) for n in (2, 6)] == [4, 64]
    assert len(one.kept(7, 5)) <= 8 * 6 + 2
    assert one.most_texts == 8 * 15 + 2
    value = table(6, 9)
    assert one.credits(6, 5, value) == exact(6, value)


def test_settings_that_would_ask_for_too_many_texts_are_refused() -> None:
    for more, said in (
        ("permutations: 32", "up to 482 altered texts would be scored for each response, and 256 is the most; lower"),
        ("permutations: 7", "orders are drawn in pairs, so permutations must be even, not 7"),
    ):
        with pytest.raises(SpecError, match=said):
            parse_spec(f"terms: {{bleu: {{}}}}\ncredit: {{kind: owen, {more}}}\n")
    parse_spec("terms: {bleu: {}}\ncredit: {kind: owen, permutations: 32, max_segments: 8}\n")
