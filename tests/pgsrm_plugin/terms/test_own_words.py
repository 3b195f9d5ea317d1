"""followup and phase_entropy by hand: what the policy says of a reader's next words, and of its own."""

from __future__ import annotations

from typing import ClassVar

import pytest
from letters import Letters, row

from pgsrm_plugin import SemanticReward, SpecError, parse_spec

TAG = "text: {answer_tag: answer}"


class Reader(Letters):
    """Has a mean log-probability for every sentence, whatever was said before."""

    moods: ClassVar = {"+a": -12.0, "+b": -9.0, "-a": -15.0, "-b": -11.0}

    def _of(self, one):
        self.fallback = [self.moods[self.decode(one.target)]]
        return super()._of(one)


def followup(settings="", responses=("so",), policy=None):
    spec = f"{{terms: {{followup: {{positive: [+a, +b], negative: [-a, -b]{settings}}}}}}}"
    return SemanticReward(parse_spec(spec)).score([row(text) for text in responses], policy=policy or Reader())


def test_a_contented_reader_is_likelier():
    """Means of -10.5 and -13: 2.5 nats apart."""
    assert followup().total_B.tolist() == pytest.approx([0.9241418])
    assert followup(", scale: 2.5").total_B.tolist() == pytest.approx([0.7310586])


def test_sentences_follow_the_response_without_its_end():
    policy = Reader()
    followup(", turn: ' U: ', scorer: policy", ["one", "two", "one"], policy)
    assert policy.asked == [
        ("policy", "p", f"{said} U: ", words) for said in ("one", "two") for words in sorted(Reader.moods)
    ]


def test_the_frozen_reference_is_asked_unless_said_otherwise():
    policy = Reader()
    followup(policy=policy)
    assert {weights for weights, *_ in policy.asked} == {"frozen"}
    assert followup(", scorer: ema, decay: 0.5").total_B.tolist() == pytest.approx([0.9241418])


def test_what_the_sentences_are_by_default_is_both_kinds():
    term = parse_spec("{terms: {followup: {}}}").terms["followup"]
    assert len(set(term.positive) | set(term.negative)) == len(term.positive) + len(term.negative)
    with pytest.raises(SpecError, match=r"terms\.followup\.positive"):
        parse_spec("{terms: {followup: {positive: []}}}")


# --- phase_entropy ----------------------------------------------------------------------------------------------------


def phases(thinking, answer, settings="", response="ab<answer>cd</answer>", text=TAG):
    """The entropy of each letter before the answer, and from it on."""
    before = response.index("c") if "c" in response else len(response)
    entropies = [thinking] * before + [answer] * (len(response) + 1 - before)
    spec = f"{{{text}, terms: {{exact_match: {{}}, phase_entropy: {{{settings}}}}}, "
    spec += "weights: {exact_match: 1, phase_entropy: -1}}"
    return SemanticReward(parse_spec(spec)).score([row(response, ("cd",))], policy=Letters(entropies=entropies))


@pytest.mark.parametrize(
    ("thinking", "answer", "settings", "fault"),
    [
        (0.5, 0.2, "", 0.3),
        (0.1, 0.2, "", 0.0),
        (0.5, 0.2, "answer_share: 2", 0.1),
        (5.0, 0.2, "", 1.0),
        (5.0, 0.2, "cap: 3", 3.0),
    ],
)
def test_entropy_before_the_answer_beyond_that_of_the_answer_is_a_fault(thinking, answer, settings, fault):
    out = phases(thinking, answer, settings)
    assert out.terms["phase_entropy"].tolist() == pytest.approx([fault])
    assert out.weighted["phase_entropy"].tolist() == pytest.approx([-fault])


def test_a_right_answer_is_worth_what_pear_says():
    """min(1, s - penalty): .7 for s = 1, 1 without a penalty, -.3 for s = 0; here the penalty has a bound."""
    assert phases(0.5, 0.2).total_B.tolist() == pytest.approx([0.7])
    assert phases(0.1, 0.2).total_B.tolist() == pytest.approx([1.0])
    assert phases(0.5, 0.2, response="ab<answer>cc</answer>").total_B.tolist() == pytest.approx([-0.3])


def test_phases_are_those_of_thinking_without_a_tag():
    out = phases(0.9, 0.4, response="<think>ab</think>cd", text="text: {}")
    assert out.terms["phase_entropy"].tolist() == pytest.approx([0.5])
    nothing = phases(0.9, 0.4, response="cd", text="text: {}")
    assert nothing.terms["phase_entropy"].tolist() == [0.0]


def test_a_response_without_an_answer_has_the_greatest_fault():
    out = phases(0.0, 0.0, response="<think>ab", text="text: {}")
    assert out.diagnostics["unscorable"].tolist() == [1.0]
    assert out.terms["phase_entropy"].tolist() == [1.0]


def test_its_weight_is_not_positive():
    with pytest.raises(SpecError, match="measures a fault"):
        parse_spec("{terms: {phase_entropy: {}}}")
