"""likelihood: measures by hand, what is asked of the policy, and what is refused."""

from __future__ import annotations

import doctest
import math
from dataclasses import replace

import pytest
from letters import SEEN, Letters, row

from pgsrm_plugin import DataError, RewardSample, ScorerError, SemanticReward, SpecError, parse_spec
from pgsrm_plugin.policy import cut, likelihoods
from pgsrm_plugin.text import batch, picks, thinking

TAG = "text: {answer_tag: answer}"
UNSEEN = [-0.5, -1.2, -2.9]


def reward(settings="", text=TAG, name="likelihood"):
    return SemanticReward(parse_spec(f"{{{text}, terms: {{{name}: {{kind: likelihood{settings}}}}}}}"))


def values(settings, rows, policy=None, **kwargs):
    out = reward(f", closing: false{settings}", **kwargs).score(rows, policy=policy or Letters())
    return out.terms["likelihood"].tolist()


@pytest.mark.parametrize("module", [likelihoods, cut, batch, picks, thinking])
def test_doctests(module):
    assert doctest.testmod(module).failed == 0


# --- the numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "expected"),
    [("log_prob", -3.1), ("avg_log_prob", -1.0333333), ("prob", 0.0450492), ("avg_prob", 0.5005605)],
)
def test_measures_by_hand(measure, expected):
    assert values(f", measure: {measure}", [row()]) == pytest.approx([expected], abs=1e-7)


@pytest.mark.parametrize(
    ("measure", "expected"), [("log_prob", 1.5), ("avg_log_prob", 0.5), ("avg_prob", 0.1796445), ("prob", 0.0349974)]
)
def test_lift_is_against_the_same_without_reasoning(measure, expected):
    policy = Letters({"so <answer>": SEEN, "<answer>": UNSEEN})
    assert values(f", measure: {measure}, lift: true", [row()], policy) == pytest.approx([expected], abs=1e-7)
    swapped = Letters({"so <answer>": UNSEEN, "<answer>": SEEN})
    assert values(f", measure: {measure}, lift: true", [row()], swapped) == pytest.approx([-expected], abs=1e-7)
    assert values(f", measure: {measure}, lift: positive", [row()], swapped) == [0.0]


def test_ranks_of_a_group():
    """NOVER: of reasoning as long as another's, the one after which the reference is likelier ranks higher."""
    policy = Letters({f"{z}<answer>": [math.log(1 / ppl)] * 3 for z, ppl in (("a", 1.5), ("b", 1.2), ("c", 2.0))})
    rows = [row(f"{z}<answer>x</answer>", group="g") for z in "abc"]
    assert values(", measure: rank", rows, policy) == pytest.approx([2 / 3, 1.0, 1 / 3])
    assert values(", measure: rank", [*rows, rows[0]], policy) == pytest.approx([0.75, 1.0, 0.25, 0.75])
    # nll 1.2 after 10 tokens is a perplexity of 1.82, and nll .7 after one of 2.01
    longer = Letters({"0123456789<answer>": [-1.2] * 3, "0<answer>": [-0.7] * 3})
    rows = [row(f"{z}<answer>x</answer>", group="g") for z in ("0123456789", "0")]
    assert values(", measure: rank", rows, longer) == [1.0, 0.5]


def test_ranks_of_validation_are_mean_probabilities():
    spec = reward(", measure: rank, closing: false")
    assert spec.for_validation().score([row()], policy=Letters()).terms["likelihood"].tolist() == pytest.approx(
        [0.5005605]
    )


def test_group_credit_is_that_of_jepo():
    policy = Letters({"a<answer>": SEEN, "b<answer>": [-2.0, 0, 0], "c<answer>": [-5.0, 0, 0]})
    rows = [row(f"{z}<answer>x</answer>", group="g") for z in "abc"]
    found = values(", measure: log_prob, group: jepo", rows, policy)
    assert found == pytest.approx([-0.1300446, 0.8791560, -0.3687926], abs=1e-7)
    plain = [-3.1, -2.0, -5.0]
    leave_one_out = [own - (sum(plain) - own) / 2 for own in plain]
    assert leave_one_out == pytest.approx([0.4, 2.05, -2.45])
    assert values(", measure: log_prob, group: jepo", rows[:1], policy) == [0.0]


