"""verl's rows as samples, and the data files looked through before training."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from minilm import needs_minilm

from pgsrm_plugin.errors import DataError, SpecError
from pgsrm_plugin.spec import parse_spec
from pgsrm_verl import datafiles
from pgsrm_verl.datafiles import Seen, check_data, look_through
from pgsrm_verl.rows import RowReader, prompt_key, read_references
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
    assert check_data(files(train, val), RowReader(), SEMANTIC, SEMANTIC) == {prompt_key("only here")}
    val[0]["prompt"][0]["content"] = "question 1"
    with pytest.raises(SpecError, match=r"val\.parquet: row 1 has the same prompt as .*train\.parquet: row 2"):
        check_data(files(train, val), RowReader(), SEMANTIC, SEMANTIC)
    val[0]["prompt"][0]["content"] = "only here"
    with pytest.raises(DataError, match=r"val\.parquet: row 1: field 'ground_truth' is missing"):
        check_data(files(train, val), RowReader("semantic"), SEMANTIC, WITH_TRUTH)


def test_equal_rows_are_checked_once(files, monkeypatch):
    checked = []
    check = datafiles.check_samples
    monkeypatch.setattr(datafiles, "check_samples", lambda samples, *more, **named: checked.append(samples[0].group))
    train = [{**row, "extra_info": {"index": f"id-{i}"}} for i, row in enumerate(table("a", "b") * 50)]
    val = [*table("a"), {**table("a")[0], "reward_model": {"style": "rule", "ground_truth": "other"}}]
    config = files(train, val)
    check_data(config, RowReader(), SEMANTIC)
    assert [label.rsplit("/", 1)[-1] for label in checked] == [
        *("train.parquet: row 1", "train.parquet: row 2"),
        *("val.parquet: row 1", "val.parquet: row 2"),
    ]
    monkeypatch.setattr(datafiles, "check_samples", check)
    train[70]["reward_model"] = {"style": "rule", "ground_truth": " "}
    with pytest.raises(DataError, match=r"train\.parquet: row 71: field 'reference': number 1"):
        check_data(files(train, val), RowReader(), SEMANTIC)


def test_of_objects_only_what_the_reward_reads_is_read(tmp_path):
    row = table("a")[0] | {"images": [{"bytes": b"x"}], "extra_info": {"index": 0, "answer": {"text": "long", "n": 1}}}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "d.parquet")
    (tmp_path / "d.jsonl").write_text(json.dumps(row | {"images": []}) + "\n")
    wanted = datafiles._wanted("prompt", RowReader(reference_field="extra_info.answer.text").layout)
    expected = {name: row[name] for name in ("prompt", "data_source")}
    expected |= {"reward_model": {"ground_truth": "a"}, "extra_info": {"answer": {"text": "long", "n": 1}}}
    for name in ("d.parquet", "d.jsonl"):
        ((_, found),) = datafiles.read_data(str(tmp_path / name), wanted)
        assert found == expected


def test_a_ground_truth_that_nobody_asks_for_is_not_read(files):
    train = table("a")
    train[0]["reward_model"]["ground_truth"] = {"lower": [1.5], "upper": {"x": 1}}
    train[0]["extra_info"]["answer"] = "<answer>a</answer>"
    config, reader = files(train, train), RowReader(reference_field="extra_info.answer")
    assert look_through(config, reader, SEMANTIC) == Seen()
    with pytest.raises(DataError, match=r"train\.parquet: row 1: field 'reward_model.ground_truth"):
        look_through(config, reader, WITH_TRUTH)
    with pytest.raises(DataError, match=r"train\.parquet: row 1: field 'reward_model.ground_truth"):
        look_through(config, RowReader(), SEMANTIC)


# --- prompts that verl rewrites ----------------------------------------------------------------------------------


def rolled_out(content: str, images: int) -> list[dict]:
    """A prompt as verl's data set hands it to the rollout."""
    rl_dataset = pytest.importorskip("verl.utils.dataset.rl_dataset")
    keys = SimpleNamespace(image_key="images", video_key="videos", audio_key="audios", processor=object())
    row = {"prompt": [{"role": "user", "content": content}], "images": ["a.png"] * images}
    return rl_dataset.RLHFDataset._build_messages(keys, row, "prompt")


@pytest.mark.parametrize(
    "content", ["<image>Find x.", "Of <image> and\n<image>\nwhich is x?", "<image>", "Find x.", "<video> or <audio>?"]
)
def test_a_prompt_of_parts_has_the_key_of_its_text(content):
    parts = rolled_out(content, content.count("<image>"))
    assert ("<image>" in content) == isinstance(parts[0]["content"], list)
    assert prompt_key(parts) == prompt_key([{"role": "user", "content": content}]) == prompt_key(content)


def test_other_words_have_another_key():
    keys = {prompt_key(text) for text in ("Find x.", "Find  x.", "Find y.", "<image>Find x", "")}
    assert len(keys) == 5


