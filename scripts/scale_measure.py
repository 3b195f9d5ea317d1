"""What this machine measures for docs/design/scale.md: two CPU ranks with MiniLM, and the model's forecast beside it.

Times are CPU seconds of one rank with one thread.

`python scripts/scale_measure.py`. One configuration fixes the ranks' speed; the model must foretell the others.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import scale
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh

from pgsrm_plugin import RewardSample, SemanticReward, load_spec
from pgsrm_plugin.encoders.hf.sharded import ShardedEncoder
from pgsrm_plugin.types import Embeddings
from pgsrm_verl.colocated.memory import measure_size, plan_memory

RANKS, REPEATS = 2, 3
NET = scale.NETWORKS[0]
SPEC = load_spec("pgsrm").encoder
PROSE = "the sky is blue and grass green fish live in water cows eat many things near a house by day"
CASES = {"short": (64, 32), "long": (32, 128), "many": (192, 32)}
"""Texts a rank, and tokens in each."""


def texts(count: int, tokens: int, seed: int) -> list[str]:
    """Distinct texts of common words, about one token each."""
    words = PROSE.split()
    pick = torch.randint(len(words), (count, tokens - 2), generator=torch.Generator().manual_seed(seed))
    return [" ".join(words[i] for i in row) for row in pick.tolist()]


def seconds(action: Callable[[], Any], repeats: int = REPEATS) -> float:
    """CPU seconds of this process, so that other work on the machine counts little: the best run after a first one."""
    found = []
    for _ in range(repeats + 1):
        if distributed.is_initialized():
            distributed.barrier()
        begin = time.process_time()
        action()
        found.append(time.process_time() - begin)
    return min(found[1:])


def run_rank(rank: int, folder: str, results: Any) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS, timeout=timedelta(seconds=120)
    )
    mesh, found = init_device_mesh("cpu", (RANKS,)), {}
    for placement in ("replicate", "shard"):
        encoder = ShardedEncoder(SPEC, mesh, placement)
        found[placement] = {name: seconds(partial(encoder.encode, texts(*case, rank))) for name, case in CASES.items()}
        found[placement]["bytes"] = encoder.parameter_bytes[0]
    tokenise = texts(*CASES["many"], rank)
    found["tokenise"] = seconds(lambda: encoder._count(tokenise))
    for name, size in {"layer": NET.layer * 4, "rest": NET.rest * 4, "nothing": 8}.items():
        part, whole = torch.zeros(size // 4 // RANKS), torch.zeros(size // 4 // RANKS * RANKS)
        found[name] = seconds(partial(distributed.all_gather_into_tensor, whole, part), 20)
    results.put((rank, found))
    distributed.destroy_process_group()


class _Instant:
    """Vectors that cost nothing, so that only the composer is timed."""

    identity = "instant"

    def __init__(self, width: int) -> None:
        self._row = torch.nn.functional.normalize(torch.ones(1, width))

    def encode(self, texts: Sequence[str]) -> Embeddings:
        count = len(texts)
        no = torch.zeros(count, dtype=torch.bool)
        return Embeddings(self._row.expand(count, -1).clone(), torch.full((count,), 9), no, no)


def driver_seconds_per_row(width: int, rows: int = 4096) -> float:
    samples = [
        RewardSample("Why?", response, (f"because of {i // scale.GROUP}",))
        for i, response in enumerate(texts(rows, scale.TOKENS_PER_TEXT, 7))
    ]
    spec = load_spec("pgsrm").model_copy(update={"cache_mb": 0})
    return seconds(lambda: SemanticReward(spec, _Instant(width)).score(samples), 3) / rows


def ranks_measured() -> dict[str, Any]:
    context = multiprocessing.get_context("fork")  # the imports above are the slow part
    with tempfile.TemporaryDirectory() as folder:
        results = context.Queue()
        processes = [context.Process(target=run_rank, args=(rank, folder, results)) for rank in range(RANKS)]
        for process in processes:
            process.start()
        found = dict(results.get(timeout=400) for _ in processes)
        for process in processes:
            process.join(60)
    return found[0]


def forecast(machine: scale.Machine, case: tuple[int, int], shard: bool) -> float:
    count, tokens = case
    per_batch = SPEC.batch_tokens // tokens
    full, left = divmod(count, per_batch)
    batches = [per_batch] * full + [left] * (left > 0)
    return sum(scale.forward(NET, machine, n * tokens, tokens, RANKS, shard) for n in batches)


def main() -> None:
    torch.set_num_threads(1)
    found = ranks_measured()
    count, tokens = CASES["short"]
    speed = NET.flops(count * tokens, tokens) / found["replicate"]["short"]
    wire = NET.layer * 4 / RANKS / (found["layer"] - found["nothing"])
    machine = replace(scale.Machine(), flops=speed, host_s=0, bandwidth=wire, latency=found["nothing"], overlap=False)
    print(
        f"fixed by 'short', replicate: {speed / 1e9:.1f} GFLOP/s a rank; by one layer's gather: {wire / 1e9:.2f} GB/s"
    )
    print("\n| texts x tokens a rank | placement | forecast | measured |\n|---|---|---|---|")
    for name, case in CASES.items():
        for placement in ("replicate", "shard"):
            told = forecast(machine, case, placement == "shard")
            print(f"| {case[0]} x {case[1]} | {placement} | {told:.2f} s | {found[placement][name]:.2f} s |")
    size = measure_size(SPEC)
    print(f"\nparameters: formula {NET.size.parameters:,}, counted {size.parameters:,}")
    for placement in ("replicate", "shard"):
        plan = plan_memory(NET.size, SPEC, placement, False, RANKS)
        print(f"bytes on a rank, {placement}: forecast {plan.own:,}, measured {found[placement]['bytes']:,}")
    alone, (count, tokens) = SPEC.build(), CASES["many"]
    both = [*texts(count, tokens, 0), *texts(count, tokens, 1)]
    print(f"placement cpu, one thread, {2 * count} x {tokens}: {seconds(lambda: alone.encode(both)):.2f} s")
    print(f"tokeniser: {count * tokens / found['tokenise']:,.0f} tokens/s on one core")
    for width in (384, 4096):
        print(f"trainer's process, vectors of {width}: {driver_seconds_per_row(width) * 1e6:.0f} us a row")


if __name__ == "__main__":
    main()
