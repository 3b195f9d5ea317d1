"""What guards and token states cost: CPU time a row, beside the plain likeness of the same encoder."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from pgsrm_lab.bench.systems.base import Progress
from pgsrm_plugin.audit.people.builtin import builtin_files
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.types import RewardSample

_MARKS = ".!?;:,-~*#+=/|"
WHOLE, PLAIN = "whole", "plain"
"""The names of the spec as it is, and of its likeness by vectors alone."""


def parts_of(spec: RewardSpec) -> dict[str, RewardSpec]:
    """The spec's likeness by vectors alone, and what is added to it; each with the spec's encoder.

    Raises:
        SpecError: the spec has no guard, or nothing that compares vectors.
    """
    needs = {name: term.needs() for name, term in spec.terms.items()}
    vectors = {name: spec.terms[name] for name, need in needs.items() if need.vectors and not need.token_states}
    states = {name: spec.terms[name] for name, need in needs.items() if need.vectors}
    if not vectors or not spec.guards:
        lacking = "guards" if vectors else "term that compares vectors"
        raise SpecError(
            f"--guards measures what guards add to a cosine, and {spec.name or 'this spec'} has no {lacking}"
        )
    rules = {name: guard for name, guard in spec.guards.items() if not guard.needs().token_states}

    def part(terms: Mapping[str, object], guards: Mapping[str, object]) -> RewardSpec:
        weights = {name: abs(spec.weight(name)) or 1.0 for name in terms}
        return spec.model_copy(
            update={"terms": terms, "guards": guards, "weights": weights, "gates": [], "disk_cache": None}
        )

    return {
        PLAIN: part(vectors, {}),
        "with the guards that read text": part(vectors, rules),
        "with all guards": part(vectors, spec.guards),
        "with terms of token states": part(states, {}),
        WHOLE: spec.model_copy(update={"disk_cache": None}),
    }


def measure_guards(spec: RewardSpec, rounds: int, progress: Progress = lambda _: None) -> dict[str, object]:
    """CPU milliseconds a row (all threads) of each of :func:`parts_of`, the median over the rounds, and as a ratio.

    The rows are the bad answers of the built-in pairs. References are known from a call before, as in training from
    the second epoch on. Rules remember the texts that they have read, so each time every response has marks at its end
    that no other time has.

    Raises:
        SpecError: see :func:`parts_of`.
        ScorerError: the encoder failed.
    """
    assert spec.encoder is not None
    parts = parts_of(spec)
    encoder = spec.encoder.build()
    rewards = {name: SemanticReward(part, encoder) for name, part in parts.items()}
    rows = [json.loads(line) for file in builtin_files() for line in file.read_text(encoding="utf-8").splitlines()]
    marks = _marks()
    for reward in rewards.values():
        reward.score(_samples(rows, "good", next(marks)))
    seconds: dict[str, list[float]] = {name: [] for name in rewards}
    for number in range(rounds):
        progress(f"what guards cost: round {number + 1} of {rounds}")
        order = list(rewards)
        for name in order[number % len(order) :] + order[: number % len(order)]:
            samples = _samples(rows, "bad", next(marks))
            started = time.process_time()
            rewards[name].score(samples)
            seconds[name].append(time.process_time() - started)
    return {
        "rows": len(rows),
        "ms_a_row": {name: 1000 * median(times) / len(rows) for name, times in seconds.items()},
        "ratio": {name: _ratios(times, seconds[PLAIN]) for name, times in seconds.items()},
    }


def _ratios(times: Sequence[float], plain: Sequence[float]) -> list[float]:
    """To plain likeness in the same round: the median, the least and the greatest."""
    ratios = [one / other for one, other in zip(times, plain, strict=True)]
    return [median(ratios), min(ratios), max(ratios)]


def _samples(rows: Sequence[Mapping[str, str]], answer: str, mark: str) -> list[RewardSample]:
    return [RewardSample(row["prompt"], f"{row[answer]} {mark}", (row["reference"],)) for row in rows]


def _marks() -> Iterator[str]:
    return ("".join(pair) for pair in itertools.product(_MARKS, repeat=2))
