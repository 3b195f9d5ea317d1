"""The CPU engine: the same bits for a text in any company, every family against sentence-transformers itself."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
import torch
from minilm import needs_minilm
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf import offline as embedded
from pgsrm_plugin.encoders.hf.cpu import engine
from pgsrm_plugin.encoders.hf.cpu import linear as engine_linear
from pgsrm_plugin.encoders.hf.cpu import threads as engine_threads
from pgsrm_plugin.encoders.hf.cpu.linear import ROWS, PackedLinear, fit_rows, is_supported
from pgsrm_plugin.encoders.hf.encoder import HfEncoder
from pgsrm_plugin.errors import SpecError

WORDS = ["red", "blue", "green", "dog", "fox", "jumps", "over", "the", "lazy", "quick", "query", ":", "."]
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 80}
FAMILIES = {
    "bert": (BertConfig, BertModel, "mean"),
    "roberta": (RobertaConfig, RobertaModel, "cls"),
    "xlm-r": (XLMRobertaConfig, XLMRobertaModel, "mean"),
    "mpnet": (MPNetConfig, MPNetModel, "mean"),
    "modernbert": (ModernBertConfig, ModernBertModel, "cls"),
    "qwen3": (Qwen3Config, Qwen3Model, "lasttoken"),
}
PACKED = {"bert", "roberta", "xlm-r", "mpnet"}
TOLERANCE = {"float32": 1e-5, "bfloat16": 5e-2}

needs_bfloat16 = pytest.mark.skipif(not is_supported(torch.bfloat16), reason="no bfloat16 products on this processor")


def tokenizer_of(kind: str) -> PreTrainedTokenizerFast:
    """A word is a token; <s> text </s>, and for the decoder nothing but the text, padded on the left."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(SPECIAL + WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if kind != "qwen3":
        around = [("<s>", 2), ("</s>", 3)]
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=around)
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    side = "left" if kind == "qwen3" else "right"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side=side, **names)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """A tiny random sentence-transformers model of every family; Qwen3's has a default prompt, BERT's a dense layer."""
    made = {}
    for kind, (config_class, model_class, pooling) in FAMILIES.items():
        folder = tmp_path_factory.mktemp(kind)
        settings = {"vocab_size": len(SPECIAL + WORDS), "max_position_embeddings": 200, **SIZES}
        settings |= {"pad_token_id": 1 if kind == "mpnet" else 0}
        if kind == "qwen3":
            settings |= {"num_key_value_heads": 2, "head_dim": 8}
        elif kind == "modernbert":
            settings |= {"local_attention": 16, "initializer_cutoff_factor": 3.0, "cls_token_id": 2, "sep_token_id": 3}
            settings |= {"bos_token_id": 2, "eos_token_id": 3}
        torch.manual_seed(5)
        network = model_class(config_class(**settings, initializer_range=0.3))
        with torch.no_grad():
            for parameter in network.parameters():  # zeros and ones among them
                parameter.add_(0.1 * torch.randn_like(parameter))
        network.save_pretrained(folder / "backbone")
        tokenizer_of(kind).save_pretrained(folder / "backbone")
        transformer = Transformer(str(folder / "backbone"), max_seq_length=150)
        modules = [transformer, Pooling(SIZES["hidden_size"], pooling)]
        if kind == "bert":
            modules.append(Dense(SIZES["hidden_size"], 24))
        prompts = {"prompts": {"q": "query: "}, "default_prompt_name": "q"} if kind == "qwen3" else {}
        model = SentenceTransformer(modules=[*modules, Normalize()], device="cpu", **prompts)
        model.save_pretrained(str(folder / "model"))
        made[kind] = str(folder / "model")
    return made


def some_texts(count: int, longest: int) -> list[str]:
    """Distinct texts of 1 to ``longest`` words."""
    chance = random.Random(1)
    texts = {" ".join(chance.choices(WORDS, k=chance.randint(1, longest))) for _ in range(3 * count)}
    return sorted(texts)[:count]


