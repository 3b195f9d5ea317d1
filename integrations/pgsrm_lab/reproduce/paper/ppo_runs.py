"""PPO (or REINFORCE) on one reward, from the child that all rewards of a task and seed start from."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce.paper.arms import ARMS, needs_floor, spec_text
from pgsrm_lab.reproduce.paper.grid import PaperProtocol
from pgsrm_lab.reproduce.prepare import chance_of_answer
from pgsrm_lab.reproduce.study import ENCODER, Job
from pgsrm_lab.reproduce.worker import Recorder, trainer_of
from pgsrm_lab.tasks import Task, load_task
from pgsrm_lab.tiny import models, write_prompts
from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_plugin import RewardSpec, SemanticReward
from pgsrm_plugin.calibration import calibrate
from pgsrm_plugin.data.rows import Record, read_records
from pgsrm_plugin.kinds import kind_of
from pgsrm_plugin.reward import accuracy
from pgsrm_plugin.spec.parse import parse_spec
from pgsrm_plugin.terms.semantic import Semantic
from pgsrm_plugin.text.clean import prompt_text
from pgsrm_plugin.types import Encoder

VAL_SETS = ("train", "held_out")
YARDSTICK = f"name: yardstick\n{ENCODER}terms:\n  semantic:\n    transform: clipped\n    alpha: 1\n"
"""What the semantic reward of every arm's answers is measured with."""
EXAMPLES = 12
"""Wrong answers kept of a run."""
_SEMANTIC = kind_of(Semantic)
_floors: dict[str, Mapping[str, Any]] = {}
"""By task."""


def start(job: Job, folder: Path) -> None:
    """The task's prompts with the parent's answers, and the child."""
    task = load_task(job.task)
    write_prompts(task, dict(task.expert), folder)
    steps = _train_child(task, job, folder / "child")
    (folder / "warm_start.json").write_text(json.dumps({"supervised_steps": steps}) + "\n", encoding="utf-8")


def _train_child(task: Task, job: Job, folder: Path) -> int:
    """A supervised run on the training prompts; initial weights and order of rows are the seed's."""
    tokenizer = models.train_tokenizer([f"{prompt} {answer}" for prompt, answer in task.expert.items()])
    prompts = list(task.train_prompts)
    answers = [task.expert[prompt] for prompt in prompts]
    model = models.new_model(tokenizer, job.protocol.size, seed=1000 + job.seed)

    def knows_enough() -> bool:
        return models.sampled_accuracy(model, tokenizer, prompts, answers) >= job.protocol.goal

    data = models.encode_pairs(tokenizer, prompts, answers)
    most = job.protocol.supervised_steps
    steps = models.train_supervised(model, data, lr=1e-3, until=knows_enough, max_steps=most, every=1, seed=job.seed)
    models.save(model, tokenizer, folder)
    return steps


def train(job: Job) -> dict[str, Any]:
    """A whole run."""
    protocol, folder = protocol_of(job), job.warm_start
    yardstick, started = _yardstick(), time.perf_counter()
    records = {name: read_records(folder / f"{name}.jsonl", responses=False) for name in VAL_SETS if _rows(job, name)}
    answers = [record.references[0] for record in records["train"]]
    text = spec_text(ARMS[job.arm], _floor(job, records["train"], yardstick), answers)
    spec = parse_spec(text)
    reward = SemanticReward(spec, _encoder() if spec.encoder is not None else None)
    module = RLModule(
        child=str(folder / "child"),
        spec=reward,
        algorithm=protocol.algorithm(job.update),
        sampling=SamplingConfig(max_new_tokens=load_task(job.task).new_tokens, eval_batch_size=128),
        seed=job.seed,
        val_spec=yardstick,
    )
    data = PromptData(
        train=str(folder / "train.jsonl"),
        val={name: str(folder / f"{name}.jsonl") for name in records},
        prompts_per_step=protocol.prompts_per_step,
        steps=protocol.steps,
    )
    recorder = Recorder(job, lambda module: _chances(module, records))
    trainer = trainer_of(job, recorder)
    trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    recorder.seconds["total"] = time.perf_counter() - started
    return _result(text, recorder, module, records)


def protocol_of(job: Job) -> PaperProtocol:
    """The job's, which is this study's."""
    assert isinstance(job.protocol, PaperProtocol)
    return job.protocol


def _chances(module: RLModule, records: dict[str, list[Record]]) -> dict[str, float]:
    chances = {}
    for name, rows in records.items():
        prompts, answers = [prompt_text(r.prompt) for r in rows], [r.references[0] for r in rows]
        chances[f"val/{name}/chance"] = chance_of_answer(module.policy, prompts, answers)
    return chances


def _result(spec: str, recorder: Recorder, module: RLModule, records: dict[str, list[Record]]) -> dict[str, Any]:
    wrong = {split: _wrong(module, split, rows) for split, rows in records.items()}
    return {
        "spec": spec,
        "episodes": module.episodes,
        "child_parameters": sum(parameter.numel() for parameter in module.policy.lm.parameters()),
        "curves": recorder.curves,
        "seconds": recorder.seconds,
        "examples": [row for rows in wrong.values() for row in rows[:EXAMPLES]],
        "wrong_cosine": sum(row["cosine"] for row in wrong["train"]) / max(1, len(wrong["train"])),
    }


def _wrong(module: RLModule, split: str, records: list[Record]) -> list[dict[str, Any]]:
    """The wrong greedy answers, those with the highest cosine first."""
    answers = module.answer(records)
    right = accuracy(answers.output, answers.samples, module.reward("val").spec).tolist()
    rows = [
        {
            "split": split,
            "prompt": record.prompt,
            "reference": record.references[0],
            "response": text,
            "cosine": float(answers.output.terms["semantic"][number]),
        }
        for number, (record, text) in enumerate(zip(records, answers.texts, strict=True))
        if not right[number]
    ]
    return sorted(rows, key=lambda row: -row["cosine"])


def _rows(job: Job, split: str) -> bool:
    """Whether the task has prompts of a split."""
    path = job.warm_start / f"{split}.jsonl"
    return path.is_file() and path.stat().st_size > 0


@functools.cache
def _yardstick() -> SemanticReward:
    return SemanticReward(parse_spec(YARDSTICK))


def _encoder() -> Encoder:
    encoder = _yardstick().encoder
    assert encoder is not None
    return encoder


def _floor(job: Job, records: list[Record], yardstick: SemanticReward) -> Mapping[str, Any] | None:
    """The cosine of the task's unrelated answers under the yardstick's encoder, measured once a process."""
    if not needs_floor(ARMS[job.arm]):
        return None
    if job.task not in _floors:
        plain = RewardSpec(encoder=yardstick.spec.encoder, text=yardstick.spec.text, terms={_SEMANTIC: Semantic()})
        measured = calibrate(plain, records, _encoder())[f"terms.{_SEMANTIC}"]
        _floors[job.task] = measured.settings["floor"]
    return _floors[job.task]
