"""Prompts: a pure function of seed, step and rank; bad rows are refused before training."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgsrm_lightning import GRPOConfig, PPOConfig, PromptData, RLModule, SamplingConfig
from pgsrm_lightning.cli.trainer import rl_module
from pgsrm_lightning.data import PromptStream, ValBatches
from pgsrm_plugin import DataError, SpecError, parse_spec

EXACT = parse_spec("terms: {exact_match: {}}")
TRUTH = parse_spec("terms: {exact_match: {against: ground_truth}}")
SAMPLING = SamplingConfig(max_new_tokens=2)


def fit(trainer, child, data, spec=EXACT, sampling=SAMPLING):
    module = RLModule(child, spec, PPOConfig(), sampling)
    trainer.fit(module, data)
    return module


def test_every_pass_shows_every_prompt_once_in_another_order():
    stream = PromptStream(list(range(10)), per_step=4, seed=0)
    seen = [record for step in range(5) for record in stream.at(step)]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_the_batch_of_a_step_depends_on_seed_and_step_alone():
    stream = PromptStream(list(range(10)), per_step=4, seed=0)
    late = stream.at(7)
    assert PromptStream(list(range(10)), per_step=4, seed=0).at(7) == late
    assert PromptStream(list(range(10)), per_step=4, seed=1).at(7) != late


def test_ranks_share_the_prompts_of_a_step():
    stream = PromptStream(list(range(10)), per_step=5, seed=0)
    parts = [stream.at(3, rank, 2) for rank in range(2)]
    assert [len(part) for part in parts] == [3, 2]
    assert sorted(parts[0] + parts[1]) == sorted(stream.at(3))


def test_neighbours_stay_together_on_one_process():
    stream = PromptStream(list(range(12)), per_step=4, seed=0, together=2)
    steps = [stream.at(step, rank, 2) for step in range(6) for rank in range(2)]
    assert all(first % 2 == 0 and second == first + 1 for first, second in steps)
    assert sorted(record for part in steps[:6] for record in part) == list(range(12))
    assert PromptStream(list(range(10)), 4, 3, together=1).at(5) == PromptStream(list(range(10)), 4, 3).at(5)


def test_paraphrases_label_each_other_in_training(tiny_child, quiet_trainer, tmp_path):
    """Each step has a prompt and its paraphrase, so that rows have others; apart, none has."""
    rows = [{"prompt": f"red{mark} {i}", "which": str(i)} for i in range(4) for mark in ("", "!")]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = "terms: {consensus: {by: equality, paraphrases: which}}"
    path = tmp_path / "spec.yaml"
    path.write_text(spec)
    unscorable = []
    for together in (2, 1):
        trainer = quiet_trainer(max_epochs=1)
        data = PromptData(str(file), prompts_per_step=together, together=together, steps=4)
        trainer.fit(RLModule(tiny_child, str(path), GRPOConfig(group_size=8), SAMPLING), data)
        unscorable.append(float(trainer.callback_metrics["train/unscorable"]))
    assert unscorable[0] < unscorable[1] == 1.0  # an empty answer is unscorable in any company


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompts_per_step": 3, "together": 2}, "data.together is 2, which does not divide prompts_per_step 3"),
        ({"together": 0}, "together must be at least 1"),
    ],
)
def test_neighbours_that_cannot_stay_together(settings, message):
    with pytest.raises(SpecError, match=message):
        PromptData("any.jsonl", **settings)


@pytest.mark.parametrize(("rows", "size", "lengths"), [(5, 2, [2, 2, 1]), (4, 4, [4]), (1, 3, [1])])
def test_validation_batches(rows, size, lengths):
    batches = list(ValBatches("held_out", list(range(rows)), size))
    assert [len(batch.records) for batch in batches] == lengths
    assert [record for batch in batches for record in batch.records] == list(range(rows))


def test_without_steps_an_epoch_is_one_pass(tiny_child, colour_file, quiet_trainer):
    module = fit(quiet_trainer(max_epochs=2), tiny_child, PromptData(colour_file, prompts_per_step=4))
    assert module.steps_done == 2 * 3


def test_max_steps_counts_training_steps(tiny_child, colour_file, quiet_trainer):
    module = fit(quiet_trainer(max_epochs=-1, max_steps=5), tiny_child, PromptData(colour_file, None, 4, 2))
    assert module.steps_done == 5


def test_verl_parquet_trains(tiny_child, quiet_trainer, tmp_path, chat_child):
    row = {
        "prompt": [{"role": "user", "content": "mix red and blue"}],
        "reward_model": {"style": "rule", "ground_truth": "blue"},
        "data_source": "colours",
        "extra_info": {"index": 0},
    }
    pq.write_table(pa.Table.from_pylist([row, row]), tmp_path / "verl.parquet")
    data = PromptData(str(tmp_path / "verl.parquet"), prompts_per_step=2, steps=1)
    assert fit(quiet_trainer(), chat_child, data, TRUTH).steps_done == 1
    with pytest.raises(
        DataError, match=r"verl\.parquet: row 1: the prompt is a chat, but this child's tokenizer has no"
    ):
        fit(quiet_trainer(), tiny_child, PromptData(str(tmp_path / "verl.parquet")), TRUTH)


@pytest.mark.parametrize(
    ("rows", "spec", "message"),
    [
        (
            [{"prompt": "red", "reference": "x"}, {"prompt": "red"}],
            EXACT,
            r"rows\.jsonl:2: field 'reference' is missing",
        ),
        ([{"prompt": "red", "reference": "x"}], TRUTH, r"rows\.jsonl:1: field 'ground_truth' is missing"),
        ([{"reference": "x"}], EXACT, r"rows\.jsonl:1: field 'prompt' is missing"),
        (
            [{"prompt": "red " * 40, "reference": "x"}],
            EXACT,
            r"rows\.jsonl:1: field 'prompt' has 40 tokens, but at most 30",
        ),
    ],
)
@pytest.mark.parametrize("where", ["train", "val"])
def test_bad_rows_are_refused_before_training(
    rows, spec, message, where, tiny_child, jsonl, colour_rows, quiet_trainer
):
    good = jsonl("good.jsonl", [{**row, "ground_truth": row["reference"]} for row in colour_rows])
    bad = jsonl("rows.jsonl", rows)
    data = PromptData(bad, steps=1) if where == "train" else PromptData(good, {"held_out": bad}, steps=1)
    with pytest.raises(DataError, match=message):
        fit(quiet_trainer(), tiny_child, data, spec)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", r"bad\.jsonl is empty"), (None, r"bad\.jsonl: there is no such file")],
)
def test_unreadable_files_are_refused(content, message, tiny_child, quiet_trainer, tmp_path):
    if content is not None:
        (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        fit(quiet_trainer(), tiny_child, PromptData(str(tmp_path / "bad.jsonl")))


def test_settings_of_the_other_algorithm_are_refused(tiny_child):
    with pytest.raises(SpecError, match=r"model\.ppo is set, but model\.algorithm is grpo"):
        rl_module(tiny_child, "spec.yaml", "grpo", ppo=PPOConfig(epochs=9))
