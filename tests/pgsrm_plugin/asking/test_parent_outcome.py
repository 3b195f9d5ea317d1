"""From what an engine gave to what is recorded: what is a reference, and what is none."""

import doctest
from dataclasses import replace

import pytest
from parent_answers import CONFIG, answer

from pgsrm_plugin.asking import finish_reasons
from pgsrm_plugin.asking.answer_extraction import build_extractor
from pgsrm_plugin.asking.engines.base import Completion
from pgsrm_plugin.asking.outcome import as_judged_now, extract_again, make_answer
from pgsrm_plugin.asking.store.answers import Answer, Request


def made(rule: str | None = None, **given) -> Answer:
    config = replace(CONFIG, extract=rule)
    return make_answer(Request("p"), config, Completion(**given), build_extractor(rule), {})


@pytest.mark.parametrize(
    ("status", "reasons"),
    [
        (
            "ok",
            (
                None,
                "",
                "stop",
                "STOP",
                "eos",
                "eos_token",
                "end_turn",
                "stop_sequence",
                "COMPLETE",
                "FinishReason.STOP",
            ),
        ),
        ("truncated", ("length", "max_tokens", "MAX_TOKENS", "model_length", "FINISH_REASON_MAX_TOKENS")),
        ("refused", ("content_filter", "SAFETY", "sensitive", "refusal", "RECITATION", "guardrail_intervened")),
        ("failed", ("abort", "error", "cancelled", "tool_calls", "OTHER", "a word of next year")),
    ],
)
def test_only_a_reason_that_is_known_to_be_good_makes_a_reference(status, reasons):
    for reason in reasons:
        found = made(text="Half of a sent", finish_reason=reason)
        assert (found.status, found.reference) == (status, "Half of a sent" if status == "ok" else None), reason
        assert (found.finish_reason, found.text) == (reason, "Half of a sent")
        assert status == "ok" or reason in found.error


@pytest.mark.parametrize("rule", [None, r"regex:(.*)", "tag:answer"])
@pytest.mark.parametrize(
    ("text", "status", "reference"),
    [
        ("<think>2+2</think><answer>4</answer>", "ok", {"tag:answer": "4"}),
        ("2+2, so</think><answer>4</answer>", "ok", {"tag:answer": "4"}),
        ("[THINK]2+2[/THINK]<answer>4</answer>", "ok", {"tag:answer": "4"}),
        (
            "<|channel|>analysis<|message|>2+2<|end|><|channel|>final<|message|><answer>4</answer>",
            "ok",
            {"tag:answer": "4"},
        ),
        ("<think><answer>4</answer></think>", "empty", {}),
        ("<think>it never ends <answer>4</answer>", "empty", {}),
        ("analysisThe user asks.", "empty", {}),
        (" \n", "empty", {}),
    ],
)
def test_thinking_is_no_part_of_a_reference(rule, text, status, reference):
    found = made(rule, text=text, finish_reason="stop")
    wanted = reference.get(rule, "<answer>4</answer>") if status == "ok" else None
    assert (found.status, found.reference, found.text) == (status, wanted, text)


def test_an_empty_answer_says_why():
    assert made(text="<think>x</think>").error == "the answer is nothing but thinking"
    assert made(text="").error == "the answer is blank"
    assert made(text="", blank="the parser took it").error == "the parser took it"


def test_another_rule_keeps_what_was_said_of_an_answer():
    earlier = made(text="<think>x</think>", blank="the parser took it")
    again = extract_again(Request("p"), replace(CONFIG, extract="tag:a"), earlier, build_extractor("tag:a"))
    assert (again.status, again.error, again.attempts) == ("empty", "the parser took it", 0)


@pytest.mark.parametrize(
    ("rule", "stop", "text", "reference"),
    [
        ("tag:answer", ("</answer>",), "<think>hm</think><answer>four", "four"),
        ("tag:answer", ("\n", "</ANSWER>"), "<answer>four", "four"),
        ("tag:answer", ("</",), "<answer>four", "four"),
        ("tag:answer", ("</answer> ok",), "<answer>four", "four"),
        ("tag:answer", ("</answer>",), "<answer>three</answer> no: <answer>four", "four"),
        ("tag:answer", ("</answer>",), "four", None),
        ("tag:answer", ("\n",), "<answer>four", None),
        ("tag:answer", (), "<answer>four", None),
    ],
)
def test_a_tag_whose_end_a_stop_text_took_runs_to_the_end(rule, stop, text, reference):
    assert build_extractor(rule, stop)(text) == reference


@pytest.mark.parametrize(
    ("text", "reason", "status", "reference"),
    [
        ("<think>x</think>\n\nfour", "stop", "ok", "four"),
        ("<think>x</think>", "stop", "empty", None),
        ("four", "max_tokens", "truncated", None),
        ("four", "stop", "ok", "four"),
    ],
)
def test_a_record_of_an_earlier_version_is_judged_by_todays_rules(text, reason, status, reference):
    earlier = replace(answer("p", text), finish_reason=reason)
    found = as_judged_now(earlier)
    assert (found.status, found.reference) == (status, reference)
    failed = answer("p", status="failed", error="x")
    assert as_judged_now(failed) is failed


def test_a_record_without_the_fields_of_a_later_version_is_read():
    one = answer("p", "x")
    assert Answer.from_json(one.to_json().replace(b',"permanent":false', b"")) == one


def test_examples():
    assert doctest.testmod(finish_reasons).failed == 0
