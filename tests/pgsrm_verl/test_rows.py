"""verl's rows as samples, and the data files looked through before training."""

from __future__ import annotations

import json
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgsrm_plugin.errors import DataError, SpecError
from pgsrm_plugin.spec import parse_spec
from pgsrm_verl.datafiles import check_data
from pgsrm_verl.rows import RowReader, read_references
from pgsrm_verl.settings import Settings

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 3?"}]
TEXT = "Be brief.\nWhat is 2 + 3?"
SEMANTIC = parse_spec("{encoder: {kind: hashing}, terms: {semantic: {}}}")
WITH_TRUTH = parse_spec("{encoder: {kind: hashing}, terms: {semantic: {}, correctness: {extract: tag, tag: answer}}}")


def fields(reader: RowReader, row: dict) -> tuple:
    sample = reader.sample(row, CHAT, "five")
    return sample.references, sample.ground_truth


# --- where references stand --------------------------------------------------------------------------------------

GSM8K = {
    "data_source": "openai/gsm8k",
    "reward_model": {"style": "rule", "ground_truth": "5"},
    "extra_info": {"split": "train", "index": 0, "answer": "2 + 3 = 5\n#### 5", "question": "What is 2 + 3?"},
}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (GSM8K, (("5",), "5")),
        ({"reward_model": {"ground_truth": "5", "references": ["five", "it is 5"]}}, (("five", "it is 5"), "5")),
        ({"reward_model": {"ground_truth": "5", "reference": "five"}}, (("five",), "5")),
        ({"reward_model": {"ground_truth": "5"}, "extra_info": {"references": ["five"]}}, (("five",), "5")),
        ({"reward_model": {"reference": "a"}, "extra_info": {"reference": "b"}}, (("a",), None)),
        ({"reward_model": {"ground_truth": 5}}, (("5",), "5")),
        ({"reward_model": {"ground_truth": None}, "extra_info": None}, ((), None)),
        ({}, ((), None)),
    ],
)
def test_the_convention_of_pgsrm(row, expected):
    assert fields(RowReader(), row) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"reward_model": {"ground_truth": "Both are primes."}, "extra_info": {"answer": "B"}},
            (("Both are primes.",), "B"),
        ),
        ({"reward_model": {"ground_truth": "Both are primes."}}, (("Both are primes.",), None)),
        (
            {"reward_model": {"ground_truth": "B", "reference": "Both are primes."}, "extra_info": {"answer": "long"}},
            (("Both are primes.",), "B"),
        ),
    ],
)
def test_the_convention_of_semantic(row, expected):
    assert fields(RowReader("semantic"), row) == expected


def test_columns_named_in_the_settings_come_first():
    reader = RowReader("semantic", reference_field="extra_info.answer")
    assert fields(reader, GSM8K) == (("2 + 3 = 5\n#### 5",), "5")
    reader = RowReader(reference_field="parent", ground_truth_field="extra_info.index")
    assert fields(reader, {**GSM8K, "parent": ["p", "q"]}) == (("p", "q"), "0")
    with pytest.raises(DataError, match=r"row: there is no 'extra_info\.anwser', which the settings name"):
        fields(RowReader(reference_field="extra_info.anwser"), GSM8K)


def test_a_configured_ground_truth_is_no_reference():
    reader = RowReader(ground_truth_field="extra_info.index")
    assert fields(reader, GSM8K) == (("5",), "0")
    assert fields(reader, {"reward_model": {"style": "rule"}, "extra_info": {"index": 3}}) == ((), "3")


