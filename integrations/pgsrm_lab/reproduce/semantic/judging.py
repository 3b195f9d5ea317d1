"""What is measured of answers: by an encoder that no reward had, by rules, and by the key."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pgsrm_lab.reproduce.measure import Measure
from pgsrm_lab.reproduce.semantic.wordllama import WordLlama
from pgsrm_lab.tasks.questions.question import options_of
from pgsrm_plugin import RewardSample, SemanticReward
from pgsrm_plugin.spec.parse import parse_spec
from pgsrm_plugin.text.words import count_words
from pgsrm_plugin.types import GUARD

SPLITS = {"new": "held-out questions", "seen": "trained questions"}
"""Where answers are measured: on questions that no stage trained on, and on those that all did."""
_BASE = """\
name: judge
encoder: {kind: hashing}
text: {answer_tag: explanation}
"""
_JUDGE = f"""\
{_BASE}terms:
  semantic: {{}}
  claims: {{}}
  rouge: {{}}
  repetition: {{}}
  prompt_copy: {{}}
  correctness: {{extract: tag, tag: answer}}
  format: {{tags: [explanation, answer]}}
weights: {{semantic: 1, claims: 0, rouge: 0, repetition: 0, prompt_copy: 0, correctness: 0, format: 0}}
"""
_CONTRADICTIONS = f"""\
{_BASE}terms: {{semantic: {{}}}}
guards: {{polarity: {{}}, antonymy: {{}}, numeric_consistency: {{}}, temporal_order: {{}}, word_order: {{}}}}
"""
_EXPLANATION = re.compile(r"<explanation>(.*?)</explanation>", re.DOTALL)
_LETTER = re.compile(r"<answer>\s*([A-H])\s*</answer>")

_OVERPAID = (
    "the share of answers with a wrong letter that earn at least what the expert's other explanation, with the right "
    "letter, earns from the arm's own reward: the audit's success"
)
_NEAREST = "the share whose explanation is nearest, of all options, to the one that is named"
_OF_ANSWERS = (
    Measure("cosine", "likeness", "higher", about="cosine to the nearer expert's explanation under WordLlama"),
    Measure("accuracy", "right letters", "higher", True, "the share of answers with the right option's letter"),
    Measure("claims", "claims F1", "higher", about="F1 of the reference's points, matched under WordLlama"),
    Measure("rouge", "ROUGE-L", "higher", about="F-measure against the nearer explanation"),
    Measure("format", "both tags", "higher", True, "the share of answers with both tags, in order"),
    Measure(
        "contradicted",
        "contradicted",
        "lower",
        True,
        "the share in which a guard (negation, opposites, numbers, order) finds fault",
    ),
    Measure("length", "length ratio", "higher", about="words of the explanation over those of the expert's"),
    Measure("consistent", "consistent", "higher", True, _NEAREST),
    Measure("repetition", "repetition", "lower", about="the share of word 3-grams that stood before"),
    Measure("copied", "copied from the prompt", "lower", about="the share of word n-grams that the question has"),
    Measure("overpaid", "wrong and well paid", "lower", True, _OVERPAID),
)
MEASURES = {
    f"{measure.column}_{split}": Measure(
        f"{measure.column}_{split}", f"{measure.title}, {split}", measure.better, measure.percent, measure.about
    )
    for split in SPLITS
    for measure in _OF_ANSWERS
}
COLUMNS = tuple(measure.column for measure in _OF_ANSWERS)


@functools.cache
def _judges() -> tuple[SemanticReward, SemanticReward]:
    encoder = WordLlama()
    return SemanticReward(parse_spec(_JUDGE), encoder), SemanticReward(parse_spec(_CONTRADICTIONS), encoder)


def explanation_of(response: str) -> str:
    """What stands in the tags; empty where they are not there."""
    found = _EXPLANATION.search(response)
    return found[1].strip() if found else ""


def letter_of(response: str) -> str:
    """The letter in its tags; empty where there is none."""
    found = _LETTER.search(response)
    return found[1] if found else ""


def judge(samples: Sequence[RewardSample]) -> list[dict[str, float]]:
    """Each answer's numbers, all of :data:`COLUMNS` but ``overpaid``."""
    likeness, rules = _judges()
    scored, ruled = likeness.score(samples), rules.score(samples)
    faults = [name for name in ruled.diagnostics if name.startswith(GUARD)]
    return [
        {
            "cosine": row["reward/semantic"],
            "accuracy": row["reward/correctness"],
            "claims": row["reward/claims"],
            "rouge": row["reward/rouge"],
            "format": row["reward/format"],
            "contradicted": float(any(float(ruled.diagnostics[name][number]) > 0 for name in faults)),
            "length": length_ratio(sample),
            "consistent": nearest,
            "repetition": row["reward/repetition"],
            "copied": row["reward/prompt_copy"],
        }
        for number, (row, sample, nearest) in enumerate(zip(scored.rows(), samples, consistency(samples), strict=True))
    ]


def length_ratio(sample: RewardSample) -> float:
    """Words of the explanation over the mean words of the references."""
    wanted = sum(map(count_words, sample.references)) / len(sample.references)
    return count_words(explanation_of(sample.response)) / wanted


def consistency(samples: Sequence[RewardSample]) -> list[float]:
    """1 where the explanation is nearer to the named option than to any other, else 0; also without letter or text."""
    encoder = WordLlama()
    found = []
    for sample in samples:
        told, letter, options = (
            explanation_of(sample.response),
            letter_of(sample.response),
            options_of(str(sample.prompt)),
        )
        if not told or letter not in options:
            found.append(0.0)
            continue
        vectors_ND = encoder.encode([told, *options.values()]).vectors_ND
        nearest = list(options)[int((vectors_ND[1:] @ vectors_ND[0]).argmax())]
        found.append(float(nearest == letter))
    return found


def overpaid(reward: SemanticReward, samples: Sequence[RewardSample], right: Sequence[float]) -> list[float]:
    """1 where an answer with a wrong letter earns at least what an honest one does, else 0.

    The honest one has the right letter and the expert's last explanation, scored against the others, as is the answer;
    where there is only one explanation, it is scored against itself and nothing but its copy earns as much.
    """
    others = [sample.references[:-1] or sample.references for sample in samples]
    honest = [
        RewardSample(
            s.prompt,
            f"<explanation>{s.references[-1]}</explanation><answer>{s.ground_truth}</answer>",
            known,
            s.ground_truth,
        )
        for s, known in zip(samples, others, strict=True)
    ]
    given = [
        RewardSample(s.prompt, s.response, known, s.ground_truth) for s, known in zip(samples, others, strict=True)
    ]
    scored = reward.for_validation().score([*given, *honest]).rewards.tolist()
    earned, wanted = scored[: len(given)], scored[len(given) :]
    return [float(not ok and a >= b) for ok, a, b in zip(right, earned, wanted, strict=True)]


def means(judged: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each measure."""
    return {name: sum(float(one[name]) for one in judged) / len(judged) for name in COLUMNS}
