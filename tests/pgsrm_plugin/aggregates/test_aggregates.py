"""Every aggregation by numbers worked out by hand, and by what must hold whatever the numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsrm_plugin import DataError, RewardSample, SpecError, parse_spec
from pgsrm_plugin.aggregates import KINDS, Composed, ScoredRows
from pgsrm_plugin.crosscheck import Use, problems
from pgsrm_plugin.reward import SemanticReward

NAMES = ("exact_match", "form", "size", "loops")
TERMS = {
    "exact_match": {},
    "form": {"kind": "format", "pattern": "x"},
    "size": {"kind": "length", "mode": "absolute", "unit": "chars", "max": 9},
    "loops": {"kind": "repetition"},
}
"""Four terms of [0, 1], of which the last measures a fault."""


def compose(
    aggregate: dict[str, Any],
    values: dict[str, list[float]],
    weights: dict[str, float],
    groups: list[int] | None = None,
    off: dict[str, set[int]] | None = None,
) -> Composed:
    given = {"terms": {name: TERMS[name] for name in values}, "weights": weights, "aggregate": aggregate}
    spec = parse_spec(yaml.safe_dump(given))
    rows = len(next(iter(values.values())))
    return spec.aggregate.compose(ScoredRows(spec.weighed, values, groups or [0] * rows, off or {}))


def gated(smoothing: str, delta: float, *constraints: float, objective: float = 0.7) -> Composed:
    """One objective under two or three constraints."""
    names = ["form", "size", "loops"][: len(constraints)]
    values = {"exact_match": [objective]} | {
        name: [1 - value if name == "loops" else value] for name, value in zip(names, constraints, strict=True)
    }
    weights = {name: -1.0 if name == "loops" else 1.0 for name in values}
    return compose({"kind": "gated", "constraints": names, "smoothing": smoothing, "delta": delta}, values, weights)


@pytest.mark.parametrize(
    ("smoothing", "delta", "constraints", "bound", "reward"),
    [
        ("floor", 1e-3, (1, 1, 0), 0.1, 0.07),  # a third root of 1e-3
        ("add", 1e-3, (1, 1, 0), 0.1000667, 0.0700467),  # (1.001 * 1.001 * 0.001) ** (1 / 3)
        ("add", 1e-3, (0.9, 0.8, 1), 0.8972851, 0.6280996),
        ("floor", 1e-3, (1, 1, 1), 1.0, 0.7),
        ("floor", 0.0, (1, 1, 0), 0.0, 0.0),
        ("floor", 1e-3, (0.25, 1), 0.5, 0.35),
    ],
)
def test_gated(smoothing: str, delta: float, constraints: tuple[float, ...], bound: float, reward: float) -> None:
    out = gated(smoothing, delta, *constraints)
    assert out.measures["constraint"] == pytest.approx([bound], abs=1e-7)
    assert out.measures["objective"] == pytest.approx([0.7])
    assert out.total == pytest.approx([reward], abs=1e-7)


def test_gated_weighs_objectives_among_themselves_and_constraints_among_themselves() -> None:
    values = {"exact_match": [1.0], "form": [0.25], "size": [0.5], "loops": [0.2]}
    weights = {"exact_match": 3.0, "form": 1.0, "size": 2.0, "loops": -1.0}
    out = compose({"kind": "gated", "constraints": ["form", "loops"], "delta": 0}, values, weights)
    # B = sqrt(.25 * .8), U = (3 * 1 + 2 * .5) / 5
    assert out.total == pytest.approx([math.sqrt(0.2) * 0.8])
    assert out.parts["exact_match"][0] + out.parts["size"][0] == pytest.approx(out.total[0])
    assert out.parts["form"] == pytest.approx([0.5])


@pytest.mark.parametrize(
    ("soft", "whole", "reward"),
    # 5 h, and from h = .6 on the aspects' .3; softly .3 times sigmoid((.7 - .6) / .1)
    [(None, 0.4, 2.0), (None, 0.7, 3.8), (None, 0.6, 3.3), (0.1, 0.7, 3.7193176), (1e-9, 0.4, 2.0)],
)
def test_hierarchical(soft: float | None, whole: float, reward: float) -> None:
    values = {"exact_match": [whole], "form": [0.1], "loops": [0.8]}
    out = compose(
        {"kind": "hierarchical", "holistic": "exact_match", "threshold": 0.6, "soft": soft},
        values,
        {"exact_match": 5.0, "form": 1.0, "loops": -1.0},
    )
    assert out.total == pytest.approx([reward], abs=1e-7)
    assert math.fsum(part[0] for part in out.parts.values()) == pytest.approx(out.total[0])


def test_product() -> None:
    """Cosine .6, 256 of 512 words, a repeated share of .1: .27; a weight is an exponent; one 0 is the end."""
    values = {"exact_match": [0.6, 0.6, 0.0], "size": [0.5, 0.5, 1.0], "loops": [0.0, 0.1, 0.0]}
    out = compose({"kind": "product"}, values, {"exact_match": 1.0, "size": 1.0, "loops": -1.0})
    assert out.total == pytest.approx([0.30, 0.27, 0.0])
    assert out.measures["zero"] == [0.0, 0.0, 1.0]
    squared = compose({"kind": "product"}, values, {"exact_match": 2.0, "size": 0.5, "loops": 0.0})
    assert squared.total[:2] == pytest.approx([0.36 * math.sqrt(0.5)] * 2)


@pytest.mark.parametrize(("normalise", "expected"), [("group_max", [1.0, 0.8, 0.0]), ("none", [0.88, 0.76, 0.0])])
def test_positive_only(normalise: str, expected: list[float]) -> None:
    """The paper's numbers, and those of the code as run."""
    values = {"exact_match": [1.0, 1.0, 0.0], "size": [0.6, 0.2, 0.0]}
    aggregate = {"kind": "positive_only", "primary": "exact_match", "secondary": "size", "normalise": normalise}
    assert compose(aggregate, values, {"exact_match": 1.0, "size": 1.0}).total == pytest.approx(expected)


