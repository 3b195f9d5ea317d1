"""What segments earned: by hand, by the reward's own scoring of each altered text, and what is refused."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest
import torch

from pgsrm_plugin import RewardOutput, RewardSample, SpecError, parse_spec
from pgsrm_plugin.credit import CREDITS, TextCredit, base
from pgsrm_plugin.credit.altered import credit_of
from pgsrm_plugin.credit.leave_one_out import LeaveOneOut
from pgsrm_plugin.credit.prefix import Prefix
from pgsrm_plugin.crosscheck import Use, problems
from pgsrm_plugin.kinds import kind_of
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec.jsonschema import json_schema
from pgsrm_plugin.text import TextSpec

SPEC = """
encoder: {kind: hashing}
terms: {semantic: {quantise: 1.0e-4}, repetition: {ngram: 1}}
weights: {semantic: 1, repetition: -0.2}
"""
TEXT = "Cats eat mice. Dogs bark loudly! Rain falls."
OF_TEXTS = [kind for kind in CREDITS if issubclass(kind, TextCredit)]
WANTED = ("Cats eat mice, dogs bark.",)


def reward(credit: str, spec: str = SPEC) -> SemanticReward:
    return SemanticReward(parse_spec(f"{spec}credit: {credit}\n"))


def sample(response: str = TEXT, references: tuple[str, ...] = WANTED) -> RewardSample:
    return RewardSample("What do they do?", response, references)


def worth(spec: str, *responses: str) -> list[float]:
    """What responses earn, scored apart from any credit."""
    return SemanticReward(parse_spec(spec)).score([sample(one) for one in responses]).total_B.tolist()


def test_doctests() -> None:
    assert doctest.testmod(base).failed == 0


def test_prefix_by_hand() -> None:
    """RED's numbers: a value of .10 for nothing, then .30, .25, .80; the sum is .80 - .10."""
    one, values = Prefix(), [0.10, 0.30, 0.25, 0.80]
    table = dict(zip(one.kept(3, 0), values, strict=True))
    credits = one.credits(3, 0, table)
    assert credits == pytest.approx([0.20, -0.05, 0.55])
    above = one.advantages(credits, [True] * 3)
    assert [1 + part for part in above] == pytest.approx([0.9666667, 0.7166667, 1.3166667])


def test_leave_one_out_by_hand() -> None:
    """.8 with all of them; .5, .9 and .8 without each."""
    one = LeaveOneOut()
    table = dict(zip(one.kept(3, 0), [0.8, 0.5, 0.9, 0.8], strict=True))
    assert one.credits(3, 0, table) == pytest.approx([0.3, -0.1, 0.0])


def test_density_is_the_share_times_the_tokens() -> None:
    shares, counted = [0.2, -0.05, 0.55, 0.0], [True, True, True, False]
    assert Prefix(scale="density").advantages(shares, counted) == pytest.approx([-0.1, -0.85, 0.95, 0.0])


def test_prefixes_are_scored_as_responses_of_their_own() -> None:
    nothing, first, two, whole = worth(SPEC, "", "Cats eat mice. ", "Cats eat mice. Dogs bark loudly! ", TEXT)
    (row,) = reward("prefix").credit([sample()]).rows
    assert row.credits == [first - nothing, two - first, whole - two]
    assert [TEXT[start:end] for ((start, end),) in row.places] == [
        "Cats eat mice. ",
        "Dogs bark loudly! ",
        "Rain falls.",
    ]


def test_what_is_left_out_is_scored_without() -> None:
    whole, *without = worth(
        SPEC, TEXT, "Dogs bark loudly! Rain falls.", "Cats eat mice. Rain falls.", "Cats eat mice. Dogs bark loudly! "
    )
    (row,) = reward("leave_one_out").credit([sample()]).rows
    assert row.credits == [whole - rest for rest in without]
    assert row.credits[0] > 0 > row.credits[2]