def test_the_references_file_comes_before_the_ground_truth_and_after_the_row(tmp_path):
    path = tmp_path / "parents.jsonl"
    lines = [
        {"prompt": TEXT, "reference": "from the file"},
        {"prompt": CHAT, "references": ["from the file", "once more"]},
        {"prompt": "other", "reference": "x"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    reader = RowReader.from_settings(Settings(spec="s", references=str(path)))
    assert fields(reader, GSM8K) == (("from the file", "once more"), "5")
    assert fields(reader, {"reward_model": {"reference": "own"}}) == (("own",), None)
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a", "reference": "b"}\n{"prompt": "c"}\n')
    with pytest.raises(DataError, match=r"bad\.jsonl:2: field 'reference' is missing"):
        read_references(tmp_path / "bad.jsonl")


def test_a_rollouts_numpy_columns_give_the_same_sample_as_the_file():
    as_rollout = {"reward_model": {"ground_truth": "5", "references": np.array(["five", "V"], dtype=object)}}
    sample = RowReader().sample(as_rollout, np.array(CHAT, dtype=object), "five")
    assert sample.references == ("five", "V")
    assert sample.prompt == CHAT


def test_a_column_of_a_wrong_type_is_named():
    with pytest.raises(DataError, match="here: column 'extra_info' must be an object, not str"):
        RowReader().sample({"extra_info": "x"}, CHAT, "r", "here")


# --- before training ---------------------------------------------------------------------------------------------


def table(*truths: str | None) -> list[dict]:
    return [
        {
            "prompt": [{"role": "user", "content": f"question {number}"}],
            "reward_model": {"style": "rule", "ground_truth": truth},
            "extra_info": {"index": number},
            "data_source": "d",
        }
        for number, truth in enumerate(truths)
    ]


@pytest.fixture
def files(tmp_path):
    def make(train, val) -> dict:
        for name, rows in (("train", train), ("val", val)):
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
        return {"data": {"train_files": str(tmp_path / "train.parquet"), "val_files": [str(tmp_path / "val.parquet")]}}

    return make


def test_good_files_pass(files):
    assert check_data(files(table("a", "b"), table("c")), RowReader(), SEMANTIC) == frozenset()


def test_a_row_without_a_reference_is_named_with_its_file(files):
    config = files(table("a", "b", None, "d"), table("a"))
    with pytest.raises(DataError) as raised:
        check_data(config, RowReader(), SEMANTIC)
    message = str(raised.value)
    assert "train.parquet: row 3: field 'reference' is missing, and term 'semantic' compares with it" in message
    assert "reward_model.references, extra_info.references, reward_model.ground_truth" in message


def test_validation_files_are_looked_through_too(files):
    with pytest.raises(DataError, match=r"val\.parquet: row 2: field 'reference': number 1 \('  '\) is empty"):
        check_data(files(table("a"), table("a", "  ")), RowReader(), SEMANTIC)


def test_a_missing_correct_answer_is_named(files):
    config = files(table("an explanation"), table("another"))
    with pytest.raises(DataError, match=r"train\.parquet: row 1: field 'ground_truth' is missing.*'correctness'"):
        check_data(config, RowReader("semantic"), WITH_TRUTH)


def test_another_prompt_column_and_jsonl(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"question": "q", "reward_model": {"ground_truth": "a"}}\n\n{"reward_model": {}}\n')
    config = {"data": {"prompt_key": "question", "train_files": str(path), "val_files": None}}
    with pytest.raises(DataError, match=r"d\.jsonl:3: field 'question' is missing"):
        check_data(config, RowReader(), SEMANTIC)


def test_a_file_of_another_machine_is_left_to_the_run(tmp_path, caplog):
    config = {"data": {"train_files": "hdfs://cluster/train.parquet", "val_files": []}}
    with caplog.at_level(logging.WARNING):
        check_data(config, RowReader(), SEMANTIC)
    assert "hdfs://cluster/train.parquet is not checked for references" in caplog.text
    with pytest.raises(SpecError, match=r"hdfs://cluster/train\.parquet cannot be read here"):
        check_data(config, RowReader(), SEMANTIC, WITH_TRUTH)


def test_a_reward_of_its_own_for_validation_knows_its_prompts(files):
    train, val = table("a", "b"), table("c")
    val[0]["prompt"][0]["content"] = "only here"
    assert check_data(files(train, val), RowReader(), SEMANTIC, SEMANTIC) == {"only here"}
    val[0]["prompt"][0]["content"] = "question 1"
    with pytest.raises(SpecError, match=r"val\.parquet: row 1 has the same prompt as .*train\.parquet: row 2"):
        check_data(files(train, val), RowReader(), SEMANTIC, SEMANTIC)
    val[0]["prompt"][0]["content"] = "only here"
    with pytest.raises(DataError, match=r"val\.parquet: row 1: field 'ground_truth' is missing"):
        check_data(files(train, val), RowReader("semantic"), SEMANTIC, WITH_TRUTH)
