"""The parts of `pgsrm bench` that need no clock: workload, ranking, batches, work, arrivals, results, reports."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from minilm import needs_minilm
from transformers import AutoTokenizer

from pgsrm_lab.bench.measure.memory import PeakMemory
from pgsrm_lab.bench.measure.ranking import (
    compare_ranking,
    first_of_identical,
    group_std,
    identical_spread,
    kendall_tau,
    share_below,
)
from pgsrm_lab.bench.measure.roofline import Gemm, Work
from pgsrm_lab.bench.measure.rounds import SystemTimes, time_in_turn
from pgsrm_lab.bench.measure.streaming import Streamed, Window, poisson_arrivals, stream
from pgsrm_lab.bench.report import charts, docs
from pgsrm_lab.bench.report.facts import facts
from pgsrm_lab.bench.report.rows import guard_rows, range_of_rounds, system_title
from pgsrm_lab.bench.result import DtypeMeasurements, SharedInputs, one_result
from pgsrm_lab.bench.systems.base import System
from pgsrm_lab.bench.systems.compared import ComparedSystems
from pgsrm_lab.bench.systems.tuned import token_batches
from pgsrm_lab.bench.workload import Pairs, WorkloadSettings, make_workload
from pgsrm_plugin.encoders.hashing import HashingEncoder, HashingEncoderSpec
from pgsrm_plugin.encoders.hf import offline as embedded
from pgsrm_plugin.errors import SpecError

ROOT = Path(__file__).parents[3]
PAIRS = Pairs(("a", "b", "a", "c"), ("r", "r", "r", "s"), (0, 0, 0, 1))


def test_the_workload_depends_on_its_settings_alone() -> None:
    few, many = make_workload(WorkloadSettings(prompts=3)), make_workload(WorkloadSettings(prompts=5))
    assert few == make_workload(WorkloadSettings(prompts=3))
    assert many.take(range(24)) == few
    assert make_workload(WorkloadSettings(prompts=3, seed=1)).responses != few.responses


def test_groups_share_a_reference_and_repeat_responses() -> None:
    pairs = make_workload(WorkloadSettings())
    assert len(pairs) == 1024
    assert pairs.groups == tuple(row // 8 for row in range(1024))
    references = [set(pairs.references[start : start + 8]) for start in range(0, 1024, 8)]
    assert all(len(texts) == 1 for texts in references)
    assert len(set.union(*references)) == 128
    distinct = sum(len(set(pairs.responses[start : start + 8])) for start in range(0, 1024, 8))
    assert distinct == 1024 - 154  # 15 % of 1,024 is 153.6
    assert len(pairs.distinct_texts()) == 870 + 128


@needs_minilm
def test_lengths_are_lognormal_around_the_mean() -> None:
    tokenizer = AutoTokenizer.from_pretrained(embedded.installed_folder())
    texts = make_workload(WorkloadSettings()).distinct_texts()
    lengths = [len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]]
    assert statistics.fmean(lengths) == pytest.approx(130, rel=0.05)
    assert statistics.stdev(map(math.log, lengths)) == pytest.approx(0.6, abs=0.05)
    short = make_workload(WorkloadSettings(mean_tokens=40)).distinct_texts()
    assert statistics.fmean(len(ids) for ids in tokenizer(short)["input_ids"]) == pytest.approx(40, rel=0.1)


def test_some_responses_are_nearer_to_the_reference_than_others() -> None:
    pairs = make_workload(WorkloadSettings(prompts=4))
    vectors = HashingEncoder(HashingEncoderSpec()).encode([*pairs.responses, *pairs.references]).vectors_ND
    cosines = torch.cosine_similarity(vectors[:32], vectors[32:])
    assert 0.02 < group_std(pairs, cosines.tolist()) < 0.2


@pytest.mark.parametrize(
    "wrong", [{"prompts": 0}, {"group": 1}, {"mean_tokens": 3}, {"duplicates": 1.0}, {"duplicates": -0.1}]
)
def test_a_workload_without_pairs_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SpecError):
        WorkloadSettings(**wrong)  # type: ignore[arg-type]


def test_whole_groups_are_taken_evenly() -> None:
    pairs = make_workload(WorkloadSettings(prompts=6, group=2))
    assert pairs.spread_groups(3) == [0, 1, 4, 5, 8, 9]
    assert pairs.spread_groups(99) == list(range(12))
    assert pairs.take([3, 0]).responses == (pairs.responses[3], pairs.responses[0])


def test_kendall_tau_by_hand() -> None:
    assert kendall_tau([1, 2, 3, 4], [10, 20, 30, 40]) == 1.0
    assert kendall_tau([1, 2, 3, 4], [4, 3, 2, 1]) == -1.0
    assert kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx((5 - 1) / 6)
    assert kendall_tau([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(2 * 3))
    assert math.isnan(kendall_tau([1, 1, 1], [1, 2, 3]))
    assert math.isnan(kendall_tau([1], [1]))
    with pytest.raises(ValueError, match="equally many"):
        kendall_tau([1], [1, 2])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12))
def test_kendall_tau_is_scipys(points: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    a, b = zip(*points, strict=True)
    assert kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic, nan_ok=True)


def test_ranking_is_that_of_each_group() -> None:
    pairs = Pairs(tuple("abcdefgh"), ("r",) * 8, (0, 0, 0, 1, 1, 1, 2, 2))
    ranking = compare_ranking(pairs, [1, 2, 3, 9, 8, 7, 5, 5], [0.1, 0.2, 0.3, 0.7, 0.9, 0.8, 0.5, 0.6])
    assert ranking.mean == pytest.approx((1 - 1 / 3) / 2)
    assert ranking.least == pytest.approx(-1 / 3)
    assert (ranking.groups, ranking.left_out) == (2, 1)


def test_noise_on_identical_pairs_is_seen_and_breaks_no_tie() -> None:
    noisy = [0.5, 0.4, 0.5 + 1e-7, 0.5]
    assert first_of_identical(PAIRS, noisy) == [0.5, 0.4, 0.5, 0.5]
    assert identical_spread(PAIRS, noisy) == pytest.approx(1e-7)
    assert identical_spread(PAIRS, [0.5, 0.4, 0.5, 0.6]) == 0.0


def test_groups_whose_different_responses_are_within_the_noise() -> None:
    assert share_below(PAIRS, [0.5, 0.5005, 0.5, 0.1], 1e-3) == 0.5
    assert share_below(PAIRS, [0.5, 0.502, 0.5, 0.1], 1e-3) == 0.0  # row 2 equals row 0 because it is the same text


def test_token_batches_stay_within_the_budget() -> None:
    assert list(token_batches([2, 3, 3, 5], 9)) == [range(3), range(3, 4)]
    assert list(token_batches([3, 3, 3, 3], 9)) == [range(3), range(3, 4)]
    assert list(token_batches([4, 20, 20], 10)) == [range(1), range(1, 2), range(2, 3)]
    assert list(token_batches([], 10)) == []


def test_flops_of_a_text() -> None:
    work = Work(Counter({(4, 4): 8, (4, 16): 2, (16, 4): 2}), layers=2, width=4)
    assert work.parameters == 8 * 16 + 4 * 64
    assert work.flops([10, 1]) == 2 * 384 * 11 + 4 * 2 * 4 * 101


def test_the_gemm_rate_is_that_of_the_counted_operations() -> None:
    work = Work(Counter({(64, 32): 2, (32, 64): 1}), layers=1, width=64)
    gemm = Gemm(work, torch.float32, torch.device("cpu"), (16, 256))
    assert gemm.tokens in (16, 256)
    assert 1e6 < gemm.rate() < 1e15


def test_rounds_begin_with_another_system_each() -> None:
    called = []

    def system(name: str, rows: tuple[int, ...] | None = None) -> System:
        def cosines(pairs: Pairs) -> torch.Tensor:
            called.append(name)
            return torch.tensor([float(len(text)) for text in pairs.responses])

        return System(name, "float32", cosines, rows=rows)

    times, readings = time_in_turn(
        [system("x"), system("y", rows=(3, 1))], PAIRS, {"rate": lambda: 7.0}, 3, lambda _: None
    )
    assert called == ["x", "y", "x", "y", "y", "x", "x", "y"]  # the first two are not timed
    assert readings == {"rate": [7.0, 7.0, 7.0]}
    assert [(found.pairs, len(found.seconds), len(found.cosines)) for found in times] == [(4, 3, 4), (2, 3, 2)]


def test_pairs_per_s_is_of_the_median_round() -> None:
    assert SystemTimes(10, seconds=[1.0, 100.0, 2.0]).pairs_per_s == 5.0


def test_peak_memory_sees_what_was_given_back_since() -> None:
    memory = PeakMemory(torch.device("cpu"))
    torch.ones(64 * 2**18)
    peak = memory.read_mb()
    assert peak is None or 60 <= peak < 128


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_rows_wait_for_the_batch_before_them() -> None:
    clock, batches = Clock(), []

    def score(pairs: Pairs) -> None:
        batches.append(pairs.responses)
        clock.sleep(1.0)

    streamed = stream(
        score, PAIRS, [0.0, 0.25, 0.5, 3.0], Window(max_rows=2, wait_s=0.5), clock=lambda: clock.now, sleep=clock.sleep
    )
    # Full at 0.25; the third row waits until 1.25; the last, alone, until 3.5.
    assert batches == [("a", "b"), ("a",), ("c",)]
    assert streamed == Streamed((1.25, 1.0, 1.75, 1.5), 3)


def test_percentiles_are_by_nearest_rank() -> None:
    streamed = Streamed(tuple(number / 1000 for number in range(100, 0, -1)), 1)
    assert [streamed.percentile_ms(share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert Streamed((0.002,), 1).percentile_ms(0.5) == 2.0


def test_arrivals_have_the_rate_asked_for() -> None:
    arrivals = poisson_arrivals(4000, 50.0, seed=0)
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] == pytest.approx(80, rel=0.05)
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert statistics.stdev(gaps) == pytest.approx(1 / 50, rel=0.1)


def result() -> dict[str, object]:
    times = {
        "per_sample": SystemTimes(2, [2.0, 2.0], [0.5, 0.4]),
        "default": SystemTimes(4, [2.0, 2.0], [0.50, 0.40, 0.50 + 1e-6, 0.3], padding=0.25),
        "tuned": SystemTimes(4, [1.0, 1.0], [0.50, 0.40, 0.50, 0.3]),
        "tuned_eager": SystemTimes(4, [0.8, 0.8], [0.50, 0.40, 0.50, 0.3]),
        "ours": SystemTimes(4, [0.4, 0.6], [0.52, 0.51, 0.52, 0.3], peak_mb=3.0),
    }
    work = Work(Counter({(10, 10): 1}), layers=1, width=10)
    inputs = SharedInputs(
        PAIRS,
        {"a": 3, "b": 5, "c": 4, "r": 6, "s": 2},
        work,
        {0: 0.5, 1: 0.45, 3: 0.3},
        {"per_sample": (0, 1), "default": None},
    )
    systems = ComparedSystems(
        HashingEncoder(HashingEncoderSpec()), batching={"tuned": "8 texts a batch"}, absent={"vllm": "why"}
    )
    extra = {
        "repeats": {"texts": 5, "new_tokens_share": 0.5, "time_share": 0.51},
        "streaming": {"arrivals_per_s": 4.0, "pairs": 4, "mean_batch": 1.0, "p50_ms": 5.0, "p99_ms": 9.0},
    }
    about = {"model": "some/model", "device": "cpu", "rounds": 2, "date": "2026-01-02", "command": "pgsrm bench"}
    measured = DtypeMeasurements("bfloat16", times, [40_000.0, 60_000.0], systems, extra)
    provenance = about | {"machine": {"cpu": "X", "cores": "2"}, "versions": {"torch": "2"}}
    return {**one_result(inputs, measured), **provenance}


def test_a_result_by_hand() -> None:
    found = result()
    assert found["pairs_per_s"] == {"per_sample": 1.0, "default": 2.0, "tuned": 4.0, "tuned_eager": 5.0, "ours": 8.0}
    assert (found["speedup_vs_default"], found["speedup_vs_tuned"]) == (4.0, 2.0)
    assert (found["speedup_vs_strongest"], found["strongest_tuned"]) == (1.6, "tuned_eager")
    flops = 2 * 100 * 20 + 4 * 10 * (9 + 25 + 16 + 36 + 4)
    assert found["roofline_fraction"] == pytest.approx(8.0 / 4 * flops / 50_000)
    assert found["useful_tokens_per_s"]["ours"] == 40.0
    assert found["max_abs_cosine_error"] == pytest.approx(0.06)
    assert found["cosine_error"]["per_sample"] == pytest.approx({"max": 0.05, "mean": 0.025, "pairs": 2})
    assert (found["kendall_tau_mean"], found["kendall_tau_min"]) == (1.0, 1.0)
    assert found["ranking"]["ours"] == {"mean": 1.0, "least": 1.0, "groups": 1, "left_out": 1}
    assert found["group_std"] == pytest.approx(0.1 * math.sqrt(2) / 3 / 2)
    assert found["groups_within_noise"] == 0.5
    assert found["identical_pairs_differ_by"]["default"] == pytest.approx(1e-6)
    assert found["padding_share"] == {"default": 0.25}
    assert found["peak_memory_mb"] == {"ours": 3.0}
    assert found["workload"]["distinct_responses_share"] == 0.75
    json.dumps(found)


def test_the_ranges_and_the_sentences() -> None:
    found = result()
    assert range_of_rounds(found, "ours") == pytest.approx((4 / 0.6, 4 / 0.4))
    assert system_title("default", found) == "sentence-transformers, default encode, float32"
    assert system_title("tuned_eager", found) == "sentence-transformers, tuned, eager attention, bfloat16"
    text = " ".join(facts(found))
    assert "4.00 times the default encode, 2.00 times the tuned one (1.60 times with" in text
    assert "(1 groups, 1 without an order left out); in 50.0% of them" in text
    assert "No bar vllm: why." in text


def test_each_fact_is_one_line() -> None:
    found = result()
    assert len(facts(found)) == 7
    assert facts({**found, "absent": {"vllm": "a\n  b"}})[-1] == "No bar vllm: a b."
    assert len(facts({**found, "absent": {}})) == 6


def test_the_page_of_the_documentation_has_every_run() -> None:
    found = result()
    both = {key: found[key] for key in ("machine", "versions", "command", "rounds")} | {
        "runs": [found, {**found, "dtype": "float32"}]
    }
    text = docs.page([both])
    assert "## model, bfloat16, cpu" in text
    assert "## model, float32, cpu" in text
    assert "| pgsrm-plugin, bfloat16 | 8.0 | 7-10 |" in text
    assert "`pgsrm bench`, 2 rounds" in text


def test_what_guards_cost_has_its_section_and_no_bar() -> None:
    part = {"ms_a_row": {"plain": 5.0, "whole": 5.5}, "ratio": {"plain": [1.0, 1.0, 1.0], "whole": [1.1, 1.05, 1.2]}}
    about = {key: result()[key] for key in ("machine", "versions", "rounds", "date")}
    found = {"guards": {"rows": 7, **part}, "spec": "guarded", "command": "pgsrm bench --guards guarded", **about}
    assert guard_rows(found)[1] == ["whole", "5.50", "1.100", "1.050-1.200"]
    text = docs.page([result(), found])
    assert text.index("## model, bfloat16, cpu") < text.index("## What guards cost: `guarded`") < text.index("## Again")
    assert "| whole | 5.50 | 1.100 | 1.050-1.200 |" in text


def test_a_models_name_is_escaped_on_the_page() -> None:
    pytest.importorskip("plotly")
    text = charts.render(result() | {"model": "a/<script>{{ 6 * 7 }}", "command": "<script>alert(1)"})
    assert "Encoder benchmark: &lt;script&gt;{{ 6 * 7 }}</h1>" in text
    assert "<pre>&lt;script&gt;alert(1)</pre>" in text


def test_the_committed_page_is_what_the_committed_results_give() -> None:
    results = docs.read_results(ROOT / "docs" / "benchmarks.json")
    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == docs.page(results)
