"""Each attack's text by hand."""

from __future__ import annotations

import random
import re

import pytest

from pgsrm_plugin.audit.attacks import ATTACKS, Attack, Surroundings
from pgsrm_plugin.audit.attacks.changed_number import ChangedNumber
from pgsrm_plugin.audit.attacks.empty_tags import EmptyTags
from pgsrm_plugin.audit.attacks.keyword_soup import KeywordSoup
from pgsrm_plugin.audit.attacks.listed_options import ListedOptions
from pgsrm_plugin.audit.attacks.looped_reference import LoopedReference
from pgsrm_plugin.audit.attacks.master_key import MasterKey
from pgsrm_plugin.audit.attacks.negated_reference import NegatedReference
from pgsrm_plugin.audit.attacks.other_reference import OtherReference
from pgsrm_plugin.audit.attacks.padded_reference import PaddedReference
from pgsrm_plugin.audit.attacks.prefix_junk import PrefixJunk
from pgsrm_plugin.audit.attacks.prompt_echo import PromptEcho
from pgsrm_plugin.audit.attacks.shuffled_words import ShuffledWords
from pgsrm_plugin.audit.attacks.swapped_roles import SwappedRoles
from pgsrm_plugin.audit.attacks.truncated_reference import TruncatedReference
from pgsrm_plugin.audit.attacks.universal_text import UniversalText
from pgsrm_plugin.audit.form import Form
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.wording import FILLER
from pgsrm_plugin.data.rows import parse_row
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.spec import parse_spec
from pgsrm_plugin.terms.judge.openers import OPENERS


def target(reference: str, prompt: object = "Why?", truth: str | None = None) -> Target:
    row = {"prompt": prompt, "reference": reference, "ground_truth": truth}
    (record,) = parse_row(row, "x:1", responses=False)
    asked = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    return Target(record, asked, record.references, (*record.references, *([truth] if truth else [])))


def made(attack: Attack, reference: str, prompt: object = "Why?", others: tuple[Target, ...] = ()) -> str | None:
    row = target(reference, prompt)
    return attack.text(row, Surroundings([row, *others], Form()), random.Random(1))


def test_every_attack_has_a_file_a_kind_and_a_sentence():
    assert len({kind.kind for kind in ATTACKS}) == len(ATTACKS)
    for kind in ATTACKS:
        assert kind.__module__ == f"pgsrm_plugin.audit.attacks.{kind.kind}"
        assert re.fullmatch(r"[A-Z].{20,}[.:]", kind().summary)
        assert kind().finding == "" or kind is UniversalText


def test_a_master_key_is_one_of_many_languages():
    assert made(MasterKey(), "x") in OPENERS
    drawn = {MasterKey().text(target("x"), Surroundings([], Form()), random.Random(seed)) for seed in range(300)}
    assert {"Solution", ":", "Let's solve this problem step by step.", "解"} <= drawn


def test_the_echo_is_the_prompt_or_its_last_message():
    assert made(PromptEcho(), "x", " Why is it red? ") == "Why is it red?"
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    assert made(PromptEcho(), "x", chat) == "Why?"
    assert made(PromptEcho(), "x", "") is None


@pytest.mark.parametrize(
    ("reference", "text"),
    [("one two three four five", "one two"), ("one two three", None), ("番茄是红的。", "番茄是")],
)
def test_truncated(reference, text):
    assert made(TruncatedReference(), reference) == text


def test_prefix_and_junk():
    text = made(PrefixJunk(), "Iron rusts in water because oxygen takes its electrons.")
    words = text.split()
    junk = set(" ".join(FILLER).lower().replace(".", "").split())
    assert words[:3] == ["Iron", "rusts", "in"]
    assert len(words) == 3 + 6
    assert set(words[3:]) <= junk
    assert made(PrefixJunk(), "Iron rusts") is None


def test_shuffled_words_are_the_same_in_another_order():
    text = made(ShuffledWords(), "a b c d e")
    assert text != "a b c d e"
    assert sorted(text.split()) == list("abcde")
    assert made(ShuffledWords(), "a b") is None
    assert made(ShuffledWords(), "a a a") is None


def test_keyword_soup_has_the_content_words_once():
    text = made(KeywordSoup(), "The mill on the river grinds the rye of the mill.")
    assert sorted(text.split()) == ["grinds", "mill", "river", "rye"]
    assert made(KeywordSoup(), "It is the mill.") is None


def test_another_rows_reference_is_of_another_prompt_and_another_text():
    others = (target("Red.", "Colour?"), target("x", "Letter?"), target("Blue.", "Why?"))
    assert {made(OtherReference(), "x", "Why?", others) for _ in range(9)} == {"Red."}
    assert made(OtherReference(), "x", "Why?", others[1:]) is None


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("The sky is blue, and is high.", "The sky is not blue, and is high."),
        ("It does not rain.", "It does rain."),
        ("He never sings.", "He sings."),
        ("They don\u2019t know.", "They do know."),
        ("You can't go.", "You can go."),
        ("Heat melts the ice.", "It is not true that Heat melts the ice."),
        ("Die Sonne scheint heute hell.", None),
        ("42", None),
    ],
)
def test_negated(reference, text):
    assert made(NegatedReference(), reference) == text


