"""Real verl runs for tests: a tiny model, a tokenizer and data made on the spot, verl in a process of its own."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FACTS = (
    ("What color is the sky?", "The sky is blue."),
    ("What color is grass?", "Grass is green."),
    ("Where do fish live?", "Fish live in water."),
    ("What do cows eat?", "Cows eat grass."),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("How many legs has a spider?", "A spider has eight legs."),
    ("What is frozen water called?", "Frozen water is called ice."),
    ("Who barks?", "A dog barks."),
)
_METRIC_LINE = re.compile(r"step:(\d+) - (.*)")


@dataclass(frozen=True)
class Assets:
    """Files of one folder: a random two-layer model, 64 training rows and 8 validation rows."""

    model: Path
    train: Path
    val: Path


@dataclass(frozen=True)
class VerlRun:
    """How a run ended, and verl's console metrics of every step.

    ``status`` is None when the time limit struck.
    """

    status: int | None
    output: str
    seconds: float
    metrics: list[dict[str, float]]

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.output.splitlines()[-lines:])


def rows(count: int, split: str = "train") -> list[dict]:
    """verl rows of the eight facts, over and over."""
    return [
        {
            "data_source": "test/facts",
            "prompt": [{"role": "user", "content": question}],
            "ability": "qa",
            "reward_model": {"style": "rule", "ground_truth": answer},
            "extra_info": {"split": split, "index": index, "question": question},
        }
        for index, (question, answer) in ((i, FACTS[i % len(FACTS)]) for i in range(count))
    ]


def write_parquet(path: Path, table: list[dict]) -> Path:
    pq.write_table(pa.Table.from_pylist(table), path)
    return path


def build_assets(folder: Path, family: str = "qwen2") -> Assets:
    from transformers import AutoConfig

    from pgsrm_verl.rehearsal.tiny import save_tiny_model, train_tokenizer

    tokenizer = train_tokenizer(text for fact in FACTS for text in fact)
    save_tiny_model(folder / "model", AutoConfig.for_model(family), tokenizer)
    return Assets(
        folder / "model",
        write_parquet(folder / "train.parquet", rows(64)),
        write_parquet(folder / "val.parquet", rows(8, "test")),
    )


def small_overrides(assets: Assets, steps: int) -> list[str]:
    """GRPO on the assets, 8 prompts x 4 responses of at most 12 tokens a step, no validation, no checkpoint."""
    return [
        "algorithm.adv_estimator=grpo",
        f"data.train_files={assets.train}",
        f"data.val_files={assets.val}",
        "data.train_batch_size=8",
        "data.max_prompt_length=48",
        "data.max_response_length=12",
        f"actor_rollout_ref.model.path={assets.model}",
        f"critic.model.path={assets.model}",
        "actor_rollout_ref.actor.optim.lr=1e-3",
        "actor_rollout_ref.actor.ppo_mini_batch_size=8",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=8",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
        "actor_rollout_ref.rollout.n=4",
        "actor_rollout_ref.rollout.max_num_seqs=32",
        "critic.ppo_micro_batch_size_per_gpu=8",
        "trainer.logger=[console]",
        "trainer.resume_mode=disable",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        "trainer.total_epochs=100",
        f"trainer.total_training_steps={steps}",
        "trainer.default_local_dir=checkpoints",
    ]


def colocated_config(**pgsrm) -> dict:
    """As much of verl's config as the trainer mode pgsrm_sync reads."""
    return {
        "reward": {
            "reward_manager": {"name": "pgsrm"},
            "reward_model": {"enable": False},
            "custom_reward_function": {"path": None},
        },
        "algorithm": {"filter_groups": {"enable": False}, "adv_estimator": "grpo", "norm_adv_by_std_in_grpo": False},
        "actor_rollout_ref": {
            "hybrid_engine": True,
            "rollout": {"free_cache_engine": True, "gpu_memory_utilization": 0.5, "n": 4},
        },
        "trainer": {"device": "cpu", "use_v1": True, "v1": {"trainer_mode": "pgsrm_sync"}},
        "data": {"train_files": [], "val_files": [], "prompt_key": "prompt"},
        "pgsrm": {"spec": "pgsrm", **pgsrm},
    }


def run_verl(
    overrides: list[str],
    folder: Path,
    *,
    workers: int = 1,
    rollout: str = "hf_cpu",
    seconds: float = 240,
    environment: dict[str, str] | None = None,
) -> VerlRun:
    """``python -m verl.trainer.main_ppo`` on CPU workers; nothing that it started outlives the call.

    Args:
        overrides: Hydra overrides, after those that a CPU run needs (so they win).
        folder: where it runs; created if need be.
        seconds: hard time limit; then ``status`` is None.
    """
    from pgsrm_verl.cpu import cpu_environment, cpu_overrides
    from pgsrm_verl.processes import run_limited, short_temp_dir

    folder.mkdir(parents=True, exist_ok=True)
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    with short_temp_dir() as ray_dir:
        needed = cpu_overrides(workers, rollout=rollout, ray_temp_dir=str(ray_dir))
        finished = run_limited(
            [sys.executable, "-m", "verl.trainer.main_ppo", *needed, *overrides],
            seconds=seconds,
            environment={**cpu_environment(), **offline, **(environment or {})},
            folder=folder,
            log=folder / "output.log",
        )
    return VerlRun(finished.status, finished.output, finished.seconds, parse_metrics(finished.output))


def parse_metrics(output: str) -> list[dict[str, float]]:
    """The metrics of verl's console lines ``step:N - name:value - ...``, each with its "step"."""
    found = []
    for match in _METRIC_LINE.finditer(output):
        metrics = {"step": float(match[1])}
        for item in match[2].split(" - "):
            name, _, value = item.rpartition(":")
            number = re.match(r"(?:np\.\w+\()?([-+0-9.eEnaif]+)\)?$", value.strip())
            if number:
                metrics[name] = float(number[1])
        found.append(metrics)
    return found


def checkpoint_steps(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("global_step_")) for path in folder.glob("checkpoints/global_step_*"))


def dump_rows(folder: Path, name: str = "rollouts") -> list[dict]:
    """What verl wrote with ``trainer.rollout_data_dir=rollouts``, or ``validation_data_dir`` and another name."""
    lines = [line for path in sorted(folder.glob(f"{name}/*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def verl_version() -> str:
    return metadata.version("verl")
