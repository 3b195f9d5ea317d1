"""A spec's scores become measures: unscorable answers count, errors name the spec, and the page shows them."""

from __future__ import annotations

import json

import pytest

from pgsrm_plugin import SemanticReward, parse_spec
from pgsrm_plugin.audit.people.evaluation import Evaluation, as_json, cell, evaluate_spec
from pgsrm_plugin.audit.people.evaluation_page import render_evaluation
from pgsrm_plugin.audit.people.judgements import read_judgements
from pgsrm_plugin.audit.people.measures import Measure
from pgsrm_plugin.errors import DataError, UnscorableError

EXACT = "{terms: {exact_match: {against: references}}%s}"


def exact(more: str = "") -> SemanticReward:
    return SemanticReward(parse_spec(EXACT % more))


@pytest.fixture
def pairs(jsonl):
    answers = (("a", "b"), ("a", ""), ("b", "c"), ("", "b"))
    rows = [{"prompt": "p", "reference": "a", "good": good, "bad": bad, "kind": "k"} for good, bad in answers]
    return read_judgements(jsonl("d.jsonl", rows))


@pytest.mark.parametrize("more", ["", ", unscorable: mask", ", aggregate: group_normalised"])
def test_each_answer_is_scored_by_itself(pairs, more):
    """Right, right, a tie and a tie, whatever the spec does with groups and with answers that it cannot score."""
    micro = evaluate_spec("s", exact(more), pairs).measures[0]
    assert (micro.value, micro.ties, micro.count) == (0.5, 2, 4)


def test_a_spec_that_raises_is_named(pairs):
    with pytest.raises(UnscorableError, match=r"^mine: .*d\.jsonl:4: the response '' cannot be scored"):
        evaluate_spec("mine", exact(", unscorable: raise"), pairs)


def test_rows_without_a_reference_are_named_and_counted_once(jsonl):
    rows = [{"prompt": "p", "chosen": "a", "rejected": "b", "subset": "s"}] * 9
    with pytest.raises(DataError) as refused:
        evaluate_spec("mine", exact(), read_judgements(path := jsonl("bench.jsonl", rows)))
    lines = str(refused.value).splitlines()
    assert lines[0] == f"mine: {path}:1: field 'reference' is missing, and term 'exact_match' compares with it"
    assert lines[-1] == "and 4 more rows are wrong"


def test_many_answers_are_scored_in_their_order(jsonl):
    rows = [{"prompt": "p", "reference": "1", "response": str(i % 2), "label": i % 2} for i in range(600)]
    told = []
    found = evaluate_spec("s", exact(), read_judgements(jsonl("d.jsonl", rows)), advance=told.append)
    assert (found.measures[0].value, sum(told)) == (1.0, 600)


def test_ratings_are_measured_within_prompts_unless_pooled(jsonl):
    rows = [
        {"prompt": prompt, "reference": "a", "response": text, "rating": rating}
        for prompt in "pq"
        for text, rating in (("a", 5), ("b", 1), ("c", 2))
    ]
    judgements = read_judgements(jsonl("d.jsonl", rows))
    assert [one.count for one in evaluate_spec("s", exact(), judgements).measures] == [2, 6, 2, 6]
    assert [one.count for one in evaluate_spec("s", exact(), judgements, within=False).measures] == [6, 6]


def test_json_has_every_number(pairs):
    one = evaluate_spec("s", exact(), pairs)
    written = json.loads(json.dumps(as_json(pairs, [one]), allow_nan=False))
    assert (written["as"], written["rows"], written["specs"][0]["spec"]) == ("pairs", 4, "s")
    assert written["specs"][0]["fingerprint"] == exact().spec.fingerprint
    assert written["specs"][0]["measures"][0] == one.measures[0].as_dict()


@pytest.mark.parametrize(
    ("measure", "shown"),
    [
        (Measure("m", 0.5, 0.25, 0.75, 4), ("0.500", "[0.25, 0.75]")),
        (Measure("m", 0.5, 0.25, 0.75, 4, ties=1), ("0.500", "[0.25, 0.75] 1 tie")),
        (Measure("m", 0.5, None, None, 4, ties=2), ("0.500", "2 ties")),
    ],
)
def test_cells(measure, shown):
    assert cell(measure) == shown


def test_the_page_draws_each_spec_and_escapes_names(pairs):
    pytest.importorskip("plotly")
    measures = evaluate_spec("s", exact(), pairs).measures
    page = render_evaluation(pairs, [Evaluation("<one>", "", measures), Evaluation("two", "", measures)])
    body = page.partition("<h1>")[2]
    assert "Agreement with people: d.jsonl" in body
    assert "4 pairs." in body
    assert "<td>0.500<small>[0.15, 0.85] 2 ties</small></td>" in body
    assert "<one>" not in body
    assert body.count('"orientation":"h"') == 2
