"""Real worker groups, TransferQueue and trainer class without a training run; started by test_colocated.py.

`python verl_colocated_script.py JOB.json` runs the job's cases in one Ray and writes what each gave to results.pt.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ray
import torch
import transfer_queue
import verl  # noqa: F401  (loads the plugin, as a user's run does)
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta
from transformers import AutoTokenizer
from verl.single_controller.ray.base import RayResourcePool
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from pgsrm_plugin.errors import PgsrmError
from pgsrm_verl.colocated.rewards import ColocatedRewards

FACTS = ("rm_scores", "response_mask", "loss_mask", "uid", "extra_fields")


def put(rows: list[dict[str, Any]], tokenizer: Any, partition: str) -> KVBatchMeta:
    """Rows as verl's agent loop leaves them."""
    fields, keys = [], []
    for row in rows:
        ids = torch.tensor(tokenizer(row["response"], add_special_tokens=False)["input_ids"], dtype=torch.int64)
        mask = torch.ones_like(ids)
        own = {"uid": row["uid"], "raw_prompt": [{"role": "user", "content": row["prompt"]}], "data_source": "t"}
        kept = {"reward_model": {"ground_truth": row["reference"]}, "extra_info": {"index": 0}}
        more = {"extra_fields": {"turn": 1}, "responses": ids, "response_mask": mask, "loss_mask": mask.clone()}
        fields.append(own | kept | more)
        keys.append(f"{row['uid']}_{row['session']}_{row.get('index', 0)}")
    transfer_queue.kv_batch_put(keys=keys, fields=list_of_dict_to_tensordict(fields), partition_id=partition)
    return KVBatchMeta(keys=keys, tags=[{} for _ in keys], partition_id=partition)


def take(batch: KVBatchMeta) -> dict[str, Any]:
    data = transfer_queue.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=list(FACTS))
    tensors = {name: [row.tolist() for row in data[name].unbind()] for name in FACTS[:3]}
    return tensors | {name: [getattr(value, "data", value) for value in list(data[name])] for name in FACTS[3:]}


def advantages_of(batch: KVBatchMeta) -> Any:
    part = {"keys": batch.keys, "partition_id": batch.partition_id, "select_fields": ["advantages"]}
    return transfer_queue.kv_batch_get(**part)["advantages"].unbind()


def run_case(case: dict[str, Any], config: Any, pool: Any, tokenizer: Any, shared: dict[str, Any]) -> dict[str, Any]:
    trainer_class = get_trainer_cls("pgsrm_sync")
    trainer = object.__new__(trainer_class)
    trainer.tokenizer = tokenizer
    found: dict[str, Any] = {"steps": []}
    try:
        trainer.config = OmegaConf.merge(config, {"pgsrm": case["pgsrm"], "algorithm": case.get("algorithm", {})})
        trainer._rewards = rewards = ColocatedRewards(trainer.config)
        rewards._workers = shared.get("workers")  # starting two processes takes most of the time here
        rewards.start(pool)
        encoder = rewards.pair.train.encoder
        found |= {"identity": encoder.identity, "bytes": getattr(encoder.inner, "parameter_bytes", None)}
        for step in case["steps"]:
            metrics: dict[str, Any] = {}
            batch = (
                put(step["rows"], tokenizer, step["partition"]) if step["rows"] else KVBatchMeta(partition_id="train")
            )
            trainer._compute_reward_colocate(batch, metrics)
            found["steps"].append({"metrics": metrics, **(take(batch) if step["rows"] else {})})
            if trainer.config.algorithm.adv_estimator != "gae" and "algorithm" in case:  # that one wants a critic
                trainer._compute_advantage(batch, metrics)
                found["steps"][-1]["advantages"] = [row.tolist() for row in advantages_of(batch)]
            if step["rows"]:
                transfer_queue.kv_clear(keys=batch.keys, partition_id=batch.partition_id)
    except PgsrmError as error:
        found |= {"error": type(error).__name__, "message": str(error)}
    if hasattr(trainer, "_rewards"):
        shared["workers"] = trainer._rewards._workers
    return found


def main(job_file: str) -> None:
    job = json.loads(Path(job_file).read_text("utf-8"))
    ray.init(num_gpus=2, num_cpus=32, include_dashboard=False, object_store_memory=200_000_000, _temp_dir=job["ray"])
    storage = {"backend": {"SimpleStorage": {"num_data_storage_units": 1}}}
    transfer_queue.init(OmegaConf.create(storage, flags={"allow_objects": True}))
    pool = RayResourcePool([job["workers"]], use_gpu=True, max_colocate_count=3, name_prefix="global_pool")
    tokenizer = AutoTokenizer.from_pretrained(job["tokenizer"])
    config = OmegaConf.create(job["config"])
    shared: dict[str, Any] = {}
    results = {name: run_case(case, config, pool, tokenizer, shared) for name, case in job["cases"].items()}
    torch.save(results, "results.pt")
    transfer_queue.close()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
