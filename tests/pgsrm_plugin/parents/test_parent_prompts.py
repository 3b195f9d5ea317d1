"""Prompts to ask a parent: what is read, what is refused, and the rows that the store keeps."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgsrm_plugin.errors import DataError, StoreError
from pgsrm_plugin.parents.export.prompt_rows import NAME, keep_rows, kept_rows
from pgsrm_plugin.parents.generation.prompts import PromptRow, distinct, prompt_id, read_prompts, requests

VERL = {
    "data_source": "openai/gsm8k",
    "prompt": [{"role": "user", "content": "What is 1 + 1?"}],
    "ability": "math",
    "reward_model": {"style": "rule", "ground_truth": "2"},
    "extra_info": {"split": "train", "index": 0, "item": 17},
}


def jsonl(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_verl_rl_parquet_keeps_what_the_export_gives_back(tmp_path):
    pq.write_table(pa.Table.from_pylist([VERL]), tmp_path / "train.parquet")
    (row,) = read_prompts(tmp_path / "train.parquet")
    assert row.prompt == VERL["prompt"]
    assert (row.ground_truth, row.data_source, row.ability, row.item) == ("2", "openai/gsm8k", "math", "17")
    assert row.extra_info == VERL["extra_info"]
    assert row.label.endswith("train.parquet: row 1")


def test_a_jsonl_row_needs_a_prompt_alone_and_its_references_are_not_looked_at(tmp_path):
    path = jsonl(
        tmp_path / "a.jsonl", {"prompt": "hi"}, {"prompt": "ho", "item": "x", "references": 3, "ground_truth": 4}
    )
    first, second = read_prompts(path)
    assert first == PromptRow("hi", label=f"{path}:1")
    assert (second.item, second.ground_truth) == ("x", "4")


def test_a_task_by_its_name():
    rows = list(read_prompts("colours"))
    assert len(rows) == 90
    assert {row.extra_info["split"] for row in rows} == {"train", "held_out"}
    assert rows[0].data_source == "pgsrm/colours"
    assert rows[0].ground_truth


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", r"a.jsonl:2: not JSON \(.*column 2\)"),
        ({"text": "x"}, r"a.jsonl:2: field 'prompt' is missing \(the row has: text\)"),
        ({"prompt": " \n"}, "a.jsonl:2: field 'prompt' is empty"),
        ({"prompt": [{"role": "user"}]}, r"a.jsonl:2: field 'prompt': message 1: 'content' must be text, not null"),
        ({"prompt": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "message 1 has parts"),
        ({"prompt": "x", "item": [1]}, "a.jsonl:2: field 'item' must be text or an integer, not a list"),
        ({"prompt": "x", "extra_info": "y"}, "a.jsonl:2: field 'extra_info' must be an object, not text"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, said):
    rows = read_prompts(jsonl(tmp_path / "a.jsonl", {"prompt": "fine"}, row))
    assert next(rows).prompt == "fine"
    with pytest.raises(DataError, match=said):
        next(rows)


@pytest.mark.parametrize(
    ("source", "said"),
    [("colors", "neither .* did you mean 'colours'"), ("nowhere.jsonl", "there is no such file"), ("a.csv", "neither")],
)
def test_a_source_that_is_none(source, said):
    with pytest.raises(DataError, match=said):
        list(read_prompts(source))


def test_a_prompt_is_asked_once_and_a_text_is_one_user_message():
    rows = [PromptRow("a"), PromptRow("b"), PromptRow([{"role": "user", "content": "a"}], item="late"), PromptRow("c")]
    assert prompt_id("a") == rows[2].prompt_id != rows[1].prompt_id
    assert [row.prompt for row in distinct(rows)] == ["a", "b", "c"]
    asked = [(request.prompt, request.sample) for request in requests(rows, samples=2, limit=2)]
    assert asked == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_rows_are_kept_as_often_as_they_stand_there_and_the_same_source_again_adds_nothing(tmp_path):
    rows = [PromptRow("a", item="1"), PromptRow("a", item="1"), PromptRow("a", item="2"), PromptRow("\ud800")]
    assert keep_rows(tmp_path, rows) == 4
    assert list(kept_rows(tmp_path)) == [
        PromptRow(row.prompt, item=row.item, label=f"{NAME}:{number}") for number, row in enumerate(rows, 1)
    ]
    assert keep_rows(tmp_path, rows) == 0
    assert keep_rows(tmp_path, [*rows, PromptRow("b")]) == 1
    assert [row.prompt for row in kept_rows(tmp_path)] == ["a", "a", "a", "\ud800", "b"]


SEEN = {"prompt": [{"role": "user", "content": "<image>What is the angle?"}], "images": [{"bytes": b"PNG"}]}


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (SEEN, "images"),
        ({"prompt": "Look: <image> What?", "image": "a.png"}, "image"),
        ({"prompt": "<image 1> or <image 2>?", "image_1": {"bytes": b"x"}}, "image_1"),
        ({"prompt": "<video>", "videos": ["a.mp4"]}, "videos"),
        ({"prompt": "<audio> says?", "extra_info": {"audios": ["a.wav"]}}, "audios"),
    ],
)
def test_a_picture_that_a_parent_does_not_see_is_said(tmp_path, row, column):
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "p.parquet")
    with pytest.raises(DataError, match=rf"p.parquet: row 1: the prompt has <.*in the column '{column}'; a parent is"):
        list(read_prompts(tmp_path / "p.parquet"))
    assert len(list(read_prompts(tmp_path / "p.parquet", seen=True))) == 1


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "What does the tag <image> do?"},
        {"prompt": "What does the tag <image> do?", "images": []},
        {"prompt": "What does the tag <image> do?", "images": None, "videos": ["a.mp4"]},
        {"prompt": "What is it?", "images": ["a.png"]},
        {"prompt": "<image> or not", "imagery": ["a"]},
    ],
)
def test_what_is_no_picture(tmp_path, row):
    assert len(list(read_prompts(jsonl(tmp_path / "a.jsonl", row)))) == 1


def test_columns_of_others_are_kept_in_the_store(tmp_path):
    row = {
        **VERL,
        "agent_name": "tool_agent",
        "group": 3,
        "reference": "x",
        "images": [{"bytes": b"\xffPNG", "path": None}],
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "train.parquet")
    (read,) = read_prompts(tmp_path / "train.parquet")
    others = {"agent_name": "tool_agent", "group": 3, "images": [{"bytes": b"\xffPNG", "path": None}]}
    assert read.columns == others
    assert keep_rows(tmp_path, [read]) == 1
    assert keep_rows(tmp_path, [read]) == 0
    (kept,) = kept_rows(tmp_path)
    assert (kept.columns, kept.extra_info) == (others, VERL["extra_info"])


def test_what_an_export_said_of_another_parent_is_no_column_of_others(tmp_path):
    measured = {"samples": 3, "agreement": 0.5, "weight": 0.5}
    path = jsonl(
        tmp_path / "a.jsonl", {"prompt": "a", **measured, "parent": {"model": "m"}}, {"prompt": "b", **measured}
    )
    assert [dict(row.columns) for row in read_prompts(path)] == [{}, measured]


def test_rows_of_a_store_of_an_earlier_version_are_the_same_rows(tmp_path):
    keep_rows(tmp_path, [PromptRow("a", item="1")])
    assert "columns" not in (tmp_path / NAME).read_text()
    (row,) = kept_rows(tmp_path)
    assert row == PromptRow("a", item="1", label=f"{NAME}:1")


def test_a_bad_row_keeps_none(tmp_path):
    keep_rows(tmp_path, [PromptRow("a")])
    with pytest.raises(DataError):
        keep_rows(tmp_path, read_prompts(jsonl(tmp_path / "b.jsonl", {"prompt": "b"}, "{")))
    assert [row.prompt for row in kept_rows(tmp_path)] == ["a"]
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "b.jsonl"}


def test_damaged_rows_are_said(tmp_path):
    (tmp_path / NAME).write_text('{"id": "00"}\n')
    with pytest.raises(StoreError, match=r"prompts.jsonl:1 is damaged; delete the file"):
        list(kept_rows(tmp_path))
