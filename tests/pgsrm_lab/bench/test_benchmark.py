"""`pgsrm bench` from end to end, on a tiny random model; and its parts that need one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding, Transformer
from sentence_transformers.util import pairwise_cos_sim
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel
from wordpiece import wordpiece

from pgsrm_lab.bench.benchmark import BenchSettings, run_bench, true_cosines
from pgsrm_lab.bench.measure import known_texts
from pgsrm_lab.bench.measure.guard_cost import parts_of
from pgsrm_lab.bench.measure.roofline import work_of
from pgsrm_lab.bench.systems.baseline import Baseline
from pgsrm_lab.bench.systems.tuned import Batching, Tuned, best_batching
from pgsrm_lab.bench.workload import Pairs, WorkloadSettings, make_workload
from pgsrm_plugin.cli import main
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.spec import load_spec

WORKLOAD = WorkloadSettings(prompts=4, group=4, mean_tokens=12)
SYSTEMS = {"per_sample", "default", "tuned", "ours"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT with mean pooling that reads 24 tokens."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = wordpiece([*make_workload(WORKLOAD).distinct_texts(), "aa bb cc dd ee ff"], 600)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes)
    BertModel(config).save_pretrained(folder / "raw")
    tokenizer.save_pretrained(folder / "raw")
    transformer = Transformer(str(folder / "raw"))
    model = SentenceTransformer(modules=[transformer, Pooling(32, pooling_mode="mean")], device="cpu")
    model.max_seq_length = 24
    model.save(str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="module")
def both(tiny: Path) -> dict[str, Any]:
    """One run in float32 and bfloat16, of 4 groups of 4."""
    spec = HfEncoderSpec(model=str(tiny), device="cpu")
    return run_bench(BenchSettings(spec, ("float32", "bfloat16"), rounds=2, workload=WORKLOAD, command="pgsrm bench x"))


def test_the_operations_counted_are_those_that_torch_counts(tiny: Path) -> None:
    baseline = Baseline(HfEncoderSpec(model=str(tiny)), "eager")
    work = work_of(baseline.model[0])
    assert work.parameters == 2 * (4 * 32 * 32 + 2 * 32 * 64)
    features = {name: torch.ones(1, 9, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    with FlopCounterMode(display=False) as counted:
        baseline.model[0](features)
    pooler = 2 * 32 * 32
    assert counted.get_total_flops() in (work.flops([9]), work.flops([9]) + pooler)


def test_padding_and_lengths_are_those_of_the_model(tiny: Path) -> None:
    baseline = Baseline(HfEncoderSpec(model=str(tiny)))
    texts = ["aa", "aa bb cc", "aa " * 40]
    assert baseline.lengths(texts) == [3, 5, 24]
    baseline.padding.open()
    baseline.encode(texts, batch_size=2)
    assert baseline.padding.close() == pytest.approx((24 - 5) / (2 * 24 + 3))
    baseline.encode(texts)
    baseline.padding.open()
    assert baseline.padding.close() is None


def test_a_prompt_and_a_truncation_of_the_spec_reach_the_baseline(tiny: Path) -> None:
    spec = HfEncoderSpec(model=str(tiny), prompt="aa bb ", max_tokens=8)
    baseline, encoder = Baseline(spec), spec.build()
    assert baseline.lengths(["cc", "cc " * 40]) == [5, 8]
    texts = ["cc", "dd ee " * 9]
    torch.testing.assert_close(
        torch.from_numpy(baseline.encode(texts)), encoder.encode(texts).vectors_ND, atol=1e-5, rtol=1e-5
    )


def test_every_way_to_score_gives_the_same_cosines(tiny: Path) -> None:
    spec = HfEncoderSpec(model=str(tiny))
    pairs, model = make_workload(WORKLOAD), SentenceTransformer(str(tiny), device="cpu")
    expected = pairwise_cos_sim(model.encode(list(pairs.responses)), model.encode(list(pairs.references))).double()
    baseline = Baseline(spec)
    for cosines in (
        baseline.cosines_each(pairs),
        baseline.cosines_by_default(pairs),
        Tuned(baseline, Batching("texts", 3)).cosines(pairs),
        Tuned(baseline, Batching("tokens", 60)).cosines(pairs),
        Tuned(Baseline(spec, "eager"), Batching("tokens", 60)).cosines(pairs),
        true_cosines(spec, pairs),
    ):
        torch.testing.assert_close(cosines.double(), expected, atol=2e-6, rtol=0)


def test_the_truth_has_the_precision_of_float64(tiny: Path) -> None:
    spec = HfEncoderSpec(model=str(tiny))
    pairs = Pairs(("aa bb", "aa bb cc dd ee ff aa bb"), ("aa bb", "aa bb cc dd ee ff aa bb"), (0, 0))
    apart = Pairs(pairs.responses[:1], pairs.references[:1], (0,))
    together, alone = true_cosines(spec, pairs), true_cosines(spec, apart)
    assert together.dtype == torch.float64
    assert abs(float(together[0] - alone[0])) < 1e-14
    torch.testing.assert_close(together, torch.ones(2, dtype=torch.float64), atol=1e-14, rtol=0)


def test_the_sweep_tries_every_batching(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    baseline = Baseline(HfEncoderSpec(model=str(tiny)))
    options = [Batching("texts", 1), Batching("texts", 16), Batching("tokens", 256)]
    tried: list[Batching] = []
    cosines = Tuned.cosines

    def noting(self: Tuned, pairs: Pairs) -> torch.Tensor:
        tried.append(self.batching)
        return cosines(self, pairs)

    monkeypatch.setattr(Tuned, "cosines", noting)
    best, seconds = best_batching(baseline, make_workload(WORKLOAD), options)
    assert set(tried) == set(options)
    assert best in options
    assert seconds > 0


def test_a_run_has_every_system_and_key(both: dict[str, Any]) -> None:
    assert [run["dtype"] for run in both["runs"]] == ["float32", "bfloat16"]
    assert {"cpu", "cores", "torch_threads"} <= set(both["machine"])
    assert {"torch", "sentence-transformers"} <= set(both["versions"])
    for run in both["runs"]:
        speed = run["pairs_per_s"]
        assert set(speed) >= SYSTEMS
        assert {"vllm", "tuned_eager"} <= set(speed) | set(run["absent"])
        assert all(value > 0 for value in speed.values())
        assert run["speedup_vs_default"] == pytest.approx(speed["ours"] / speed["default"])
        assert run["speedup_vs_tuned"] == pytest.approx(speed["ours"] / speed["tuned"])
        assert run["speedup_vs_strongest"] <= run["speedup_vs_tuned"] + 1e-9
        assert 0 < run["roofline_fraction"] < 1
        assert all(len(seconds) == 2 for seconds in run["seconds"].values())
        assert 0 < run["streaming"]["p50_ms"] <= run["streaming"]["p99_ms"]
        assert (run["command"], run["rounds"], run["device"]) == ("pgsrm bench x", 2, "cpu")
    assert json.loads(json.dumps(both)) == both


def test_what_a_run_says_of_exactness(both: dict[str, Any]) -> None:
    float32, bfloat16 = both["runs"]
    assert float32["max_abs_cosine_error"] < 2e-6
    assert 2e-6 < bfloat16["max_abs_cosine_error"] < 0.1
    assert float32["cosine_error"]["default"] == bfloat16["cosine_error"]["default"]
    assert all(run["identical_pairs_differ_by"]["ours"] == 0.0 for run in both["runs"])
    assert float32["kendall_tau_min"] == 1.0
    assert bfloat16["kendall_tau_min"] <= bfloat16["kendall_tau_mean"] <= 1.0
    assert float32["ranking"]["ours"]["groups"] + float32["ranking"]["ours"]["left_out"] == 4


def test_what_a_run_says_of_the_workload(both: dict[str, Any]) -> None:
    run = both["runs"][0]
    pairs = make_workload(WORKLOAD)
    assert run["workload"]["pairs"] == 16
    assert run["workload"]["distinct_texts"] == len(pairs.distinct_texts())
    assert run["workload"]["longest_tokens"] <= 24
    assert run["padding_share"]["per_sample"] == 0.0
    assert 0 < run["padding_share"]["default"] < 1
    assert 0.2 < run["repeats"]["new_tokens_share"] < 0.8


def test_known_texts_are_not_computed_again(tiny: Path) -> None:
    encoder = HfEncoderSpec(model=str(tiny)).build()
    seen: list[int] = []
    encode = encoder.encode
    encoder.encode = lambda texts: (seen.append(len(texts)), encode(texts))[1]  # type: ignore[method-assign]
    pairs = make_workload(WORKLOAD)
    texts = len(pairs.distinct_texts())
    found = known_texts.measure_known_texts(encoder, pairs, dict.fromkeys(pairs.distinct_texts(), 10))
    assert seen == [texts, (texts + 1) // 2, texts // 2] * known_texts.REPEATS
    assert found["new_tokens_share"] == (texts // 2) / texts


def test_the_command_writes_json_and_a_page(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("plotly")
    monkeypatch.setenv("COLUMNS", "100")
    found, page = tmp_path / "found.json", tmp_path / "page.html"
    shape = ["--prompts", "2", "--group", "3", "--mean-tokens", "8", "--rounds", "1", "--seed", "3"]
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "--model", str(tiny), "--device", "cpu", *shape, "--json", str(found), "--html", str(page)])
    assert not stopped.value.code
    result = json.loads(found.read_text())
    assert result["dtype"] == "float32"
    assert result["workload"]["pairs"] == 6
    assert result["command"] == (
        f"pgsrm bench --model {tiny} --device cpu --dtype float32 --rounds 1 "
        "--prompts 2 --group 3 --mean-tokens 8 --seed 3"
    )
    out = capsys.readouterr().out
    assert "per_sample" in out
    assert "times the default encode" in out
    content = page.read_text()
    assert "sentence-transformers, default encode, float32" in content
    assert "GEMM roofline" in content
    assert "<script src=" not in content


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(["bench", *arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_what_cannot_be_measured_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    spec = tmp_path / "toy.yaml"
    spec.write_text("encoder: {kind: hashing}\nterms: {semantic: {}}\n")
    assert "needs an encoder of kind hf" in refusal(capsys, "--spec", str(spec))
    spec.write_text("terms: {exact_match: {}}\n")
    assert "has no encoder to measure" in refusal(capsys, "--spec", str(spec))
    assert "there is no folder /no/such/model" in refusal(capsys, "--model", "/no/such/model")
    assert "--rounds" in refusal(capsys, "--rounds", "0")
    assert "no folder" in refusal(capsys, "--json", str(tmp_path / "absent" / "x.json"))
    assert "is a folder" in refusal(capsys, "--html", str(tmp_path))


def test_a_model_that_is_no_transformer_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = StaticEmbedding(wordpiece(["aa bb"], 600).backend_tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[words], device="cpu").save(str(tmp_path / "static"))
    assert "measures transformers" in refusal(capsys, "--model", str(tmp_path / "static"))


def test_no_rounds_are_refused_in_python_too() -> None:
    with pytest.raises(SpecError, match="at least one round"):
        BenchSettings(HfEncoderSpec(model="x"), rounds=0)


GUARDED = """
encoder: {{kind: hf, model: {model}, device: cpu, self_test: false}}
terms: {{semantic: {{}}, bertscore: {{}}, repetition: {{}}}}
guards: {{polarity: {{}}, off_topic_window: {{}}}}
weights: {{semantic: 0.5, bertscore: 0.5, repetition: -0.1}}
"""


def test_what_guards_cost_is_measured_of_each_part_of_the_spec(tiny: Path, tmp_path: Path) -> None:
    spec, out = tmp_path / "mine.yaml", tmp_path / "out.json"
    spec.write_text(GUARDED.format(model=tiny), encoding="utf-8")
    parts = parts_of(load_spec(str(spec)))
    assert {name: (list(part.terms), list(part.guards)) for name, part in parts.items()} == {
        "plain": (["semantic"], []),
        "with the guards that read text": (["semantic"], ["polarity"]),
        "with all guards": (["semantic"], ["polarity", "off_topic_window"]),
        "with terms of token states": (["semantic", "bertscore"], []),
        "whole": (["semantic", "bertscore", "repetition"], ["polarity", "off_topic_window"]),
    }
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "--guards", str(spec), "--rounds", "2", "--json", str(out)])
    assert stopped.value.code == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["guards"]["ratio"]["plain"] == [1.0, 1.0, 1.0]
    assert all(least <= middle <= most for middle, least, most in found["guards"]["ratio"].values())
    assert found["guards"]["rows"] >= 568
    assert found["command"] == f"pgsrm bench --guards {spec} --rounds 2"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("encoder: {kind: hf, model: x}\nterms: {semantic: {}}", "and this spec has no guards"),
        (
            "encoder: {kind: hf, model: x}\nterms: {bertscore: {}}\nguards: {polarity: {}}",
            "and this spec has no term that compares vectors",
        ),
        ("encoder: {kind: hashing}\nterms: {semantic: {}}\nguards: {polarity: {}}", "an encoder of kind hf"),
    ],
)
def test_a_spec_whose_guards_cannot_be_measured_is_refused(
    tmp_path: Path, spec: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(spec, encoding="utf-8")
    assert message in refusal(capsys, "--guards", str(file))
