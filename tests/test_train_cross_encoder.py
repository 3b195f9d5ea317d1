"""The script that trains a cross-encoder: what it writes is what the spec's ``entailment`` loads."""

from __future__ import annotations

import json

import pytest
import torch
from script_files import load_script
from transformers import BertConfig, BertModel
from wordpiece import wordpiece

from pgsrm_plugin.encoders.entailment import CrossEncoderSpec

script = load_script("train_cross_encoder")
NOUNS = ("dog", "cat", "bird", "horse", "cow", "fish", "sheep", "goat", "duck", "frog")
ROWS = [
    {"premise": f"the {noun} sleeps", "hypothesis": f"the {noun} {said}", "label": label}
    for noun in NOUNS
    for said, label in (("sleeps", "entailment"), ("does not sleep", "contradiction"), ("sings", "neutral"))
]


@pytest.fixture
def base(tmp_path):
    texts = [text for row in ROWS for text in (row["premise"], row["hypothesis"])]
    tokenizer = wordpiece(texts, 100)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=100, max_position_embeddings=32, pad_token_id=0, **size)).save_pretrained(
        tmp_path / "base"
    )
    tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def test_what_it_trains_is_a_cross_encoder_of_the_specs(tmp_path, base, monkeypatch):
    data = tmp_path / "nli.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    out = tmp_path / "model"
    arguments = f"--data {data} --out {out} --base {base} --epochs 40 --rate 3e-3 --batch 8 --held-out 0.2"
    monkeypatch.setattr("sys.argv", ["train_cross_encoder.py", *arguments.split()])
    script.main()
    report = json.loads((out / "training.json").read_text())
    assert (report["trained"], report["held_out"], report["data"]) == (24, 6, {"nli.jsonl": 30})
    assert json.loads((out / "config.json").read_text())["label2id"] == {name: i for i, name in enumerate(script.THREE)}
    model = CrossEncoderSpec(model=str(out)).build()
    same, denied = model.judge([("the dog sleeps", "the dog sleeps"), ("the dog sleeps", "the dog does not sleep")])
    assert same.values[0] > 0 > denied.values[0]


def test_premises_are_held_out_whole():
    examples = [script.Example(row["premise"], row["hypothesis"], row["label"]) for row in ROWS]
    train, held = script.split(examples, 0.3, seed=1)
    assert len(held) == 9
    assert not {one.premise for one in train} & {one.premise for one in held}


def test_files_of_two_labels_make_all_have_two(tmp_path):
    (tmp_path / "a.txt").write_text("index\tText\tHypothesis\tgold_label\n0\tIt rains.\tIt is dry.\tnot_entailment\n")
    (tmp_path / "b.csv").write_text("Sentence1,Sentence2,gold_label\nA,B,contradiction\nA,B,-\nA,A,entailment\n")
    examples = [one for name in ("a.txt", "b.csv") for one in script.read_examples(tmp_path / name)]
    labels, found = script.with_labels(examples)
    assert labels == ("entailment", "not_entailment")
    assert [one.label for one in found] == ["not_entailment", "not_entailment", "entailment"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"premise": "a", "label": "neutral"}, "row 1 lacks a premise, a hypothesis or a label; it has premise, label"),
        ({"premise": "a", "hypothesis": "b", "label": "maybe"}, "row 1 has the label 'maybe'; known are entailment"),
    ],
)
def test_rows_that_are_none_are_named(tmp_path, row, message):
    (tmp_path / "bad.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(SystemExit, match=message):
        script.read_examples(tmp_path / "bad.jsonl")
