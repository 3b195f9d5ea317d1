"""The ways to make one reward of the same three terms with the same weights."""

from __future__ import annotations

from pgsrm_lab.reproduce.study import Arm

TERMS = """\
terms:
  right: {kind: exact_match, against: ground_truth}
  likeness: {kind: rouge, variant: rouge1}
  short: {kind: length, mode: absolute, unit: chars, max: 20}
"""
"""Whether the answer is right; how many words it shares with the reference, of which wrong answers have more; and
whether it is short, which answers that break off are more than whole ones."""
LEARNED = "learned"
"""The arm whose weights are learned."""


def _arm(name: str, role: str, aggregate: str, about: str, weights: str = "") -> Arm:
    return Arm(name, role, f"name: {name}\n{TERMS}{weights}aggregate: {aggregate}\n", about, encoder=False)


ARMS = {
    arm.name: arm
    for arm in (
        _arm("sum", "sum", "sum", "the plain sum"),
        _arm(
            "sum-3",
            "sum",
            "sum",
            "the sum in which `right` weighs 3, what one would try first",
            "weights: {right: 3, likeness: 1, short: 1}\n",
        ),
        _arm("group_normalised", "scale", "group_normalised", "z-scores within the group, summed (GDPO)"),
        _arm(
            "gated",
            "condition",
            "{kind: gated, constraints: [right]}",
            "being right scales the mean of the other two (SearchLLM)",
        ),
        _arm(
            "hierarchical",
            "condition",
            "{kind: hierarchical, holistic: right, threshold: 1}",
            "the other two are paid to right answers, on top (ALaRM)",
        ),
        _arm("product", "condition", "product", "the product of all three (R3)"),
        _arm(
            "positive_only",
            "condition",
            "{kind: positive_only, primary: right, secondary: likeness}",
            "being right, with a share of likeness for right answers; `short` is only logged (C-GRPO)",
            "weights: {right: 1, likeness: 1, short: 0}\n",
        ),
        _arm("vote", "vote", "vote", "each term votes for the best of the group (RewardAgent)"),
        _arm("vote-rank", "vote", "{kind: vote, ballot: rank}", "each term ranks the group"),
        _arm(LEARNED, "learned", "sum", "the sum, with the term that counts most learned by response (MAESTRO)"),
    )
}