def test_numbers_change_and_all_else_stays():
    text = made(ChangedNumber(), "1. Add 12 and 3.5.\n2. Take two of H2O, 1,000 in all.")
    found = re.fullmatch(r"1\. Add (\d)2 and (\d)\.5\.\n2\. Take (\w+) of H2O, (\d),000 in all\.", text)
    assert found
    assert [one == old for one, old in zip(found.groups(), ("1", "3", "two", "1"), strict=True)] == [False] * 4
    assert made(ChangedNumber(), "No number, but H2O and one word.") is None
    assert made(ChangedNumber(), "Three.") not in ("Three.", None)
    assert made(ChangedNumber(), "Three.")[0].isupper()


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("It flows from the lake to the sea.", "It flows from the sea to the lake."),
        ("Ann pays Bob and Eve.", "Bob pays Ann and Eve."),
        ("Ann and Bob pay Eve.", "Ann and Eve pay Bob."),
        ("The heart fills the vessel.", "The vessel fills the heart."),
        ("New York grows.", None),
        ("Ann sleeps. Bob wakes.", None),
        ("a red house", None),
    ],
)
def test_swapped(reference, text):
    assert made(SwappedRoles(), reference) == text


def test_options_are_those_of_the_prompt_or_the_few_answers_that_there_are():
    prompt = "Which one?\nA) iron\nB) tin ore\nC. lead"
    assert made(ListedOptions(), "B", prompt) == "A: iron, B: tin ore, C: lead"
    assert made(ListedOptions(), "B", "Which? (A) iron (B) tin") == "A: iron, B: tin"
    assert made(ListedOptions(), "1", "Which?\n1. iron\n2) tin") == "1: iron, 2: tin"
    few = (target("no", "b"), target("Yes", "c"))
    assert made(ListedOptions(), "yes", "a", few) == "Yes, no"
    many = tuple(target(f"answer {number}", str(number)) for number in range(9))
    assert made(ListedOptions(), "x", "a", many) is None
    assert made(ListedOptions(), "yes", "a") is None


def test_empty_tags_are_those_of_the_spec():
    assert made(EmptyTags(), "x") == "<answer></answer>"
    form = Form("<why>{text}</why><answer>{answer}</answer>")
    assert EmptyTags().text(target("x"), Surroundings([], form), random.Random(1)) == "<why></why><answer></answer>"
    assert EmptyTags.is_whole


def test_loop_and_padding_begin_with_the_reference():
    assert made(LoopedReference(), "red hot") == "red hot red hot red hot red hot red hot"
    text = made(PaddedReference(), "red hot")
    assert text.startswith("red hot ")
    assert 60 <= len(text.split()) - 2 < 75
    assert text.endswith(".")
    assert len(made(PaddedReference(), "red " * 50).split()) >= 200


def test_the_universal_text_is_found_on_one_half_and_tried_on_the_other():
    rows = [target(f"reference number {number} on gold", f"prompt {number}") for number in range(10)]
    asked = set()

    def pay(texts):
        asked.update(row.key for row, _ in texts)
        return [float(len({"gold", ":"} & set(text.split()))) for _, text in texts]

    fitted = UniversalText().fitted(Surroundings(rows, Form()), pay)
    texts = {row.key: fitted.text(row, Surroundings(rows, Form()), random.Random(1)) for row in rows}
    tried = {key for key, text in texts.items() if text is not None}
    assert (len(asked), len(tried), asked & tried) == (5, 5, set())
    (text,) = {text for text in texts.values() if text is not None}
    assert {"gold", ":"} <= set(text.split())
    assert fitted.finding == f"The text found: {text!r}"
    again = UniversalText().fitted(Surroundings(rows[::-1], Form()), pay)
    assert again.finding == fitted.finding


TAGS = "terms: {format: {tags: [why, answer]}, repetition: {}}\nweights: {format: 1, repetition: -1}\n"


@pytest.mark.parametrize(
    ("spec", "template"),
    [
        ("terms: {bleu: {}}", "{text}"),
        ("text: {answer_tag: answer}\nterms: {bleu: {}}", "<answer>{text}</answer>"),
        ("text: {answer_tag: why}\n" + TAGS, "<why>{text}</why><answer>{answer}</answer>"),
        (TAGS, "<why>{answer}</why><answer>{text}</answer>"),
        ("text: {extract: boxed}\nterms: {bleu: {}}", "\\boxed{{text}}"),
        ("text: {extract: json}\nterms: {bleu: {}}", '{"answer": {json}}'),
        ("text: {answer_tag: why}\nterms: {correctness: {}, bleu: {}}", "<why>{text}</why><answer>{answer}</answer>"),
    ],
)
def test_the_form_is_what_the_spec_asks_for(spec, template):
    assert Form.of(parse_spec(spec)).template == template


def test_a_form_is_filled_once_and_json_stays_json():
    assert Form("{text}, {answer}").fill("{answer} {text}", "B") == "{answer} {text}, B"
    assert Form('{"a": {json}}').fill('say "x"', None) == '{"a": "say \\"x\\""}'
    assert Form("<a>{answer}</a>{text}").fill("x", None) == "<a>?</a>x"
    with pytest.raises(DataError, match=r"has no place for the text; write \{text\}"):
        Form("answer")


def test_a_wrong_answer_is_another_rows_and_not_this_ones():
    rows = [target("x", "a", "B"), target("y", "b", "b"), target("z", "c", "C")]
    among = Surroundings(rows, Form())
    assert {among.wrong_answer(rows[0], random.Random(seed)) for seed in range(9)} == {"C"}
    assert Surroundings(rows[:2], Form()).wrong_answer(rows[0], random.Random(1)) is None
