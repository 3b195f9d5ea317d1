"""The reference inside a parent's answer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsrm_plugin.asking.answer_extraction import MAX_CHARS, build_extractor
from pgsrm_plugin.errors import SpecError


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ('{"OUTPUT": "orange"}', "orange"),
        ('{"OUTPUT":"a, b"}', "a, b"),
        ('Sure!\n```json\n{"OUTPUT": " orange "}\n```\nAnything else?', "orange"),
        ('{"WHY": {"OUTPUT": "inner"}, "OUTPUT": "outer"}', "outer"),
        ('{"OUTPUT": "first"} no, {"OUTPUT": "second"}', "second"),
        ('<think>{"OUTPUT": "thought"}</think>{"OUTPUT": "said"}', "said"),
        ('{"OUTPUT": "two\nlines"}', "two\nlines"),
        ('{"OUTPUT": "say \\"hi\\" \\u00e9"}', 'say "hi" é'),
        ('{"OUTPUT": 12}', "12"),
        ('{"OUTPUT": true}', "true"),
        ("{'OUTPUT': 'it\\'s red'}", "it's red"),
        ('{"OUTPUT": "orange",}', "orange"),
        ('{"OUTPUT": "say \\"hi\\"",}', 'say "hi"'),
        ('{"OUTPUT": "orange"', "orange"),
        ("{OUTPUT: orange}", "orange"),
        ("{\u201cOUTPUT\u201d: \u201corange\u201d}", "orange"),
        ("**OUTPUT:** orange", "orange"),
        ("OUTPUT = orange\nthat is all", "orange"),
        ('{"OTHER": "orange"}', None),
        ('{"MYOUTPUT": "orange"}', None),
        ('{"OUTPUT": ""}', None),
        ('{"OUTPUT": null}', None),
        ('{"OUTPUT": ["orange"]}', None),
        ('{"OUTPUT": {"a": 1}}', None),
        ("orange", None),
        ("", None),
    ],
)
def test_json(answer, reference):
    assert build_extractor("json:OUTPUT")(answer) == reference


@pytest.mark.parametrize(
    ("rule", "answer", "reference"),
    [
        ("tag:answer", "<answer>3</answer> no <ANSWER> 4 </ANSWER>", "4"),
        ("tag:answer", "<think><answer>3</answer></think> none", None),
        ("tag:answer", "<answer>3", None),
        ("tag:answer", "<answer> </answer>", None),
        (r"regex:Answer: (\w+)", "Answer: red. Answer: blue", "red"),
        (r"regex:\d+", "it is 12", "12"),
        (r"regex:Answer:(?: (\w+))?$", "Answer:", None),
        (r"regex:\d+", "none", None),
        (None, "  all of it \n", "all of it"),
        (None, " \u200b\n", None),
        (None, "<think>2+2</think>\n\nfour", "four"),
        (None, "<think>2+2</think>", None),
    ],
)
def test_tag_regex_and_none(rule, answer, reference):
    assert build_extractor(rule)(answer) == reference


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("jsn:OUTPUT", "did you mean 'json'"),
        ("json", "'json' is no rule"),
        ("json:", "'json:' is no rule"),
        ("tag:<answer>", "no tag's name"),
        ("regex:(", "does not compile"),
        ("regex:(a)(b)", "has 2 groups"),
        ("regex:(a+)+$", "repeats something that itself repeats"),
        (r"regex:(?:x|(?:\w* ?)*)y", "repeats something that itself repeats"),
    ],
)
def test_a_wrong_rule_is_said_before_any_call(rule, said):
    with pytest.raises(SpecError, match=said.replace("(", r"\(")):
        build_extractor(rule)


@pytest.mark.parametrize("pattern", [r"(\w+) and [a-z ]+", "(?:ab){2,3}c+", "(?:a|b)*", "[a-z]+?x*"])
def test_patterns_without_nested_repeats_are_permitted(pattern):
    build_extractor(f"regex:{pattern}")


def test_only_the_end_of_a_long_answer_is_looked_at():
    answer = '{"OUTPUT": "lost"}' + "x" * MAX_CHARS
    assert build_extractor("json:OUTPUT")(answer) is None
    assert build_extractor("json:OUTPUT")("x" * MAX_CHARS + '{"OUTPUT": "kept"}') == "kept"


@pytest.mark.parametrize(
    "hostile", ["{" * 10**6, '{"OUTPUT":' * 10**5, "OUTPUT" * 10**5, '"' * 10**6, "OUTPUT:'\\" * 10**5]
)
@pytest.mark.timeout(20)
def test_hostile_answers_end(hostile):
    build_extractor("json:OUTPUT")(hostile)
    build_extractor("tag:answer")(hostile)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("{}[]\"':,\\ OUTPUT\n<>/answer1"), max_size=80))
def test_any_answer_gives_text_or_none(answer):
    for rule in ("json:OUTPUT", "tag:answer", r"regex:O(\w*)"):
        found = build_extractor(rule)(answer)
        assert found is None or (found == found.strip() and found)
