"""Rewards on a grid: what lies within the encoder's noise is a tie, in the term and in a group's normalisation."""

import pytest
import torch

from pgsrm_plugin import RewardSample, SemanticReward, SpecError, functional, parse_spec
from pgsrm_plugin.types import Embeddings


class Angles:
    """Texts are cosines with the reference "ref"."""

    identity = "angles"

    def encode(self, texts):
        cosines = torch.tensor([1.0 if text == "ref" else float(text) for text in texts], dtype=torch.float64)
        vectors = torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1)
        return Embeddings(
            vectors.float(), torch.ones(len(texts), dtype=torch.int64), torch.zeros(len(texts), dtype=torch.bool)
        )


def totals(term: str, *responses: str, more: str = "") -> list[float]:
    spec = parse_spec(f"encoder: {{kind: hashing}}\nterms: {{semantic: {{{term}}}}}\n{more}")
    rows = [RewardSample("p", response, ("ref",), group="g") for response in responses]
    return SemanticReward(spec, Angles()).score(rows).total_B.tolist()


def test_values_by_hand():
    values = torch.tensor([0.1249, 0.125, 0.1351, -0.3, 0.97, 1.0], dtype=torch.float64)
    got = functional.quantise(values, step=0.01, low=-0.2, high=1.0)
    assert got.tolist() == pytest.approx([0.12, 0.12, 0.14, -0.2, 0.97, 1.0], abs=1e-12)
    # 1.0 lies between 0.9 and 1.2, nearer to the first; 0.1 and -0.1 are nearest to 0
    coarse = functional.quantise(torch.tensor([1.0, 1.06, 0.1, -0.1]), step=0.3, low=-1.0, high=1.0)
    assert coarse.tolist() == pytest.approx([0.9, 1.0, 0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize(
    ("term", "low", "high"), [("", 0, 1), ("transform: affine", 0, 1), ("transform: euclidean", -1, 1)]
)
def test_values_stay_within_the_bounds_of_the_term(term, low, high):
    comma = ", " if term else ""
    for value in totals(f"{term}{comma}quantise: 0.07", "0.9999", "1.0", "-1.0", "-0.9999", "0.5"):
        assert low <= value <= high


def test_noise_is_a_tie_and_a_difference_is_not():
    plain = totals("", "0.61234", "0.612341", "0.7")
    assert plain[0] != plain[1]
    rounded = totals("quantise: 1e-4", "0.61234", "0.612341", "0.7")
    assert rounded[0] == rounded[1] == pytest.approx(0.6123, abs=1e-12)
    assert rounded[2] == pytest.approx(0.7, abs=1e-12)


def test_noise_has_no_share_in_a_normalised_group():
    """Standard scores would blow a difference of 1e-5 up to 1; rounding the total would come too late."""
    more = "aggregate: group_normalised\n"
    noise = ("0.61232", "0.61233", "0.61234")
    assert max(totals("", *noise, more=more)) > 1
    assert totals("quantise: 1e-3", *noise, more=more) == [0.0, 0.0, 0.0]


def test_the_grid_is_applied_after_transform_and_references_are_combined():
    # clipped with alpha 2: 0.62^2 = 0.3844 -> 0.38, while the cosine rounded first would give 0.6^2 = 0.36
    assert totals("alpha: 2, quantise: 0.02", "0.62") == [pytest.approx(0.38, abs=1e-12)]


def test_a_grid_is_a_positive_number_of_at_most_a_tenth():
    for wrong in (0, -0.1, 0.5):
        with pytest.raises(SpecError, match=r"s\.yaml:1: terms\.semantic\.quantise"):
            parse_spec(f"terms: {{semantic: {{quantise: {wrong}}}}}\nencoder: {{kind: hashing}}\n", source="s.yaml")
