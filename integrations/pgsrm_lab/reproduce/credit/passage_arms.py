"""The credits that are compared: one reward for all, its cosine to the whole expert's explanation."""

from __future__ import annotations

from pgsrm_lab.reproduce.study import ENCODER, Arm
from pgsrm_plugin import RewardSpec
from pgsrm_plugin.credit import ModelCredit
from pgsrm_plugin.spec.parse import parse_spec

CHILD, TOLD = "child", "told"
"""Folders of a warm start: what all runs start from, and the same trained on, on the experts' explanations."""
PLAIN = "plain"
SHARE, DENSITY = "share", "density"
_REWARD = f"{ENCODER}terms:\n  semantic: {{quantise: 1.0e-4}}\n"


def _arm(name: str, role: str, about: str, credit: str) -> Arm:
    return Arm(name, role, f"name: {name}\n{_REWARD}credit: {{{credit}}}\n", about)


def _both(kind: str, what: str) -> tuple[Arm, Arm]:
    """A credit with either scale."""
    return (
        _arm(kind, SHARE, f"{what}; `scale: share`, the default", f"kind: {kind}"),
        _arm(
            f"{kind}-density",
            DENSITY,
            f"the same, `scale: density`, alpha {DENSE}",
            f"kind: {kind}, scale: density, alpha: {DENSE}",
        ),
    )


DENSE = 3.0
"""Alpha of the arms with that scale, chosen with seed 0."""
PASSAGE_ARMS = {
    arm.name: arm
    for arm in (
        Arm(PLAIN, "plain", f"name: {PLAIN}\n{_REWARD}", "the semantic reward without credit"),
        *_both("leave_one_out", "the reward, less that without the sentence"),
        _arm(
            "leave_one_out-recipe",
            "recipe",
            "as the shipped spec `guarded-credit` has it: `scale: density`, alpha 0.3",
            "kind: leave_one_out, scale: density, alpha: 0.3",
        ),
        *_both("prefix", "the reward up to the sentence, less that before it"),
        *_both("owen", "the sentence's Shapley value"),
        _arm(
            "log_ratio",
            "models",
            "log-probability by the child trained on experts' explanations, less the child's",
            f"kind: log_ratio, model: {TOLD}, base: {CHILD}",
        ),
        _arm(
            "log_ratio-small",
            "models",
            "the same with alpha 0.1, so that it is no larger than advantages are",
            f"kind: log_ratio, model: {TOLD}, base: {CHILD}, alpha: 0.1",
        ),
        _arm(
            "endogenous",
            "models",
            "the child's own logits before training, less their soft maximum at the next token; alpha 0.1",
            "kind: endogenous, alpha: 0.1",
        ),
        _arm(
            "implicit_prm",
            "models",
            "a log-ratio of a model that learns from rewards while the child is trained",
            "kind: implicit_prm, alpha: 5, lr: 1.0e-3, success: 0.85",
        ),
    )
}


def passage_spec(arm: Arm, folder: str) -> RewardSpec:
    """What an arm is trained with, its models in the folder of the warm start."""
    spec = parse_spec(arm.body)
    if not isinstance(spec.credit, ModelCredit):
        return spec
    named = {key: f"{folder}/{name}" for key in ("model", "base") if (name := getattr(spec.credit, key, ""))}
    return spec.model_copy(update={"credit": spec.credit.model_copy(update=named)})
