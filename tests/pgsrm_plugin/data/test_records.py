"""Reading rows: every accepted form, and every kind of bad file or row with its message."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgsrm_plugin import DataError, RewardSample
from pgsrm_plugin.data import rows
from pgsrm_plugin.data.rows import Columns, check_columns, check_output, parse_row, read_records, write_rows

GOOD = {"prompt": "p", "response": "r", "reference": "a"}


def jsonl(folder: Path, *rows: object, name: str = "data.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def parquet(folder: Path, *rows: dict[str, Any], name: str = "data.parquet") -> Path:
    path = folder / name
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def message(path: Path, **options: bool) -> str:
    with pytest.raises(DataError) as raised:
        read_records(path, **options)
    return str(raised.value).replace(str(path.parent) + "/", "")


def test_a_row_becomes_a_sample(tmp_path: Path) -> None:
    row = {**GOOD, "ground_truth": 3, "data_source": "d", "group": "g", "other": [1]}
    (record,) = read_records(jsonl(tmp_path, row))
    assert record.row == row
    assert record.label == f"{tmp_path}/data.jsonl:1"
    assert record.sample() == RewardSample("p", "r", ("a",), "3", "d", "g")
    assert record.sample("another").response == "another"


@pytest.mark.parametrize(
    ("fields", "references"),
    [
        ({"reference": "a"}, ("a",)),
        ({"reference": ["a", "b"]}, ("a", "b")),
        ({"references": ["a", "b"]}, ("a", "b")),
        ({"references": "a"}, ("a",)),
        ({}, ()),
        ({"reference": None}, ()),
        ({"ground_truth": "t"}, ()),
        ({"reward_model": {"ground_truth": "t"}}, ("t",)),
        ({"reward_model": {"ground_truth": "t", "references": ["a", "b"]}}, ("a", "b")),
        ({"reward_model": {"ground_truth": "t"}, "extra_info": {"reference": "a"}}, ("a",)),
        ({"reward_model": {"ground_truth": "t", "reference": "b"}, "extra_info": {"reference": "c"}}, ("b",)),
        ({"reference": "a", "reward_model": {"ground_truth": "t", "reference": "b"}}, ("a",)),
    ],
)
def test_where_references_come_from(fields: dict[str, Any], references: tuple[str, ...]) -> None:
    (record,) = parse_row({"prompt": "p", "response": "r", **fields}, "row 1")
    assert record.references == references


@pytest.mark.parametrize(
    ("value", "truth"),
    [("x", "x"), (42, "42"), (42.0, "42"), (2.5, "2.5"), (True, "true"), (None, None), (float("nan"), None)],
)
def test_ground_truth_becomes_text(value: object, truth: str | None) -> None:
    assert parse_row({**GOOD, "ground_truth": value}, "row 1")[0].ground_truth == truth


def test_rows_of_one_prompt_share_a_group_unless_they_say_otherwise() -> None:
    chat = [{"role": "user", "content": "p"}]
    rows = [{"prompt": "p"}, {"prompt": "q"}, {"prompt": "p"}, {"prompt": chat}, {"prompt": chat}]
    groups = [parse_row(row, "", responses=False)[0].group for row in rows]
    assert groups[0] == groups[2]
    assert groups[3] == groups[4]
    assert len(set(groups)) == 3
    assert parse_row({"prompt": "p", "group": 7.0}, "", responses=False)[0].group == 7


def test_a_group_is_worked_out_only_where_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(rows, "_prompt_group", lambda prompt: asked.append(prompt) or "g")
    (record,) = parse_row(GOOD, "row 1")
    assert asked == []
    assert (record.group, record.group, asked) == ("g", "g", ["p"])


def test_a_list_of_responses_is_a_row_each(tmp_path: Path) -> None:
    row = {"prompt": "p", "responses": ["x", "y"], "reference": "a", "id": 5}
    first, second = read_records(jsonl(tmp_path, row))
    assert (first.response, second.response) == ("x", "y")
    assert first.group == second.group
    assert second.row == {"prompt": "p", "reference": "a", "id": 5, "response": "y"}
    assert second.label.endswith("data.jsonl:1 (response 2)")


def test_training_prompts_need_no_response(tmp_path: Path) -> None:
    (record,) = read_records(jsonl(tmp_path, {"prompt": "p", "responses": ["x", "y"]}), responses=False)
    assert record.response is None
    assert record.row["responses"] == ["x", "y"]


def test_verl_parquet(tmp_path: Path) -> None:
    row = {
        "data_source": "gsm8k",
        "prompt": [{"role": "system", "content": "s", "name": None}, {"role": "user", "content": "u", "name": "n"}],
        "reward_model": {"style": "rule", "ground_truth": "72"},
        "extra_info": {"index": 0, "split": "train"},
        "responses": ["so 72", "73"],
    }
    records = read_records(parquet(tmp_path, row))
    assert [record.sample() for record in records] == [
        RewardSample(
            [{"role": "system", "content": "s"}, {"role": "user", "content": "u", "name": "n"}],
            response,
            ("72",),
            "72",
            "gsm8k",
            records[0].group,
        )
        for response in row["responses"]
    ]
    assert records[1].label.endswith("data.parquet: row 1 (response 2)")


def test_numpy_inside_a_row() -> None:
    row = {
        "prompt": np.array([{"role": "user", "content": "u"}], dtype=object),
        "responses": np.array(["x", "y"], dtype=object),
        "reward_model": {"ground_truth": np.int64(4)},
        "group": np.int64(1),
    }
    records = parse_row(row, "row 1")
    assert [record.sample() for record in records] == [
        RewardSample([{"role": "user", "content": "u"}], response, ("4",), "4", "", 1) for response in ("x", "y")
    ]


def test_blank_lines_are_skipped_but_counted(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    good = json.dumps(GOOD).encode()
    path.write_bytes(b"\xef\xbb\xbf" + good + b"\r\n\n  \n" + good)
    assert [record.label.rsplit("/")[-1] for record in read_records(path)] == ["data.jsonl:1", "data.jsonl:4"]
    path.write_bytes(good + b"\n\n{}\n")
    assert message(path) == "data.jsonl:3: field 'prompt' is missing (the row has: nothing)"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"prompt": None}, "field 'prompt' is null"),
        ({"prompt": 5}, "field 'prompt' must be text or a list of chat messages, not the number 5"),
        ({"prompt": []}, "field 'prompt' is an empty list"),
        (
            {"prompt": ["hi"]},
            "field 'prompt': message 1 must be an object with role and content, not text",
        ),
        ({"prompt": [{"content": "c"}]}, "field 'prompt': message 1: 'role' must be text, not null"),
        ({"prompt": [{"role": "user"}]}, "field 'prompt': message 1: 'content' must be text, not null"),
        ({"response": None}, "field 'response' is null"),
        ({"response": 1.5}, "field 'response' must be text, not the number 1.5"),
        ({"response": ["r"]}, "field 'response' must be text, not a list"),
        ({"responses": ["r"]}, "fields 'response' and 'responses' are both given; keep one"),
        ({"response": None, "responses": []}, "field 'responses' is an empty list"),
        (
            {"response": None, "responses": ["r", None]},
            "field 'responses': number 2 must be text, not null",
        ),
        ({"reference": 5}, "field 'reference' must be text or a list of texts, not the number 5"),
        ({"reference": ["a", {}]}, "field 'reference': number 2 must be text, not an object"),
        ({"references": ["b"]}, "fields 'reference' and 'references' are both given; keep one"),
        (
            {"reference": None, "extra_info": {"references": [1]}},
            "field 'extra_info.references': number 1 must be text, not the number 1",
        ),
        ({"ground_truth": [{}]}, "field 'ground_truth' must be text or a number, not an object"),
        ({"response": [{"role": "user", "content": "r"}]}, "field 'response' has no message of the assistant"),
        (
            {"response": [{"role": "assistant", "content": 5}]},
            "field 'response': message 1: 'content' must be text, not the number 5",
        ),
        ({"ground_truth": float("inf")}, "field 'ground_truth' must be text or a number, not the number inf"),
        (
            {"reward_model": {"ground_truth": {"numbers": "t", "goal": 24}}},
            "field 'reward_model.ground_truth' must be text, a number or a list of them, not an object with numbers, "
            "goal; name the place of the answer, e.g. --ground-truth-field reward_model.ground_truth.numbers "
            "(verl: pgsrm.ground_truth_field)",
        ),
        (
            {"reward_model": '{"style": "rule", "ground_truth": "green"}'},
            'field \'reward_model\' must be an object, and is the text of one (\'{"style": "rule", "ground_truth": '
            "\"green'); read it with json.loads before the file is written",
        ),
        ({"data_source": 3}, "field 'data_source' must be text, not the number 3"),
        ({"group": True}, "field 'group' must be text or an integer, not true"),
        ({"group": 1.5}, "field 'group' must be text or an integer, not the number 1.5"),
    ],
)
def test_a_bad_field_is_named(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    assert message(jsonl(tmp_path, GOOD, {**GOOD, **changes})) == f"data.jsonl:2: {complaint}"


def test_a_missing_field_is_named_with_what_there_is(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"prompt": "p", "respones": "r"})
    assert message(path) == "data.jsonl:1: field 'response' is missing (the row has: prompt, respones)"


def test_a_bad_parquet_row_is_numbered(tmp_path: Path) -> None:
    path = parquet(tmp_path, GOOD, {**GOOD, "response": None})
    assert message(path) == "data.parquet: row 2: field 'response' is null"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "data.jsonl is empty (0 bytes)"),
        (b"\n \n", "data.jsonl has no rows"),
        (b'{"prompt": \n', "data.jsonl:1: not JSON (Expecting value, column 11)"),
        (
            b"[1]\n",
            "data.jsonl:1: a row must be a JSON object {...}, not a list; if the file is one JSON array, write one "
            "object a line",
        ),
        (
            b'[\n {"prompt": "p"}\n]\n',
            "data.jsonl:1: not JSON (Expecting value, column 2); is the file one JSON array? one object a line is "
            "wanted\ndata.jsonl:2: field 'response' is missing (the row has: prompt)"
            "\ndata.jsonl:3: not JSON (Expecting value, column 1)",
        ),
        (b"null\n", "data.jsonl:1: a row must be a JSON object {...}, not null"),
        (b'\n{"prompt": "\xff"}\n', "data.jsonl:2: not UTF-8 text (byte 13 of the line)"),
    ],
)
def test_bad_jsonl(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    assert message(path) == complaint


def test_json_nested_too_deeply(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"prompt": ' + "[" * 200_000, encoding="utf-8")
    assert message(path).startswith("data.jsonl:1: not usable JSON (maximum recursion depth exceeded")


@pytest.mark.parametrize("keep", [slice(0, 200), slice(4, None), slice(0, -8)], ids=["truncated", "magic", "footer"])
def test_corrupt_parquet(tmp_path: Path, keep: slice) -> None:
    path = parquet(tmp_path, *[GOOD] * 100)
    path.write_bytes(path.read_bytes()[keep])
    assert message(path).startswith("data.parquet: not a readable parquet file, or a damaged one (")


def test_parquet_with_damaged_pages(tmp_path: Path) -> None:
    path = parquet(tmp_path, *[{**GOOD, "response": f"r{i}" * 50} for i in range(200)])
    content = bytearray(path.read_bytes())
    content[40:400] = b"\xff" * 360
    path.write_bytes(bytes(content))
    assert message(path).startswith("data.parquet: not a readable parquet file, or a damaged one (")


def test_parquet_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), path)
    assert message(path) == "data.parquet has no rows"


def test_other_paths(tmp_path: Path) -> None:
    jsonl(tmp_path, GOOD, name="train.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    assert message(tmp_path / "trian.jsonl") == "trian.jsonl: there is no such file; did you mean 'train.jsonl'?"
    assert message(tmp_path / "folder.jsonl") == "folder.jsonl is a folder; give one of the files in it"
    assert message(tmp_path / "data.json") == (
        "data.json: the extension must be .jsonl or .parquet, not '.json'; if it is one JSON array, write one object a "
        "line: jq -c '.[]' FILE.json > FILE.jsonl"
    )
    assert message(tmp_path / "data.jsonl.gz").endswith("must be .jsonl or .parquet, not '.jsonl.gz'; unpack it first")
    assert "read_csv('FILE', dtype=str, keep_default_na=False)" in message(tmp_path / "data.csv")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "data-00000-of-00001.arrow").touch()
    for name in ("saved", "saved/data-00000-of-00001.arrow"):
        assert "datasets.load_from_disk(FOLDER).to_parquet" in message(tmp_path / name)
    assert message(tmp_path / "data") == "data: the extension must be .jsonl or .parquet, not ''"


@pytest.mark.parametrize("extension", ["jsonl", "parquet"])
def test_written_rows_are_read_back(tmp_path: Path, extension: str) -> None:
    rows = [
        {**GOOD, "response": "é\u2028✓", "nested": {"a": [1, 2], "b": None}, "reward": 0.25},
        {**GOOD, "late": np.float64(1.5)},
    ]
    path = tmp_path / f"out.{extension}"
    write_rows(path, rows)
    first, second = read_records(path)
    assert first.row["response"] == "é\u2028✓"
    assert first.row["nested"] == {"a": [1, 2], "b": None}
    assert (first.row["reward"], second.row["late"]) == (0.25, 1.5)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_lone_surrogates_survive_jsonl_and_are_replaced_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"prompt": "p", "response": "\\ud800x", "\\udc00": ["\\ud800"]}\n', encoding="utf-8")
    (record,) = read_records(path)
    assert record.response == "\ud800x"
    write_rows(tmp_path / "out.jsonl", [record.row])
    assert read_records(tmp_path / "out.jsonl")[0].row == record.row
    write_rows(tmp_path / "out.parquet", [record.row])
    assert read_records(tmp_path / "out.parquet")[0].row == {
        "prompt": "p",
        "response": "\ufffdx",
        "\ufffd": ["\ufffd"],
    }


def test_parquet_types_that_json_lacks_are_written_as_text(tmp_path: Path) -> None:
    row = {"day": datetime.date(2026, 1, 2), "price": Decimal("1.50"), "raw": b"\x00\xff", "array": np.arange(2)}
    write_rows(tmp_path / "out.jsonl", [row])
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        "day": "2026-01-02",
        "price": "1.50",
        "raw": "AP8=",
        "array": [0, 1],
    }


def test_a_column_of_mixed_types_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    rows = [{"id": 1}, {"id": "b"}]
    check_columns(tmp_path / "out.jsonl", rows)
    for act in (check_columns, write_rows):
        with pytest.raises(DataError, match=r"column 'id' mixes types, which parquet cannot hold \(.*\); write .jsonl"):
            act(tmp_path / "out.parquet", rows)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(DataError, match="a value of type set cannot be written as JSON"):
        write_rows(path, [GOOD, {"a": {1}}])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    for name, complaint in {
        "out.csv": "the extension must be .jsonl or .parquet, not '.csv'",
        "folder.jsonl": "is a folder; give a file name",
        "none/out.jsonl": f"there is no folder {tmp_path}/none to write out.jsonl to; create it first",
    }.items():
        with pytest.raises(DataError) as raised:
            check_output(tmp_path / name)
        assert complaint in str(raised.value)


def test_a_row_nested_too_deeply_is_named(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_text('{"prompt": "p", "response": "r", "x": ' + "[" * 900 + "]" * 900 + "}\n")
    with pytest.raises(DataError, match=r"deep\.jsonl:1: nested too deeply to be a row"):
        read_records(path)


def test_every_faulty_row_is_counted_and_five_are_shown(tmp_path: Path) -> None:
    path = jsonl(tmp_path, GOOD, *[{**GOOD, "response": number} for number in range(8)])
    lines = message(path).splitlines()
    assert lines[0] == "data.jsonl:2: field 'response' must be text, not the number 0"
    assert (len(lines), lines[-1]) == (6, "and 3 more rows are wrong")


VERL = {"prompt": [{"role": "user", "content": "p"}], "response": "r"}


@pytest.mark.parametrize(
    ("truth", "references", "ground_truth"),
    [
        ("t", ("t",), "t"),
        ({"target": ["Mars", "the planet Mars"]}, ("Mars", "the planet Mars"), ("Mars", "the planet Mars")),
        ({"target": "Mars"}, ("Mars",), "Mars"),
        ({"value": 7, "unit": None}, ("7",), "7"),
        ({"value": "Lewis", "aliases": ["H. Lewis", "Lewis"]}, ("Lewis", "H. Lewis"), ("Lewis", "H. Lewis")),
        (["a", 2, None], ("a", "2"), ("a", "2")),
        ([], (), None),
        ({}, (), None),
        (None, (), None),
        (True, ("true",), "true"),
    ],
)
def test_ground_truths_as_data_sets_have_them(tmp_path: Path, truth: Any, references: Any, ground_truth: Any) -> None:
    (record,) = read_records(jsonl(tmp_path, {**VERL, "reward_model": {"ground_truth": truth}}))
    assert (record.references, record.ground_truth) == (references, ground_truth)
    assert record.stands_in is bool(references)


def test_an_empty_list_of_references_is_none(tmp_path: Path) -> None:
    row = {**VERL, "reward_model": {"ground_truth": "4"}, "extra_info": {"references": []}}
    (record,) = read_records(jsonl(tmp_path, row))
    assert record.references == ("4",)


def test_a_ground_truth_that_nothing_looks_at_need_not_be_readable(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {**GOOD, "ground_truth": {"tests": []}})
    with pytest.raises(DataError, match="name the place of the answer"):
        read_records(path)
    (record,) = read_records(path, judged=False)
    assert (record.references, record.ground_truth) == ((GOOD["reference"],), None)


def test_short_floats_are_what_was_written(tmp_path: Path) -> None:
    nested = pa.struct([("target", pa.list_(pa.float32()))])
    table = pa.table(
        {
            "prompt": ["p"],
            "response": ["0.7"],
            "ground_truth": pa.array([0.7], pa.float32()),
            "reward_model": pa.array([{"target": [0.1, None]}], nested),
            "half": pa.array([np.float16(0.3)], pa.float16()),
            "exact": pa.array([0.1], pa.float64()),
        }
    )
    pq.write_table(table, tmp_path / "data.parquet")
    (record,) = read_records(tmp_path / "data.parquet")
    assert record.ground_truth == "0.7"
    assert record.row["reward_model"] == {"target": [0.1, None]}
    assert (record.row["half"], record.row["exact"]) == (0.3, 0.1)


def test_decimals_are_numbers(tmp_path: Path) -> None:
    table = pa.table({"prompt": ["p"], "response": ["r"], "ground_truth": pa.array([Decimal("2.50")])})
    pq.write_table(table, tmp_path / "data.parquet")
    assert [record.ground_truth for record in read_records(tmp_path / "data.parquet")] == ["2.5"]


@pytest.mark.parametrize(
    ("response", "texts"),
    [
        ([{"role": "assistant", "content": "orange"}], ["orange"]),
        ({"role": "assistant", "content": "orange"}, ["orange"]),
        (
            [
                {"role": "assistant", "content": None, "tool_calls": []},
                {"role": "tool", "content": "7 degrees"},
                {"role": "assistant", "content": [{"type": "text", "text": "It rains."}]},
            ],
            ["It rains."],
        ),
    ],
)
def test_responses_that_are_messages(tmp_path: Path, response: Any, texts: list[str]) -> None:
    assert [record.response for record in read_records(jsonl(tmp_path, {**GOOD, "response": response}))] == texts
    several = {**{key: GOOD[key] for key in GOOD if key != "response"}, "responses": [response, "red"]}
    if isinstance(response, list):
        assert [record.response for record in read_records(jsonl(tmp_path, several))] == [*texts, "red"]


def test_a_call_of_a_tool_has_no_content(tmp_path: Path) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
    (record,) = read_records(jsonl(tmp_path, {**GOOD, "prompt": [{"role": "user", "content": "q"}, call]}))
    assert record.prompt[1] == {"role": "assistant", "content": "", "tool_calls": [{"id": "c"}]}


def test_columns_of_another_name(tmp_path: Path) -> None:
    row = {"question": "p", "out": {"text": "r"}, "extra_info": {"answer": "the way", "n": 10}}
    columns = Columns("question", "out.text", "extra_info.answer", "extra_info.n")
    (record,) = read_records(jsonl(tmp_path, row), columns=columns)
    assert (record.prompt, record.response, record.references, record.ground_truth) == ("p", "r", ("the way",), "10")
    with pytest.raises(DataError, match=r"there is no 'outt', which the settings name \(the row has: question, out"):
        read_records(jsonl(tmp_path, row), columns=Columns("question", "outt"))


def test_a_named_column_that_is_empty_does_not_fall_back(tmp_path: Path) -> None:
    for nothing in (None, float("nan"), []):
        with pytest.raises(DataError, match="there is no 'ans', which the settings name"):
            read_records(jsonl(tmp_path, {**GOOD, "ans": nothing}), columns=Columns(ground_truth="ans"))


def test_several_responses_of_the_assistant_are_several_rows(tmp_path: Path) -> None:
    said = [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]
    row = {"prompt": "p", "responses": said, "reference": "a"}
    assert [record.response for record in read_records(jsonl(tmp_path, row))] == ["a", "b"]


def test_a_part_without_text_is_none(tmp_path: Path) -> None:
    parts = [{"type": "image", "text": None}, {"type": "text", "text": "B"}]
    row = {**GOOD, "response": [{"role": "assistant", "content": parts}]}
    assert [record.response for record in read_records(jsonl(tmp_path, row))] == ["\nB"]


@pytest.mark.parametrize("number", [10**5000, Decimal("1E+1000000")], ids=["integer", "decimal"])
def test_numbers_beyond_all_bounds_are_refused(number: Any) -> None:
    with pytest.raises(DataError, match="ground_truth"):
        parse_row({**GOOD, "ground_truth": number}, "row 1")


def test_a_named_ground_truth_stands_in_for_a_reference(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {**VERL, "reward_model": {"ground_truth": {"goal": "a"}}})
    (record,) = read_records(path, columns=Columns(ground_truth="reward_model.ground_truth.goal"))
    assert (record.references, record.ground_truth, record.stands_in) == (("a",), "a", True)