def test_positive_only_takes_each_groups_own_greatest_and_leaves_a_group_of_zeros() -> None:
    values = {"exact_match": [1.0, 1.0, 1.0, 1.0], "size": [0.5, 0.25, 0.0, 0.0]}
    aggregate = {"kind": "positive_only", "primary": "exact_match", "secondary": "size", "ratio": 0.5}
    out = compose(aggregate, values, {"exact_match": 1.0, "size": 1.0}, groups=[1, 1, 2, 2])
    assert out.total == pytest.approx([1.0, 0.75, 0.5, 0.5])


def test_vote() -> None:
    """Weights 1.2, 1.1 and 1: the first goes to row 0, the second is shared by 0 and 2, the third (a fault) to 1."""
    values = {"exact_match": [0.9, 0.1, 0.2], "size": [0.5, 0.1, 0.5], "loops": [0.3, 0.0, 0.2]}
    weights = {"exact_match": 1.2, "size": 1.1, "loops": -1.0}
    out = compose({"kind": "vote"}, values, weights)
    assert out.total == pytest.approx([1.75 / 3.3, 1.0 / 3.3, 0.55 / 3.3])
    ranked = compose({"kind": "vote", "ballot": "rank"}, values, weights)
    # of two others: 1, 0, 1/2; 3/4, 0, 3/4; 0, 1, 1/2
    assert ranked.total == pytest.approx([(1.2 + 0.825) / 3.3, 1.0 / 3.3, (0.6 + 0.825 + 0.5) / 3.3])


def test_a_vote_is_held_in_each_group() -> None:
    values = {"exact_match": [0.1, 0.2, 0.9, 0.9]}
    assert compose({"kind": "vote"}, values, {"exact_match": 2.0}, groups=[1, 1, 2, 2]).total == [0.0, 1.0, 0.5, 0.5]