def test_nothing_left_is_worth_what_an_empty_response_is() -> None:
    """The worst value of every term: 0 for the likeness, 1 for the repetition, times -.2."""
    for rule in ("floor", "mask", "raise"):
        (row,) = reward("prefix", SPEC + f"unscorable: {rule}\n").credit([sample()]).rows
        (first,) = worth(SPEC, "Cats eat mice. ")
        assert row.credits[0] == first - -0.2, rule


def test_gates_and_tags_see_the_altered_response() -> None:
    """The tags and the thinking stay, so the gate never fails; segments are those of the answer alone."""
    spec = """
encoder: {kind: hashing}
text: {answer_tag: answer}
terms: {semantic: {}, form: {kind: format, pattern: '(?s).*<answer>.*</answer>.*'}}
weights: {semantic: 1, form: 0}
gates: [{term: form, at_least: 1}]
"""
    raw = "<think>Dogs. Cats!</think> <answer>Cats eat mice. Dogs bark.</answer> Dogs bark."
    first, second = "Cats eat mice. ", "Dogs bark."
    tagged = [raw, raw.replace(first, ""), raw.replace(f">{first}{second}<", f">{first}<")]
    whole, without_first, without_second = worth(spec, *tagged)
    assert min(whole, without_first, without_second) > 0
    (row,) = reward("leave_one_out", spec).credit([sample(raw)]).rows
    assert [raw[start:end] for ((start, end),) in row.places] == [first, second]
    assert row.credits == [whole - without_first, whole - without_second]


def test_a_response_with_nothing_to_share_out_costs_nothing() -> None:
    one = reward("leave_one_out")
    out = one.credit([sample(text) for text in ("One sentence.", "", "<think>so", "!?")])
    assert [list(row.credits) for row in out.rows] == [[]] * 4
    assert out.texts == 0
    assert one.credit([]).rows == []


def test_the_value_is_that_of_a_response_by_itself() -> None:
    """Groups, normalisation and terms of weight 0 are no part of it."""
    spec = SPEC.replace("terms: {", "terms: {novelty: {}, ").replace("weights: {", "weights: {novelty: 0, ")
    (plain,) = reward("prefix").credit([sample()]).rows
    grouped = reward("prefix", spec + "aggregate: group_normalised\n")
    (again,) = grouped.credit([replace(sample(), group=3)]).rows
    assert again.credits == plain.credits
    assert "novelty" not in grouped._by_itself().spec.terms


def test_equal_rows_have_equal_bits_and_a_permuted_batch_permuted_credits() -> None:
    texts = [TEXT, "Dogs bark. Cats eat mice.", TEXT, "Rain falls. Dogs bark, cats eat mice. Yes."]
    rows = reward("leave_one_out").credit([sample(text) for text in texts]).rows
    assert rows[0] == rows[2]
    back = reward("leave_one_out").credit([sample(text) for text in reversed(texts)]).rows
    assert list(reversed(back)) == list(rows)


def test_embeddings_of_the_batch_are_not_computed_again() -> None:
    """Response and reference are known from the scoring; three texts of two sentences are new to the encoder."""
    one = reward("leave_one_out")
    one.score([sample()])
    out = one.credit([sample(), sample()])
    assert (out.texts, out.stats["encoder/texts_computed"]) == (8, 3)
    assert one.credit([sample()]).stats["encoder/texts_computed"] == 0


def test_differences_below_the_grid_are_none() -> None:
    """Values that the spec rounds to one point of its grid give credit 0, whatever the encoder's noise."""

    def score(samples):
        halves = torch.full((len(samples),), 0.5, dtype=torch.float64)
        return RewardOutput(halves, {}, {}, halves > 0, {})

    (row,) = credit_of(LeaveOneOut(), [sample()], TextSpec(), score).rows
    assert row.credits == [0.0, 0.0, 0.0]


# --- the spec ---------------------------------------------------------------------------------------------------------


def refused(credit: str, spec: str = SPEC) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(f"{spec}credit: {credit}\n", source="s.yaml")
    return str(caught.value)


