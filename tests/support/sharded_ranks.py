"""The ranks of encoders/hf/test_sharded.py: `python sharded_ranks.py JOB.json` forks them; exit 0 if all were well."""

from __future__ import annotations

import json
import multiprocessing
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.sharded import ShardedEncoder
from pgsrm_plugin.errors import ScorerError


def run_case(case: dict[str, Any], rank: int, world: int) -> dict[str, Any]:
    encoder = ShardedEncoder(HfEncoderSpec(**case["spec"]), init_device_mesh("cpu", (world,)), case["placement"])
    facts: dict[str, Any] = {"embeddings": [encoder.encode(parts[rank]) for parts in case["calls"]]}
    facts["states"] = encoder.token_states(case["calls"][0][rank])
    facts["both"] = encoder.encode_with_states(case["calls"][0][rank])
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


def run_beside(case: dict[str, Any], rank: int, world: int) -> dict[str, Any]:
    """An encoder on the first two ranks, used between the forward and the backward pass of a model on all three.

    The last rank takes no part in the encoder's work: a collective call outside the encoder's own group would wait for
    it until the time limit.
    """
    everyone, pair = init_device_mesh("cpu", (world,)), DeviceMesh("cpu", [0, 1])
    torch.manual_seed(5)
    policy = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Tanh(), torch.nn.Linear(9, 1))
    fully_shard(policy, mesh=everyone)
    encoder = ShardedEncoder(HfEncoderSpec(**case["spec"]), pair) if rank < 2 else None
    groups = dict(distributed.distributed_c10d._world.pg_names)
    facts: dict[str, Any] = {}
    for _ in range(2):
        loss = policy(case_inputs(rank)).square().sum()
        if encoder is not None:
            drawn, graph = torch.random.get_rng_state(), torch.is_grad_enabled()
            facts["embeddings"] = encoder.encode(case["texts"][rank])
            encoder.offload()
            encoder.onload()
            facts["undisturbed"] = torch.equal(drawn, torch.random.get_rng_state()) and graph == torch.is_grad_enabled()
        loss.backward()
    facts["gradients"] = [p.grad.full_tensor() for p in policy.parameters()]
    facts["groups_unchanged"] = dict(distributed.distributed_c10d._world.pg_names) == groups
    return facts


def case_inputs(rank: int) -> torch.Tensor:
    """What a rank's policy is given."""
    return torch.linspace(-1, 1, 24, dtype=torch.float32).reshape(4, 6) * (rank + 1)


def run_rank(job: dict[str, Any], rank: int) -> None:
    torch.set_num_threads(1)
    world = job["world"]
    distributed.init_process_group(
        "gloo", init_method=f"file://{job['folder']}/meet", rank=rank, world_size=world, timeout=timedelta(seconds=30)
    )
    if not job["agree"]:
        ShardedEncoder._agree = lambda self, rounds: rounds  # type: ignore[method-assign]
    run = run_beside if job.get("beside") else run_case
    facts = {name: run(case, rank, world) for name, case in job["cases"].items()}
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
