"""What validation calls right, by hand."""

from __future__ import annotations

import pytest
import torch

from pgsrm_lightning.advantages import group_advantages
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.rollout.scoring import measure_answers, measure_rewards, register_answers, score, semantic_term
from pgsrm_plugin import SemanticReward, parse_spec
from pgsrm_plugin.data.rows import Record

SEMANTIC = "encoder: {kind: hashing}\nterms: {semantic: {}}\n"


def record(ground_truth, references=("the explanation",)):
    return Record({}, "data.jsonl:1", "a prompt", None, references, ground_truth, "", "g")


def validated(spec_text, ground_truth, response, references=("the explanation",)):
    reward, meter = SemanticReward(parse_spec(spec_text)), Meter(torch.device("cpu"))
    answers = score(reward, [record(ground_truth, references)], [response])
    measure_answers(answers, "probe", reward.spec, meter)
    return meter.means()


@pytest.mark.parametrize(
    ("spec", "truth", "response", "right"),
    [
        (SEMANTIC, "blue", " Blue ", 1.0),
        (SEMANTIC, "blue", "<answer>Blue</answer>", 0.0),  # without the setting, tags are words like others
        (SEMANTIC + "text: {answer_tag: answer}", "blue", "so: <answer>Blue</answer>", 1.0),
        (SEMANTIC + "text: {answer_tag: answer}", "blue", "<answer>red</answer>", 0.0),
        (SEMANTIC + "text: {strip_thinking: true}", "blue", "<think>red?</think> blue", 1.0),
        ("terms: {correctness: {compare: number}}", "42", "so <answer>42.0</answer>", 1.0),
        ("terms: {correctness: {compare: number}}", "42", "42, no, <answer>41</answer>", 0.0),
        ("terms: {exact_match: {against: references}}", "blue", "the explanation", 1.0),  # the spec's judge decides
        ("terms: {exact_match: {against: references}}", "blue", "blue", 0.0),
    ],
)
def test_accuracy_is_that_of_the_spec(spec, truth, response, right):
    assert validated(spec, truth, response)["val/probe/accuracy"] == right


def test_a_group_is_the_answers_to_one_record_whatever_its_prompt_and_columns():
    """One prompt and one ``group`` column, but two records: answers to one are never compared with the other's."""
    reward, meter = (
        SemanticReward(parse_spec("terms: {exact_match: {against: references}}")),
        Meter(torch.device("cpu")),
    )
    apple, pear = record(None, ("apple",)), record(None, ("pear",))
    answers = score(reward, [apple] * 4 + [pear] * 4, ["apple"] * 8, group_size=4)
    assert answers.output.total_B.tolist() == [1.0] * 4 + [0.0] * 4
    assert answers.groups == [sample.group for sample in answers.samples] == [0, 0, 0, 0, 1, 1, 1, 1]
    advantages_B = group_advantages(answers.output.total_B, answers.groups, answers.output.scored_B)
    assert advantages_B.tolist() == [0.0] * 8
    measure_rewards(answers, meter)
    means = meter.means()
    assert means["train/zero_variance_groups"] == 1.0
    assert means["train/reward_std_across_groups"] == 0.5


def test_without_a_ground_truth_any_reference_is_right():
    assert validated(SEMANTIC, None, "cyan", ("blue", "Cyan"))["val/probe/accuracy"] == 1.0


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (SEMANTIC, "semantic"),
        ("encoder: {kind: hashing}\nterms: {likeness: {kind: semantic}}", "likeness"),
        ("terms: {exact_match: {}}", None),
    ],
)
def test_a_process_without_rows_knows_the_same_names(spec, name):
    assert semantic_term(parse_spec(spec)) == name
    meter = Meter(torch.device("cpu"))
    register_answers("probe", parse_spec(spec), meter)
    assert sorted(meter.names) == sorted(validated(spec, "blue", "blue"))


def test_what_guards_found_is_logged_by_name():
    """Of two scored answers to "it has 5 legs" one has another number: the mean violation is a half."""
    spec = parse_spec(SEMANTIC + "guards: {numeric_consistency: {}}\nunscorable: mask\n")
    records = [record(None, ("it has 5 legs",))] * 3
    answers = score(SemanticReward(spec), records, ["it has 5 legs", "it has 7 legs", " "], group_size=3)
    meter = Meter(torch.device("cpu"))
    measure_rewards(answers, meter)
    assert meter.means()["train/reward/guard/numeric_consistency"] == 0.5
    assert answers.output.guard_words == [{}, {"numeric_consistency": ("7", "5")}, {}]
