"""A step's responses out of verl's queue: whose tokens are scored, and which output of a session."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("verl", reason="verl is not installed")

import verl_support as support
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from pgsrm_plugin.errors import DataError
from pgsrm_verl.colocated import rollouts
from pgsrm_verl.colocated.rewards import ColocatedRewards
from pgsrm_verl.rows import RowReader

WORDS = ["<s>", "I look.", "<tool>Paris</tool>", "No idea.", "Rome."]
TOKENIZER = SimpleNamespace(decode=lambda ids, skip_special_tokens: "".join(WORDS[int(i)] for i in ids))


@pytest.fixture
def fetched(monkeypatch):
    def fetch(outputs: dict[str, tuple[list[int], list[int]]], **settings) -> list[str]:
        """The scored texts of outputs (tokens and mask), by key."""
        rows = [
            {
                "responses": torch.tensor(ids),
                "response_mask": torch.tensor(own),
                "raw_prompt": [{"role": "user", "content": "Where?"}],
                "reward_model": {"ground_truth": "Rome."},
                "extra_info": {"index": 0},
                "data_source": "d",
                "qtype": "open",
                "uid": key,
            }
            for key, (ids, own) in outputs.items()
        ]
        data = list_of_dict_to_tensordict(rows)
        monkeypatch.setattr(rollouts, "_get", lambda batch, fields: data.select(*fields))
        batch = SimpleNamespace(keys=list(outputs), partition_id="train")
        found = rollouts.fetch(batch, RowReader(), TOKENIZER, **settings)
        switched = rollouts.fetch(batch, RowReader(switches=("qtype",)), TOKENIZER, **settings)
        assert [sample.columns for sample in switched.samples] == [{"qtype": "open"}] * len(outputs)
        assert found.lengths == [len(ids) for ids, _ in outputs.values()]
        return [sample.response for sample in found.samples]

    return fetch


@pytest.mark.parametrize(
    ("turns", "said"),
    [("own", "I look.\nNo idea."), ("last", "No idea."), ("all", "I look.<tool>Paris</tool>No idea.")],
)
def test_what_a_tool_wrote_is_not_the_policys(fetched, turns, said):
    with_tool = {"a_0_0": ([1, 2, 3], [1, 0, 1]), "a_1_0": ([4], [1])}
    assert fetched(with_tool, turns=turns) == [said, "Rome."]


def test_own_words_are_what_is_scored_if_nothing_is_said(fetched):
    assert fetched({"a_0_0": ([1, 2, 3], [1, 0, 1])}) == ["I look.\nNo idea."]


def test_outputs_of_unequal_length_are_scored_by_the_last(fetched):
    outputs = {"a_0_0": ([1, 2, 3], [1, 0, 1]), "a_0_1": ([4], [1]), "a_1_0": ([3, 3], [1, 1])}
    assert fetched(outputs) == ["Rome.", "Rome.", "No idea.No idea."]


def test_keys_of_other_forms_are_sessions_of_their_own(fetched):
    outputs = {"b-0": ([1], [1]), "b-1": ([3], [1]), "x_y": ([4], [1]), "x_0_last": ([1], [1])}
    assert fetched(outputs) == ["I look.", "No idea.", "Rome.", "I look."]
    assert rollouts.last_outputs(["7", "x_1", "x_0", "u_0_0", "u_0_1", "a_b_0_1", "a_b_0_0"]) == [0, 1, 2, 4, 4, 5, 5]


def test_references_of_an_image_prompt_are_found(tmp_path, monkeypatch):
    config = support.colocated_config(spec="binary", references=str(tmp_path / "refs.jsonl"))
    (tmp_path / "refs.jsonl").write_text(json.dumps({"prompt": "<image>Find x.", "reference": "x is 4"}) + "\n")
    row = support.rows(1)[0] | {"prompt": [{"role": "user", "content": "<image>Find x."}]}
    config["data"]["train_files"] = str(support.write_parquet(tmp_path / "train.parquet", [row]))
    reader = ColocatedRewards(config).reader
    parts = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "Find x."}]
    columns = {name: row[name] for name in ("reward_model", "extra_info", "data_source")} | {"uid": "a"}
    tokens = {"responses": torch.tensor([3]), "response_mask": torch.tensor([1])}
    for asked in (parts, [{"type": "text", "text": "Find the x."}]):
        one = tokens | columns | {"raw_prompt": [{"role": "user", "content": asked}]}
        data = list_of_dict_to_tensordict([one])
        monkeypatch.setattr(rollouts, "_get", lambda batch, fields, data=data: data.select(*fields))
        batch = SimpleNamespace(keys=["a_0_0"], partition_id="train")
        if asked is parts:
            (sample,) = rollouts.fetch(batch, reader, TOKENIZER).samples
            assert sample.references == ("x is 4",)
        else:
            with pytest.raises(DataError, match=r"extra_info\.index 0 is, as verl hands it over, in none of"):
                rollouts.fetch(batch, reader, TOKENIZER)
