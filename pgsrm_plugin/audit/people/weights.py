"""Weights of a spec's terms, fitted to pairs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import yaml

from pgsrm_plugin.audit.people.evaluation import score_pairs
from pgsrm_plugin.audit.people.judgements import Judgements
from pgsrm_plugin.audit.people.measures import TIE
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec import RewardSpec, parse_spec

FOLDS = 5
"""Of the cross-validation, at most; pairs of one prompt are in one of them."""
PENALTY = 1e-3
"""Of the squared weights: it keeps them finite where some weights get every pair right."""


@dataclass(frozen=True)
class Fit:
    """Weights and what they do.

    Attributes:
        weights: of each term; their absolute values add up to 1.
        before: the accuracy of the spec's own weights, on the raw values.
        after: that of the fitted ones, on the pairs that they were fitted to.
        held_out: the same, on pairs that they were not fitted to.
    """

    weights: dict[str, float]
    before: float
    after: float
    held_out: float
    pairs: int
    folds: int


def fit_spec(reward: SemanticReward, judgements: Judgements) -> Fit:
    """Fits the weights of a spec's terms; gates play no part, and stay as they are.

    A term whose weight is negative in the spec, or that measures a fault, keeps that sign.

    Raises:
        DataError: fewer than two prompts, or no term tells good from bad.
    """
    spec, names = reward.spec, list(reward.spec.terms)
    good, bad = score_pairs(reward, judgements)
    signs_K = np.array([-1.0 if spec.terms[name].is_fault or spec.weight(name) < 0 else 1.0 for name in names])
    differences_PK = (good.raw_NK - bad.raw_NK) * signs_K
    own_K = np.abs([spec.weight(name) for name in names])
    weights_K = bradley_terry(differences_PK)
    if not weights_K.any():
        raise DataError(
            f"no term ({', '.join(names)}) gives the good answers of {judgements.source} more than the bad ones, so "
            "there is nothing to weigh; add other terms to the spec"
        )
    held_out, folds = cross_validated(differences_PK, [pair.good.group for pair in judgements.pairs])
    weights = {name: round(float(weight), 4) + 0.0 for name, weight in zip(names, weights_K * signs_K, strict=True)}
    before, after = accuracy_of(own_K / own_K.sum(), differences_PK), accuracy_of(weights_K, differences_PK)
    return Fit(weights, before, after, held_out, len(differences_PK), folds)


def bradley_terry(differences_PK: np.ndarray) -> np.ndarray:
    r"""The weights, (K,), that make the outcomes of P pairs likeliest; at least 0 each, and 1 together.

    .. math:: \min_{w \ge 0} \frac 1 P \sum_p \log\bigl(1 + e^{-w \cdot d_p}\bigr) + \frac \lambda 2 |w|^2

    (Bradley and Terry 1952, with the terms' values as features). All are 0 where no term ranks good above bad.

    Args:
        differences_PK: each term's value for the good answer minus that for the bad one.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    def loss(weights_K: np.ndarray) -> tuple[float, np.ndarray]:
        margins_P = differences_PK @ weights_K
        value = np.logaddexp(0, -margins_P).mean() + PENALTY / 2 * weights_K @ weights_K
        slope_K = -(expit(-margins_P) @ differences_PK) / len(differences_PK) + PENALTY * weights_K
        return float(value), slope_K

    terms = differences_PK.shape[1]
    found = minimize(loss, np.zeros(terms), jac=True, bounds=[(0, None)] * terms, method="L-BFGS-B")
    total = float(found.x.sum())
    return found.x / total if total > 0 else np.zeros(terms)


def cross_validated(differences_PK: np.ndarray, groups: Sequence[Hashable]) -> tuple[float, int]:
    """The accuracy on pairs left out of the fit, and the number of folds.

    Raises:
        DataError: all pairs are of one prompt.
    """
    names = list(dict.fromkeys(groups))
    folds = min(FOLDS, len(names))
    if folds < 2:
        raise DataError("the weights are tried on prompts that they were not fitted to: pairs of at least 2 are needed")
    shuffled = np.random.default_rng(0).permutation(len(names))
    fold_of = {name: int(place) % folds for name, place in zip(names, shuffled, strict=True)}
    fold_P = np.array([fold_of[group] for group in groups])
    right = 0.0
    for fold in range(folds):
        left_out_P = fold_P == fold
        weights_K = bradley_terry(differences_PK[~left_out_P])
        right += accuracy_of(weights_K, differences_PK[left_out_P]) * left_out_P.sum()
    return float(right / len(differences_PK)), folds


def accuracy_of(weights_K: np.ndarray, differences_PK: np.ndarray) -> float:
    """The share of pairs whose good answer gets more; ties count as wrong."""
    return float((differences_PK @ weights_K > TIE).mean())


def fitted_yaml(spec: RewardSpec, fit: Fit, data: str) -> str:
    """The spec with the fitted weights as YAML, with paths that are absolute.

    Raises:
        SpecError: the weights make no valid spec.
    """
    content = {**spec.model_dump(mode="json", exclude_unset=True), "weights": fit.weights}
    head = (
        f"# Weights fitted by `pgsrm evaluate --fit` to {fit.pairs} pairs of {data}.\n"
        f"# Accuracy {fit.after:.3f} on them, {fit.held_out:.3f} on pairs left out ({fit.folds} folds);\n"
        f"# {fit.before:.3f} with the weights before.\n"
    )
    text = head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    parse_spec(text, source="the fitted spec")
    return text
