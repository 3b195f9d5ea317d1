"""The rewards that are compared: what each adds to correctness and format, and the two arms without a reward."""

from __future__ import annotations

from pgsrm_lab.reproduce.semantic.coauthor import OnepixReward
from pgsrm_lab.reproduce.study import ENCODER, Arm
from pgsrm_plugin import RewardSpec
from pgsrm_plugin.spec.parse import parse_spec
from pgsrm_plugin.spec.shipped import find_spec_file

BEGIN, LONGER = "start", "longer"
"""Roles of the arms without a reward."""
_TERMS = """\
text: {answer_tag: explanation}
terms:
  correctness: {extract: tag, tag: answer}
  format: {tags: [explanation, answer]}
"""
_GUARDS = """\
guards:
  numeric_consistency: {}
  polarity: {}
  antonymy: {}
  temporal_order: {}
  word_order: {}
  off_topic_window: {}
  function_words: {}
  length: {max_words: 60}
  repetition: {}
  prompt_copy: {}
"""
_SEMANTIC = "semantic: {transform: clipped}"
_ROUGE = "rouge: {variant: rougeL}"


def _mixed(name: str, terms: dict[str, float], more: str = "", encoder: bool = True) -> str:
    """A spec of correctness 0.3, format 0.1, and likenesses with their weights."""
    weights = {line.partition(":")[0]: weight for line, weight in terms.items()} | {"correctness": 0.3, "format": 0.1}
    listed = "".join(f"  {line}\n" for line in terms)
    weighed = "".join(f"  {term}: {weight}\n" for term, weight in weights.items())
    return f"name: {name}\n{ENCODER if encoder else ''}{_TERMS}{listed}{more}weights:\n{weighed}"


def _arm(name: str, about: str, terms: dict[str, float], more: str = "", *, encoder: bool = True) -> Arm:
    return Arm(name, "reward", _mixed(name, terms, more, encoder), about, encoder)


def _coauthors(name: str, form: str) -> Arm:
    about = f"the co-author's code, `{form}` form: cosine and length, whatever the letter"
    return Arm(name, form, f"# onepix: {form}\n{_mixed(name, {_SEMANTIC: 1.0})}", about)


ARMS = {
    arm.name: arm
    for arm in (
        Arm("sft", BEGIN, "", "supervised fine-tuning only: the child that all rewards start from", False),
        Arm("sft-longer", LONGER, "", "goes on with it, for as many answers as GRPO samples", False),
        _arm("plain", "correctness and format only", {}, encoder=False),
        Arm(
            "semantic",
            "reward",
            find_spec_file("semantic").read_text(encoding="utf-8"),
            "+ cosine, the paper's: the shipped spec",
        ),
        _arm("rouge", "+ ROUGE-L in the cosine's place", {_ROUGE: 0.6}, encoder=False),
        _arm("bleu", "+ BLEU", {"bleu: {}": 0.6}, encoder=False),
        _arm("bertscore", "+ BERTScore's recall", {"bertscore: {side: recall}": 0.6}),
        _arm("guarded", "+ guarded cosine", {_SEMANTIC: 0.6}, _GUARDS),
        _arm("mixed", "+ half cosine, half ROUGE-L, summed", {_SEMANTIC: 0.3, _ROUGE: 0.3}),
        _arm(
            "mixed-gdpo",
            "the same, each term normalised in its group (GDPO)",
            {_SEMANTIC: 0.3, _ROUGE: 0.3},
            "aggregate: group_normalised\n",
        ),
        _coauthors("coauthor-a", "grpo"),
        _coauthors("coauthor-b", "pipeline"),
    )
}


def spec_of(arm: Arm) -> RewardSpec:
    """What an arm is trained with; an arm without a reward is looked at with the paper's."""
    spec = parse_spec(arm.body or ARMS["semantic"].body)
    if arm.role not in ("grpo", "pipeline"):
        return spec
    term = OnepixReward(form=arm.role)
    return spec.model_copy(update={"terms": {"onepix": term}, "weights": {"onepix": 1.0}})
