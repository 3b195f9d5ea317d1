"""reward_model against transformers: tiny random classifiers, with pairs and with chat templates."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)
from wordpiece import wordpiece

from pgsrm_plugin import RewardSample, SemanticReward, SpecError, parse_spec
from pgsrm_plugin.encoders.classifier import RewardModelSpec

ROWS = [
    ("what falls", "the price falls"),
    ("what do two dogs do", "two dogs run in a park"),
    ("what falls", "two dogs run in a park, and the price rises " * 4),
    ("a", "the price falls"),
]
TEMPLATE = "{% for turn in messages %}[{{ turn['role'] }}] {{ turn['content'] }} . {% endfor %}"
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
KINDS = {
    "bert": (BertForSequenceClassification, BertConfig, {"pad_token_id": 0}),
    "roberta": (RobertaForSequenceClassification, RobertaConfig, {"pad_token_id": 0, "type_vocab_size": 1}),
    "llama": (LlamaForSequenceClassification, LlamaConfig, {"num_key_value_heads": 1, "pad_token_id": None}),
}


def write_model(folder: Path, kind: str, heads: tuple[str, ...] = ("quality",), positions: int = 96) -> str:
    tokenizer = wordpiece([text for row in ROWS for text in row] + ["user assistant [ ] . ,"], 150)
    tokenizer.model_max_length = positions - 8
    model_class, config, extra = KINDS[kind]
    if kind == "llama":
        tokenizer.chat_template = TEMPLATE
    names = {"id2label": dict(enumerate(heads)), "label2id": {head: i for i, head in enumerate(heads)}}
    torch.manual_seed(0)
    model = model_class(
        config(vocab_size=150, max_position_embeddings=positions, num_labels=len(heads), **SIZE, **names, **extra)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", params=list(KINDS))
def folder(request, tmp_path_factory) -> str:
    return write_model(tmp_path_factory.mktemp(request.param), request.param, ("helpful", "verbose"))


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> str:
    return write_model(tmp_path_factory.mktemp("bert"), "bert")


def by_transformers(folder: str, rows) -> list[list[float]]:
    """The outputs for each row, one at a time, as a model card would have it."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    outputs = []
    for prompt, answer in rows:
        if tokenizer.chat_template:
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
            inputs = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)
        else:
            inputs = tokenizer(prompt, answer, return_tensors="pt", truncation=True)
        with torch.no_grad():
            outputs.append(model(**inputs).logits[0].tolist())
    return outputs


def samples(rows=ROWS):
    return [RewardSample(*row) for row in rows]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_the_outputs_are_those_of_transformers(folder):
    judged = RewardModelSpec(model=folder).placed("cpu").build().judge(ROWS)
    expected = by_transformers(folder, ROWS)
    assert [list(one.values) for one in judged] == [pytest.approx(row, abs=1e-4) for row in expected]
    assert judged[0].names == ("helpful", "verbose")
    assert len({one.values for one in judged}) == len(ROWS)


def test_padded_batches_give_the_same(folder):
    model = RewardModelSpec(model=folder, batch_tokens=64).placed("cpu").build()
    read = model._read(ROWS)
    batches = model._batches(read)
    assert sorted(row for rows in batches for row in rows) == list(range(len(ROWS)))
    found = torch.cat([model._batch([read[row] for row in rows]) for rows in batches])
    expected = by_transformers(folder, [ROWS[row] for rows in batches for row in rows])
    assert found.tolist() == [pytest.approx(row, abs=1e-4) for row in expected]


def test_rows_of_one_length_share_a_pass_of_a_causal_model(tmp_path):
    model = RewardModelSpec(model=write_model(tmp_path, "llama")).placed("cpu").build()
    rows = [("a", "the price falls"), ("a", "the price rises"), ("what falls", "the price falls")]
    assert model._batches(model._read(rows)) == [[0, 1], [2]]
    together = model._batch(model._read(rows)[:2])
    assert together.flatten().tolist() == pytest.approx(
        [row[0] for row in by_transformers(str(tmp_path), rows[:2])], abs=1e-5
    )


def test_one_head_is_the_value(bert):
    output = SemanticReward(parse_spec(f"terms: {{reward_model: {{model: {bert}, device: cpu}}}}")).score(samples())
    expected = [sigmoid(row[0]) for row in by_transformers(bert, ROWS)]
    assert output.total_B.tolist() == pytest.approx(expected, abs=1e-5)
    assert output.diagnostics["pair_truncated"].tolist() == [0, 0, 0, 0]
    assert output.stats["preferences/pairs"] == output.stats["preferences/pairs_computed"] == 4


