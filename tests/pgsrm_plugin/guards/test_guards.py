"""What each guard finds, pair by pair, by hand; and what a true paraphrase must not be cut for."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
import torch
import yaml

from pgsrm_plugin import RewardSample, SemanticReward, parse_spec
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.guards import GUARDS, KINDS, Compared
from pgsrm_plugin.guards.english import amounts, antonyms, order, reading
from pgsrm_plugin.guards.entailment import EntailmentGuard
from pgsrm_plugin.guards.off_topic_window import OffTopicWindow
from pgsrm_plugin.kinds import kind_of
from pgsrm_plugin.types import Embeddings


@pytest.mark.parametrize("module", [amounts, antonyms, order, reading])
def test_docstring_examples(module):
    result = doctest.testmod(module)
    assert (result.attempted > 0, result.failed) == (True, 0)


def share(kind: str, response: str, reference: str, prompt: str = "", **settings: object) -> float:
    (found,) = KINDS[kind](**settings).violations([Compared(response, reference, prompt)], None)
    return found.share


SWAPPED = ("The nurse thanked the old doctor.", "The old doctor thanked the nurse.")


@pytest.mark.parametrize(
    ("kind", "response", "reference", "expected"),
    [
        # numbers: twice the least of unmatched on both sides, over the reference's
        ("numeric_consistency", "It takes 500 seconds.", "It takes 8 minutes and 20 seconds.", 0.0),
        ("numeric_consistency", "It takes 18 minutes and 20 seconds.", "It takes 8 minutes and 20 seconds.", 1.0),
        ("numeric_consistency", "Roast it for eighty minutes.", "Roast it for an hour and twenty minutes.", 0.0),
        ("numeric_consistency", "It was last seen in nineteen eighty-six.", "It was last seen in 1986.", 0.0),
        ("numeric_consistency", "A half-dozen women came.", "Six women came.", 0.0),
        ("numeric_consistency", "It is 20 percent of the air.", "It is one fifth of the air.", 0.0),
        ("numeric_consistency", "It is one tenth of the air.", "It is one fifth of the air.", 1.0),
        ("numeric_consistency", "It was at 5 p.m. on 11 November.", "It was at 11 a.m. on 11 November.", 2 / 3),
        ("numeric_consistency", "At noon it was 5 and then 5.", "It was 5 at noon.", 0.0),
        ("numeric_consistency", "Groups of hundred bases.", "Groups of three bases.", 1.0),
        ("numeric_consistency", "It lasts a hundred years.", "It lasts a century.", 0.0),
        ("numeric_consistency", "A few hundred people came.", "Three people came.", 0.0),
        ("numeric_consistency", "It takes 6 hours.", "It takes 5 hours.", 1.0),
        ("numeric_consistency", "It takes five hours.", "It takes 5 hours.", 0.0),
        ("numeric_consistency", "It takes 300 minutes.", "It takes 5 hours.", 0.0),
        ("numeric_consistency", "It takes 5 minutes.", "It takes 5 hours.", 1.0),
        ("numeric_consistency", "Half of them are red.", "50% of them are red.", 0.0),
        ("numeric_consistency", "Three quarters of them", "0.75 of them", 0.0),
        ("numeric_consistency", "It is -5 degrees.", "It is 5 degrees.", 1.0),
        ("numeric_consistency", "1,200 people", "1200 people", 0.0),
        ("numeric_consistency", "At 10:30.", "At 10.30 am.", 0.0),
        ("numeric_consistency", "At 11:30.", "At 10:30.", 1.0),
        ("numeric_consistency", "It takes some hours.", "It takes 5 hours.", 0.0),
        ("numeric_consistency", "Between 2 and 9", "Between 2 and 3", 1.0),
        ("numeric_consistency", "Of 2, 3, 4 and 9", "Of 2, 3, 4 and 5", 0.5),
        ("numeric_consistency", "It has two hundred and six bones.", "It has 206 bones.", 0.0),
        ("numeric_consistency", "Two hundred and seven bones.", "It has 206 bones.", 1.0),
        ("numeric_consistency", "At half past seven.", "At 7:30 pm.", 0.0),
        ("numeric_consistency", "At 5 in the afternoon", "At 17:00", 0.0),
        ("numeric_consistency", "At 5 am", "At 17:00", 1.0),
        ("numeric_consistency", "Four times a year.", "Every three months.", 0.0),
        ("numeric_consistency", "Four times a month.", "Every three months.", 1.0),
        ("numeric_consistency", "Twice a day", "Every 12 hours", 0.0),
        ("numeric_consistency", "After eighteen months", "After a year and a half", 0.0),
        ("numeric_consistency", "One chance in 36", "1/36", 0.0),
        ("numeric_consistency", "It opens on Monday.", "It opens on Friday.", 1.0),
        ("numeric_consistency", "Born on 4 June 1950", "Born on 4 July 1950", 2 / 3),
        ("numeric_consistency", "Born on 1950-07-04", "Born on 4 July 1950", 0.0),
        ("numeric_consistency", "A mile", "A kilometre", 0.0),
        ("numeric_consistency", "One mile", "1.609 km", 0.0),
        ("numeric_consistency", "The bun is cut in half.", "The bun is cut in two.", 0.0),
        ("numeric_consistency", "有6个", "有5个", 1.0),
        # negation
        ("polarity", "The drug does not lower the pressure.", "The drug lowers the pressure.", 1.0),
        ("polarity", "It never rains in this desert.", "It often rains in this desert.", 1.0),
        ("polarity", "The drug lowers the blood pressure.", "The drug lowers the pressure.", 0.0),
        ("polarity", "It is not unlikely, but it rains.", "It rains.", 0.0),
        ("polarity", "He did not run.", "A completely different sentence about cooking rice.", 0.0),
        ("polarity", "He failed to open the old door.", "He opened the old door.", 1.0),
        ("polarity", "He did not open the old door.", "He failed to open the old door.", 0.0),
        ("polarity", "It is not true that the sky is blue.", "The sky is blue.", 1.0),
        ("polarity", "It is not true that when it rains the lake fills.", "When it rains the lake fills.", 1.0),
        ("polarity", "It is false that the drug helps.", "The drug helps.", 1.0),
        ("polarity", "A is not heavier. So A sinks in water.", "A is heavier. So A sinks in water.", 0.8),
        (
            "polarity",
            "Zinc is not more noble than iron, so it is lost.",
            "Zinc is more noble than iron, so it is lost.",
            1.0,
        ),
        ("polarity", "Acid and base give water, with a base.", "Acid and base give water, not with a base.", 0.8),
        (
            "polarity",
            "Count it, and you know how far away it is not.",
            "Count it, and you know how far away it is.",
            0.8,
        ),
        ("polarity", "He neither ate nor drank that day.", "He did not eat or drink that day.", 0.0),
        ("polarity", "No more than ten people came.", "At most ten people came.", 0.0),
        ("polarity", "It helps hardly anyone who takes it.", "It helps nearly everyone who takes it.", 0.8),
        (
            "polarity",
            "It should not be given to children; it should be given to children.",
            "It should not be given to children.",
            1.0,
        ),
        (
            "polarity",
            "It works if the list is sorted, but it works if the list is not sorted.",
            "It works if the list is sorted.",
            0.8,
        ),
        ("antonymy", "They were despondent at the wettest place.", "They were jubilant at the driest place.", 1.0),
        ("antonymy", "It lowers the price, or else it raises the price.", "It lowers the price.", 1.0),
        (
            "temporal_order",
            "The buyer inspects the goods only after he has paid.",
            "The buyer pays only after he has inspected the goods.",
            1.0,
        ),
        ("polarity", "No fewer than ten people came.", "At least ten people came.", 0.0),
        ("polarity", "The man jumping is not wearing a shirt.", "The man without a shirt is jumping.", 0.0),
        ("polarity", "You can return them unless you wear them.", "You can return them if you wear them.", 0.8),
        ("polarity", "The drug helps old men. The drug does not help old men.", "The drug helps old men.", 1.0),
        # opposites
        ("antonymy", "The price rises in summer.", "The price falls in summer.", 1.0),
        ("antonymy", "Hot water is heavier than ice.", "Cold water is heavier than ice.", 1.0),
        ("antonymy", "The price does not rise in summer.", "The price falls in summer.", 0.0),
        ("antonymy", "The price rises in summer.", "The price climbs in summer.", 0.0),
        ("antonymy", "Silver is lighter than solid gold.", "Solid gold is heavier than silver.", 0.0),
        ("antonymy", "Solid gold is lighter than silver.", "Solid gold is heavier than silver.", 1.0),
        ("antonymy", "A cache is safe here.", "A cache is unsafe here.", 1.0),
        ("antonymy", "Two negative numbers give a negative one.", "Two negative numbers give a positive one.", 1.0),
        # before and after
        (
            "temporal_order",
            "Before you boil the water, wash the rice.",
            "Wash the rice before you boil the water.",
            0.0,
        ),
        ("temporal_order", "After you boil the water, wash the rice.", "Wash the rice before you boil the water.", 1.0),
        ("temporal_order", "The fish is followed by the soup.", "The soup is followed by the fish.", 1.0),
        ("temporal_order", "The fish is preceded by the soup.", "The soup is followed by the fish.", 0.0),
        ("temporal_order", "Do not add salt until the water boils.", "Add salt after the water boils.", 0.0),
        ("temporal_order", "Wash the rice after you boil the water.", "Wash the rice before you boil the water.", 1.0),
        ("temporal_order", "Boil the water after you wash the rice.", "Wash the rice before you boil the water.", 0.0),
        # order
        ("word_order", *SWAPPED, 1.0),
        ("word_order", "nurse old the thanked doctor the", SWAPPED[1], 1.0),
        ("word_order", "Salt and pepper are on the table.", "Pepper and salt are on the table.", 0.0),
        ("word_order", "In a grassy plain, four zebras stand.", "Four zebras stand in a grassy plain.", 0.0),
        ("word_order", "The old doctor was thanked by the nurse.", "The old doctor thanked the nurse.", 1.0),
        ("word_order", "The nurse was thanked by the old doctor.", "The old doctor thanked the nurse.", 0.0),
        ("word_order", "A tall oak stands next to a red barn.", "A red barn stands next to a tall oak.", 0.0),
        ("word_order", "A red oak stands next to a tall barn.", "A red barn stands next to a tall oak.", 1.0),
        ("word_order", "Reads get slower and writes faster.", "Reads get faster and writes slower.", 1.0),
        (
            "word_order",
            "emperor left palace burned the had the after",
            "The emperor left after the palace had burned.",
            1.0,
        ),
        ("word_order", SWAPPED[1], SWAPPED[1], 0.0),
        # heaps of keywords
        (
            "function_words",
            "water boils hundred degrees sea level pressure lower mountains",
            "Water boils at a hundred degrees at sea level, and at less in the mountains.",
            1.0,
        ),
        (
            "function_words",
            "水在一百度沸腾。",
            "Water boils at a hundred degrees at sea level, and at less higher.",
            0.0,
        ),
        # length: from 1.7 to 2.7 times the reference
        ("length", "word " * 27, "word " * 10, 1.0),
        ("length", "word " * 22, "word " * 10, 0.5),
        ("length", "word " * 17, "word " * 10, 0.0),
        ("length", "word", "word " * 10, 0.0),
        ("length", "word " * 90, "yes", 0.5),
        # loops
        ("repetition", "the rye " * 10, "The rye grows tall in the field.", 1.0),
        ("repetition", "The rye grows tall in the field.", "Rye is tall.", 0.0),
    ],
)
def test_what_a_guard_finds(kind, response, reference, expected):
    assert share(kind, response, reference) == pytest.approx(expected, abs=1e-9)


def test_a_copied_question_is_found_and_a_shared_phrase_is_not():
    prompt = "Why is the sky blue on a clear day in summer?"
    assert share("prompt_copy", prompt, "Air scatters short waves more than long ones.", prompt) == 1.0
    assert share("prompt_copy", "The sky is blue since air scatters.", "Air scatters.", prompt) == 0.0


HARMLESS = yaml.safe_load((Path(__file__).parents[3] / "scripts" / "pairs" / "harmless.yaml").read_text())


@pytest.mark.parametrize(("response", "reference"), HARMLESS)
def test_harmless_edits_break_nothing(response, reference):
    rules = [kind_of(guard) for guard in GUARDS if guard not in (OffTopicWindow, EntailmentGuard)]
    assert {kind: share(kind, response, reference) for kind in rules} == dict.fromkeys(rules, 0.0)


def test_the_words_that_made_it_fire_are_kept():
    (found,) = KINDS["antonymy"]().violations([Compared("The price rises.", "The price falls.", "")], None)
    assert found.words == ("rises/falls",)


# --- in a reward ------------------------------------------------------------------------------------------------------


class Letters:
    """Cosines by hand: the counts of a, b and c."""

    identity = "letters"

    def encode(self, texts):
        rows = [[float(text.count(letter)) for letter in "abc"] for text in texts]
        return Embeddings(torch.tensor(rows), torch.full((len(rows),), -1), torch.zeros(len(rows), dtype=torch.bool))

    def token_states(self, texts):
        kinds = {"a": [1.0, 0, 0], "b": [0, 1.0, 0], "c": [0, 0, 1.0]}
        return [torch.tensor([kinds[letter] for letter in text if letter in kinds]) for text in texts]


def reward(text: str) -> SemanticReward:
    return SemanticReward(parse_spec(text + "\nencoder: {kind: hf, model: none}"), Letters())


def test_the_best_reference_is_taken_after_guarding():
    """5 a against 7 a: cosine 1, cut by 0.7 to 0.3; against "5 a b": cosine 1 / sqrt(2), uncut."""
    scored = reward("terms: {semantic: {}}\nguards: {numeric_consistency: {}}")
    output = scored.score([RewardSample("p", "5 a", ("7 a", "5 a b")), RewardSample("p", "5 a", ("7 a",))])
    assert output.total_B.tolist() == pytest.approx([2**-0.5, 0.3], abs=1e-6)
    assert output.diagnostics["guard/numeric_consistency"].tolist() == [0.0, 1.0]
    assert output.guard_words == [{}, {"numeric_consistency": ("5", "7")}]


def test_guards_multiply_and_a_cut_is_the_specs():
    text = (
        "terms: {semantic: {}}\nguards: {numeric_consistency: {cut: 0.5}, again: {kind: numeric_consistency, cut: 0.2}}"
    )
    assert reward(text).score([RewardSample("p", "5 a", ("7 a",))]).total_B.tolist() == pytest.approx([0.4])


def test_what_is_cut_is_what_lies_above_the_terms_least():
    """euclidean lies in [-1, 1]: 1 becomes -1 + 2 * 0.3; exact_match is no likeness and stays."""
    text = "terms: {semantic: {transform: euclidean}, exact_match: {}}\nguards: {numeric_consistency: {}}"
    output = reward(text).score([RewardSample("p", "5 a", ("7 a",))])
    assert output.terms["semantic"].tolist() == pytest.approx([-0.4])
    assert output.terms["exact_match"].tolist() == [0.0]


def test_unscorable_rows_break_nothing():
    output = reward("terms: {semantic: {}}\nguards: {polarity: {}}").score([RewardSample("p", " ", ("a",))])
    assert output.diagnostics["guard/polarity"].tolist() == [0.0]


def test_an_off_topic_window_by_hand():
    """Windows of 2 with steps of 1: "aabbb" has (a,a), (a,b), (b,b), (b,b); only a stands in the reference."""
    guard = OffTopicWindow(window=2, min_response=1, min_reference=1)
    pairs = [Compared("aabbb", "aaa", ""), Compared("aaa", "aaa", "")]
    assert [found.share for found in guard.violations(pairs, _States())] == [1.0, 0.0]
    assert [found.share for found in OffTopicWindow(window=2).violations(pairs, _States())] == [0.0, 0.0]


class _States:
    def token_states(self, texts):
        return Letters().token_states(texts)


@pytest.mark.parametrize(
    ("side", "expected"), [("recall", 0.5), ("precision", 1.0), ("f1", 2 / 3), ("f1, beta: 2", 5 / 9)]
)
def test_sides_of_bertscore(side, expected):
    """ "a" against "ab": all that is said is in the reference, half of the reference is said."""
    scored = reward(f"terms: {{bertscore: {{side: {side}}}}}").score([RewardSample("p", "a", ("ab",))])
    assert scored.total_B.tolist() == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "terms: {exact_match: {}}\nguards: {polarity: {}}",
            "no term of this spec is one (semantic, bleu, rouge, bertscore, entailment, claims)",
        ),
        ("terms: {bleu: {}}\nguards: {polarty: {}}", "'polarty' is no kind of guard; did you mean 'polarity'?"),
        ("terms: {bleu: {}}\nguards: {polarity: {cutt: 1}}", "guards.polarity.cutt: unknown key; did you mean 'cut'?"),
        (
            "terms: {bleu: {}}\nguards: {polarity: {cut: 2}}",
            "guards.polarity.cut: input should be less than or equal to 1",
        ),
        ("terms: {bleu: {}}\nguards: {off_topic_window: {}}", "'off_topic_window' needs an encoder"),
        (
            "encoder: {kind: hashing}\nterms: {bleu: {}}\nguards: {off_topic_window: {}}",
            "'off_topic_window' needs token states, so an encoder of kind hf",
        ),
        (
            "terms: {bertscore: {side: recall, beta: 2}}\nencoder: {kind: hf, model: m}",
            "beta has no meaning for side: recall",
        ),
    ],
)
def test_a_wrong_section_is_refused(text, message):
    with pytest.raises(SpecError) as raised:
        parse_spec(text)
    assert message in str(raised.value)
