"""Labels and columns as other libraries name them: what is the reference, what the ground truth, and who wins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgsrm_plugin.data.layouts import STOCK, read_targets
from pgsrm_plugin.errors import DataError

BOTH = {"references": ["r1", "r2"], "ground_truth": "g"}


@pytest.mark.parametrize(
    ("row", "references", "truth"),
    [
        ({"answer": "a"}, ("a",), "a"),
        ({"label": 4}, ("4",), "4"),
        ({"label": 0.5}, ("0.5",), "0.5"),
        ({"solution": ["a", "b"]}, ("a", "b"), ("a", "b")),
        ({"target": BOTH}, ("r1", "r2"), "g"),
        ({"label": '{"references": ["r1", "r2"], "ground_truth": "g"}'}, ("r1", "r2"), "g"),
        ({"label": '{"reference": "r"}'}, ("r",), None),
        ({"label": {"ground_truth": "g"}}, ("g",), "g"),
        ({"label": '{"references": ["r"], "id": 3}', "id": 4}, ("r",), None),
        ({"ground_truth": BOTH}, ("r1", "r2"), "g"),
        ({"reward_model": {"ground_truth": BOTH, "style": "rule"}}, ("r1", "r2"), "g"),
        ({"reward_spec": {"ground_truth": "g"}}, ("g",), "g"),
        ({"reward_model": {"ground_truth": "g", "references": ["r"]}}, ("r",), "g"),
        ({"label": '{"x": 1}'}, ('{"x": 1}',), '{"x": 1}'),  # a text that happens to be JSON is a text
        ({"label": "{x"}, ("{x",), "{x"),
        ({"label": "[1, 2]"}, ("[1, 2]",), "[1, 2]"),
        ({"answer": None, "solution": float("nan"), "target": [], "label": "l"}, ("l",), "l"),
        ({"reference": 7}, ("7",), None),
        ({}, (), None),
    ],
)
def test_each_form(row, references, truth):
    assert read_targets(row, STOCK)[:2] == (references, truth)


def test_stock_names_stand_in_the_documented_order():
    """With each name taken away in its turn, the next one is the reference."""
    row = {
        "references": ["references"],
        "reward_model": {"reference": "reward_model.reference", "ground_truth": "reward_model.ground_truth"},
        "answer": "answer",
        "solution": "solution",
        "target": "target",
        "label": "label",
        "ground_truth": "ground_truth",
        "reward_spec": {"ground_truth": "reward_spec.ground_truth"},
    }
    order = [
        "references",
        "reward_model.reference",
        "answer",
        "solution",
        "target",
        "label",
        "ground_truth",
        "reward_model.ground_truth",
        "reward_spec.ground_truth",
    ]
    for name in order:
        assert read_targets(row, STOCK).references == (name,)
        holder, _, key = name.rpartition(".")
        row = {**row, holder: {**row[holder], key: None}} if holder else {**row, name: None}
    assert read_targets(row, STOCK).references == ()


@pytest.mark.parametrize(
    ("row", "fields", "references", "truth"),
    [
        ({"why": "w", "references": ["r"]}, {"reference_field": "why"}, ("w",), None),
        ({"why": "w", "label": BOTH}, {"reference_field": "why"}, ("w",), "g"),
        ({"why": BOTH, "references": ["r"], "ground_truth": "x"}, {"reference_field": "why"}, ("r1", "r2"), "g"),
        ({"x": {"y": BOTH}}, {"reference_field": "x.y"}, ("r1", "r2"), "g"),
        ({"short": 4, "answer": "because"}, {"ground_truth_field": "short"}, ("because",), "4"),
        ({"short": BOTH}, {"ground_truth_field": "short"}, ("r1", "r2"), "g"),
        ({"why": "w", "short": "s"}, {"reference_field": "why", "ground_truth_field": "short"}, ("w",), "s"),
    ],
)
def test_configured_fields_win(row, fields, references, truth):
    assert read_targets(row, replace(STOCK, **fields))[:2] == (references, truth)


def test_the_rows_own_columns_win_over_those_of_its_label():
    row = {"references": ["mine"], "ground_truth": "own", "label": BOTH}
    assert read_targets(row, STOCK)[:2] == (("mine",), "own")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"label": {"references": ["a"], "reference": "b"}}, "'reference' and 'references' are both given"),
        ({"label": {"steps": 3}}, "field 'label' must be text, a number or a list of them, not an object with steps"),
        ({"references": [["a"]]}, "field 'references' must be text or a number, not a list"),
        ({"label": float("inf")}, "field 'label' must be text or a number"),
    ],
)
def test_what_is_no_label_is_refused(row, message):
    with pytest.raises(DataError, match=message):
        read_targets(row, STOCK)
