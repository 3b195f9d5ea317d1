"""What must hold whatever the numbers: of the judge's values, reward models, novelty and consensus."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsrm_plugin import RewardSample, SemanticReward, parse_spec
from pgsrm_plugin.functional import mean_distance
from pgsrm_plugin.terms.judge.matches import pairs, shuffled, wins
from pgsrm_plugin.terms.judge.rubric import Criterion
from pgsrm_plugin.terms.judge.verdicts import ranked, rubric_value, yes_share
from pgsrm_plugin.terms.reward_model import RewardHead, RewardModel

UNIT = st.floats(0, 1, allow_nan=False)
WEIGHT = st.floats(0.01, 100)
CRITERIA = st.lists(st.tuples(UNIT, WEIGHT, st.booleans()), min_size=1, max_size=6)
WORDS = st.lists(st.sampled_from(["red", "blue", "green", "wet", "dry"]), min_size=1, max_size=4).map(" ".join)


@given(criteria=CRITERIA, data=st.data())
def test_a_rubrics_value_is_bounded_and_never_falls_with_a_verdict(
    criteria: list[tuple[float, float, bool]], data: st.DataObject
) -> None:
    rubric = [Criterion(text="x", weight=weight, gate=gate) for _, weight, gate in criteria]
    values = [float(value >= 0.5) if gate else value for value, _, gate in criteria]
    worth = rubric_value(values, rubric)
    assert 0.0 <= worth <= 1.0 + 1e-12
    assert rubric_value(values[::-1], rubric[::-1]) == worth
    better = [*values]
    better[data.draw(st.integers(0, len(values) - 1))] = 1.0
    assert rubric_value(better, rubric) >= worth - 1e-12
    assert rubric_value([1.0] * len(values), rubric) == pytest.approx(1.0)


@given(grades=st.lists(st.integers(1, 5), min_size=2, max_size=8))
def test_a_rank_breaks_ties_and_turns_no_grade_round(grades: list[int]) -> None:
    order = sorted(range(len(grades)), key=lambda i: -grades[i])
    values = [ranked((grades[i] - 1) / 4, rank, len(grades)) for rank, i in enumerate(order)]
    assert all(0.0 <= value <= 1.0 for value in values)
    assert all(first > second for first, second in itertools.pairwise(values))


@given(
    answers=st.lists(WORDS, min_size=2, max_size=8, unique=True),
    opponents=st.none() | st.integers(1, 8),
    data=st.data(),
)
def test_a_tournament_pays_half_a_match_on_average_and_knows_no_order(
    answers: list[str], opponents: int | None, data: st.DataObject
) -> None:
    order = shuffled("p", answers)
    assert shuffled("p", data.draw(st.permutations(answers))) == order
    matches = list(pairs(order, opponents))
    assert len({frozenset(match) for match in matches}) == len(matches)
    assert {answer for match in matches for answer in match} == set(answers)
    got = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=len(matches), max_size=len(matches)))
    won = wins(order, matches, got)
    assert all(share is not None and 0.0 <= share <= 1.0 for share in won)
    played = [sum(answer in match for match in matches) for answer in order]
    total = math.fsum(share * count for share, count in zip(won, played, strict=True) if share is not None)
    assert total == pytest.approx(len(matches))


@given(yes=st.floats(-50, 0), no=st.floats(-50, 0), more=st.floats(0, 5))
def test_the_share_of_yes_is_bounded_and_never_falls_with_it(yes: float, no: float, more: float) -> None:
    share, raised = yes_share({"Yes": yes, "No": no}), yes_share({"Yes": min(0.0, yes + more), "No": no})
    assert share is not None
    assert raised is not None
    assert 0.0 <= share <= raised + 1e-12 <= 1.0 + 2e-12
    assert yes_share({"No": no, "Yes": yes}) == share


@given(
    heads=st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-10, 10).filter(abs), st.floats(0.01, 100)), min_size=1),
    more=st.floats(0, 1e3),
)
def test_a_reward_model_is_bounded_and_follows_its_heads(heads: list[tuple[float, float, float]], more: float) -> None:
    sections = {f"h{k}": RewardHead(weight=weight, scale=scale) for k, (_, weight, scale) in enumerate(heads)}
    term = RewardModel(model="./x", heads=sections)
    outputs = {f"h{k}": output for k, (output, _, _) in enumerate(heads)}
    value = term._value(outputs)
    assert -1e-12 <= value <= 1.0 + 1e-12
    raised = term._value({**outputs, "h0": outputs["h0"] + more})
    assert (raised - value) * heads[0][1] >= -1e-9


@given(cosines=st.lists(st.floats(-1, 1), max_size=8), nearest=st.integers(1, 5), data=st.data())
def test_novelty_is_bounded_and_falls_with_likeness(cosines: list[float], nearest: int, data: st.DataObject) -> None:
    value = mean_distance(cosines, nearest)
    assert 0.0 <= value <= 1.0
    assert mean_distance(data.draw(st.permutations(cosines)), nearest) == value
    assert value <= mean_distance(cosines, len(cosines)) + 1e-12, "the nearest are no farther than all"
    if cosines:
        nearer = [*cosines]
        nearer[data.draw(st.integers(0, len(cosines) - 1))] = 1.0
        assert mean_distance(nearer, nearest) <= value + 1e-12


@pytest.mark.parametrize("section", ["consensus: {}", "consensus: {by: equality}", "relevance: {}"])
@given(rows=st.lists(st.tuples(st.integers(0, 2), WORDS), min_size=1, max_size=7), data=st.data())
@settings(max_examples=30, deadline=None)
def test_values_are_bounded_and_follow_their_rows(section: str, rows: list[tuple[int, str]], data: Any) -> None:
    reward = SemanticReward(parse_spec(f"encoder: {{kind: hashing}}\nterms: {{{section}}}"))
    samples = [RewardSample(f"red {group}", text, group=group) for group, text in rows]
    values = reward.score(samples).total_B.tolist()
    assert all(0.0 <= value <= 1.0 for value in values)
    order = data.draw(st.permutations(range(len(rows))))
    assert reward.score([samples[i] for i in order]).total_B.tolist() == [values[i] for i in order]
    same = dict(zip(rows, values, strict=True))
    assert [same[row] for row in rows] == values