def test_renorm() -> None:
    values = {"size": [0.8, 0.8], "exact_match": [1.0, 0.0]}
    assert compose({"kind": "renorm"}, values, {"size": 1.0, "exact_match": 1.0}).total == pytest.approx([0.8, -0.2])


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("sum", [2 * 0.6 + 0.4 - 0.1, 2 * 0.6 - 0.1]),
        # z-scores of two rows are 1 and -1, and of one row alone 0
        ("group_normalised", [1.0, -1.0]),
        ("product", [0.36 * 0.4 * 0.8**0.5, 0.36 * 0.8**0.5]),
        ("renorm", [0.2 - 0.1 + 0.15, 0.2 + 0.15]),
        # the last of 0.3 each over 3.5 in the first row, 2.5 in the second
        ("vote", [(1.0 + 1.0 + 0.25) / 3.5, (1.0 + 0.25) / 2.5]),
        ({"kind": "gated", "constraints": ["size"], "delta": 0}, [0.4 * (1.2 + 0.4) / 2.5, (1.2 + 0.4) / 2.5]),
        ({"kind": "gated", "constraints": ["size", "loops"], "delta": 0}, [(0.4**2 * 0.8) ** (1 / 3) * 0.6, 0.8 * 0.6]),
        ({"kind": "hierarchical", "holistic": "exact_match", "threshold": 0.5}, [1.2 + 0.4 + 0.4, 1.2 + 0.4]),
    ],
)
def test_a_term_that_is_off_leaves_the_row_to_the_others(aggregate: Any, expected: list[float]) -> None:
    """Two rows, merits .6, .4 and .8; in the second one, the second term is off, so its value is 0."""
    values = {"exact_match": [0.6, 0.6], "size": [0.4, 0.0], "loops": [0.2, 0.2]}
    weights = {"exact_match": 2.0, "size": 1.0, "loops": -0.5}
    if aggregate == "group_normalised":
        values["exact_match"] = [0.8, 0.4]
    out = compose(aggregate, values, weights, off={"size": {1}})
    assert out.total == pytest.approx(expected)


def test_a_successs_second_reward_may_be_off() -> None:
    values = {"exact_match": [1.0, 1.0, 1.0], "size": [0.5, 0.25, 0.0]}
    aggregate = {"kind": "positive_only", "primary": "exact_match", "secondary": "size", "ratio": 0.5}
    out = compose(aggregate, values, {"exact_match": 1.0, "size": 1.0}, off={"size": {2}})
    assert out.total == pytest.approx([1.0, 0.75, 1.0])


@pytest.mark.parametrize(
    ("aggregate", "key"),
    [
        ("{kind: positive_only, primary: exact_match, secondary: form}", "primary"),
        ("{kind: hierarchical, holistic: exact_match, threshold: 0.5}", "holistic"),
    ],
)
def test_what_a_row_cannot_do_without_is_never_off(aggregate: str, key: str) -> None:
    terms = "{exact_match: {when: {column: q, equals: 1}}, form: {kind: format, pattern: x}}"
    with pytest.raises(SpecError, match=f"terms.exact_match: 'exact_match' is aggregate: .*'s {key}, without which"):
        parse_spec(f"terms: {terms}\naggregate: {aggregate}")


def test_a_row_without_an_objective_is_refused() -> None:
    spec = parse_spec("""
terms: {exact_match: {when: {column: q, equals: 1}}, form: {kind: format, pattern: .*}}
aggregate: {kind: gated, constraints: [form]}
""")
    reward = SemanticReward(spec)
    assert reward.score([RewardSample("p", "a", ("a",), columns={"q": 1})]).total_B.tolist() == [1.0]
    with pytest.raises(DataError, match=r"row 1: no objective .* counts on it .q is '2'."):
        reward.score([RewardSample("p", "a", ("a",), columns={"q": 2})])