def build(model: str, **settings: object) -> HfEncoder:
    return HfEncoder(HfEncoderSpec(model=model, device="cpu", **settings))


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_agrees_with_sentence_transformers(folders, kind, dtype):
    encoder = build(folders[kind], dtype=dtype, threads=2)
    texts = ["red", *some_texts(40, 60), "blue " * 400, "<pad> red <pad> dog", "unheard of"]
    found_ND = encoder.encode(texts).vectors_ND
    assert encoder._runner.packed == (kind in PACKED)
    model = SentenceTransformer(folders[kind], device="cpu")
    expected_ND = torch.stack([model.encode(text, convert_to_tensor=True) for text in texts])
    assert (found_ND - expected_ND).abs().max() <= TOLERANCE[dtype]
    assert (expected_ND[0] - expected_ND[1]).abs().max() > 0.05  # the oracle tells texts apart


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_text_has_the_same_bits_in_any_company(folders, kind, dtype):
    texts = [*some_texts(299, 20), "blue " * 400]
    check_the_bits(folders[kind], dtype, texts, alone=12)


@needs_minilm
@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
def test_minilm_gives_a_text_the_same_bits_in_any_company(dtype):
    texts = [*some_texts(59, 40), "blue " * 400]
    check_the_bits(embedded.MODEL, dtype, texts, alone=5)


def check_the_bits(model: str, dtype: str, texts: list[str], alone: int) -> None:
    """Sorted, shuffled, alone, by another number of workers, and by another encoder."""
    encoder, other = (build(model, dtype=dtype, threads=threads, self_test=False) for threads in (2, 1))
    expected = dict(zip(texts, encoder.encode(texts).vectors_ND, strict=True))
    shuffled = random.Random(2).sample(texts, len(texts))
    for one in (encoder, other):
        vectors = zip(shuffled, one.encode(shuffled).vectors_ND, strict=True)
        assert all(torch.equal(vector_D, expected[text]) for text, vector_D in vectors)
    for text in [*shuffled[:alone], texts[-1]]:
        assert torch.equal(encoder.encode([text]).vectors_ND[0], expected[text])
    states = dict(zip(texts, encoder.token_states(texts), strict=True))
    assert all(torch.equal(other.token_states([text])[0], states[text]) for text in shuffled[:3])
    both, states_too = other.encode_with_states(shuffled)
    for text, vector_D, states_TD in zip(shuffled, both.vectors_ND, states_too, strict=True):
        assert torch.equal(vector_D, expected[text])
        assert torch.equal(states_TD, states[text])


@pytest.mark.parametrize("fusion", ["none", "gelu", "add"])
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_bfloat16)])
def test_a_packed_linear_layer_against_torch(fusion, dtype):
    torch.manual_seed(0)
    weight_OI, bias_O = torch.randn(48, 200, dtype=dtype) / 14, torch.randn(48, dtype=dtype)
    layer = PackedLinear(weight_OI, bias_O, 128, fusion)
    for rows in (32, 96, 128, 384):
        x_MI, residual_MO = torch.randn(rows, 200, dtype=dtype), torch.randn(rows, 48, dtype=dtype)
        exact_MO = x_MI.double() @ weight_OI.double().T + bias_O.double()
        if fusion == "gelu":
            exact_MO = 0.5 * exact_MO * (1 + torch.erf(exact_MO / 2**0.5))
        if fusion == "add":
            exact_MO = exact_MO + residual_MO.double()
        found_MO = layer(x_MI, residual_MO if fusion == "add" else None)
        assert found_MO.dtype == dtype
        tolerance = 1e-5 if dtype == torch.float32 else 3e-2
        torch.testing.assert_close(found_MO.double(), exact_MO, atol=tolerance, rtol=tolerance)


def test_too_few_rows_are_filled_up_where_the_kernel_sums_in_another_order(monkeypatch):
    seen = []
    product = engine_linear._product

    def small_ones_differ(x_MI, weight, bias_O, fusion, residual_MO):
        seen.append(len(x_MI))
        return product(x_MI, weight, bias_O, fusion, residual_MO) + (1.0 if len(x_MI) < 128 else 0.0)

    monkeypatch.setattr(engine_linear, "_product", small_ones_differ)
    assert engine_linear.least_rows.__wrapped__(8, 16, torch.float32, 256, "add") == 128
    engine_linear.least_rows.cache_clear()
    layer = PackedLinear(torch.eye(16), None, 256, "add")
    seen.clear()
    x_MI = torch.arange(512.0).view(32, 16)
    torch.testing.assert_close(layer(x_MI, torch.ones(32, 16)), x_MI + 1)
    assert seen == [128]
    engine_linear.least_rows.cache_clear()


