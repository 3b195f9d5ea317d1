"""Segments of texts of several scripts, and their places in what the policy wrote."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsrm_plugin.credit import segments
from pgsrm_plugin.credit.scored_part import scored_part
from pgsrm_plugin.credit.segments import segment
from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.text.batch import prepare


def pieces(text: str, by: str, most: int = 64) -> list[str]:
    return [text[start:end] for start, end in segment(text, by, most)]


def test_doctests():
    assert doctest.testmod(segments).failed == 0


@pytest.mark.parametrize(
    ("text", "by", "expected"),
    [
        (
            "It is 3.5 m, e.g. here. Dr. Ng said so! ok",
            "sentence",
            ["It is 3.5 m, e.g. here. ", "Dr. Ng said so! ", "ok"],
        ),
        ("我喜欢红色。绿色也好！对吧？", "sentence", ["我喜欢红色。", "绿色也好！", "对吧？"]),
        ("1. Heat it.\n2. Stir\n- Wait", "sentence", ["1. Heat it.\n", "2. Stir\n", "- Wait"]),
        ("A line that\ngoes on. Next", "sentence", ["A line that\ngoes on. ", "Next"]),
        ("Red. ... !!", "sentence", ["Red. ... !!"]),
        ("... Red. Blue.", "sentence", ["... Red. ", "Blue."]),
        (
            "It rains; so 1,000 men, wet, run: home",
            "clause",
            ["It rains; ", "so 1,000 men, ", "wet, ", "run: ", "home"],
        ),
        ("我去，你留；他来。好", "clause", ["我去，", "你留；", "他来。", "好"]),
        ("one two three four five", "words:2", ["one two ", "three four ", "five"]),
        ("红色和蓝色", "words:2", ["红色", "和蓝", "色"]),
        ("", "sentence", []),
        ("!?", "sentence", ["!?"]),
    ],
)
def test_by_hand(text, by, expected):
    assert pieces(text, by) == expected


def test_the_shortest_are_joined():
    """Lengths 4, 12, 4, 3: 'Go! ' and 'Stop', the last, go together first, then 'Hi. ' with what follows it."""
    text = "Hi. I am here. Go! Ok!"
    assert pieces(text, "sentence", 3) == ["Hi. ", "I am here. ", "Go! Ok!"]
    assert pieces(text, "sentence", 2) == ["Hi. I am here. ", "Go! Ok!"]


@given(text=st.text("ab. ,!\n。，红1-", max_size=80), by=st.sampled_from(["sentence", "clause", "words:3"]))
@settings(max_examples=300, deadline=None)
def test_segments_are_the_whole_text_in_order(text, by):
    found = pieces(text, by, 5)
    assert "".join(found) == text
    assert len(found) <= 5
    assert len(found) < 2 or all(any(map(str.isalnum, piece)) for piece in found)


# --- where they stand -------------------------------------------------------------------------------------------------

SPECS = [
    TextSpec(),
    TextSpec(answer_tag="answer"),
    TextSpec(answer_tag="answer", unclosed=True),
    TextSpec(strip_thinking=False, max_chars=20),
    TextSpec(unicode="NFKC"),
    TextSpec(unicode="none", max_chars=16),
]
RAW = [
    "<think>hm. 等等</think> It is red. Not blue.",
    "so it is\n</think>\n<answer> Red.  It is. </answer> done",
    "a <think>x</think> b <answer>c</answer> <answer>d e",
    "<answer>first</answer><answer>second. third</answer>",
    "e\u0301tude cafe\u0301. 한\u1100\u1161 ﬁn\u200bal \ufeffend",
    "می\u200cروم. خوب",
    "lone \ud83d and \U0001f600.",
    "",
    "<think>never closed",
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("raw", RAW)
def test_the_scored_part_is_what_is_scored(raw, spec):
    traced, _ = scored_part(raw, spec)
    assert traced.text == prepare(raw, spec).text
    assert len(traced.places) == len(traced.text)
    assert all(0 <= start < end <= len(raw) for start, end in traced.places)
    if raw == traced.text or raw.isascii():
        assert [raw[start:end] for start, end in traced.places] == list(traced.text)


@given(
    raw=st.lists(
        st.sampled_from(
            [
                *"ab. \n é",
                "e\u0301",
                "<think>",
                "</think>",
                "<answer>",
                "</answer>",
                "红",
                "\u200b",
                "\u1100\u1161",
                "ﬁ",
            ]
        ),
        max_size=25,
    ).map("".join),
    spec=st.sampled_from(SPECS),
)
@settings(max_examples=300, deadline=None)
def test_the_scored_part_is_what_is_scored_of_any_text(raw, spec):
    assert scored_part(raw, spec)[0].text == prepare(raw, spec).text


def test_a_composed_character_stands_where_its_parts_do():
    traced, _ = scored_part("xe\u0301\u200by", TextSpec())
    assert traced.text == "x\u00e9y"
    assert traced.places == [(0, 1), (1, 3), (4, 5)]
    assert traced.pieces(0, 3) == [(0, 3), (4, 5)]


def test_a_sentence_with_thinking_in_it_is_in_two_pieces():
    raw = "It is <think>or not</think>red. Yes."
    traced, _ = scored_part(raw, TextSpec())
    first, second = segment(traced.text, "sentence", 8)
    assert [raw[start:end] for start, end in traced.pieces(*first)] == ["It is ", "red. "]
    assert [raw[start:end] for start, end in traced.pieces(*second)] == ["Yes."]