SETTINGS: dict[str, dict[str, Any]] = {
    "gated": {"constraints": ["form", "loops"]},
    "hierarchical": {"holistic": "exact_match", "threshold": 0.5},
    "positive_only": {"primary": "exact_match", "secondary": "size"},
}
UNIT = st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 3))
BATCHES = st.lists(st.tuples(st.integers(0, 2), *[UNIT] * 4, st.booleans()), max_size=8)
"""Rows: a group, the four terms' values, and whether the term ``size`` is off."""


def batch(kind: str, rows: list[tuple[Any, ...]]) -> tuple[Composed, Any]:
    used = NAMES[:3:2] if kind == "positive_only" else NAMES
    weights = {name: -0.5 if name == "loops" else 1.0 + number for number, name in enumerate(used)}
    weights = dict.fromkeys(used, 1.0) if kind == "positive_only" else weights
    given = {"terms": {name: TERMS[name] for name in used}, "weights": weights}
    spec = parse_spec(yaml.safe_dump({**given, "aggregate": {"kind": kind, **SETTINGS.get(kind, {})}}))
    off = {"size": {number for number, row in enumerate(rows) if row[5:] == (True,)}}
    values = {
        name: [0.0 if number in off.get(name, ()) else row[1 + NAMES.index(name)] for number, row in enumerate(rows)]
        for name in used
    }
    return spec.aggregate.compose(ScoredRows(spec.weighed, values, [row[0] for row in rows], off)), spec


@pytest.mark.parametrize("kind", KINDS)
@given(rows=BATCHES, data=st.data())
@settings(max_examples=60, deadline=None)
def test_bounds_permutation_and_that_better_is_never_worse(kind: str, rows: list[tuple[Any, ...]], data: Any) -> None:
    out, spec = batch(kind, rows)
    assert all(map(math.isfinite, out.total))
    assert set(out.parts) == set(spec.terms)
    assert set(out.measures) == set(spec.aggregate.logs)
    reach = spec.aggregate.reach(spec.weighed)
    if reach is not None:
        assert all(reach[0] - 1e-9 <= total <= reach[1] + 1e-9 for total in out.total)
    order = data.draw(st.permutations(range(len(rows))))
    assert batch(kind, [rows[place] for place in order])[0].total == [out.total[place] for place in order]
    if not rows or spec.aggregate.gives_advantages:
        return
    row, name = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.sampled_from(list(spec.terms)))
    best = 0.0 if name == "loops" else 1.0
    bettered = [*rows]
    bettered[row] = tuple(best if place == 1 + NAMES.index(name) else value for place, value in enumerate(rows[row]))
    assert batch(kind, bettered)[0].total[row] >= out.total[row] - 1e-12


def test_a_row_alone_is_worth_the_same_as_in_its_batch_but_where_groups_are_needed() -> None:
    rows = [(0, 0.2, 0.4, 0.6, 0.1), (0, 0.9, 1.0, 0.1, 0.3), (1, 0.5, 0.0, 1.0, 0.0)]
    for kind in KINDS:
        out, spec = batch(kind, rows)
        alone = [batch(kind, [row])[0].total[0] for row in rows]
        assert (alone == out.total) == (not spec.aggregate.needs_groups), kind
        assert not spec.aggregate.alone().needs_groups


