"""What part of a response is scored."""

import time

import pytest

from pgsrm_plugin.spec.schema import TextSpec
from pgsrm_plugin.text import clean, inside_tag, prepare, prepare_reference, prompt_text, strip_thinking


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
    assert prepare_reference("blue", spec) == "blue"
    assert prepare_reference("<answer>blue</answer>", spec) == "blue"


def test_lone_surrogates_become_replacement_characters_and_pairs_survive():
    assert clean("a\ud800b\udc00", TextSpec()) == "a\ufffdb\ufffd"
    assert clean("\ud83d\ude00", TextSpec()) == "\U0001f600"


def test_unicode_forms():
    assert clean("e\u0301", TextSpec()) == "\u00e9"
    assert clean("\uff21", TextSpec()) == "\uff21"
    assert clean("\uff21", TextSpec(unicode="NFKC")) == "A"
    assert clean("BLUE\u200b", TextSpec(lowercase=True)) == "blue"


def test_truncation_is_counted():
    spec = TextSpec(max_chars=16)
    assert not prepare("x" * 16, spec).truncated
    cut = prepare("x" * 17, spec)
    assert (len(cut.text), cut.truncated) == (16, True)


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
