"""NLI cross-encoders against transformers: tiny random models of several kinds."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)
from wordpiece import wordpiece

from pgsrm_plugin import DataError, RewardSample, SemanticReward, SpecError, parse_spec
from pgsrm_plugin.asking.asked_once import AskedOnce
from pgsrm_plugin.calibration import calibrate, drawn
from pgsrm_plugin.data.rows import parse_row
from pgsrm_plugin.encoders.entailment import CrossEncoderSpec
from pgsrm_plugin.encoders.entailment.labels import entailed_index
from pgsrm_plugin.types import Reply

THREE = ("contradiction", "entailment", "neutral")
PAIRS = [
    ("the price rises", "the price falls"),
    ("two dogs run in a park", "animals move"),
    ("a", "two dogs run in a park, and the price rises " * 3),
    ("animals move", "two dogs run in a park"),
    ("the price rises", "the price rises"),
]
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def write_model(folder: Path, kind: str, labels: tuple[str, ...] = THREE) -> str:
    """A random classifier; weights are large, so that another order of labels or of texts is seen."""
    tokenizer = wordpiece([text for pair in PAIRS for text in pair], 120)
    tokenizer.model_max_length = 64
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    common = {"vocab_size": 120, "max_position_embeddings": 80, "num_labels": len(labels), **SIZE, **names}
    torch.manual_seed(0)
    if kind == "bert":
        model = BertForSequenceClassification(BertConfig(**common, pad_token_id=0))
    elif kind == "roberta":
        model = RobertaForSequenceClassification(RobertaConfig(**common, pad_token_id=0, type_vocab_size=1))
    else:
        model = DebertaV2ForSequenceClassification(
            DebertaV2Config(
                **common, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8, type_vocab_size=0
            )
        )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if kind == "bert":
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return str(folder)


@pytest.fixture(scope="module", params=["bert", "roberta", "deberta"])
def folder(request, tmp_path_factory) -> str:
    return write_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> str:
    return write_model(tmp_path_factory.mktemp("bert"), "bert")


def by_transformers(folder: str, pairs, label: str = "entailment", **settings) -> list[float]:
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    place, odds = model.config.label2id[label], []
    for pair in pairs:
        inputs = tokenizer(*pair, return_tensors="pt", **settings)
        with torch.no_grad():
            share = torch.softmax(model(**inputs).logits[0].double(), dim=0)[place]
        odds.append(math.log(share / (1 - share)))
    return odds


def test_the_log_odds_are_those_of_transformers(folder):
    judged = CrossEncoderSpec(model=folder).placed("cpu").build().judge(PAIRS)
    assert [one.values[0] for one in judged] == pytest.approx(by_transformers(folder, PAIRS), abs=1e-4)
    assert len({round(one.values[0], 5) for one in judged}) == len(PAIRS)
    assert not any(one.truncated for one in judged)


def test_a_pair_has_the_same_bits_in_any_company(folder):
    model = CrossEncoderSpec(model=folder, threads=2).placed("cpu").build()
    together = dict(zip(PAIRS, model.judge(PAIRS), strict=True))
    assert {pair: model.judge([pair])[0] for pair in PAIRS} == together
    assert dict(zip(PAIRS[::-1], model.judge(PAIRS[::-1]), strict=True)) == together


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_bert_family_runs_packed_with_its_segments(tmp_path, kind):
    model = CrossEncoderSpec(model=write_model(tmp_path, kind)).placed("cpu").build()
    if not model.packed:
        pytest.skip("no prepacked products on this processor")
    assert model._has_segments == (kind == "bert")


def test_padded_batches_give_the_same(folder):
    model = CrossEncoderSpec(model=folder, batch_tokens=64).placed("cpu").build()
    read = model._read(PAIRS)
    rows = [row for batch in model._batches(read) for row in batch]
    assert sorted(rows) == list(range(len(PAIRS)))
    assert len(model._batches(read)) > 1
    expected = by_transformers(folder, [PAIRS[row] for row in rows])
    logits = torch.cat([model._batch([read[row] for row in batch]) for batch in model._batches(read)])
    others = torch.logsumexp(logits[:, [0, 2]], dim=1)
    assert (logits[:, 1] - others).tolist() == pytest.approx(expected, abs=1e-4)


def test_long_pairs_are_cut_at_the_limit_and_said(folder):
    judged = CrossEncoderSpec(model=folder, max_tokens=16).placed("cpu").build().judge(PAIRS)
    cut = by_transformers(folder, PAIRS, truncation=True, max_length=16)
    assert [one.values[0] for one in judged] == pytest.approx(cut, abs=1e-4)
    assert [one.truncated for one in judged] == [False, False, True, False, False]


def test_a_limit_beyond_the_positions_is_refused(bert):
    with pytest.raises(SpecError, match="max_tokens: 512 is more than the 80 positions"):
        CrossEncoderSpec(model=bert, max_tokens=512).placed("cpu").build()


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "place"),
    [
        (("entailment", "neutral", "contradiction"), 0),
        (("CONTRADICTION", "NEUTRAL", "ENTAILMENT"), 2),
        (("not_entailment", "entailment"), 1),
        (("Entailment", "Not-Entailment"), 0),
        (("contradicts", "entails"), 1),
    ],
)
def test_labels_in_any_order(labels, place):
    assert entailed_index("m", labels, None) == place
    assert entailed_index("m", ["LABEL_0"] * len(labels), labels) == place


@pytest.mark.parametrize(
    ("own", "given", "message"),
    [
        (["LABEL_0", "LABEL_1", "LABEL_2"], None, r"model: m has unknown labels: LABEL_0, LABEL_1, LABEL_2.*write it"),
        (["positive", "negative"], None, r"model: m has unknown labels: positive, negative"),
        (["LABEL_0"], None, r"model: m has one output, a score of likeness"),
        (["neutral", "contradiction"], None, r"the labels neutral, contradiction, not one entailment"),
        (["LABEL_0", "LABEL_1"], ["entailment", "neutral", "contradiction"], r"labels: 3 are given, and m has 2"),
        (["LABEL_0", "LABEL_1"], ["entailment", "other"], r"labels: m has unknown labels: other"),
    ],
)
def test_unknown_labels_say_what_where_and_what_instead(own, given, message):
    with pytest.raises(SpecError, match=message):
        entailed_index("m", own, given)


def test_the_specs_labels_serve_where_the_config_names_none(tmp_path):
    folder = write_model(tmp_path, "bert", ("LABEL_0", "LABEL_1", "LABEL_2"))
    with pytest.raises(SpecError, match="unknown labels: LABEL_0, LABEL_1, LABEL_2"):
        CrossEncoderSpec(model=folder).placed("cpu").build()
    model = CrossEncoderSpec(model=folder, labels=("neutral", "contradiction", "entailment")).placed("cpu").build()
    expected = by_transformers(folder, PAIRS, label="LABEL_2")
    assert [one.values[0] for one in model.judge(PAIRS)] == pytest.approx(expected, abs=1e-4)


def test_an_encoder_is_no_cross_encoder(tmp_path):
    wordpiece(["a b"], 30).save_pretrained(tmp_path)
    names = {"id2label": {0: "entailment", 1: "neutral"}, "label2id": {"entailment": 0, "neutral": 1}}
    BertModel(BertConfig(vocab_size=30, **SIZE, **names)).save_pretrained(tmp_path)
    with pytest.raises(SpecError, match=r"has no trained classifier \(classifier.bias, classifier.weight missing\)"):
        CrossEncoderSpec(model=str(tmp_path)).placed("cpu").build()


def test_a_missing_folder_is_said_with_the_part_that_names_it():
    spec = parse_spec("{terms: {exact_match: {}, entailment: {model: ./nowhere}}}")
    with pytest.raises(SpecError, match=r"terms.entailment.model: there is no folder"):
        SemanticReward(spec)


# --- in a reward ------------------------------------------------------------------------------------------------------


def samples(*pairs: tuple[str, str]) -> list[RewardSample]:
    return [RewardSample("", response, (reference,)) for response, reference in pairs]


def test_a_reward_by_entailment_alone(bert):
    spec = parse_spec(f"terms: {{entailment: {{model: {bert}, centre: 0.3, scale: 0.5, floor: 0.2, device: cpu}}}}")
    reward = SemanticReward(spec)
    output = reward.score(samples(*PAIRS))
    forward, backward = by_transformers(bert, PAIRS), by_transformers(bert, [pair[::-1] for pair in PAIRS])
    worth = [
        1 / (1 + math.exp(-(min(one, other) - math.log(0.3 / 0.7)) / 0.5))
        for one, other in zip(forward, backward, strict=True)
    ]
    expected = [0.2 + 0.8 * one for one in worth]
    expected[4] = 1.0  # the same text
    assert output.total_B.tolist() == pytest.approx(expected, abs=1e-4)
    assert output.stats["cross_encoder/pairs"] == 6  # two pairs are each other's mirror image, one is one text
    assert reward.score(samples(*PAIRS)).stats["cross_encoder/pairs_computed"] == 0


@pytest.mark.parametrize(("direction", "flip"), [("forward", False), ("backward", True)])
def test_one_direction(bert, direction, flip):
    spec = parse_spec(f"terms: {{entailment: {{model: {bert}, direction: {direction}}}}}")
    (value,) = SemanticReward(spec).score(samples(PAIRS[1])).total_B.tolist()
    (odds,) = by_transformers(bert, [PAIRS[1][::-1] if flip else PAIRS[1]])
    assert value == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-5)


def test_the_guard_takes_from_likeness_what_the_term_gives(bert):
    part = f"{{model: {bert}, centre: 0.4}}"
    spec = parse_spec(
        f"{{encoder: {{kind: hashing}}, terms: {{semantic: {{}}, entailment: {part}}}, "
        f"weights: {{semantic: 1, entailment: 0}}, guards: {{entailment: {part}}}}}"
    )
    reward = SemanticReward(spec)
    assert len(reward.models) == 1
    plain = reward.with_spec(spec.model_copy(update={"guards": {}}))
    assert plain.models == reward.models
    output, without = reward.score(samples(*PAIRS)), plain.score(samples(*PAIRS))
    violation = 1 - without.terms["entailment"]
    assert output.diagnostics["guard/entailment"].tolist() == pytest.approx(violation.tolist())
    factor = 1 - 0.85 * violation
    assert output.terms["semantic"].tolist() == pytest.approx((without.terms["semantic"] * factor).tolist())
    assert output.stats["cross_encoder/pairs"] == 12  # the guard's, and the term's, which were computed already
    assert output.stats["cross_encoder/pairs_computed"] == 6


def test_rewards_follow_a_permutation_bit_by_bit(bert):
    spec = parse_spec(f"terms: {{entailment: {{model: {bert}}}}}")
    batch = samples(*PAIRS, *PAIRS)
    forward = SemanticReward(spec).score(batch).total_B
    backward = SemanticReward(spec).score(batch[::-1]).total_B
    assert torch.equal(forward, backward.flip(0))
    assert torch.equal(forward[:5], forward[5:])
    alone = torch.cat([SemanticReward(spec).score([one]).total_B for one in batch[:5]])
    assert torch.equal(forward[:5], alone)


def test_cut_pairs_are_a_diagnostic(bert):
    spec = parse_spec(f"terms: {{entailment: {{model: {bert}, max_tokens: 16}}}}")
    output = SemanticReward(spec).score(samples(*PAIRS))
    assert output.diagnostics["pair_truncated"].tolist() == [0, 0, 1, 0, 0]
    assert "pair_truncated" not in SemanticReward(parse_spec("terms: {rouge: {}}")).score(samples(*PAIRS)).diagnostics


def test_the_best_reference_counts(bert):
    spec = parse_spec(f"terms: {{entailment: {{model: {bert}}}}}")
    reward = SemanticReward(spec)
    response, other = PAIRS[0]
    both = reward.score([RewardSample("", response, (other, PAIRS[1][0]))]).total_B
    each = reward.score(samples((response, other), (response, PAIRS[1][0]))).total_B
    assert float(both) == float(each.max())


def test_the_device_of_the_specs_encoder_is_the_default(bert):
    spec = parse_spec(
        f"{{encoder: {{kind: hf, model: sentence-transformers/all-MiniLM-L6-v2, device: cpu}}, "
        f"terms: {{semantic: {{}}, entailment: {{model: {bert}}}}}}}"
    )
    (section,) = SemanticReward(spec).models
    assert section.device == "cpu"


def test_answers_are_kept_within_the_bound():
    class Counting:
        identity = "counting"

        def __init__(self) -> None:
            self.asked: list = []

        def judge(self, pairs):
            self.asked += pairs
            return [Reply((float(len(premise)),)) for premise, _ in pairs]

    model = Counting()
    once = AskedOnce(model, limit_mb=1.5 * 404 / 2**20)  # one pair of two letters has 408 bytes
    found, computed = once.judge([("b", "x"), ("a", "x"), ("b", "x")])
    assert (computed, found["a", "x"].values[0]) == (2, 1.0)
    assert model.asked == [("a", "x"), ("b", "x")]  # sorted, each once
    assert once.judge([("b", "x")])[1] == 0
    assert once.judge([("a", "x")])[1] == 1


def test_calibration_asks_the_model_itself(tmp_path):
    """The oracle: the quantiles of transformers' log odds of the lesser direction. A random model tells nothing."""
    folder = write_model(tmp_path / "model", "bert")
    texts = [
        f"{one} {other}" for one in ("the price", "two dogs", "animals") for other in ("rises", "falls", "move", "run")
    ]
    found = parse_spec(f"terms: {{entailment: {{model: {folder}}}}}")
    rows = [{"prompt": str(i), "references": texts[4 * i : 4 * i + 4]} for i in range(3)]
    records = [record for row in rows for record in parse_row(row, "", responses=False)]
    with pytest.raises(DataError, match=r"^terms\.entailment: .*there must be 20 pairs of one prompt, not 18"):
        calibrate(found, records)
    more = [{"prompt": "0", "references": texts[:8]}, {"prompt": "1", "references": texts[8:]}]
    records = [record for row in more for record in parse_row(row, "", responses=False)]
    pairs = drawn(records, found.text, 1000)

    def lesser(some):
        there, back = by_transformers(folder, some), by_transformers(folder, [(b, a) for a, b in some])
        return np.minimum(there, back)

    alike, apart = np.quantile(lesser(pairs.related), 0.05), np.quantile(lesser(pairs.unrelated), 0.95)
    with pytest.raises(DataError, match=rf"reach {alike:.2f}, .*stay below {apart:.2f}: this model does not tell"):
        calibrate(found, records)
