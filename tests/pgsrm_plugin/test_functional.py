"""The pure functions against values computed by hand."""

import doctest
import math

import numpy as np
import pytest
import torch

from pgsrm_plugin import functional
from pgsrm_plugin.text import choice, formula, patterns, picks, quantity, steps, thinking, words


@pytest.mark.parametrize("module", [functional, choice, formula, patterns, picks, quantity, steps, thinking, words])
def test_docstring_examples(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_cosine_agrees_with_numpy_and_ignores_scale():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 5)), rng.normal(size=(7, 5))
    expected = [float(x @ y / np.sqrt((x @ x) * (y @ y))) for x, y in zip(a, b, strict=True)]
    got = functional.cosine(torch.tensor(a * 1e-3), torch.tensor(b * 1e6))
    assert got.tolist() == pytest.approx(expected, abs=1e-12)


def test_cosine_refuses_what_has_none():
    with pytest.raises(ValueError, match="zero vector"):
        functional.cosine(torch.zeros(1, 2), torch.ones(1, 2))
    with pytest.raises(ValueError, match="equal shapes"):
        functional.cosine(torch.ones(1, 2), torch.ones(2, 2))


def test_authors_code_values():
    """methods.md: cos 0 / 0.5 / 0.8 / 0.9 -> 0.0625 / 0.316 / 0.656 / 0.815."""
    got = functional.affine(torch.tensor([0.0, 0.5, 0.8, 0.9], dtype=torch.float64), alpha=4.0)
    assert got.tolist() == pytest.approx([0.0625, 0.75**4, 0.9**4, 0.95**4])
    assert [round(value, 3) for value in got.tolist()] == [0.062, 0.316, 0.656, 0.815]


def test_paper_form():
    got = functional.clipped(torch.tensor([-1.0, -0.01, 0.0, 0.5, 1.0]), alpha=3.0)
    assert got.tolist() == pytest.approx([0, 0, 0, 0.125, 1])


def test_euclidean_is_one_minus_the_distance_of_unit_vectors():
    angles = torch.linspace(0, math.pi, 9, dtype=torch.float64)
    points = torch.stack([angles.cos(), angles.sin()], dim=1)
    distance = (points - torch.tensor([1.0, 0.0], dtype=torch.float64)).norm(dim=1)
    assert functional.euclidean(angles.cos()).tolist() == pytest.approx((1 - distance).clamp(-1, 1).tolist(), abs=1e-7)


def test_calibrated_maps_floor_to_zero_and_one_to_one():
    got = functional.calibrated(torch.tensor([-0.5, 0.3, 0.65, 1.0]), floor=0.3, alpha=2.0)
    assert got.tolist() == pytest.approx([0, 0, 0.25, 1], abs=1e-6)


def test_softmax_mean_by_hand():
    weight = math.exp(0.9 / 0.1) / (math.exp(0.9 / 0.1) + math.exp(0.8 / 0.1))
    got = functional.softmax_mean(torch.tensor([1.0, 0.0]), torch.tensor([0.9, 0.8]), temperature=0.1)
    assert float(got) == pytest.approx(weight, abs=1e-6)


def test_zscore_by_hand():
    # mean 3, population variance (4 + 1 + 1 + 4) / 4 = 2.5
    assert functional.zscore([1, 2, 4, 5]) == pytest.approx([x / math.sqrt(2.5) for x in (-2, -1, 1, 2)])


def test_zscore_does_not_depend_on_order():
    values = list(np.random.default_rng(1).normal(size=100))
    backwards = functional.zscore(values[::-1])[::-1]
    assert functional.zscore(values) == backwards


def test_group_zscore_leaves_groups_apart():
    assert functional.group_zscore([0, 10, 2, 10], ["a", "b", "a", "b"]) == [-1, 0, 1, 0]


@pytest.mark.parametrize(("rows", "columns"), [(3, 5), (90, 40), (300, 20), (2, 900), (0, 4), (4, 0)])
def test_products_in_blocks_are_the_whole_product(rows, columns):
    generator = np.random.default_rng(rows + columns)
    a_RD, b_TD = generator.normal(size=(rows, 384)), generator.normal(size=(columns, 384))
    found_RT = functional.dot_products(a_RD, b_TD)
    assert found_RT.shape == (rows, columns)
    np.testing.assert_allclose(found_RT, np.einsum("rd,td->rt", a_RD, b_TD), atol=1e-12)


@pytest.mark.parametrize("rows", [0, 1, 85, 200])
def test_rows_over_their_norms_in_blocks(rows):
    states_TD = torch.randn(rows, 384, generator=torch.Generator().manual_seed(rows))
    found_TD = functional.unit_rows(states_TD)
    assert found_TD.shape == (rows, 384)
    np.testing.assert_allclose(
        found_TD.numpy(), states_TD.double().numpy() / np.linalg.norm(states_TD.double().numpy(), axis=1)[:, None]
    )