@pytest.mark.parametrize(
    ("aggregate", "message"),
    [
        ("{kind: gated, constraints: [frm]}", "aggregate.constraints: there is no term 'frm'; did you mean 'form'?"),
        ("{kind: gated, constraints: [exact_match, form, away]}", "'away' has weight 0, so it constrains nothing"),
        ("{kind: gated, constraints: [exact_match, form]}", "all terms are constraints; leave at least one objective"),
        ("{kind: gated}", "aggregate.constraints: required key is missing"),
        ("{kind: hierarchical, holistic: away, threshold: 0.5}", "aggregate.holistic: 'away' has weight 0"),
        (
            "{kind: hierarchical, holistic: form, threshold: 1.5}",
            "1.5 is not above 0 and at most 1, the ends of 'form'",
        ),
        ("{kind: positive_only, primary: form, secondary: form}", "it is the primary term itself: 'form'"),
        (
            "{kind: positive_only, primary: away, secondary: form}",
            "weights.away: aggregate: positive_only takes the shares of its terms from `ratio`, so the weight of its "
            "primary term is 1 (-1 where more is worse), not 0",
        ),
        ("{kind: gated, constraints: [form, form]}", "aggregate.constraints: 'form' is there twice"),
        ("{kind: vte}", "there is no kind 'vte'; did you mean 'vote'?"),
        ("gdpo", "there is no kind 'gdpo'; here that is `kind: group_normalised`"),
        ("{ballot: best}", "aggregate: required key `kind` is missing (one of sum, group_normalised, gated"),
        ("[vote]", "aggregate: expected a section of settings, not a list"),
    ],
)
def test_what_cannot_be_composed_is_said(aggregate: str, message: str) -> None:
    spec = f"""
terms: {{exact_match: {{}}, form: {{kind: format, pattern: x}}, away: {{kind: format, pattern: y}}}}
weights: {{exact_match: 1, form: 1, away: 0}}
aggregate: {aggregate}
"""
    with pytest.raises(SpecError) as error:
        parse_spec(spec)
    assert message in str(error.value)


def test_values_below_zero_cannot_be_multiplied() -> None:
    spec = "encoder: {kind: hashing}\nterms: {semantic: {transform: euclidean}}\naggregate: product"
    with pytest.raises(SpecError, match=r"'semantic' has values of \[-1, 1\], and aggregate: product takes values of"):
        parse_spec(spec)


@pytest.mark.parametrize(
    ("aggregate", "use", "sentence"),
    [
        ("vote", Use(one_by_one="score a step"), "aggregate: vote needs whole groups, and here responses come one by"),
        (
            "vote",
            Use(one_response="n is 1"),
            "none to compare with because n is 1; set it to 2 or more, or use aggregate",
        ),
    ],
)
def test_a_trainer_that_does_not_go_with_it_is_refused(aggregate: str, use: Use, sentence: str) -> None:
    (said,) = problems(parse_spec(f"terms: {{exact_match: {{}}}}\naggregate: {aggregate}"), use)
    assert sentence in said


def test_the_reward_logs_measures_and_keeps_a_masked_row_out() -> None:
    spec = parse_spec("""
terms: {exact_match: {}, form: {kind: format, pattern: ".*!"}}
aggregate: {kind: gated, constraints: [form], delta: 0.01}
unscorable: mask
""")
    rows = [RewardSample("p", text, ("blue!",), group=0) for text in ("blue!", "blue", "")]
    out = SemanticReward(spec).score(rows)
    assert out.total_B.tolist() == pytest.approx([1.0, 0.0, 0.0])
    assert out.scored_B.tolist() == [True, True, False]
    assert out.columns()["reward/aggregate/constraint"].tolist() == pytest.approx([1.0, 0.01, 0.0])
    assert out.columns()["reward/aggregate/objective"].tolist() == [1.0, 0.0, 0.0]
    assert out.weighted["form"].tolist() == pytest.approx([1.0, 0.01, 0.0])


def test_validation_scores_each_response_alone() -> None:
    spec = parse_spec("terms: {exact_match: {}}\naggregate: vote")
    rows = [RewardSample("p", text, ("blue",), group=0) for text in ("blue", "blue", "red")]
    assert SemanticReward(spec).score(rows).total_B.tolist() == [0.5, 0.5, 0.0]
    assert SemanticReward(spec).for_validation().score(rows).total_B.tolist() == [1.0, 1.0, 0.0]


def test_a_copy_with_other_terms_composes_its_own() -> None:
    spec = parse_spec("terms: {exact_match: {}}")
    other = parse_spec("terms: {repetition: {}}\nweights: {repetition: -1}")
    assert list(spec.weighed) == ["exact_match"]
    copied = spec.model_copy(update={"terms": other.terms, "weights": other.weights})
    assert SemanticReward(copied).score([RewardSample("p", "a a a a a", ())]).total_B.tolist() == pytest.approx(
        [-2 / 3]
    )
