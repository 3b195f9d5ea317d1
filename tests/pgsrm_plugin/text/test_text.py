"""What part of a response is scored."""

import pytest
from growth import grows_evenly

from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.text.batch import prepare, prepare_reference
from pgsrm_plugin.text.clean import clean, normalise_space, prompt_text
from pgsrm_plugin.text.picks import inside_tag
from pgsrm_plugin.text.thinking import strip_thinking


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
    "raw",
    [
        "[THINK]is it A?[/THINK]orange",
        "◁think▷hm◁/think▷orange",
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>orange",
        "<|begin_of_thought|>hm<|end_of_thought|>orange",
        "<seed:think>hm</seed:think>orange",
        "<think >hm</think >orange",
        "hm[/THINK]orange",
        "orange[THINK]hm",
    ],
)
def test_thinking_of_known_models_goes_by_default(raw):
    assert prepare(raw, TextSpec()).text == "orange"


def test_thinking_in_marks_of_ones_own():
    spec = TextSpec(thinking_tags=["reasoning", ["<<", ">>"]])
    assert prepare("<reasoning>a</reasoning><<b>>orange", spec).text == "orange"
    assert prepare("<think>a</think>orange", spec).text == "<think>a</think>orange"
    with pytest.raises(ValueError, match="give the pair"):
        TextSpec(thinking_tags=["[THINK]"])


@pytest.mark.parametrize(
    ("settings", "raw", "text", "unscorable"),
    [
        ({"extract": "boxed"}, "so \\boxed{\\frac{1}{2}}", "\\frac{1}{2}", None),
        ({"extract": "boxed"}, "so 1/2", "", "no answer"),
        ({"extract": "json"}, '{"answer": "red"}', "red", None),
        ({"extract": "json", "answer_key": "colour"}, '{"answer": "red", "colour": "blue"}', "blue", None),
        ({"answer_tag": "answer", "extract": "boxed"}, "\\boxed{1} <answer>\\boxed{2}</answer>", "2", None),
        ({"answer_tag": "answer", "unclosed": True}, "<answer>Paris", "Paris", None),
        ({"answer_tag": "answer", "unclosed": True}, "<answer>Rome</answer><answer>Paris", "Paris", None),
        ({"answer_tag": "answer"}, "<answer>Paris", "", "no answer tag"),
    ],
)
def test_where_the_scored_text_stands(settings, raw, text, unscorable):
    scored = prepare(raw, TextSpec(**settings))
    assert (scored.text, scored.unscorable) == (text, unscorable)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"unclosed": True}, "belongs to answer_tag"), ({"answer_tag": "boxed"}, "write extract: boxed")],
)
def test_settings_that_say_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TextSpec(**settings)


def test_joiners_stay_where_they_shape_letters():
    assert clean("می\u200cخواهم", TextSpec()) == "می\u200cخواهم"
    assert clean("or\u200cange", TextSpec()) == "orange"
    assert normalise_space("می\u200cخواهم") == normalise_space("می خواهم")


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


@pytest.mark.parametrize("piece", ["<think>", "</think>", "<answer>", "<think>a</think>", "\u200b", "\ud800", "x"])
def test_a_megabyte_of_hostile_text_takes_linear_time(piece):
    assert grows_evenly(lambda text: prepare(text, TextSpec(answer_tag="answer")), piece * (2**20 // len(piece)))


def test_prompt_text():
    assert prompt_text("a") == "a"
    assert prompt_text([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]) == "s\nu"
    assert prompt_text([{"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image"}]}]) == "t\n"
    assert prompt_text([{"role": "user", "content": None}]) == ""


@pytest.mark.parametrize(
    ("name", "fits"), [("t1", True), ("seed:think", True), ("a-b_c.d", True), ("1think", False), ("th ink", False)]
)
def test_what_a_thinking_tag_may_be_called(name, fits):
    if fits:
        assert TextSpec(thinking_tags=[name]).thinking_tags == (name,)
    else:
        with pytest.raises(ValueError, match="is no tag's name"):
            TextSpec(thinking_tags=[name])