def test_several_references():
    policy = Letters(fallback=[-1.0])  # a has -1, bb -2, ccc -3
    rows = [row(references=("a", "bb", "ccc"))]
    summed = math.log(math.exp(-1) + math.exp(-2) + math.exp(-3))
    assert values(", measure: log_prob", rows, policy) == [-1.0]
    assert values(", measure: log_prob, references: mean", rows, policy) == pytest.approx([-2.0])
    assert values(", measure: log_prob, references: logsumexp", rows, policy) == pytest.approx([summed])
    assert values(", measure: prob, references: logsumexp", rows, policy) == pytest.approx([math.exp(summed)])


def test_what_is_improbable_is_clipped_and_the_bounds_are_declared():
    policy = Letters(fallback=[-50.0])
    assert values("", [row()], policy) == [-10.0]
    assert values(", clip: 20", [row()], policy) == [-20.0]
    assert values(", measure: log_prob, clip: 2", [row()], policy) == [-6.0]
    assert reward(", measure: log_prob, clip: 2, longest: 30").spec.terms["likelihood"].bounds == (-60.0, 0.0)
    assert reward(", measure: log_prob, clip: 2, longest: 30, lift: true").spec.reach == (-60.0, 60.0)
    assert reward(", measure: log_prob, group: jepo").spec.reach == (-math.log(2), 2560.0)
    assert reward(", lift: positive").spec.reach == (0.0, 10.0)
    assert reward(", measure: avg_prob, lift: true").spec.reach == (-1.0, 1.0)


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_the_reference_stands_where_the_policy_answered():
    policy = Letters()
    reward(", scorer: frozen, lift: true").score([row("so <answer> x</answer> yes", ("abc",))], policy=policy)
    assert policy.asked == [
        ("frozen", "p", "<answer>", "abc</answer>"),
        ("frozen", "p", "so <answer>", "abc</answer>"),
    ]


def test_the_last_answer_counts_and_none_in_the_thinking():
    policy = Letters()
    text = "<think><answer>1</answer></think>a <answer>2</answer> b <answer>3</answer>"
    reward().score([row(text)], policy=policy)
    assert policy.asked[0][2] == text[: text.index("3")]


def test_without_a_tag_the_reference_follows_the_thinking_and_ends_with_the_text():
    policy = Letters()
    reward("", "text: {}").score([row("<think>2+2</think>\n\nfour")], policy=policy)
    reward(", closing: false", "text: {}").score([row("four")], policy=policy)
    reward(", lift: true, without_reasoning: '<think></think>'", "text: {}").score([row("z</think>a")], policy=policy)
    assert [one[1:] for one in policy.asked] == [
        ("p", "<think>2+2</think>\n\n", "abc"),
        ("p", "", "abc"),
        ("p", "<think></think>", "abc"),
        ("p", "z</think>", "abc"),
    ]


def test_the_end_of_text_belongs_to_a_reference_without_tags():
    policy = Letters(fallback=[-1.0, -1.0, -1.0, -5.0])
    out = reward("", "text: {}").score([row("four")], policy=policy)
    assert out.terms["likelihood"].tolist() == [-2.0]


def test_each_question_is_asked_once_in_an_order_of_its_own():
    rows = [row(f"{z}<answer>x</answer>", group=z) for z in "cabca"]
    first, second = Letters(), Letters()
    out = reward().score(rows, policy=first)
    reward().score(rows[::-1], policy=second)
    assert [one[2] for one in first.asked] == ["a<answer>", "b<answer>", "c<answer>"]
    assert first.asked == second.asked
    assert out.stats["policy/continuations"] == 3
    assert out.stats["policy/tokens"] == 3 * len("abc</answer>")


