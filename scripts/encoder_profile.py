"""Where a forward pass of the CPU engine spends its time, on one core.

`python scripts/encoder_profile.py [--model FOLDER_OR_ID] [--prompts 8]`. Prints a table for each dtype: torch's own
profiler sorts the operators into parts; what is left of the pass is Python and dispatch. The last column compares the
linear layers with the rate of the same products alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict

import torch
from sentence_transformers import SentenceTransformer
from torch.profiler import ProfilerActivity, profile

from pgsrm_lab.bench.measure.roofline import Gemm, work_of
from pgsrm_lab.bench.workload import WorkloadSettings, make_workload
from pgsrm_plugin.encoders.hf import offline as embedded
from pgsrm_plugin.encoders.hf.cpu.engine import Tail, fill
from pgsrm_plugin.encoders.hf.cpu.linear import is_supported
from pgsrm_plugin.encoders.hf.cpu.packed import KEYS, PackedNetwork
from pgsrm_plugin.encoders.hf.cpu.threads import submit

ROUNDS = 5
PARTS = {
    "linear layers (with GELU and residual sums)": ("mkldnn::_linear_pointwise",),
    "attention": ("aten::_scaled_dot_product_flash_attention_for_cpu",),
    "layer normalisation": ("aten::native_layer_norm",),
    "context, end to end (copies)": ("aten::cat",),
    "words and positions": ("aten::index", "aten::add_"),
    "pooling and its casts": ("aten::sum", "aten::mul", "aten::div", "aten::to", "aten::_to_copy", "aten::copy_"),
}


def measure(network: PackedNetwork, tail: Tail, passes: list[list[torch.Tensor]]) -> tuple[float, dict[str, float]]:
    """Median seconds of all passes, and the share of each part."""

    def once() -> float:
        started = time.perf_counter()
        for texts in passes:
            for states_TD in network(texts):
                tail.pool(states_TD)
        return time.perf_counter() - started

    once()
    seconds = statistics.median(once() for _ in range(ROUNDS))
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        profiled = once()
    shares: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        part = next((part for part, names in PARTS.items() if event.key.startswith(names)), "other operators")
        shares[part] += event.self_cpu_time_total / 1e6 / profiled
    shares["Python and dispatch"] = 1 - sum(shares.values())
    return seconds, shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(embedded.installed_folder() or embedded.MODEL))
    parser.add_argument("--prompts", type=int, default=8)
    arguments = parser.parse_args()
    model = SentenceTransformer(arguments.model, device="cpu").eval()
    texts = make_workload(WorkloadSettings(prompts=arguments.prompts)).distinct_texts()
    limit = model.max_seq_length
    ids = [torch.tensor(one) for one in model.tokenizer(texts, truncation=True, max_length=limit)["input_ids"]]
    lengths = [len(one) for one in ids]
    work = work_of(model[0])
    for dtype in (torch.float32, torch.bfloat16):
        if not is_supported(dtype):
            continue
        network = submit(1, PackedNetwork, model[0].model.to(dtype)).result()
        passes = [[ids[row] for row in rows] for rows in fill(lengths, network.largest - KEYS + 1)]
        seconds, shares = submit(1, measure, network, Tail(model, ""), passes).result()
        alone = submit(1, lambda: Gemm(work, dtype, torch.device("cpu"), (512, 1024, 2048)).rate()).result()  # noqa: B023
        tokens = sum(lengths)
        print(f"\n{dtype}: {tokens} tokens in {seconds:.3f} s, {tokens / seconds:,.0f} tokens/s on one core")
        print(
            f"products alone: {alone / 1e9:,.0f} GFLOP/s; the pass: {work.flops(lengths) / seconds / alone:.0%} of that"
        )
        print("\n| part | share | microseconds a token |\n|---|---|---|")
        for part, share in sorted(shares.items(), key=lambda item: -item[1]):
            print(f"| {part} | {share:.1%} | {share * seconds / tokens * 1e6:.2f} |")


if __name__ == "__main__":
    main()
