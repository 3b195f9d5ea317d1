"""The rewards that are compared: shipped specs as they are, token recall alone, and binary."""

from __future__ import annotations

from pgsrm_lab.reproduce.study import ENCODER, Arm
from pgsrm_plugin.spec.shipped import find_spec_file


def _shipped(name: str) -> str:
    return find_spec_file(name).read_text(encoding="utf-8")


ARMS = {
    arm.name: arm
    for arm in (
        Arm("cosine", "plain", _shipped("pgsrm"), "max(0, cos)^2: the shipped spec `pgsrm`"),
        Arm(
            "recall",
            "plain",
            f"name: recall\n{ENCODER}terms:\n  bertscore:\n    side: recall\n",
            "the share of the reference's tokens that the answer says (BERTScore's recall), alone",
        ),
        Arm("guarded", "guarded", _shipped("guarded"), "the shipped spec `guarded`"),
        Arm("recall-guarded", "guarded", _shipped("recall-guarded"), "the shipped spec `recall-guarded`"),
        Arm(
            "binary",
            "ceiling",
            "name: binary\nterms:\n  exact_match:\n    against: ground_truth\n",
            "1 for any of the right answers, else 0: it is told what the others must find out",
            encoder=False,
        ),
    )
}
