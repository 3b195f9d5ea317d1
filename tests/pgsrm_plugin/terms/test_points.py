"""Where a text's points begin and end."""

from __future__ import annotations

import pytest
from growth import grows_evenly

from pgsrm_plugin.terms.points import points


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red. Blue! Green? Teal", ["Red.", "Blue!", "Green?", "Teal"]),
        ("the cat sat. the dog ran.", ["the cat sat.", "the dog ran."]),
        ("It is 3.5 m, e.g. here, i.e. there. Then 1.000 m.", ["It is 3.5 m, e.g. here, i.e. there.", "Then 1.000 m."]),
        ("The U.S. economy grew. Dr. Smith left.", ["The U.S. economy grew.", "Dr. Smith left."]),
        ("Dr. Smith met J. R. Jones at 5 p.m. He left.", ["Dr. Smith met J. R. Jones at 5 p.m.", "He left."]),
        ("The answer is B. It is red.", ["The answer is B.", "It is red."]),
        ("It was in 1999. Then 2000.", ["It was in 1999.", "Then 2000."]),
        ('He said "No." Then left...and "came." Wow?! ok', ['He said "No."', 'Then left...and "came."', "Wow?!", "ok"]),
        ("- one\n* two\n  + three\n• four", ["one", "two", "three", "four"]),
        ("1) five\n(b) six\n## Seven", ["five", "six", "Seven"]),
        ("1. Heat it. 2. Stir it well. Wait.", ["Heat it.", "Stir it well.", "Wait."]),
        ("Primary: 1. Red 2. Blue 3. Green", ["Primary:", "Red", "Blue", "Green"]),
        ("It has 2. Then 1. Then 2.", ["It has 2.", "Then 1.", "Then 2."]),
        ("The committee found\nthat all is well.\nThe end", ["The committee found that all is well.", "The end"]),
        ("red\nblue\n\ngreen", ["red", "blue", "green"]),
        ("番茄是红的。天空是蓝的！对吗？好", ["番茄是红的。", "天空是蓝的！", "对吗？", "好"]),
        ("1、红色\n2.绿色\n③蓝色", ["红色", "绿色", "蓝色"]),
        ("!!! ... 👍", []),
        ("", []),
    ],
)  # fmt: skip
def test_points(text, expected):
    assert points(text) == expected


def test_what_is_beyond_the_most_is_in_the_last_point():
    assert points("A cat. A dog. A cow. A pig.", most=3) == ["A cat.", "A dog.", "A cow. A pig."]
    assert points("A cat. A dog.", most=1) == ["A cat. A dog."]


@pytest.mark.parametrize("part", ["a.", ".", ".)", "e.g. ", "(", "1. 2. ", "\nb", " ", "A. ", "word. "])
def test_long_texts_are_read_once(part):
    """Run after run of marks."""
    assert grows_evenly(points, "A" + part * 50_000)
