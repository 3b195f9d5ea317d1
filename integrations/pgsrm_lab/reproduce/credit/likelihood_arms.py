"""The rewards of the explanations: a verifier or the policy's likelihood of the key, with and without the cosine."""

from __future__ import annotations

from pgsrm_lab.reproduce.semantic import mixtures
from pgsrm_lab.reproduce.study import ENCODER, Arm

START = "sft"
"""The child as it is before a reward."""
SEMANTIC, BOTH = "semantic", "semantic+likelihood"
_KEY = "correctness: {extract: tag, tag: answer}"
_OWN = "kind: likelihood, against: ground_truth, tag: answer"
_COSINE = "semantic: {transform: clipped}"


def _arm(name: str, about: str, judged: str, semantic: bool = False) -> Arm:
    """A spec in which the key weighs 0.3, both tags 0.1 and the cosine, if any, 0.6: the shipped spec's weights."""
    key = judged.partition(":")[0]
    terms, weights = [judged, "format: {tags: [explanation, answer]}"], {key: 0.3, "format": 0.1}
    if semantic:
        terms, weights = [_COSINE, *terms], {"semantic": 0.6, **weights}
    listed = "".join(f"  {line}\n" for line in terms)
    weighed = "".join(f"  {term}: {weight}\n" for term, weight in weights.items())
    head = f"name: {name}\n{ENCODER if semantic else ''}text: {{answer_tag: explanation}}\n"
    return Arm(name, "reward", f"{head}terms:\n{listed}weights:\n{weighed}", about, semantic)


LIKELIHOOD_ARMS = {
    arm.name: arm
    for arm in (
        mixtures.ARMS[START],
        _arm("binary", "whether the letter is right", _KEY),
        _arm("likelihood", "mean log-probability of the key's letter after the explanation", f"likelihood: {{{_OWN}}}"),
        _arm("likelihood-prob", "its probability in that place (VeriFree)", f"likelihood: {{{_OWN}, measure: prob}}"),
        mixtures.ARMS[SEMANTIC],
        _arm(BOTH, "the cosine, and the likelihood in the verifier's place", f"likelihood: {{{_OWN}}}", semantic=True),
    )
}
"""``semantic`` is the shipped spec: the cosine, and whether the letter is right."""