def test_values_follow_a_permutation_bit_by_bit():
    policy = {f"{z}<answer>": [-0.1 * i - 0.05, -0.3] for i, z in enumerate("abcd")}
    rows = [row(f"{z}<answer>x</answer>", group="g") for z in "abcda"]
    for settings in ("", ", measure: rank", ", measure: log_prob, group: jepo"):
        there = reward(settings).score(rows, policy=Letters(policy)).total_B.tolist()
        back = reward(settings).score(rows[::-1], policy=Letters(policy)).total_B.tolist()
        assert back[::-1] == there, settings


def test_the_length_of_the_reasoning_is_logged():
    out = reward().score([row("four <answer>x</answer>"), row("no tag")], policy=Letters())
    assert out.columns()["reward/reasoning_chars"].tolist() == [5.0, 6.0]


# --- what cannot be scored --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "text", "prompt"),
    [
        ("no tag", TAG, "p"),
        ("<answer>x", TAG, "p"),
        ("<think>4 <answer>x</answer>", TAG, "p"),
        ("well <think>4", "text: {}", "p"),
        ("2+2", "text: {}", "p<think>\n"),
    ],
)
def test_a_response_without_an_answer_is_unscorable(response, text, prompt):
    out = reward("", text).score([row(response, prompt=prompt)], policy=Letters())
    assert out.diagnostics["unscorable"].tolist() == [1.0]
    assert out.terms["likelihood"].tolist() == [-10.0]


def test_an_answer_cut_by_a_stop_string_counts_where_the_spec_says_so():
    out = reward("", "text: {answer_tag: answer, unclosed: true}").score([row("4 <answer>x")], policy=Letters())
    assert out.diagnostics["unscorable"].tolist() == [0.0]


def test_guidance_is_no_end_of_the_thinking_that_the_prompt_opened():
    """Of a guided response the prompt ends in the beginning of a reference, which may close the thinking."""
    for given, response, unscorable in (
        ("First we", " add", True),
        ("First we", " add</think>4", False),
        ("We add</think>", "4", False),
    ):
        one = row(response, prompt="p<think>" + given)
        tokens = replace(one.tokens, guidance=len(given))
        out = reward("", "text: {}").score([replace(one, tokens=tokens)], policy=Letters())
        assert out.diagnostics["unscorable"].tolist() == [float(unscorable)], (given, response)


def test_empty_reasoning_is_allowed():
    assert values("", [row("<answer>x</answer>")]) == pytest.approx([-1.0333333])


# --- what is refused --------------------------------------------------------------------------------------------------


def test_only_who_trains_the_policy_can_ask_it():
    with pytest.raises(SpecError, match=r"^term 'mine' asks the policy itself.*`pgsrm train`.*pgsrm_sync"):
        reward(name="mine").score([row()])
    with pytest.raises(DataError, match=r"^row 1: the policy's tokens are missing, and term 'likelihood' needs them"):
        reward().score([RewardSample("p", "<answer>x</answer>", ("abc",))], policy=Letters())


def test_who_serves_or_scores_texts_refuses_at_once():
    from pgsrm_plugin import Scorer
    from pgsrm_plugin.serve.service import build

    spec = reward().spec
    for make in (Scorer, build):
        with pytest.raises(SpecError, match=r"^the spec: term 'likelihood' asks the policy itself"):
            make(spec)


def test_a_reference_longer_than_the_context_is_no_reward():
    with pytest.raises(DataError, match=r"209 tokens .*after 1 of a prompt and 11 of a response.*of 200"):
        reward().score([row(references=("a" * 200,))], policy=Letters())
    bounded = reward(", measure: log_prob, longest: 5")  # aaaa</answer> has 13 letters, "a" 10
    with pytest.raises(
        DataError, match=r"the reference 'a' has 10 tokens, and the term's bounds are for 5; set longest"
    ):
        bounded.score([row(references=("a",))], policy=Letters())
    said = r"^term 'likelihood': the longest reference has 7 tokens or more with its end, and the bounds are for 5; set"
    with pytest.raises(DataError, match=said):
        reward(", measure: log_prob, longest: 5").check_references([row(references=("a", "b" * 6))], policy=Letters())


