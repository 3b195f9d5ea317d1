"""The ranks of test_sharded_encoder.py: `python sharded_ranks.py JOB.json` forks them; exit 0 if all of them did."""

from __future__ import annotations

import json
import multiprocessing
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh

from pgsrm_plugin.encoders.sharded import ShardedEncoder
from pgsrm_plugin.errors import ScorerError
from pgsrm_plugin.spec.encoders import HfEncoderSpec


def run_case(case: dict[str, Any], rank: int, world: int) -> dict[str, Any]:
    encoder = ShardedEncoder(HfEncoderSpec(**case["spec"]), init_device_mesh("cpu", (world,)), case["placement"])
    facts: dict[str, Any] = {"embeddings": [encoder.encode(parts[rank]) for parts in case["calls"]]}
    facts["states"] = encoder.token_states(case["calls"][0][rank])
    encoder.offload()
    facts["offloaded"] = encoder.offloaded
    try:
        encoder.encode(case["calls"][0][rank])
    except ScorerError as error:
        facts["error"] = str(error)
    encoder.onload()
    facts["again"] = encoder.encode(case["calls"][0][rank])
    parameters = list(encoder._model.parameters())
    return facts | {
        "bytes": encoder.parameter_bytes,
        "identity": encoder.identity,
        "training": encoder._model.training,
        "trainable": sum(p.requires_grad for p in parameters),
    }


def run_rank(job: dict[str, Any], rank: int) -> None:
    torch.set_num_threads(1)
    world = job["world"]
    distributed.init_process_group(
        "gloo", init_method=f"file://{job['folder']}/meet", rank=rank, world_size=world, timeout=timedelta(seconds=30)
    )
    if not job["agree"]:
        ShardedEncoder._agree = lambda self, rounds: rounds  # type: ignore[method-assign]
    facts = {name: run_case(case, rank, world) for name, case in job["cases"].items()}
    torch.save(facts, f"{job['folder']}/rank{rank}.pt")
    distributed.destroy_process_group()


def main(job_file: str) -> int:
    job = json.loads(Path(job_file).read_text("utf-8"))
    fork = multiprocessing.get_context("fork")  # the imports above are the slow part
    ranks = [fork.Process(target=run_rank, args=(job, rank)) for rank in range(job["world"])]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    return int(any(process.exitcode for process in ranks))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