def test_what_a_spec_may_not_say() -> None:
    assert "credit.kind: there is no kind 'red'; here that is `kind: prefix`" in refused("red")
    assert "credit.segments: string should match pattern" in refused("{kind: prefix, segments: token}")
    assert "unknown key; write `alpha`" in refused("{kind: prefix, weight: 2}")
    boxed = SPEC + "text: {extract: boxed}\n"
    assert "s.yaml:6: credit: prefix leaves out parts of the text that is scored" in refused("prefix", boxed)


def test_a_term_that_asks_the_policy_needs_the_tokens_that_it_wrote() -> None:
    asking = SPEC.replace("terms: {", "terms: {likelihood: {}, ").replace("weights: {", "weights: {likelihood: 1, ")
    said = "term 'likelihood' asks about the tokens that the policy wrote, or puts the reference in the answer's place"
    tagged = "text: {answer_tag: answer}\n"
    assert said in refused("leave_one_out", asking + tagged)
    named = asking.replace("likelihood: {}", "likelihood: {scorer: {model: m}}")
    assert said in refused("leave_one_out", named + tagged)
    beside = asking.replace("likelihood: {}", "likelihood: {scorer: {model: m}, against: ground_truth, tag: answer}")
    parse_spec(beside + "text: {answer_tag: explanation}\ncredit: {kind: leave_one_out}\n")


def test_what_is_cut_away_is_in_no_altered_text() -> None:
    """The fourth sentence is too long to be scored, and without another it would come into the part that is."""
    seen: list[str] = []

    def score(samples):
        seen.extend(sample.response for sample in samples)
        zeros_B = torch.zeros(len(samples), dtype=torch.float64)
        return RewardOutput(zeros_B, {}, {}, zeros_B.bool(), {})

    one = RewardSample("p", "so <a>Aa bb. Cc dd. Ee ff. Gg hh.</a> z")
    credit_of(LeaveOneOut(), [one], TextSpec(answer_tag="a", max_chars=20), score)
    kept = [text.removeprefix("so <a>").removesuffix("</a> z").split() for text in seen]
    assert sorted(kept) == [
        ["Aa", "bb.", "Cc", "dd."],
        ["Aa", "bb.", "Cc", "dd.", "Ee", "ff."],
        ["Aa", "bb.", "Ee", "ff."],
        ["Cc", "dd.", "Ee", "ff."],
    ]


def test_every_kind_says_how_many_texts_it_scores() -> None:
    for kind in OF_TEXTS:
        one = kind()
        for segments in (2, 3, one.max_segments):
            assert len(set(one.kept(segments, 7))) <= one.most_texts <= base.MOST_TEXTS


def test_a_spec_without_credit_is_as_it_was() -> None:
    plain = parse_spec(SPEC)
    assert "credit" not in plain.model_dump_json()
    for kind in map(kind_of, OF_TEXTS):
        credited = parse_spec(SPEC + f"credit: {kind}\n")
        assert credited.alone().credit is None
        assert credited.unshaped_fingerprint == plain.unshaped_fingerprint
        assert parse_spec(SPEC + f"credit: {{kind: {kind}}}\n") == credited


def test_the_schema_knows_it() -> None:
    credit = json_schema()["properties"]["credit"]
    assert set(map(kind_of, OF_TEXTS)) <= set(credit["anyOf"][0]["enum"])


def test_where_a_response_is_a_text_credit_is_refused() -> None:
    (said,) = problems(parse_spec(SPEC + "credit: prefix\n"), Use(without_tokens="train with x"))
    assert said.startswith("credit: prefix says which tokens of a response earned its reward, and here")
    assert said.endswith("train with x, or leave the credit out")
    assert problems(parse_spec(SPEC), Use(without_tokens="train with x")) == []


def test_a_reward_without_credit_says_so() -> None:
    with pytest.raises(SpecError, match="the spec has no credit that is made of texts"):
        SemanticReward(parse_spec(SPEC)).credit([sample()])
