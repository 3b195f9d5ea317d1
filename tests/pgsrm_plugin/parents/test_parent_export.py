"""What leaves a store: which references, in which form, on which side."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parent_answers import CONFIG, answer

from pgsrm_plugin.asking.store.answers import Sampling
from pgsrm_plugin.data.rows import read_records
from pgsrm_plugin.errors import DataError, SpecError
from pgsrm_plugin.parents.export.export import build
from pgsrm_plugin.parents.export.formats import check_place, write
from pgsrm_plugin.parents.export.references import choose, settings_id
from pgsrm_plugin.parents.export.selection import Selection
from pgsrm_plugin.parents.export.split import assign, parse_split, side
from pgsrm_plugin.parents.generation.prompts import PromptRow
from pgsrm_plugin.parents.review.agreement import Agreements, references_digest

HALVES = {"train": 0.5, "val": 0.5}


def test_a_verl_row_by_hand():
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]
    answers = choose(answer(chat, text, sample=k) for k, text in enumerate(["two", "2", "two"]))
    row = PromptRow(chat, "sums", "2", "openai/gsm8k", "math", {"split": "train", "index": 41, "references": ["x"]})
    exported = build([row], answers, Selection())
    assert exported.sides == {
        "": [
            {
                "data_source": "openai/gsm8k",
                "prompt": chat,
                "ability": "math",
                "reward_model": {"style": "rule", "ground_truth": "2", "references": ["two", "2"]},
                "extra_info": {
                    "index": 41,
                    "split": "train",
                    "samples": 3,
                    "item": "sums",
                    "parent": {
                        "model": "parent-1", "revision": "", "engine": "openai", "settings": settings_id(CONFIG),
                    },
                },
            }
        ]
    }  # fmt: skip


@pytest.mark.parametrize(("form", "name"), [("verl", "o.parquet"), ("jsonl", "o.jsonl")])
def test_columns_of_others_leave_with_their_row_and_never_in_the_place_of_ours(tmp_path, form, name):
    rows = [PromptRow("a", columns={"agent_name": "x", "weight": 9, "split": "s", "parent": 1}), PromptRow("b")]
    exported = build(rows, choose([answer("a", "yes"), answer("b", "no")]), Selection(weight=True), form)
    write(exported.sides, tmp_path / name, form)
    first, second = (record.row for record in read_records(tmp_path / name, responses=False))
    assert first["agent_name"] == "x"
    assert second.get("agent_name") is None
    own = first if form == "jsonl" else first["extra_info"]
    assert (own["weight"], own["parent"]["model"]) == (1.0, "parent-1")


def test_a_row_without_ground_truth_has_the_first_reference_as_one():
    (row,) = build([], choose([answer("q", "yes"), answer("q", "no", sample=1)]), Selection()).sides[""]
    assert row["reward_model"]["ground_truth"] == "yes"
    assert row["prompt"] == [{"role": "user", "content": "q"}]
    assert row["data_source"] == "pgsrm/parent"


def test_what_a_store_took_for_a_reference_before_leaves_as_it_is_judged_now():
    cut = dataclasses.replace(answer("c", "half an"), finish_reason="max_tokens")
    answers = choose([answer("a", "<think>hm</think> yes"), answer("b", "<think>hm</think>"), cut])
    exported = build([], answers, Selection())
    (row,) = exported.sides[""]
    assert row["reward_model"] == {"style": "rule", "ground_truth": "yes", "references": ["yes"]}
    assert exported.left_out == {"empty": 1, "truncated": 1}


def test_every_row_of_a_prompt_is_exported_and_what_is_left_out_is_counted():
    rows = [
        PromptRow("a"),
        PromptRow("a", item="again"),
        PromptRow("b"),
        PromptRow("c"),
        PromptRow("d"),
        PromptRow("e"),
    ]
    answers = choose(
        [
            answer("a", "fine"),
            answer("b", status="failed"),
            answer("b", "cut", status="truncated", sample=1),
            answer("c", "I'm sorry, but I can't help with that."),
            answer("d", "I cannot assist with this."),
            answer("d", "good", sample=1),
        ]
    )
    exported = build(rows, answers, Selection(), "jsonl")
    assert [(row["prompt"], row["references"], row["samples"]) for row in exported.sides[""]] == [
        ("a", ["fine"], 1),
        ("a", ["fine"], 1),
        ("d", ["good"], 1),
    ]
    assert exported.left_out == {
        "failed and truncated": 1,
        "dropped as refusal": 1,
        "not asked under these settings": 1,
    }
    assert build(rows, answers, Selection(drop=frozenset())).rows == 4


def test_agreement_filters_and_weighs():
    prompts = choose(
        [answer("a", "x"), answer("a", "y", sample=1), answer("b", "x"), answer("b", "z", sample=1), answer("c", "x")]
    )
    values = {references_digest(["x", "y"]): 0.75, references_digest(["x", "z"]): -0.1}
    agreements = Agreements("compass", values)
    exported = build([], prompts, Selection(agreements=agreements, weight=True), "jsonl")
    assert [(row["prompt"], row["agreement"], row["weight"]) for row in exported.sides[""]] == [
        ("a", 0.75, 0.75),
        ("b", -0.1, 0.0),
        ("c", None, 1.0),
    ]
    exported = build([], prompts, Selection(agreements=agreements, min_agreement=0.5), "jsonl")
    assert [row["prompt"] for row in exported.sides[""]] == ["a"]
    assert exported.left_out == {
        "of agreement below 0.5": 1,
        "with fewer than two samples, so without agreement": 1,
    }


def test_nothing_usable_is_an_error_with_the_reasons():
    with pytest.raises(DataError, match=r"no row has a usable reference \(2 failed\)"):
        build([PromptRow("a"), PromptRow("a")], choose([answer("a", status="failed")]), Selection())


def test_answers_of_several_settings_are_not_mixed_unless_asked():
    hot = dataclasses.replace(CONFIG, sampling=Sampling(temperature=1.0))
    answers = [answer("a", "cool"), answer("a", "hot", config=hot)]
    with pytest.raises(DataError, match="2 settings; name one with --settings") as caught:
        choose(answers)
    assert f"{settings_id(hot)}  parent-1, temperature 1, max_tokens 256" in str(caught.value)
    (only,) = choose(answers, settings_id(hot)).values()
    assert only.references == ("hot",)
    (both,) = choose(answers, "all").values()
    assert sorted(both.references) == ["cool", "hot"]
    with pytest.raises(DataError, match="no answer has the settings 'x'"):
        choose(answers, "x")
    with pytest.raises(DataError, match="no answers yet"):
        choose([])


# --- split -------------------------------------------------------------------------------------------------------


def test_shares():
    assert parse_split("train=0.9, val=0.1") == {"train": 0.9, "val": 0.1}
    for text, said in {
        "train=0.9": "add up to 0.9",
        "train": "'train' is not name=share",
        "train=0.5,train=0.5": "twice",
        "train=1.5,val=-0.5": "'train=1.5' is not name=share",
        "../x=1": "not name=share",
    }.items():
        with pytest.raises(SpecError, match=said):
            parse_split(text)


def test_a_side_is_where_the_hash_falls():
    place = int(hashlib.sha256(b"prompt:a").hexdigest()[:3], 16) / 4096
    assert side("prompt:a", {"low": place + 0.001, "high": 1 - place - 0.001}) == "low"
    assert side("prompt:a", {"low": place - 0.001, "high": 1 - place + 0.001}) == "high"


def test_shares_are_kept_roughly():
    sides = assign([(f"prompt {i}", "") for i in range(4000)], {"train": 0.9, "val": 0.1})
    assert 330 < sides.count("val") < 470


words = st.sampled_from(["a", "A ", "b", "c", "d", "e", "f"])
rows = st.lists(st.tuples(words, st.sampled_from(["", "1", "2", "3"])), max_size=30)


@settings(max_examples=200, deadline=None)
@given(rows, st.sampled_from(["prompt", "item"]))
def test_no_prompt_nor_item_is_on_two_sides_and_the_order_is_nothing(rows, by):
    sides = assign(rows, HALVES, by)
    for first, one in zip(rows, sides, strict=True):
        for second, other in zip(rows, sides, strict=True):
            same_prompt = first[0].strip().lower() == second[0].strip().lower()
            same_item = by == "item" and first[1] and first[1] == second[1]
            assert one == other or not (same_prompt or same_item)
    assert assign(rows[::-1], HALVES, by) == sides[::-1]


def test_the_sides_of_a_fixed_list():
    # Recorded once: an export made again keeps its sides. The first hex digit of SHA-256 says the side, train below 8:
    # item:1 144a, item:2 978c, item:4 901a, item:7 5fcc are the least names of their groups. The greatest name of the
    # last, prompt:pink? b2b7, would say val.
    rows = {
        ("red?", "1"): "train",
        ("blue?", "2"): "val",
        ("RED? ", "3"): "train",
        ("green?", "3"): "train",
        ("pink?", ""): "train",
        ("grey?", "4"): "val",
        ("tan?", "5"): "val",
        ("grey?", "5"): "val",
        ("pink?", "7"): "train",
    }
    assert assign(list(rows), HALVES, "item") == list(rows.values())


def test_a_prompt_stays_on_its_side_when_others_come():
    few, many = ([(f"prompt {i}", "") for i in range(count)] for count in (50, 500))
    assert assign(many, HALVES)[:50] == assign(few, HALVES)


def test_an_empty_side_is_said():
    with pytest.raises(DataError, match=r"no row fell to '(train|val)' with a share of 0.5 of 1 rows"):
        build([], choose([answer("a", "x")]), Selection(shares=HALVES))


def test_own_sides():
    answers = choose([answer("a", "x"), answer("b", "y")])
    mine = [PromptRow("a", extra_info={"split": "train"}), PromptRow("b", extra_info={"split": "held_out"})]
    exported = build(mine, answers, Selection(shares="own"))
    assert {name: len(rows) for name, rows in exported.sides.items()} == {"train": 1, "held_out": 1}
    both = [*mine, PromptRow("a", extra_info={"split": "held_out"}, label="row 3")]
    with pytest.raises(DataError, match="row 3: its prompt stands on the sides 'train' and 'held_out'"):
        build(both, answers, Selection(shares="own"))
    with pytest.raises(DataError, match=r"needs a name in extra_info.split, not None"):
        build([PromptRow("a")], answers, Selection(shares="own"))


# --- files -------------------------------------------------------------------------------------------------------


def two_sides(form):
    answers = choose(answer(f"prompt {i}", f"answer {i}") for i in range(40))
    return build([], answers, Selection(shares=HALVES), form)


def test_files_are_read_back_by_the_package(tmp_path):
    for form, extension in (("verl", ".parquet"), ("jsonl", ".jsonl")):
        paths = write(two_sides(form).sides, tmp_path / form, form)
        assert sorted(path.name for path in paths) == [f"train{extension}", f"val{extension}"]
        records = [record for path in paths for record in read_records(path, responses=False)]
        assert len(records) == 40
        assert all(record.references for record in records)
    assert json.loads((tmp_path / "jsonl/val.jsonl").read_text().splitlines()[0])["split"] == "val"
    table = pq.read_table(tmp_path / "verl/train.parquet")
    assert table.column_names == ["data_source", "prompt", "ability", "reward_model", "extra_info"]


def test_a_hugging_face_data_set(tmp_path):
    datasets = pytest.importorskip("datasets")
    (path,) = write(two_sides("hf").sides, tmp_path / "hf", "hf")
    loaded = datasets.load_from_disk(str(path))
    assert set(loaded) == {"train", "val"}
    assert loaded["train"][0]["references"]
    with pytest.raises(DataError, match="is not empty; name a new folder"):
        write(two_sides("hf").sides, tmp_path / "hf", "hf")


@pytest.mark.parametrize(
    ("out", "form", "split", "said"),
    [
        ("a.jsonl", "verl", False, "--format verl writes a .parquet file"),
        ("a", "jsonl", False, "--format jsonl writes a .jsonl file"),
        ("nowhere/a.parquet", "verl", False, "there is no folder"),
        ("a.parquet", "verl", True, "it is a folder that is written"),
        ("a.jsonl", "hf", False, "it is a folder that is written"),
    ],
)
def test_a_place_is_refused_before_the_work(tmp_path, out, form, split, said):
    with pytest.raises(DataError, match=said):
        check_place(tmp_path / out, form, split)
