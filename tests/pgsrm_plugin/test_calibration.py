"""What `pgsrm calibrate` measures, by hand and with log odds that are given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from pgsrm_plugin import calibration
from pgsrm_plugin.data.rows import Record, parse_row
from pgsrm_plugin.encoders.entailment import RELATED, UNRELATED, Judgement
from pgsrm_plugin.encoders.hashing import HashingEncoder, HashingEncoderSpec
from pgsrm_plugin.errors import DataError, ScorerError, SpecError
from pgsrm_plugin.functional import logistic
from pgsrm_plugin.spec import RewardSpec, parse_spec
from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.types import Embeddings, ReferencePairs, Reply


class Letters:
    """The counts of a, b and c as the vector; a unit vector for each letter as the states."""

    identity = "letters"

    def encode(self, texts: Sequence[str]) -> Embeddings:
        rows = [[float(text.count(letter)) for letter in "abc"] for text in texts]
        unknown_N = torch.tensor([not any(row) for row in rows])
        return Embeddings(torch.tensor(rows), torch.full((len(rows),), -1), torch.zeros_like(unknown_N), unknown_N)

    def token_states(self, texts: Sequence[str]) -> list[torch.Tensor]:
        kinds = {"a": [1.0, 0, 0], "b": [0, 1.0, 0], "c": [0, 0, 1.0]}
        return [torch.tensor([kinds[letter] for letter in text if letter in kinds]) for text in texts]


class Said:
    """Log odds that are given, by the pair of premise and hypothesis."""

    def __init__(self, odds: dict[tuple[str, str], float]) -> None:
        self.odds = odds

    def ask(self, _: object, pairs: Sequence[tuple[str, str]]) -> list[Reply]:
        return [Reply((self.odds[pair],)) for pair in pairs]


def records(*rows: tuple[str, list[str]]) -> list[Record]:
    parsed = [{"prompt": prompt, "references": references} for prompt, references in rows]
    return [record for row in parsed for record in parse_row(row, "", responses=False)]


def spec(terms: str) -> RewardSpec:
    return parse_spec(f"encoder: {{kind: hf, model: none}}\nterms: {{{terms}}}")


def test_a_floor_and_a_baseline_by_hand():
    """ "ab" beside "a": cosine 1 / sqrt(2), recall of "a" 1, precision 1/2; beside "c": 0."""
    found = calibration.calibrate(
        spec("semantic: {}, bertscore: {side: precision, baseline: 0.9}"),
        records(("p", ["ab"]), ("q", ["a"]), ("r", ["c"])),
        Letters(),
    )
    floor = found["terms.semantic"].settings["floor"]
    assert floor == {"value": pytest.approx(2**-0.5 / 3, abs=1e-4), "encoder": "letters", "pairs": 3}
    assert found["terms.bertscore"].settings == {"baseline": pytest.approx((1 / 2) / 3, abs=1e-4)}


def test_the_floor_of_claims_is_between_points():
    """ "a. b." has the points a and b: beside "a." the cosines are 1 and 0, and 1 / sqrt(2) between whole texts."""
    rows = records(("p", ["a aa. b bb."]), ("q", ["a aa."]))
    found = calibration.calibrate(spec("claims: {}"), rows, Letters())["terms.claims"]
    assert found.settings["floor"] == {"value": 0.5, "encoder": "letters", "pairs": 2}


def test_pairs_are_of_different_prompts_and_of_one():
    rows = records(("p", ["one", "two", "three"]), ("q", ["four", "one"]))
    found = calibration.drawn(rows, TextSpec(), 100)
    assert {frozenset(pair) for pair in found.related} == {
        *(frozenset(pair) for pair in (("one", "two"), ("one", "three"), ("two", "three"), ("four", "one")))
    }
    assert {frozenset(pair) for pair in found.unrelated} == {
        *(frozenset(pair) for pair in (("one", "four"), ("two", "four"), ("three", "four"))),
        *(frozenset(pair) for pair in (("two", "one"), ("three", "one"))),
    }
    assert len(calibration.drawn(rows, TextSpec(), 2).related) == 2


def test_a_centre_gives_what_says_the_same_its_worth():
    """Twenty pairs of one prompt with odds 0 to 1.9, twenty of others with -12 to -10.1: scale would be above 1."""
    related = [(f"a{i}", f"b{i}") for i in range(20)]
    unrelated = [(f"c{i}", f"d{i}") for i in range(20)]
    odds = {pair: i / 10 for i, pair in enumerate(related)} | {pair: -12 + i / 10 for i, pair in enumerate(unrelated)}
    both = odds | {(b, a): value + 1 for (a, b), value in odds.items()}
    found = Judgement(model="none").calibrate(ReferencePairs(unrelated=unrelated, related=related), Said(both))
    assert found.settings["scale"] == 1.0
    alike, apart = 0.05 * 19 / 10, -12 + 0.95 * 19 / 10  # linear quantiles of equally spaced values
    centre = found.settings["centre"]
    assert math.log(centre / (1 - centre)) == pytest.approx(alike - math.log(RELATED / (1 - RELATED)), abs=0.01)
    assert logistic(alike, centre, 1.0) == pytest.approx(RELATED, abs=0.002)
    assert logistic(apart, centre, 1.0) < UNRELATED

    near = {pair: value if pair in related else value + 9 for pair, value in odds.items()}
    near |= {(b, a): value + 1 for (a, b), value in near.items()}
    close = Judgement(model="none").calibrate(ReferencePairs(unrelated=unrelated, related=related), Said(near)).settings
    assert close["scale"] < 1.0
    assert logistic(alike, **close) == pytest.approx(RELATED, abs=0.01)
    assert logistic(apart + 9, **close) == pytest.approx(UNRELATED, abs=0.01)


def test_a_cross_encoder_that_cannot_tell_or_too_few_pairs():
    pairs = [(f"a{i}", f"b{i}") for i in range(20)]
    said = Said({pair: 0.0 for one, other in pairs for pair in ((one, other), (other, one))})
    with pytest.raises(DataError, match=r"stay below 0\.00: this model does not tell one from the other"):
        Judgement(model="none").calibrate(ReferencePairs(unrelated=pairs, related=pairs), said)
    with pytest.raises(DataError, match=r"there must be 20 pairs of one prompt, not 3; let a parent write several"):
        Judgement(model="none").calibrate(ReferencePairs(unrelated=pairs, related=pairs[:3]), said)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (("d", "a"), DataError, "the reference 'd' has no representation under encoder letters"),
        (("a", "aa"), ScorerError, "encoder letters gives all texts the same vector"),
    ],
)
def test_texts_that_the_encoder_cannot_tell(texts, error, message):
    with pytest.raises(error, match=message):
        calibration.calibrate(spec("semantic: {}"), records(("p", [texts[0]]), ("q", [texts[1]])), Letters())


def test_nothing_to_measure_is_an_error():
    with pytest.raises(SpecError, match="no term or guard of the spec has a setting to measure"):
        calibration.calibrate(parse_spec("terms: {exact_match: {}}"), records(("p", ["a"]), ("q", ["b"])))


def test_the_choice_of_pairs_depends_on_the_seed_alone(monkeypatch):
    rows = records(*((f"p{i}", [f"text {i}", "shared"]) for i in range(40)))
    plain = parse_spec("encoder: {kind: hashing}\nterms: {semantic: {}}")
    for enumerated in (200_000, -1_000_000):
        monkeypatch.setattr(calibration, "_ENUMERATED", enumerated)
        first, again, other = (
            calibration.calibrate(plain, rows, HashingEncoder(HashingEncoderSpec()), pairs=100, seed=seed)
            for seed in (0, 0, 1)
        )
        assert first == again
        assert first != other
        floor: dict[str, Any] = first["terms.semantic"].settings["floor"]
        assert floor["pairs"] == 100