def test_heads_are_weighed_against_each_other_by_hand(folder):
    heads = "{helpful: {weight: 3, centre: 0.5, scale: 2}, verbose: -1}"
    spec = parse_spec(f"terms: {{reward_model: {{model: {folder}, heads: {heads}}}}}")
    outputs = by_transformers(folder, ROWS)
    expected = [(3 * sigmoid((helpful - 0.5) / 2) + 1 * (1 - sigmoid(verbose))) / 4 for helpful, verbose in outputs]
    assert SemanticReward(spec).score(samples()).total_B.tolist() == pytest.approx(expected, abs=1e-5)


def test_two_terms_share_one_model_and_what_it_said(folder):
    spec = parse_spec(
        f"{{terms: {{help: {{kind: reward_model, model: {folder}, heads: {{helpful: 1}}}}, "
        f"talk: {{kind: reward_model, model: {folder}, heads: {{verbose: 1}}}}}}, weights: {{help: 1, talk: -0.5}}}}"
    )
    reward = SemanticReward(spec)
    output = reward.score(samples())
    assert len(reward.models) == 1
    assert output.stats["preferences/pairs_computed"] == 4
    expected = [sigmoid(helpful) - 0.5 * sigmoid(verbose) for helpful, verbose in by_transformers(folder, ROWS)]
    assert output.total_B.tolist() == pytest.approx(expected, abs=1e-5)


def test_rewards_follow_a_permutation_bit_by_bit(folder):
    spec = parse_spec(f"terms: {{reward_model: {{model: {folder}, heads: {{helpful: 1}}}}}}")
    batch = samples(ROWS + ROWS)
    forward, backward = SemanticReward(spec).score(batch).total_B, SemanticReward(spec).score(batch[::-1]).total_B
    assert torch.equal(forward, backward.flip(0))
    assert torch.equal(forward[:4], forward[4:])


def test_a_long_conversation_loses_its_beginning(tmp_path):
    folder = write_model(tmp_path, "llama")
    model = RewardModelSpec(model=folder, max_tokens=16).placed("cpu").build()
    tokenizer, network = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForSequenceClassification.from_pretrained(folder),
    )
    turns = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), ROWS[2], strict=True)]
    ids = tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]
    with torch.no_grad():
        expected = float(network(torch.tensor([ids[-16:]])).logits)
    (judged,) = model.judge(ROWS[2:3])
    assert judged.truncated
    assert judged.values == pytest.approx((expected,), abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "terms.reward_model.heads: FOLDER has 2 outputs (helpful, verbose); give those that count"),
        ("heads: {helpfull: 1}", "heads.helpfull: FOLDER has no such output; did you mean 'helpful'? (it has"),
        ("heads: {helpful: 0}", "heads: all weights are 0"),
        ("max_tokens: 500, heads: {helpful: 1}", "max_tokens: 500 is more than the 96 positions"),
    ],
)
def test_heads_and_limits_are_checked(tmp_path, settings, message):
    folder = write_model(tmp_path, "bert", ("helpful", "verbose"))
    with pytest.raises(SpecError) as caught:
        SemanticReward(parse_spec(f"terms: {{reward_model: {{model: {folder}, {settings}}}}}"))
    assert message.replace("FOLDER", folder) in str(caught.value)


def test_a_chat_layout_needs_a_template(bert):
    with pytest.raises(SpecError, match=r"layout: the tokenizer of .* has no chat template"):
        RewardModelSpec(model=bert, layout="chat").placed("cpu").build()


def test_a_model_without_a_trained_head_and_unsafe_weights_are_refused(tmp_path):
    folder = write_model(tmp_path, "bert")
    BertModel.from_pretrained(folder).save_pretrained(folder)
    with pytest.raises(SpecError, match=r"has no trained classifier .* so it is no reward model"):
        RewardModelSpec(model=folder).placed("cpu").build()
    network = AutoModelForSequenceClassification.from_pretrained(write_model(tmp_path / "other", "bert"))
    torch.save(network.state_dict(), tmp_path / "other" / "pytorch_model.bin")
    (tmp_path / "other" / "model.safetensors").unlink()
    with pytest.raises(SpecError, match="cannot be loaded by transformers"):
        RewardModelSpec(model=str(tmp_path / "other")).placed("cpu").build()


def test_weights_that_are_not_finite_fail_the_self_test(tmp_path):
    from pgsrm_plugin import ScorerError

    folder = write_model(tmp_path, "llama")
    network = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        network.score.weight[0, 0] = float("nan")
    network.save_pretrained(folder)
    with pytest.raises(ScorerError, match="failed its self-test"):
        RewardModelSpec(model=folder).placed("cpu").build()
