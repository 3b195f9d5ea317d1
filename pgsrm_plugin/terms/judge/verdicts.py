"""What a judge's words say: verdicts on criteria, scores of a group, the better of two, yes or no."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pgsrm_plugin.asking.answer_extraction import spoken
from pgsrm_plugin.terms.judge.rubric import Criterion
from pgsrm_plugin.text.picks import json_objects

GRADES = 5
_AROUND = "\u2581\u0120 \n*\"'."
"""What stands at a token's ends: spaces as tokenizers write them, quotes and marks."""
_YES, _NO = frozenset({"yes", "y", "true"}), frozenset({"no", "n", "false"})


def verdicts_in(text: str, rubric: Sequence[Criterion]) -> list[float] | None:
    """How far each criterion is met, in [0, 1]; None where the last JSON object does not answer each once.

    >>> verdicts_in('It is short. {"1": "yes", "2": 4}', [Criterion(text="a"), Criterion(text="b", graded=True)])
    [1.0, 0.75]
    >>> verdicts_in('{"1": "yes"}', [Criterion(text="a"), Criterion(text="b")]) is None
    True
    """
    said = _last_object(text)
    if said is None or set(said) != {str(number) for number in range(1, len(rubric) + 1)}:
        return None
    values = [_value(said[str(number)], one.graded) for number, one in enumerate(rubric, 1)]
    return None if None in values else [value for value in values if value is not None]


def rating_in(text: str) -> float | None:
    """The one score from 1 to 5, as a value in [0, 1].

    >>> rating_in('Fair. {"score": 3}'), rating_in('{"score": 9}'), rating_in("3")
    (0.5, None, None)
    """
    said = _last_object(text)
    return None if said is None or set(said) != {"score"} else _grade(said["score"])


def scores_in(text: str, names: Sequence[str], use_rank: bool) -> list[float] | None:
    """The value in [0, 1] of each answer of a group; None where the JSON object is not about each of them.

    Args:
        use_rank: break ties by the judge's order.

    >>> scores_in('{"scores": {"A": 5, "B": 3, "C": 1}, "best-to-worst": ["A", "B", "C"]}', ["A", "B", "C"], False)
    [1.0, 0.5, 0.0]
    """
    said = _last_object(text)
    scores = said.get("scores") if said is not None else None
    if said is None or not isinstance(scores, Mapping) or set(scores) != set(names):
        return None
    grades = [_grade(scores[name]) for name in names]
    if None in grades:
        return None
    values = [grade for grade in grades if grade is not None]
    if not use_rank:
        return values
    order = said.get("best-to-worst")
    if not isinstance(order, list) or sorted(map(str, order)) != sorted(names):
        return None
    return [ranked(value, order.index(name), len(names)) for value, name in zip(values, names, strict=True)]


def winner_in(text: str) -> float | None:
    """What the first of two answers gets: 1 where it is the better one, 0 where the other is, 0.5 where neither.

    >>> winner_in('{"better": "B"}'), winner_in('{"better": "tie"}'), winner_in("A")
    (0.0, 0.5, None)
    """
    said = _last_object(text)
    if said is None or set(said) != {"better"}:
        return None
    return {"a": 1.0, "b": 0.0, "tie": 0.5}.get(str(said["better"]).strip().casefold())


def rubric_value(values: Sequence[float], rubric: Sequence[Criterion]) -> float:
    r""":math:`[\text{all gates passed}] \sum_k w_k v_k / \sum_k w_k`, in [0, 1] (QA-LIGN, arXiv 2506.08123).

    >>> rubric_value([1, 0, 1], [Criterion(text="a", weight=2), Criterion(text="b"), Criterion(text="c")])
    0.75
    >>> rubric_value([1, 0], [Criterion(text="a"), Criterion(text="b", gate=True)])
    0.0
    """
    if any(one.gate and value < 1 for value, one in zip(values, rubric, strict=True)):
        return 0.0
    whole = math.fsum(one.weight for one in rubric)
    return math.fsum(one.weight * value for value, one in zip(values, rubric, strict=True)) / whole


def ranked(value: float, rank: int, answers: int) -> float:
    """A value that a thousandth of it depends on the rank (0 is best) among so many answers.

    >>> ranked(0.5, 0, 4), ranked(0.5, 2, 4), ranked(0.0, 3, 4)
    (0.5005, 0.5, 0.00025)
    """
    return 0.999 * value + 0.001 * (1.0 - rank / answers)


def yes_share(logprobs: Mapping[str, float]) -> float | None:
    r"""P(yes) / (P(yes) + P(no)) of the first token; None where neither is among the candidates.

    >>> round(yes_share({"Yes": 1.0, "No": -1.0}), 7), yes_share({" no": -0.1, "Maybe": -3.0}), yes_share({"I": -0.1})
    (0.8807971, 0.0, None)
    """
    yes, no = (_mass(logprobs, words) for words in (_YES, _NO))
    return yes / (yes + no) if yes + no > 0 else None


def _mass(logprobs: Mapping[str, float], words: frozenset[str]) -> float:
    found = [value for token, value in logprobs.items() if token.strip(_AROUND).casefold() in words]
    return math.fsum(sorted(map(math.exp, found)))


def _value(said: Any, graded: bool) -> float | None:
    if graded:
        return _grade(said)
    word = str(said).strip(" .").casefold()
    return 1.0 if word in _YES else 0.0 if word in _NO else None


def _grade(said: Any) -> float | None:
    """A grade of 1 to 5, also as text or with a fraction."""
    try:
        grade = float(said) if isinstance(said, int | float | str) and not isinstance(said, bool) else math.nan
    except ValueError:
        return None
    return (grade - 1) / (GRADES - 1) if 1 <= grade <= GRADES else None


def _last_object(text: str) -> dict[str, Any] | None:
    objects = list(json_objects(spoken(text)))
    return objects[-1] if objects else None