def test_references_and_validation_of_image_prompts_are_found_in_a_rollout(files, caplog):
    train, val = table("4"), table("7")
    train[0]["prompt"][0]["content"], val[0]["prompt"][0]["content"] = "<image>Find x.", "<image>Find y."
    reader = RowReader(references={prompt_key("<image>Find x."): ("By the angle sum, x is 4.",)})
    seen = look_through(files(train, val), reader, SEMANTIC, SEMANTIC)
    assert "1 prompts are not in pgsrm.references" in caplog.text
    assert "val.parquet: row 1" in caplog.text
    assert prompt_key(rolled_out("<image>Find y.", 1)) in seen.validation
    assert prompt_key(rolled_out("<image>Find x.", 1)) not in seen.validation
    reader = replace(reader, known=Seen.from_text(seen.as_text()).known)
    sample = reader.sample(train[0], rolled_out("<image>Find x.", 1), "4")
    assert sample.references == ("By the angle sum, x is 4.",)
    assert reader.sample(val[0], rolled_out("<image>Find y.", 1), "7").references == ("7",)


def test_a_prompt_that_no_file_has_is_an_error_where_it_must_be_recognised(files, caplog):
    config = files(table("a", "b"), table("c", "d"))
    seen = look_through(config, RowReader(), SEMANTIC)
    assert (seen, caplog.text) == (Seen(), "")  # references stand in the rows: nothing to recognise
    reader = RowReader(references={prompt_key("question 0"): ("zero",), prompt_key("question 1"): ("one",)})
    seen = look_through(config, reader, SEMANTIC)
    assert seen == Seen(known=frozenset({prompt_key("question 0"), prompt_key("question 1")}))
    assert caplog.text == ""
    reader, row = replace(reader, known=seen.known), {**table("a")[0], "extra_info": {"index": np.int64(17)}}
    assert reader.sample(row, "question 1", "r").references == ("one",)
    said = r"here: the prompt of the row with data_source 'd' and extra_info\.index 17 is, as verl hands it over, in "
    with pytest.raises(DataError, match=said):
        reader.sample(row, "Question 1", "r", "here")


@needs_minilm
def test_references_that_the_encoder_cannot_read_are_refused_before_training(files):
    """By the tokenizer alone: no weights are loaded here."""
    spec = parse_spec("{encoder: {kind: hf, model: sentence-transformers/all-MiniLM-L6-v2}, terms: {semantic: {}}}")
    check_data(files(table("a cat"), table("a 猫")), RowReader(), spec)
    with pytest.raises(
        DataError, match=r"train\.parquet: row 2: field 'reference': '猫' has no representation: .*Latin"
    ):
        check_data(files(table("a", "猫"), table("a")), RowReader(), spec)


def test_a_driver_without_the_encoders_files_goes_on(files, tmp_path, caplog):
    spec = parse_spec(f"{{encoder: {{kind: hf, model: {tmp_path}/none}}, terms: {{semantic: {{}}}}}}")
    check_data(files(table("a"), table("猫")), RowReader(), spec)
    assert (
        "which words the encoder does not know cannot be told on this machine: encoder.model: there is no"
        in caplog.text
    )


SWITCHED = parse_spec(
    "terms: {exact_match: {when: {column: extra_info.kind, equals: closed}}, repetition: {}}\n"
    "weights: {exact_match: 1, repetition: -1}"
)


def test_the_columns_that_terms_are_switched_by_are_read(files):
    """Of the row in training, and of the data files before it."""
    row = {**GSM8K, "extra_info": {"kind": np.str_("closed"), "other": 1}, "level": 3}
    reader = RowReader().for_specs([SWITCHED, SEMANTIC])
    assert reader.sample(row, CHAT, "five").columns == {"extra_info": {"kind": "closed", "other": 1}}
    rows = table("a", "b", "b")
    for number, kind in enumerate(("closed", "open", "open")):
        rows[number]["extra_info"] = {"index": number, "kind": kind, "other": "x" * number}
    look_through(files(rows, rows[:1]), RowReader(), SWITCHED)
    rows[2]["extra_info"]["kind"] = None
    with pytest.raises(DataError, match=r"train.parquet: row 3: field 'extra_info.kind' is missing, and term 'exact"):
        look_through(files(rows, rows[:1]), RowReader(), SWITCHED)


def test_validation_prompts_need_no_baseline_and_are_told_from_the_others(files, tmp_path):
    """A shape is for training: validation is scored without, so its prompts must be recognised."""
    from pgsrm_plugin.shapes.baselines import line
    from pgsrm_plugin.validate import check_samples, row_key

    text = "terms: {exact_match: {}, repetition: {}}\nweights: {exact_match: 1, repetition: -1}"
    plain = parse_spec(text)
    shaped = parse_spec(f"{text}\nshape: {{kind: par, baselines: policy.jsonl}}", folder=tmp_path)
    train, val = table("a"), table("x", "b")[1:]
    sample = RowReader().sample(train[0], train[0]["prompt"], "r")
    key = row_key(check_samples([sample], plain).rows[0], plain)
    row = line(key, train[0]["prompt"], plain.unshaped_fingerprint, [0.5], {})
    (tmp_path / "policy.jsonl").write_text(json.dumps(row) + "\n")
    seen = look_through(files(train, val), RowReader(), shaped)
    assert seen.validation == {prompt_key(val[0]["prompt"])}
    with pytest.raises(
        DataError, match=r"train.parquet: row 1: .* has no score of the starting policy for the prompt 'que"
    ):
        look_through(files(val, train), RowReader(), shaped)
    with pytest.raises(SpecError, match=r"shape, which validation does without: .* has the same prompt as"):
        look_through(files(train, train), RowReader(), shaped)
    assert look_through(files(train, train), RowReader(), plain) == Seen()
