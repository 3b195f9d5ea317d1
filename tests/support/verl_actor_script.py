"""verl's own workers asked for log-probabilities, without a training run; started by test_actor_scorer.py.

`python verl_actor_script.py JOB.json` asks an actor and a reference of two ranks and writes what they said to found.pt.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ray
import torch
import verl  # noqa: F401  (loads the plugin, as a user's run does)
from transformers import AutoTokenizer
from verl.single_controller.ray.base import RayClassWithInitArgs, RayResourcePool, RayWorkerGroup
from verl.workers.engine_workers import ActorRolloutRefWorker

from pgsrm_plugin import RewardSample, SemanticReward, parse_spec
from pgsrm_plugin.policy.base import Continuation, PolicyTokens
from pgsrm_verl.colocated.actor_scorer import ActorScorer, context_of
from pgsrm_verl.rehearsal.recipe import read_recipe


def group(config: Any, pool: Any, role: str) -> Any:
    cls = RayClassWithInitArgs(cls=ray.remote(ActorRolloutRefWorker), config=config.actor_rollout_ref, role=role)
    workers = RayWorkerGroup(resource_pool=pool, ray_cls_with_init=cls, name_prefix=role, device_name="cpu")
    workers.init_model()
    return workers


def main(job_file: str) -> None:
    job = json.loads(Path(job_file).read_text("utf-8"))
    ray.init(num_gpus=2, num_cpus=32, include_dashboard=False, object_store_memory=200_000_000, _temp_dir=job["ray"])
    config = read_recipe("ppo_trainer", job["overrides"]).config
    pool = RayResourcePool([2], use_gpu=True, max_colocate_count=3, name_prefix="global_pool")
    actor, reference = group(config, pool, "actor"), group(config, pool, "ref")
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    asked = [Continuation(*map(tuple, one)) for one in job["asked"]]
    samples = [
        RewardSample(
            one["prompt"],
            one["response"],
            tuple(one["references"]),
            group=0,
            tokens=PolicyTokens(tuple(one["prompt_ids"]), tuple(one["response_ids"])),
        )
        for one in job["samples"]
    ]
    found: dict[str, Any] = {"context": context_of(config.actor_rollout_ref.model)}
    for dynamic in (False, True):
        for section in ("rollout", "ref"):
            config.actor_rollout_ref[section].log_prob_use_dynamic_bsz = dynamic
        trainer = SimpleNamespace(
            actor_rollout_wg=actor, ref_policy_wg=reference, ref_in_actor=False, tokenizer=tokenizer, config=config
        )
        scorer = ActorScorer(trainer, found["context"])
        found[f"looked {dynamic}"] = [tuple(one) for one in scorer.look("policy", asked)]
        found[f"frozen {dynamic}"] = [tuple(one) for one in scorer.look("frozen", asked)]
        found[f"one {dynamic}"] = [tuple(one) for one in scorer.look("policy", asked[:1])]
    for name, text in job["specs"].items():
        found[name] = SemanticReward(parse_spec(text)).score(samples, policy=scorer).total_B
    torch.save(found, "found.pt")
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