@pytest.mark.parametrize("number", [math.nan, -math.inf])
def test_a_policy_that_answers_no_number_is_a_failure(number):
    with pytest.raises(ScorerError, match="not finite"):
        reward().score([row()], policy=Letters(fallback=[number]))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (", references: logsumexp", "adds probabilities of whole references up, and measure: avg_log_prob has none"),
        (", group: jepo", "set measure: log_prob"),
        (", measure: rank, lift: true", "measure: rank undoes it"),
        (", without_reasoning: x", "belongs to lift"),
        (", decay: 0.5", "belongs to scorer: ema"),
        (", threshold: 0", "write `lift: positive`"),
    ],
)
def test_settings_that_do_not_go_together(settings, complaint):
    with pytest.raises(SpecError, match=complaint):
        reward(settings)


@pytest.mark.parametrize("changed", ["lowercase: true", "unicode: NFKC"])
@pytest.mark.parametrize("settings", ["", ", against: ground_truth", ", scorer: {model: m}"])
def test_references_in_another_form_are_not_asked_about(changed, settings):
    with pytest.raises(SpecError, match=rf"terms.likelihood: .*text.{changed} makes other texts of them"):
        parse_spec(
            f"{{text: {{answer_tag: answer, {changed}}}, terms: {{likelihood: {{kind: likelihood{settings}}}}}}}"
        )


def test_answers_that_have_no_place_are_refused():
    with pytest.raises(SpecError, match=r"terms.likelihood: .*text.answer_tag"):
        reward("", "text: {extract: boxed}")


def test_products_of_many_probabilities_are_warned_of_once(caplog):
    long = [row(references=("a" * 40,))]
    one = reward(", measure: prob")
    one.check_references([RewardSample("p", "x", ("a" * 40,))], policy=Letters())
    one.score(long, policy=Letters())
    assert caplog.text.count("measure: prob of references of 40 tokens on average is 0 but for rounding") == 1
    caplog.clear()
    truth = [replace(one, references=("a",), ground_truth="a" * 40) for one in long]
    reward(", measure: prob, against: ground_truth").score(truth, policy=Letters())
    assert caplog.text.count("measure: prob of references of 40 tokens on average") == 1
    caplog.clear()
    reward(", measure: avg_prob").score(long, policy=Letters())
    assert "tokens on average" not in caplog.text


# --- correct answers in a tag of their own ----------------------------------------------------------------------------


def test_correct_answers_take_the_place_of_the_references():
    """Those of the row that are likeliest after the reasoning; the expert's text is not asked about."""
    policy = Letters({"so <answer>": SEEN})
    given = replace(row(), references=(), ground_truth=row().references)
    assert values(", against: ground_truth, measure: log_prob", [given], policy) == values(
        ", measure: log_prob", [row()], policy
    )


def test_the_tag_is_the_terms_own_where_it_has_one():
    """The explanation is what likeness would look at, and reasoning to the likelihood of the letter behind it."""
    text, said = "text: {answer_tag: explanation}", "<explanation>so</explanation><answer>x</answer>"
    policy = Letters({"<explanation>so</explanation><answer>": SEEN}, fallback=[-5.0])
    settings = ", tag: answer, measure: log_prob"
    assert values(settings, [row(said)], policy, text=text) == pytest.approx([sum(SEEN)])
    unclosed = row(said.removesuffix("</answer>"))
    assert reward(settings, text).score([unclosed], policy=policy).diagnostics["unscorable"].tolist() == [1.0]
    open_end = text.replace("}", ", unclosed: true}")
    assert values(settings, [unclosed], policy, text=open_end) == pytest.approx([sum(SEEN)])
