"""What part of a response is scored."""

import time
from fractions import Fraction

import pytest

from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.text.batch import prepare, prepare_reference
from pgsrm_plugin.text.clean import clean, prompt_text
from pgsrm_plugin.text.extract import inside_tag, parse_number, strip_thinking


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("<think>a</think> b", " b"),
        ("a <think>b</think> c <think>d</think> e", "a  c  e"),
        ("opened by the template</think>b", "b"),
        ("a <think>never closed", "a "),
        ("<THINK>a</Think>b", "b"),
        ("<think>a<think>b</think>c</think>d", "d"),
        ("<thinking>a</thinking>b", "b"),
        ("no marks <thinker>", "no marks <thinker>"),
    ],
)
def test_strip_thinking(raw, kept):
    assert strip_thinking(raw, ("think", "thinking")) == kept


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ("<answer>x</answer>", "x"),
        ("<answer>x</answer><answer>y</answer>", "y"),
        ("<answer>x", None),
        ("x</answer>", None),
        ("<answer>x</answer> <answer>open", "x"),
        ("<answer>old <answer>new</answer>", "new"),
        ("<answer></answer>", ""),
    ],
)
def test_inside_tag(raw, answer):
    assert inside_tag(raw, "answer") == answer


@pytest.mark.parametrize("raw", ["", "  \n", "\u200b\ufeff", "\ud800", "<think>only thought", "<think>a</think>  "])
def test_nothing_to_score_is_empty(raw):
    scored = prepare(raw, TextSpec())
    assert (scored.text.strip("\ufffd"), scored.unscorable) == ("", "empty")


def test_a_missing_answer_tag_is_unscorable_but_a_reference_without_one_is_taken_whole():
    spec = TextSpec(answer_tag="answer")
    assert prepare("blue", spec).unscorable == "no answer tag"
    assert prepare("<answer> blue </answer>", spec).text == "blue"
    assert prepare_reference("blue", spec).text == "blue"
    assert prepare_reference("<answer>blue</answer>", spec).text == "blue"


def test_lone_surrogates_become_replacement_characters_and_pairs_survive():
    assert clean("a\ud800b\udc00", TextSpec()) == "a\ufffdb\ufffd"
    assert clean("\ud83d\ude00", TextSpec()) == "\U0001f600"


def test_unicode_forms():
    assert clean("e\u0301", TextSpec()) == "\u00e9"
    assert clean("\uff21", TextSpec()) == "\uff21"
    assert clean("\uff21", TextSpec(unicode="NFKC")) == "A"
    assert prepare("BLUE\u200b", TextSpec(lowercase=True)).text == "blue"


def test_truncation_is_counted():
    spec = TextSpec(max_chars=16)
    assert not prepare("x" * 16, spec).truncated
    cut = prepare("x" * 17, spec)
    assert (len(cut.text), len(cut.uncut), cut.truncated) == (16, 17, True)
    assert prepare("a" * 14 + "  b", spec).text == "a" * 14
    assert prepare_reference("x" * 17, spec).truncated


@pytest.mark.parametrize(
    "char", ["\u00ad", "\u061c", "\u200d", "\u2066", "\ufe0f", "\U000e0041", "\x07", "\x80", "\u3164", "\u034f"]
)
def test_what_cannot_be_seen_goes_and_is_no_answer(char):
    assert clean(f"oran{char}ge", TextSpec()) == "orange"
    assert strip_thinking(clean(f"<thi{char}nk>a</think>b", TextSpec()), ["think"]) == "b"
    assert prepare(char * 3, TextSpec()).unscorable == "empty"


@pytest.mark.parametrize("blank", ["\u2800", "\u0301", "\u3000", "\x85"])
def test_blanks_and_lone_marks_are_no_answer(blank):
    assert prepare(blank, TextSpec()).unscorable == "empty"


@pytest.mark.parametrize("text", ["a", "7", ".", "+", "की", "\U0001f600"])
def test_anything_visible_is_an_answer(text):
    assert prepare(text, TextSpec()).unscorable is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,000.0", 1000),
        ("1e3", 1000),
        (" -5", -5),
        ("\u22125", -5),
        (".5", Fraction(1, 2)),
        ("1/2", Fraction(1, 2)),
        ("$5", 5),
        ("12 %", 12),
        ("10000000001", 10000000001),
        ("3,4", None),
        ("1_0", None),
        ("1/0", None),
        ("nan", None),
        ("ten", None),
        ("", None),
        ("9" * 65, None),
    ],
)
def test_parse_number(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize("piece", ["<think>", "</think>", "<answer>", "<think>a</think>", "\u200b", "\ud800", "x"])
def test_a_megabyte_of_hostile_text_takes_linear_time(piece):
    """A quadratic scan of a megabyte would take hours; the bound is generous."""
    started = time.monotonic()
    prepare(piece * (2**20 // len(piece)), TextSpec(answer_tag="answer"))
    assert time.monotonic() - started < 60


def test_prompt_text():
    assert prompt_text("a") == "a"
    assert prompt_text([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]) == "s\nu"
    assert prompt_text([{"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image"}]}]) == "t\n"
