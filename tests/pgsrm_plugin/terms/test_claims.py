"""Claims with points whose cosines are chosen, so that every number can be worked out by hand."""

from __future__ import annotations

import itertools
import random

import pytest
import torch

from pgsrm_plugin import Embeddings, RewardSample, SemanticReward, SpecError, parse_spec
from pgsrm_plugin.functional import matched

AXES = {"Ash": 0, "Birch": 1, "Cedar": 2, "Dogwood": 3, "Elm": 4, "Fir": 5, "Nothing": 6}
NEAR = {"Almost ash": (0, 0.8), "Nearly ash": (0, 0.6)}


class Trees:
    """A point of one word has an axis of its own; some are at a chosen cosine from an axis; "Blank" is unknown."""

    identity = "trees"

    def __init__(self):
        self.calls = []

    def encode(self, texts):
        self.calls.append(list(texts))
        vectors_ND = torch.zeros(len(texts), 8)
        for row, text in enumerate(texts):
            name = text.removesuffix(".")
            if name in NEAR:
                axis, cos = NEAR[name]
                vectors_ND[row, axis], vectors_ND[row, 7] = cos, (1 - cos**2) ** 0.5
            elif name != "Blank":
                vectors_ND[row, AXES.get(name, 6)] = 1.0
        none_N = torch.zeros(len(texts), dtype=torch.bool)
        blank_N = torch.tensor([text.removesuffix(".") == "Blank" for text in texts])
        return Embeddings(vectors_ND, torch.ones(len(texts), dtype=torch.int64), none_N, blank_N)


def reward(settings: str = "", more: str = "") -> SemanticReward:
    text = f"encoder: {{kind: hf, model: unused}}\nterms: {{claims: {{{settings}}}}}\n{more}"
    return SemanticReward(parse_spec(text), Trees())


def value(response: str, *references: str, settings: str = "", more: str = "") -> float:
    return float(reward(settings, more).score([RewardSample("p", response, references)]).total_B[0])


FLOOR = "floor: {value: 0.2, encoder: trees}"


@pytest.mark.parametrize(
    ("response", "reference", "settings", "expected"),
    [
        ("Ash. Birch. Nothing.", "Ash. Birch. Cedar. Dogwood.", "", 4 / 7),  # P 2/3, R 1/2
        ("Ash. Birch. Cedar.", "Ash. Birch. Cedar.", "", 1.0),
        ("Cedar.\n- Ash\n- Birch", "Ash. Birch. Cedar.", "", 1.0),  # order and form do not count
        ("Ash. Ash. Ash.", "Ash. Birch. Cedar.", "", 1 / 3),
        ("Ash. Birch. Nothing.", "Ash. Birch. Cedar. Dogwood.", "beta: 2", 5 * (2 / 3) * 0.5 / (4 * (2 / 3) + 0.5)),
        ("Almost ash.", "Ash.", "", 1.0),  # 0.8 >= 0.7
        ("Almost ash.", "Ash.", "threshold: 0.9", 0.0),
        ("Nearly ash.", "Ash.", "", 0.0),
        ("Nearly ash.", "Ash.", "threshold: 0.55", 1.0),
        ("Nearly ash.", "Ash.", FLOOR, 1.0),  # 0.6 >= 0.2 + 0.5 * 0.8 = 0.6
        ("Nearly ash.", "Ash.", "floor: {value: 0.3, encoder: trees}", 0.0),
        ("Almost ash.", "Ash.", f"soft: true, {FLOOR}", 0.75),  # (0.8 - 0.2) / 0.8
        ("Almost ash. Ash.", "Ash. Nothing.", f"soft: true, {FLOOR}", 0.5),  # the better of the two: 1 / 2
        ("Almost ash. Ash.", "Ash.", "soft: true", 2 / 3),
        ("Nothing.", "Ash.", "", 0.0),
        ("Ash. Birch.", "Ash. Birch. Cedar.", "max_points: 2", 0.5),  # "Birch. Cedar." is one point
        ("Blank. Ash.", "Blank. Birch.", "", 0.5),  # an unknown point is like itself alone
        ("Ash. ???", "Ash.", "", 1.0),
    ],
)  # fmt: skip
def test_f_of_matched_points(response, reference, settings, expected):
    assert value(response, reference, settings=settings) == pytest.approx(expected, abs=1e-7)


def test_the_best_reference_is_taken_after_guarding():
    assert value("Ash.", "Birch.", "Ash. Birch.", "Ash. Birch. Cedar.") == pytest.approx(2 / 3)
    guard = "guards: {numeric_consistency: {cut: 0.5}}"
    assert value("Ash. 5 trees.", "Ash. 6 trees.", "Ash. Birch.", more=guard) == pytest.approx(0.5)


def test_a_batch_embeds_each_point_once_and_agrees_with_single_rows():
    rows = [
        RewardSample("p", "Ash. Birch.", ("Ash. Cedar.",)),
        RewardSample("p", "Birch. Ash. Ash.", ("Ash. Cedar.", "Birch.")),
    ]
    batch = reward()
    out = batch.score(rows)
    assert out.total_B.tolist() == [
        value("Ash. Birch.", "Ash. Cedar."),
        value("Birch. Ash. Ash.", "Ash. Cedar.", "Birch."),
    ]
    seen = [text for call in batch.encoder.calls for text in call]
    assert len(seen) == len(set(seen)) == out.stats["encoder/texts"] == out.stats["encoder/texts_computed"]
    assert len(batch.encoder.calls) == 2
    batch.score(rows)
    assert len(batch.encoder.calls) == 2


def test_the_matching_against_every_permutation():
    draw = random.Random(0)
    for rows, columns in [(1, 1), (2, 3), (4, 4), (5, 3)]:
        values = [[draw.random() for _ in range(columns)] for _ in range(rows)]
        long, short = (values, rows) if rows <= columns else (list(zip(*values, strict=True)), columns)
        best = max(
            sum(long[i][j] for i, j in enumerate(chosen))
            for chosen in itertools.permutations(range(len(long[0])), short)
        )
        assert matched(values) == pytest.approx(best)


def test_a_floor_belongs_to_its_encoder_and_is_below_the_threshold():
    with pytest.raises(SpecError, match=r"terms\.claims\.floor was measured with encoder 'other', but this spec's"):
        reward("floor: {value: 0.2, encoder: other}")
    with pytest.raises(SpecError, match=r"threshold 0\.2 is not above the floor 0\.2, so unrelated points match"):
        reward(f"threshold: 0.2, {FLOOR}")
