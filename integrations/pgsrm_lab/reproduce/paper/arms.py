"""The rewards that are compared, as reward specs in YAML.

An arm's body is its spec without the encoder. What it needs to know of its task is filled in by :func:`spec_text`, from
the training prompts' answers alone: ``{floor}`` stands for a floor as ``pgsrm calibrate`` writes it, ``{others}`` for
the task's answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import yaml

from pgsrm_lab.reproduce.study import ENCODER, Arm

Update = Literal["ppo", "reinforce"]
Role = Literal["claim", "baseline", "control", "alpha", "improved"]


def _clipped(alpha: float) -> str:
    return f"terms:\n  semantic:\n    transform: clipped\n    alpha: {alpha:g}\n"


def _calibrated(alpha: float) -> str:
    return f"terms:\n  semantic:\n    transform: calibrated\n    alpha: {alpha:g}\n    floor: {{floor}}\n"


_EXACT = "  exact_match:\n    against: references\n"
_HALVES = "weights:\n  semantic: 0.5\n  exact_match: 0.5\n"

ARMS = {
    arm.name: arm
    for arm in (
        Arm("pgsrm-clipped", "claim", _clipped(1), "max(0, cos): the paper's form, alpha 1"),
        Arm(
            "pgsrm-affine",
            "claim",
            "terms:\n  semantic:\n    transform: affine\n    alpha: 4\n",
            "((cos + 1) / 2)^4: the authors' code",
        ),
        Arm("binary", "baseline", f"terms:\n{_EXACT}", "1 for the parent's very words, else 0", encoder=False),
        Arm("bleu", "control", "terms:\n  bleu:\n    lowercase: true\n", "sentence BLEU / 100", encoder=False),
        Arm(
            "length-only",
            "control",
            "terms:\n  length:\n    mode: relative\n    unit: chars\n",
            "as many characters as the parent's answer, whichever",
            encoder=False,
        ),
        Arm("clipped-alpha2", "alpha", _clipped(2), "max(0, cos)^2: the shipped recipe `pgsrm`"),
        Arm("clipped-alpha4", "alpha", _clipped(4), "max(0, cos)^4"),
        Arm("clipped-alpha8", "alpha", _clipped(8), "max(0, cos)^8"),
        Arm("calibrated-alpha2", "improved", _calibrated(2), "squared cosine above that of unrelated answers"),
        Arm(
            "clipped+exact",
            "improved",
            f"{_clipped(2)}{_EXACT}{_HALVES}",
            "half max(0, cos)^2, half binary: the shipped recipe `pgsrm-exact`",
        ),
        Arm(
            "contrast",
            "improved",
            "terms:\n  contrast:\n    others: {others}\n    temperature: 0.1\n",
            "softmax share of the parent's answer among the task's other answers",
        ),
    )
}


def needs_floor(arm: Arm) -> bool:
    """Whether an arm's spec is calibrated on the task's answers."""
    return "{floor}" in arm.body


def spec_text(arm: Arm, floor: Mapping[str, Any] | None, answers: Sequence[str]) -> str:
    """The arm's spec as YAML, with the task's floor and its answers filled in where it needs them."""
    text = f"name: {arm.name}\n" + (ENCODER if arm.encoder else "") + arm.body
    if needs_floor(arm):
        assert floor is not None
        text = text.replace("{floor}", _inline(dict(floor)))
    return text.replace("{others}", _inline(sorted(set(answers))))


def _inline(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6).strip()


def of_role(*roles: Role) -> Sequence[str]:
    """The names of the arms with one of the roles, in order."""
    return [arm.name for arm in ARMS.values() if arm.role in roles]
