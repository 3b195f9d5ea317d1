"""Shapley values of a game whose players are a text's segments. Pure functions."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import combinations

Coalition = frozenset[int]


def coalitions(players: int) -> list[Coalition]:
    """Every set of players, from none to all."""
    return [frozenset(chosen) for size in range(players + 1) for chosen in combinations(range(players), size)]


def exact(players: int, value: Mapping[Coalition, float]) -> list[float]:
    r"""The Shapley values, by every coalition (Shapley, 1953).

    :math:`\sum_{S \not\ni i} \frac{|S|! (n - |S| - 1)!}{n!} (v(S \cup i) - v(S))`. They add up to :math:`v(N) -
    v(\emptyset)`.

    >>> v = {frozenset(): 0.0, frozenset({0}): 0.2, frozenset({1}): 0.5, frozenset({0, 1}): 0.9}
    >>> [round(share, 4) for share in exact(2, v)]
    [0.3, 0.6]
    """
    shares = []
    for player in range(players):
        without = [one for one in value if player not in one]
        gains = ((value[one | {player}] - value[one]) / math.comb(players - 1, len(one)) for one in without)
        shares.append(math.fsum(gains) / players)
    return shares


def permutations(players: int, count: int, seed: int) -> list[tuple[int, ...]]:
    """Orders of the players, in pairs: each drawn one with its reverse, whose errors tend to cancel (antithetic).

    Args:
        count: even.
        seed: the same one gives the same orders, on any machine.

    >>> first, second = permutations(4, 2, seed=7)
    >>> second == first[::-1]
    True
    """
    source, orders = random.Random(seed), list[tuple[int, ...]]()
    for _ in range(count // 2):
        order = list(range(players))
        source.shuffle(order)
        orders += [tuple(order), tuple(reversed(order))]
    return orders


def beginnings(orders: Sequence[Sequence[int]]) -> list[Coalition]:
    """The coalitions that the orders go through, each once."""
    found = (frozenset(order[:size]) for order in orders for size in range(len(order) + 1))
    return list(dict.fromkeys(found))


def sampled(orders: Sequence[Sequence[int]], value: Mapping[Coalition, float]) -> list[float]:
    r"""The mean of what each player adds to those before it, over the orders: an unbiased estimate of :func:`exact`.

    In each order the gains add up to :math:`v(N) - v(\emptyset)`, so the estimates do, too.
    """
    gains: list[list[float]] = [[] for _ in orders[0]]
    for order in orders:
        for place, player in enumerate(order):
            gains[player].append(value[frozenset(order[: place + 1])] - value[frozenset(order[:place])])
    return [math.fsum(own) / len(orders) for own in gains]
