"""Weights fitted to pairs: those that made the data are found again, bounded and tried on pairs left out."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from pgsrm_plugin import SemanticReward, parse_spec
from pgsrm_plugin.audit.people.judgements import read_judgements
from pgsrm_plugin.audit.people.weights import (
    Fit,
    accuracy_of,
    bradley_terry,
    cross_validated,
    fit_spec,
    fitted_yaml,
)
from pgsrm_plugin.errors import DataError

SPEC = (
    "{terms: {exact_match: {against: references}, repetition: {ngram: 1}}, weights: {exact_match: 1, repetition: -1}}"
)


def drawn(weights, pairs=20_000, seed=0):
    """Differences of terms, turned so that people prefer the first answer with Bradley and Terry's probability."""
    rng = np.random.default_rng(seed)
    differences = rng.normal(size=(pairs, len(weights)))
    prefers = rng.random(pairs) < 1 / (1 + np.exp(-differences @ np.array(weights)))
    return np.where(prefers[:, None], differences, -differences)


def test_the_weights_that_made_the_pairs_are_found():
    assert bradley_terry(drawn([1.5, 0.5, 0.0])) == pytest.approx([0.75, 0.25, 0.0], abs=0.02)


def test_no_weight_is_negative():
    found = bradley_terry(drawn([1.0, -1.0]))
    assert found == pytest.approx([1.0, 0.0], abs=1e-9)


def test_where_no_term_helps_all_are_zero():
    assert bradley_terry(-np.ones((5, 2))).tolist() == [0.0, 0.0]


def test_the_fit_is_the_logistic_regression_without_intercept():
    linear = pytest.importorskip("sklearn.linear_model")
    differences = drawn([1.0, 0.6, 0.3], pairs=500)
    both = np.concatenate([differences, -differences])
    sides = np.array([1] * 500 + [0] * 500)
    # C is the inverse of the penalty times the number of rows.
    model = linear.LogisticRegression(fit_intercept=False, C=1 / (1e-3 * 1000), tol=1e-8).fit(both, sides)
    assert bradley_terry(differences) == pytest.approx(model.coef_[0] / model.coef_[0].sum(), abs=1e-3)


def test_held_out_accuracy_is_near_that_of_the_true_weights():
    differences = drawn([2.0, 1.0], pairs=4000)
    held_out, folds = cross_validated(differences, range(4000))
    assert folds == 5
    assert held_out == pytest.approx(accuracy_of(np.array([2 / 3, 1 / 3]), differences), abs=0.01)


def test_pairs_of_one_prompt_are_never_on_both_sides():
    """A term for each prompt tells its pairs only: left out, all are ties."""
    differences = np.repeat(np.eye(6), 3, axis=0)
    assert cross_validated(differences, np.repeat(np.arange(6), 3).tolist()) == (0.0, 5)
    assert accuracy_of(bradley_terry(differences), differences) == 1.0


def test_one_prompt_cannot_be_left_out():
    with pytest.raises(DataError, match="pairs of at least 2 are needed"):
        cross_validated(np.ones((3, 1)), ["p", "p", "p"])


@pytest.fixture
def pairs(jsonl):
    rows = [
        {"prompt": f"p{i}", "reference": "a b", "good": good, "bad": bad}
        for i in range(3)
        for good, bad in (("a b", "c d"), ("c d", "c c"))
    ]
    return read_judgements(jsonl("pairs.jsonl", rows))


def test_a_fault_keeps_its_sign_and_weights_add_up_to_one(pairs):
    fit = fit_spec(SemanticReward(parse_spec(SPEC)), pairs)
    assert fit.weights["exact_match"] > 0 > fit.weights["repetition"]
    assert sum(map(abs, fit.weights.values())) == pytest.approx(1, abs=1e-3)
    assert (fit.before, fit.after, fit.held_out, fit.pairs, fit.folds) == (1.0, 1.0, 1.0, 6, 3)


def test_terms_that_tell_nothing_are_said(pairs):
    spec = parse_spec("{terms: {format: {tags: [answer]}}}")
    with pytest.raises(
        DataError, match=r"no term \(format\) gives the good answers of .*pairs.jsonl more than the bad"
    ):
        fit_spec(SemanticReward(spec), pairs)


def test_the_spec_is_written_whole_with_the_new_weights(tmp_path):
    (tmp_path / "vectors.txt").write_text("1 2\na 1 0\n")
    spec = parse_spec(
        "{name: mine, encoder: {kind: static, path: vectors.txt}, terms: {semantic: {alpha: 2}, repetition: {}},"
        " weights: {semantic: 1, repetition: -1}, gates: [{term: semantic, at_least: 0.1}]}",
        folder=tmp_path,
    )
    text = fitted_yaml(spec, Fit({"semantic": 0.8, "repetition": -0.2}, 0.5, 0.9, 0.85, 12, 5), "pairs.jsonl")
    assert text.startswith("# Weights fitted by `pgsrm evaluate --fit` to 12 pairs of pairs.jsonl.\n# Accuracy 0.900")
    assert yaml.safe_load(text)["weights"] == {"semantic": 0.8, "repetition": -0.2}
    again = parse_spec(text, folder=tmp_path / "elsewhere")
    assert again == spec.model_copy(update={"weights": {"semantic": 0.8, "repetition": -0.2}})
