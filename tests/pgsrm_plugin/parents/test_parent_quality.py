"""Checks of a parent's answers, and how much the samples of a prompt agree."""

from __future__ import annotations

import pytest
import torch
from parent_answers import answer

from pgsrm_plugin.asking.answer_extraction import build_extractor
from pgsrm_plugin.errors import StoreError
from pgsrm_plugin.parents.export.references import choose
from pgsrm_plugin.parents.review.agreement import NAME, Agreements, measure, references_digest
from pgsrm_plugin.parents.review.quality import check_text, echo, inspect, other_script, refusal
from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.types import Embeddings


@pytest.mark.parametrize(
    "text",
    [
        "I\u2019m sorry, but I can\u2019t help with that.",
        "**Sorry, I cannot** assist with this.",
        "As an AI language model, I don't have opinions.",
        "Unfortunately, I am unable to answer that.",
        "I'm not able to provide medical advice.",
        "I cannot comply with this request.",
        "Apologies, but as an AI I won't do that.",
        "Your request violates the policy.",
    ],
)
def test_refusals(text):
    assert refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I can't recommend this film enough.",
        "I cannot help laughing at it.",
        "Sorry is a board game.",
        "Unfortunately, the sky is not green.",
        "As an AI researcher, I study refusals.",
        "The bot said: I'm sorry, but I can't help with that.",
        "",
    ],
)
def test_what_only_looks_like_a_refusal(text):
    assert refusal(text) == ""


@pytest.mark.parametrize(
    ("prompt", "text", "seen"),
    [
        ("What colour is the sky?", "what  colour is the SKY? It is blue.", "begins with the prompt"),
        ([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What colour is the sky?"}],
         "What colour is the sky", "begins with the prompt"),
        ("Tell me: what colour is the sky?", "What colour is the sky?", "is a part of the prompt"),
        ("Is it red or blue, or a mix?", "blue", ""),
        ("What colour is the sky?", "The sky is blue.", ""),
        ("hi", "hi, how are you today?", ""),
    ],
)  # fmt: skip
def test_echo(prompt, text, seen):
    assert echo(prompt, text) == seen


@pytest.mark.parametrize(
    ("prompt", "text", "seen"),
    [
        ("What colour is the sky?", "Небо синее, и трава зелёная.", "100 % Cyrillic"),
        ("What colour is the sky?", "天空是蓝色的，草是绿色的。", "100 % Han"),
        ("空は何色ですか", "天空是蓝色的草是绿色的", ""),
        ("Translate 天空是蓝色 to English", "The sky is blue.", ""),
        ("What is 天空是蓝色?", "它是一个关于天空的句子", ""),
        ("What colour is the sky?", "Le ciel est bleu.", ""),
        ("What colour is the sky?", "αβγ", ""),
        ("1 + 1 =", "два или больше", ""),
    ],
)
def test_script_is_not_language(prompt, text, seen):
    assert other_script(prompt, text) == seen


def test_counts_and_examples_of_everything_that_is_wrong():
    answers = [
        answer("p1", "The sky is blue."),
        answer("p2", status="failed", error="answered 500 five times"),
        answer("p3", "half an ans", status="truncated"),
        answer("p4", "I'm sorry, but I can't help with that."),
        answer("What colour is the sky?", "What colour is the sky? Blue."),
        answer("English p6", "Небо синее и трава"),
        answer("p7", status="refused", error="content_filter"),
        *(answer(f"q{i}", "It depends. ") for i in range(3)),
        *(answer("q0", "It depends.", sample=k) for k in range(1, 9)),
        *(answer(f"r{i}", "twice") for i in range(2)),
    ]
    quality = inspect(answers, build_extractor(r"regex:^[A-ZН]"))
    assert (quality.answers, quality.prompts) == (20, 12)
    assert quality.counts == {
        "failed": 1, "truncated": 1, "refused": 1, "refusal": 1, "echo": 1, "script": 1, "format": 2, "repeated": 1,
    }  # fmt: skip
    assert quality.examples["failed"][0].detail == "answered 500 five times"
    assert quality.examples["repeated"][0].detail == "3 of 12 prompts"
    assert quality.share("format") == 0.1


def test_at_most_five_examples_are_kept():
    quality = inspect(answer(f"p{i}", "x", status="truncated") for i in range(9))
    assert (quality.counts["truncated"], len(quality.examples["truncated"])) == (9, 5)


def test_a_reference_is_checked_alone():
    assert check_text("p", "I cannot assist you", build_extractor("tag:a")) == {
        "refusal": "I cannot assist",
        "format": "nothing in it fits",
    }


WORDS = {"north": (1.0, 0.0), "east": (0.0, 1.0), "northeast": (1.0, 1.0)}


class Compass:
    """North is (1, 0), east (0, 1), northeast both; it knows no other words."""

    identity = "compass"

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        vectors_ND = torch.tensor([WORDS.get(text, (0.0, 0.0)) for text in texts])
        counts_N = torch.ones(len(texts), dtype=torch.int64)
        return Embeddings(vectors_ND, counts_N, counts_N == 0, torch.tensor([t not in WORDS for t in texts]))


def answered(**prompts):
    return choose(answer(p, text, sample=k) for p, texts in prompts.items() for k, text in enumerate(texts.split()))


def test_agreement_by_hand():
    prompts = answered(a="north north", b="north east", c="north east northeast", d="north", e="north gibberish")
    agreements = measure(prompts.values(), Compass(), TextSpec())
    found = {one.prompt: agreements.of(one) for one in prompts.values()}
    # c: cos(n, e) = 0, cos(n, ne) = cos(e, ne) = 1 / sqrt 2
    assert found == {"a": 1.0, "b": 0.0, "c": pytest.approx(2 * 0.5**0.5 / 3), "d": None, "e": 0.0}


def test_agreement_is_kept_with_its_encoder_and_measured_again_only_where_answers_changed(tmp_path):
    prompts = answered(a="north east", b="north northeast")
    measure(prompts.values(), Compass(), TextSpec()).save(tmp_path)
    kept = Agreements.load(tmp_path)
    assert kept.encoder == "compass"
    changed = answered(a="east north", b="east northeast")
    assert kept.of(changed[next(iter(changed))]) == 0.0, "the order of the samples is nothing"
    assert kept.of(list(changed.values())[1]) is None
    compass = Compass()
    again = measure(changed.values(), compass, TextSpec(), known=kept)
    assert sorted(compass.asked) == ["east", "northeast"]
    assert len(again.values) == 2
    other = Compass()
    other.identity = "another"
    measure(changed.values(), other, TextSpec(), known=kept)
    assert sorted(other.asked) == ["east", "north", "northeast"]


def test_agreement_of_a_damaged_file(tmp_path):
    assert Agreements.load(tmp_path) is None
    (tmp_path / NAME).write_text("[]")
    with pytest.raises(StoreError, match=r"agreement.json cannot be read .*; delete it"):
        Agreements.load(tmp_path)


def test_repeats_count_in_the_digest():
    assert references_digest(["a", "b"]) == references_digest(["b", "a"]) != references_digest(["a", "b", "b"])
