"""A policy of which every log-probability is written down, and responses that it wrote."""

from __future__ import annotations

from itertools import cycle, islice

from pgsrm_plugin import RewardSample
from pgsrm_plugin.policy.base import PolicyTokens, TokenStatistics

SEEN = [-0.1, -0.7, -2.3]


class Letters:
    """A policy whose tokens are letters, and of which every log-probability is written down.

    Args:
        by_reasoning: log-probabilities of a reference's letters, by what stands between prompt and reference.
        fallback: those after all else.
        entropies: of the letters, where they are not 0.
    """

    end, context = 0, 200

    def __init__(self, by_reasoning=None, fallback=SEEN, entropies=(0.0,)):
        self.by_reasoning, self.fallback, self.asked = by_reasoning or {}, fallback, []
        self.entropies = entropies

    def encode(self, text):
        return [ord(letter) for letter in text]

    def decode(self, tokens):
        return "".join(chr(token) for token in tokens if token)

    def look(self, weights, asked):
        self.asked += [(weights, *map(self.decode, one)) for one in asked]
        return [self._of(one) for one in asked]

    def _of(self, one):
        given = self.by_reasoning.get(self.decode(one.between), self.fallback)
        columns = (given, self.entropies)
        return TokenStatistics(*(tuple(islice(cycle(column), len(one.target))) for column in columns))


def row(response="so <answer>x</answer>", references=("abc",), group=None, prompt="p"):
    tokens = PolicyTokens(tuple(map(ord, prompt)), (*map(ord, response), 0))
    return RewardSample(prompt, response, tuple(references), group=group, tokens=tokens)
