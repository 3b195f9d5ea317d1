"""A causal language model as an encoder, against transformers: tiny random models of several kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
)
from wordpiece import wordpiece

from pgsrm_plugin import RewardSample, ScorerError, SemanticReward, SpecError, parse_spec
from pgsrm_plugin.encoders.causal import CausalEncoderSpec
from pgsrm_plugin.encoders.causal.last_state import CausalEncoder

TEXTS = ["two dogs run in a park", "the price rises", "a", "the price falls and two dogs run " * 3]
TEMPLATE = 'This sentence : "{text}" means in one word:"'
KINDS = {
    "gpt2": (GPT2LMHeadModel, GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "llama": (LlamaForCausalLM, LlamaConfig, {"num_key_value_heads": 1}),
    "opt": (OPTForCausalLM, OPTConfig, {"ffn_dim": 48, "word_embed_proj_dim": 32}),
}
SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}


def write_model(folder: Path, kind: str) -> str:
    tokenizer = wordpiece([*TEXTS, TEMPLATE], 150)
    # As a language model's: nothing is added, and there is no pad token.
    tokenizer.backend_tokenizer.post_processor = None
    tokenizer.pad_token = None
    model_class, config, shape = KINDS[kind]
    torch.manual_seed(0)
    model = model_class(config(vocab_size=150, **(shape if kind == "gpt2" else SIZE | shape)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", params=list(KINDS))
def folder(request, tmp_path_factory) -> str:
    return write_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> str:
    return write_model(tmp_path_factory.mktemp("llama"), "llama")


def encoder(folder: str, **settings) -> CausalEncoder:
    return CausalEncoder(CausalEncoderSpec(**{"model": folder, "device": "cpu", "max_tokens": 32, **settings}))


def by_transformers(folder: str, texts: list[str], pooling: str = "last", template: str = TEMPLATE) -> torch.Tensor:
    """The hidden states that the whole language model gives out, one text at a time."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    vectors = []
    for text in texts:
        inputs = tokenizer(template.replace("{text}", text), return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            states_TD = model(**inputs, output_hidden_states=True).hidden_states[-1][0]
        vectors.append(states_TD[-1] if pooling == "last" else states_TD.mean(0))
    return torch.stack(vectors)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_vectors_are_the_states_of_transformers(folder, pooling):
    found = encoder(folder, pooling=pooling).encode(TEXTS)
    assert torch.allclose(found.vectors_ND, by_transformers(folder, TEXTS, pooling), atol=1e-5)
    assert found.tokens_N.tolist() == [6, 3, 1, 21]
    assert not found.truncated_N.any()


def test_another_template_is_another_vector(folder):
    template = "{text} In other words, two"
    found = encoder(folder, template=template)
    assert torch.allclose(found.encode(TEXTS).vectors_ND, by_transformers(folder, TEXTS, template=template), atol=1e-5)
    assert found.identity != encoder(folder).identity


def test_a_text_has_the_same_bits_in_any_company(folder):
    model = encoder(folder, threads=2)
    together = model.encode(TEXTS).vectors_ND
    assert torch.equal(together, torch.cat([model.encode([text]).vectors_ND for text in TEXTS]))
    assert torch.equal(together.flip(0), model.encode(TEXTS[::-1]).vectors_ND)


def test_padded_batches_give_the_same(folder):
    model = encoder(folder)
    together = model._batch(model._read(TEXTS)[0])
    assert torch.allclose(together, by_transformers(folder, TEXTS), atol=1e-5)


def test_the_text_is_cut_and_never_the_template(folder):
    found = encoder(folder, max_tokens=8).encode(TEXTS)
    cut = [*TEXTS[:3], "the price falls and two dogs run the"]
    assert torch.allclose(found.vectors_ND, by_transformers(folder, cut), atol=1e-5)
    assert found.truncated_N.tolist() == [False, False, False, True]
    assert found.tokens_N.tolist() == [6, 3, 1, 21]


def test_a_text_without_a_known_token_is_unknown(llama):
    found = encoder(llama).encode(["\u732b", "", "a"])
    assert found.unknown_N is not None
    assert found.unknown_N.tolist() == [True, True, False]
    assert not found.vectors_ND[:2].any()


def test_a_reward_by_a_language_model(llama):
    spec = parse_spec(
        f"{{encoder: {{kind: causal, model: {llama}, device: cpu, max_tokens: 32}}, terms: {{semantic: {{}}, "
        "length: {mode: absolute, unit: tokens, min: 12}}, weights: {semantic: 1, length: 0}}"
    )
    out = SemanticReward(spec).score([RewardSample("", TEXTS[0], (TEXTS[1],)), RewardSample("", "a", ("a",))])
    vectors_ND = by_transformers(llama, TEXTS[:2]).double()
    cos = float(torch.cosine_similarity(vectors_ND[0], vectors_ND[1], dim=0))
    assert out.total_B.tolist() == pytest.approx([max(0.0, cos), 1.0], abs=1e-5)
    assert out.terms["length"].tolist() == [0.5, 1 / 12]
    with pytest.raises(SpecError, match="needs token states, so an encoder of kind hf, not causal"):
        parse_spec(f"{{encoder: {{kind: causal, model: {llama}}}, terms: {{bertscore: {{}}}}}}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"template": "no place"}, "{text} must stand in it once"),
        ({"template": "{text} and {text}"}, "{text} must stand in it once"),
        ({"max_tokens": 60}, "more than the 64 positions of"),
        ({"threads": 1, "device": "meta"}, "threads are for device: cpu"),
    ],
)
def test_settings_are_checked(llama, settings, message):
    with pytest.raises((SpecError, ValueError)) as caught:
        encoder(llama, **settings)
    assert message in str(caught.value)


def test_an_encoder_is_refused(tmp_path):
    wordpiece(TEXTS, 120).save_pretrained(tmp_path)
    BertModel(BertConfig(vocab_size=120, **SIZE)).save_pretrained(tmp_path)
    with pytest.raises(SpecError, match="looks ahead, so it is no causal language model; take one, or use kind: hf"):
        encoder(str(tmp_path))


def test_unsafe_weights_and_broken_ones_are_refused(tmp_path):
    folder = write_model(tmp_path / "nan", "llama")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    model.save_pretrained(folder)
    with pytest.raises((ScorerError, SpecError)):
        encoder(folder)
    folder = write_model(tmp_path / "pickle", "llama")
    torch.save(AutoModelForCausalLM.from_pretrained(folder).state_dict(), tmp_path / "pickle" / "pytorch_model.bin")
    (tmp_path / "pickle" / "model.safetensors").unlink()
    with pytest.raises(SpecError, match="cannot be loaded by transformers"):
        encoder(folder)
