"""The two runs, each in a process of its own with a time limit, and what they left as a run of the report."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pgsrm_lab.demo.child import SETS
from pgsrm_lab.demo.verl import metrics
from pgsrm_lab.demo.verl.trainer_settings import LIGHTNING, SPEC, VERL, TrainersPlan, lightning_config, verl_overrides
from pgsrm_lab.tasks import Task
from pgsrm_plugin.errors import PgsrmError
from pgsrm_plugin.report import Run, RunInfo, machine, read_run, versions, write_info
from pgsrm_plugin.report.run import METRICS
from pgsrm_plugin.spec.shipped import find_spec_file
from pgsrm_verl.cpu import cpu_environment, cpu_overrides
from pgsrm_verl.processes import Finished, run_limited, short_temp_dir
from pgsrm_verl.rehearsal.outcome import failure

Show = Callable[[metrics.Points], None]
"""Told of a run's numbers so far, again and again."""

CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""verl writes prompts as chats; here a chat is its messages' text and nothing else."""
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def write_parquet(task: Task, answers: dict[str, str], folder: Path) -> None:
    """The prompts in verl's layout: train.parquet and held_out.parquet, each with its own data_source."""
    for name, prompts in zip(SETS, (task.train_prompts, task.held_out_prompts), strict=True):
        rows = [
            {
                "data_source": name,
                "prompt": [{"role": "user", "content": prompt}],
                "ability": task.name,
                "reward_model": {"style": "rule", "ground_truth": answers[prompt]},
                "extra_info": {"index": index},
            }
            for index, prompt in enumerate(prompts)
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")


def fit_for_verl(child: Path) -> None:
    """Writes what verl asks of any model and a GPT-2 lacks; weights and tokens stay the same.

    That is a chat template, ``num_key_value_heads``, and an architecture whose name says ``ForCausalLM`` (else verl
    loads the model without its head).
    """
    from transformers import AutoTokenizer

    config = json.loads((child / "config.json").read_text(encoding="utf-8"))
    config |= {"num_key_value_heads": config["n_head"], "architectures": ["GPT2ForCausalLM"]}
    (child / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    tokenizer = AutoTokenizer.from_pretrained(child)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(child)


def run_lightning(plan: TrainersPlan, show: Show) -> Run:
    """`pgsrm train` with the plan's settings.

    Raises:
        PgsrmError: it failed or took too long.
    """
    folder = plan.out / "lightning"
    raw = folder / "raw"
    raw.mkdir(parents=True)
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(lightning_config(plan, plan.out, raw), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "pgsrm_plugin.cli", "train", "--config", str(config)]
    with _watching(lambda: metrics.lightning_points(raw / METRICS), show):
        finished = run_limited(
            command, seconds=plan.time_limit, environment=_OFFLINE, folder=Path.cwd(), log=folder / "output.log"
        )
    _check(LIGHTNING, finished, plan, folder / "output.log")
    points = metrics.lightning_points(raw / METRICS)
    rollouts = metrics.lightning_rollouts(raw)
    for when, step in (("start", 0), ("end", plan.steps)):
        answered = [row for row in rollouts if row["when"] == when]
        points.setdefault(step, {}).update(metrics.validation_points(answered))
    return _finish(LIGHTNING, plan, folder, points, rollouts, finished.seconds)


def run_verl(plan: TrainersPlan, task: Task, show: Show, say: Callable[[str], None]) -> Run:
    """`python -m verl.trainer.main_ppo` on CPU workers, with the trainer mode pgsrm_sync.

    Raises:
        PgsrmError: it failed or took too long.
    """
    folder = plan.out / "verl"
    folder.mkdir(parents=True)
    log = folder / "metrics.jsonl"
    environment = {**cpu_environment(), **_OFFLINE, "VERL_FILE_LOGGER_PATH": str(log)}
    with short_temp_dir() as ray_dir, _watching(lambda: metrics.verl_points(log), show):
        needed = cpu_overrides(plan.workers, ray_temp_dir=str(ray_dir))
        finished = run_limited(
            [sys.executable, "-m", "verl.trainer.main_ppo", *needed, *verl_overrides(plan, plan.out, folder)],
            seconds=plan.time_limit,
            environment=environment,
            folder=folder,
            log=folder / "output.log",
            on_line=_stages(say),
        )
    _check(VERL, finished, plan, folder / "output.log")
    splits = {prompt: name for name, prompts in zip(SETS, _prompts(task), strict=True) for prompt in prompts}
    rollouts = metrics.verl_rollouts(folder / "validation", plan.steps, splits)
    return _finish(VERL, plan, folder, metrics.verl_points(log), rollouts, finished.seconds)


def _prompts(task: Task) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return task.train_prompts, task.held_out_prompts


def _finish(
    label: str, plan: TrainersPlan, folder: Path, points: metrics.Points, rollouts: Sequence[metrics.Row], total: float
) -> Run:
    metrics.write_points(points, folder)
    metrics.write_rollouts(rollouts, folder)
    write_info(
        folder,
        RunInfo(
            label=label,
            seed=plan.seed,
            episodes=plan.episodes,
            spec=find_spec_file(SPEC).read_text(encoding="utf-8"),
            seconds={"total": total, **metrics.seconds(points)},
            settings=plan.settings(),
            versions=versions(),
            machine=machine(),
        ),
    )
    return read_run(folder)


def _check(label: str, finished: Finished, plan: TrainersPlan, log: Path) -> None:
    if finished.status == 0:
        return
    if finished.status is None:
        raise PgsrmError(
            f"{label} was not done after {plan.time_limit:.0f} s and was ended; its output is in {log} "
            "(--time-limit gives it longer)"
        )
    raise PgsrmError(f"{label} failed: {failure(finished.output)[1]} (its output is in {log})")


def _stages(say: Callable[[str], None]) -> Callable[[str], None]:
    """Tells what verl does before its first step."""
    stages = {
        "Started a local Ray instance": "Ray has started",
        "Total training steps": "data read, workers start",
        "on each rank (while loading": "encoder placed",
    }

    def on_line(line: str) -> None:
        for text in [text for text in stages if text in line]:
            say(stages.pop(text))

    return on_line


@contextmanager
def _watching(read: Callable[[], metrics.Points], show: Show) -> Iterator[None]:
    """Shows a run's numbers every second while the block runs."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1.0):
            show(read())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    show(read())
