"""Spec and trainer together: each rule with what it refuses and what it lets through."""

from __future__ import annotations

import pytest

from pgsrm_plugin import SpecError, parse_spec
from pgsrm_plugin.crosscheck import RULES, Use, check_use, problems

TERMS = "terms: {exact_match: {}}\n"
SPECS = {
    "plain": parse_spec(TERMS),
    "grouped": parse_spec(TERMS + "aggregate: group_normalised"),
    "renorm": parse_spec(TERMS + "aggregate: renorm"),
    "mask": parse_spec(TERMS + "unscorable: mask"),
    "raise": parse_spec(TERMS + "unscorable: raise"),
    "credit": parse_spec(TERMS + "credit: prefix"),
}
CASES = [
    ("grouped", Use(one_by_one="score a step"), "needs whole groups, and here responses come one by one; score a step"),
    ("grouped", Use(own_advantages="it makes its own; set b"), "gives advantages, and it makes its own; set b, or use"),
    ("grouped", Use(one_response="n is 1"), "none to compare with because n is 1; set it to 2 or more, or use agg"),
    ("grouped", Use(divides_again="c is true"), "once more, which undoes it, because c is true; set it to false, or"),
    ("renorm", Use(subtracts_mean="e subtracts a mean"), "only shifts the weighted sum, and e subtracts a mean, which"),
    (
        "mask",
        Use(cannot_mask=("the trainer", "set d")),
        "out of the loss of the trainer; use unscorable: floor, or set",
    ),
    (
        "raise",
        Use(cannot_stop=("the trainer", "set d")),
        "stop the trainer, which goes on without the response; use un",
    ),
    (
        "credit",
        Use(without_tokens="set f"),
        "earned its reward, and here a response is a text that gets one reward; set f",
    ),
]


@pytest.mark.parametrize(("name", "use", "sentence"), CASES)
def test_a_rule_refuses_its_pair_and_no_other(name, use, sentence):
    (said,) = problems(SPECS[name], use)
    assert sentence in said
    assert [other for other in SPECS if problems(SPECS[other], use)] == [name]
    with pytest.raises(SpecError, match=r"^reward\.yaml: "):
        check_use(SPECS[name], use, "reward.yaml")


COMPARING = parse_spec(
    "terms: {judge: {base_url: 'http://127.0.0.1:1/v1', model: j, mode: listwise, rubric: [It is right.]}}"
)
OF_TERMS = [
    (Use(one_by_one="score a step"), "one prompt, and here they come one by one; score a step, or leave it out"),
    (Use(one_response="n is 1"), "none to compare with because n is 1; set it to 2 or more, or leave it out"),
]


@pytest.mark.parametrize(("use", "sentence"), OF_TERMS)
def test_a_term_that_compares_responses_needs_its_group(use, sentence):
    (said,) = problems(COMPARING, use)
    assert said.startswith("term 'judge' compares the responses to")
    assert sentence in said


def test_a_term_that_asks_the_policy_needs_its_weights():
    spec = parse_spec("terms: {mine: {kind: likelihood, scorer: frozen}}")
    both = {"policy": "", "frozen": ""}
    cases = [
        (Use(), "term 'mine' asks the policy itself, and here there are only its words; `pgsrm train`"),
        (Use(no_policy="set e"), "term 'mine' asks the policy itself, and here there are only its words; set e"),
        (Use(weights={"policy": ""}), "term 'mine' asks the weights 'frozen', and here only policy can be asked"),
        (Use(weights={**both, "frozen": "set f"}), "term 'mine' asks the weights 'frozen', which are not there: set f"),
    ]
    for use, sentence in cases:
        (said,) = problems(spec, use)
        assert said.startswith(sentence)
    assert problems(spec, Use(weights=both)) == []


def test_a_credit_that_asks_models_needs_them():
    asking, use = parse_spec(TERMS + "credit: {kind: log_ratio, base: half}"), Use(without_models="set g")
    (said,) = problems(asking, use)
    assert "asks language models about the policy's tokens, and here there is none beside the policy; set g" in said
    assert [name for name in SPECS if problems(SPECS[name], use)] == []


def test_every_rule_has_its_case_and_nothing_is_in_the_way_by_default():
    assert len(CASES) + len(OF_TERMS) + 2 == len(RULES)
    for spec in (*SPECS.values(), COMPARING):
        check_use(spec, Use(), "reward.yaml")
