"""Specs held against what people said: the measures of each, and what a table, JSON and a page say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from pgsrm_plugin.audit.people.judgements import Judgements
from pgsrm_plugin.audit.people.measures import Measure, pair_measures
from pgsrm_plugin.audit.people.ranks import label_measures, rating_measures
from pgsrm_plugin.errors import PgsrmError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.types import RewardSample
from pgsrm_plugin.validate import check_samples

BATCH = 256
"""Responses scored at a time."""
NOTES = {
    "pairs": "Share of pairs in which the good answer earns more; ties (closer than 1e-6) count as wrong. 95 % Wilson "
    "intervals. Like length: the shorter answer lacks at most 20 % of the longer one's characters.",
    "ratings": "Mean over prompts with different ratings, and over all rows. 95 % bootstrap intervals over prompts "
    "(1,000 resamples). A reward without any order has 0.",
    "labels": "The chance that a right answer earns more than a wrong one, ties counting half. 95 % bootstrap interval "
    "(1,000 resamples, each class by itself).",
}
"""How each kind of data is measured."""


@dataclass(frozen=True)
class Evaluation:
    """One spec's measures, in the order in which they are shown; the same names for every spec on the same data."""

    name: str
    fingerprint: str
    measures: Sequence[Measure]


@dataclass(frozen=True)
class Scores:
    """What a spec gave for N responses.

    Attributes:
        totals_N: the rewards.
        raw_NK: the raw values of its K terms, in the order of the spec.
    """

    totals_N: np.ndarray
    raw_NK: np.ndarray


def evaluate_spec(
    name: str,
    reward: SemanticReward,
    judgements: Judgements,
    *,
    within: bool = True,
    grouped: bool = False,
    advance: Callable[[int], None] = lambda scored: None,
) -> Evaluation:
    """Scores all answers with one spec, and measures.

    Responses are scored by themselves: ``aggregate: group_normalised`` as ``sum``, and ``unscorable: mask`` as
    ``floor``.

    Args:
        within: for ratings, whether to measure within prompts.
        grouped: for ratings, whether the answers to a prompt are scored as one group, as training does.
        advance: told how many responses were scored since.

    Raises:
        DataError, UnscorableError, ScorerError: the rows cannot be scored by this spec, or it failed; the message
            begins with its name.
    """
    reward = in_its_group(reward) if grouped else by_itself(reward)
    with naming(name):
        if judgements.kind == "pairs":
            measures = _of_pairs(reward, judgements, advance)
        else:
            measures = _of_answers(reward, judgements, within, advance)
    return Evaluation(name, reward.spec.fingerprint, measures)


def by_itself(reward: SemanticReward) -> SemanticReward:
    """The same reward, but each response is worth what it is alone, and each gets a number."""
    return _floored(reward.for_validation())


def in_its_group(reward: SemanticReward) -> SemanticReward:
    """The same reward, also of what a response is worth among others, but before any shape; each gets a number."""
    spec = reward.spec
    return _floored(reward if spec.shape is None else reward.with_spec(spec.model_copy(update={"shape": None})))


def _floored(reward: SemanticReward) -> SemanticReward:
    if reward.spec.unscorable != "mask":
        return reward
    return reward.with_spec(reward.spec.model_copy(update={"unscorable": "floor"}))


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Errors of what runs inside begin with the spec's name."""
    try:
        yield
    except PgsrmError as error:
        raise type(error)(f"{name}: {error}") from None


def score_pairs(
    reward: SemanticReward, judgements: Judgements, advance: Callable[[int], None] = lambda scored: None
) -> tuple[Scores, Scores]:
    """What the good answers and the bad ones get.

    Raises:
        DataError: rows lack what the spec compares with; each row is counted once.
    """
    labels = [pair.label for pair in judgements.pairs]
    check_samples([pair.good for pair in judgements.pairs], reward.spec, labels.__getitem__)
    good = _score(reward, [pair.good for pair in judgements.pairs], labels, advance)
    return good, _score(reward, [pair.bad for pair in judgements.pairs], labels, advance)


def _of_pairs(reward: SemanticReward, judgements: Judgements, advance: Callable[[int], None]) -> list[Measure]:
    good, bad = score_pairs(reward, judgements, advance)
    pairs = judgements.pairs
    lengths = [(len(pair.good.response), len(pair.bad.response)) for pair in pairs]
    return pair_measures((good.totals_N - bad.totals_N).tolist(), [pair.section for pair in pairs], lengths)


def _of_answers(
    reward: SemanticReward, judgements: Judgements, within: bool, advance: Callable[[int], None]
) -> list[Measure]:
    samples = [answer.sample for answer in judgements.answers]
    labels = [answer.label for answer in judgements.answers]
    check_samples(samples, reward.spec, labels.__getitem__)
    rewards = _score(reward, samples, labels, advance).totals_N.tolist()
    values = [answer.value for answer in judgements.answers]
    if judgements.kind == "labels":
        return label_measures(rewards, values)
    return rating_measures(rewards, values, [sample.group for sample in samples], within=within)


def _score(
    reward: SemanticReward, samples: Sequence[RewardSample], labels: Sequence[str], advance: Callable[[int], None]
) -> Scores:
    totals, raw = [], []
    size = len(samples) if reward.spec.aggregate.needs_groups else BATCH  # a batch must hold whole groups
    for start in range(0, len(samples), size):
        batch, named = samples[start : start + size], labels[start : start + size]
        output = reward.score(batch, label=named.__getitem__)
        totals.append(output.total_B.numpy())
        raw.append(np.stack([output.terms[name].numpy() for name in reward.spec.terms], axis=1))
        advance(len(batch))
    return Scores(np.concatenate(totals), np.concatenate(raw))


def as_json(judgements: Judgements, evaluations: Sequence[Evaluation]) -> dict[str, object]:
    """The whole result as ``--json`` writes it."""
    specs = [
        {"spec": one.name, "fingerprint": one.fingerprint, "measures": [each.as_dict() for each in one.measures]}
        for one in evaluations
    ]
    return {
        "data": judgements.source,
        "as": judgements.kind,
        "rows": len(judgements),
        "how": NOTES[judgements.kind],
        "specs": specs,
    }


def cell(measure: Measure) -> tuple[str, str]:
    """A measure as tables write it: the value, and its interval with the ties."""
    known = measure.low is not None and measure.high is not None
    interval = f"[{measure.low:.2f}, {measure.high:.2f}]" if known else ""
    ties = f"{measure.ties} tie{'s' if measure.ties > 1 else ''}" if measure.ties else ""
    return f"{measure.value:.3f}", " ".join(filter(None, [interval, ties]))


def cell_of(measure: Mapping[str, Any]) -> str:
    """The cell of a measure as :func:`as_json` has it."""
    return " ".join(filter(None, cell(Measure(**measure))))
