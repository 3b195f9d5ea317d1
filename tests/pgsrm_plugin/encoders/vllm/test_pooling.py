"""The vllm encoder against the hf encoder and sentence-transformers; all that needs vLLM itself is marked slow."""

import importlib.util
import os

import pytest
import torch
from minilm import needs_minilm

from pgsrm_plugin import RewardSample, SemanticReward, SpecError, parse_spec
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf import offline as embedded
from pgsrm_plugin.encoders.hf.encoder import HfEncoder
from pgsrm_plugin.encoders.vllm import VllmEncoderSpec

TEXTS = [
    "red",
    "",
    ".",
    "Grüße aus 東京, привет и مرحبا!",
    "the sky is blue",
    "a longer sentence " * 30,
    "beyond what MiniLM reads " * 120,
]
needs_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_error_says_what_to_install():
    with pytest.raises(SpecError, match=r"vllm needs vLLM: pip install 'pgsrm-plugin\[vllm\]' .*; or use kind: hf"):
        VllmEncoderSpec(model=embedded.MODEL).build()


def test_only_the_named_settings_reach_vllm():
    with pytest.raises(SpecError, match=r"encoder\.trust_remote_code: unknown key"):
        parse_spec("encoder: {kind: vllm, model: x, trust_remote_code: true}\nterms: {semantic: {}}")
    with pytest.raises(SpecError, match=r"encoder\.gpu_memory: .*less than 1"):
        parse_spec("encoder: {kind: vllm, model: x, gpu_memory: 1.5}\nterms: {semantic: {}}")


def test_it_has_no_token_states_but_counts_tokens():
    with pytest.raises(SpecError, match="so an encoder of kind hf, not vllm"):
        parse_spec("encoder: {kind: vllm, model: x}\nterms: {bertscore: {}}")
    parse_spec("encoder: {kind: vllm, model: x}\nterms: {length: {mode: absolute, unit: tokens, min: 1}}")


@pytest.fixture(scope="module")
def engine():
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    settings = {"model": embedded.MODEL, "revision": embedded.REVISION, "prompt": "text: "}
    return VllmEncoderSpec(**settings, eager=True).build(), HfEncoder(HfEncoderSpec(**settings, device="cpu"))


@pytest.mark.slow
@needs_vllm
@needs_minilm
def test_vllm_gives_what_sentence_transformers_gives(engine):
    from sentence_transformers import SentenceTransformer

    ours, hf = engine
    got, expected = ours.encode(TEXTS), hf.encode(TEXTS)
    own = SentenceTransformer(str(embedded.installed_folder()), device="cpu")
    theirs_ND = torch.tensor(own.encode(TEXTS, prompt="text: "))
    torch.testing.assert_close(got.vectors_ND, theirs_ND, atol=2e-6, rtol=0)
    torch.testing.assert_close(got.vectors_ND, expected.vectors_ND, atol=2e-6, rtol=0)
    assert got.tokens_N.tolist() == expected.tokens_N.tolist()
    assert got.tokens_N[0] == 1
    assert got.truncated_N.tolist() == expected.truncated_N.tolist() == [False] * 6 + [True]
    assert got.unknown_N.tolist() == [False] * 7
    assert ours.max_tokens == 256
    assert ours.identity == hf.identity.replace("hf:", "vllm:", 1)


@pytest.mark.slow
@needs_vllm
@needs_minilm
def test_vllm_truncates_where_sentence_transformers_does(engine):
    """Words after the 256th token change nothing, one before it does."""
    ours, _ = engine
    words = ["red"] * 600
    whole, tail, head = (" ".join(some) for some in (words, [*words[:300], *["blue"] * 300], ["blue", *words[1:]]))
    vectors_ND = ours.encode([whole, tail, head]).vectors_ND
    torch.testing.assert_close(vectors_ND[0], vectors_ND[1], atol=1e-6, rtol=0)
    assert float((vectors_ND[0] - vectors_ND[2]).abs().max()) > 1e-4


@pytest.mark.slow
@needs_vllm
@needs_minilm
def test_vllm_drives_a_reward(engine):
    ours, hf = engine
    spec = parse_spec("encoder: {kind: vllm, model: all-MiniLM-L6-v2}\nterms: {semantic: {}}")
    rows = [RewardSample("red and yellow is", answer, ("orange",)) for answer in ("orange", "amber", "car", "amber")]
    got, expected = (SemanticReward(spec, encoder).score(rows).total_B for encoder in (ours, hf))
    torch.testing.assert_close(got, expected, atol=2e-6, rtol=0)
    assert got[1] == got[3]
    assert ours.encode([]).vectors_ND.shape == (0, 384)