def test_a_kernel_whose_rows_depend_on_their_order_is_not_used(monkeypatch):
    monkeypatch.setattr(engine_linear, "_product", lambda x_MI, *_: x_MI + torch.arange(len(x_MI))[:, None])
    with pytest.raises(RuntimeError, match=r"product of 64 rows depends on their order$"):
        engine_linear.least_rows.__wrapped__(16, 16, torch.float32, 64, "none")


def test_rows_that_a_layer_is_called_with():
    assert [fit_rows(n, 256) for n in (1, 32, 33, 256, 257, 600)] == [32, 32, 64, 256, 512, 768]
    assert sorted(ROWS) == list(ROWS)


def test_passes_are_filled_with_the_longest_texts_that_fit():
    assert list(engine.fill([3, 10, 5, 2, 7, 12], 10)) == [[5], [1], [4, 0], [2, 3]]
    lengths = [random.Random(3).randint(1, 99) for _ in range(200)]
    passes = list(engine.fill(lengths, 256))
    assert sorted(row for one in passes for row in one) == list(range(200))
    assert all(sum(lengths[row] for row in one) <= 256 for one in passes)


def test_workers_use_one_core_and_the_host_keeps_its_setting():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        workers = {engine_threads.submit(3, torch.get_num_threads).result() for _ in range(6)}
        assert workers == {1}
        assert torch.get_num_threads() == 2
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [2]
    finally:
        torch.set_num_threads(before)


def test_a_failure_in_a_worker_reaches_the_caller_and_the_next_call_works(folders, monkeypatch):
    encoder = build(folders["bert"], threads=2)
    expected_ND = encoder.encode(["red", "blue"]).vectors_ND
    with monkeypatch.context() as patch:
        patch.setattr(engine.Tail, "pool", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            encoder.encode(["red", "blue"])
    assert torch.equal(encoder.encode(["red", "blue"]).vectors_ND, expected_ND)


def test_more_texts_than_are_tokenised_at_a_time(folders, monkeypatch):
    encoder = build(folders["mpnet"], threads=2)
    texts = [*some_texts(50, 9), "blue " * 400]
    whole = encoder.encode(texts)
    monkeypatch.setattr("pgsrm_plugin.encoders.hf.encoder._CHUNK", 7)
    parts = encoder.encode(texts)
    assert torch.equal(parts.vectors_ND, whole.vectors_ND)
    assert parts.tokens_N.tolist() == whole.tokens_N.tolist()
    assert parts.truncated_N.tolist() == [False] * 50 + [True]


def test_vectors_are_no_inference_tensors_and_the_models_own_copy_is_left_alone(folders, tmp_path: Path):
    encoder = build(folders["bert"], threads=1)
    result = encoder.encode(["red dog"])
    assert not result.vectors_ND.is_inference()
    assert not encoder.token_states(["red dog"])[0].is_inference()
    assert {parameter.dtype for parameter in encoder._model.parameters()} == {torch.float32}


def test_threads_are_for_the_cpu(folders, monkeypatch):
    monkeypatch.setattr("pgsrm_plugin.encoders.hf.encoder.load_model", lambda *_: torch.nn.Module())
    monkeypatch.setattr(torch.nn.Module, "device", torch.device("cuda", 0), raising=False)
    with pytest.raises(SpecError, match=r"^encoder.threads: the encoder is on cuda:0; threads are for device: cpu$"):
        HfEncoder(HfEncoderSpec(model=folders["bert"], threads=2))


def test_a_torch_without_the_private_operators_runs_the_model_as_it_is(folders, monkeypatch):
    texts = ["red dog", "blue"]
    expected_ND = build(folders["bert"], threads=1).encode(texts).vectors_ND
    monkeypatch.setattr(engine_linear, "hasattr", lambda *_: False, raising=False)
    encoder = build(folders["bert"], threads=1)
    assert (encoder.encode(texts).vectors_ND - expected_ND).abs().max() < 1e-6
    assert not encoder._runner.packed
