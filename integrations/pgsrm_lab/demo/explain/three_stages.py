"""`pgsrm demo-explain`: texts, experts' answers, GRPO on explanations, with a tiny child on this machine."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from pgsrm_lab import stages
from pgsrm_lab.demo.child import clear_folder
from pgsrm_lab.demo.display import COLUMNS, NOTE, Stages
from pgsrm_lab.demo.explain.stage_page import Answer, Curve, StagesRun, write_stages_page
from pgsrm_lab.pool import configure_process
from pgsrm_lab.stages import Stage
from pgsrm_lab.tasks import explained_questions
from pgsrm_lab.tasks.task import Task
from pgsrm_lab.tiny import Size
from pgsrm_lightning.algorithms.base import KLConfig
from pgsrm_lightning.algorithms.grpo import GRPOConfig
from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import generate
from pgsrm_plugin import SemanticReward
from pgsrm_plugin.cli.apps import run_alone
from pgsrm_plugin.data.rows import read_records
from pgsrm_plugin.report import machine, versions
from pgsrm_plugin.spec.shipped import find_spec_file

FILES = ("new", "texts", "answers", "explained", stages.TEXTS, stages.TRAIN, stages.HELD_OUT, "report.html")
"""What the demo writes into its folder."""
NAMES = {"texts": "after texts", "answers": "after answers", "explained": "after GRPO"}
"""The stages' folders, and what the page calls them."""


@dataclass(frozen=True)
class ExplainPlan:
    """The settings of the demo.

    Attributes:
        questions: trained on, spread over the set.
        shown: questions of each split whose answers the page has.
    """

    out: Path
    size: Size = field(default_factory=lambda: Size(layers=2, width=128))
    questions: int = 64
    texts: Stage = field(default_factory=lambda: Stage(epochs=8, lr=3e-3, pack_tokens=1024))
    answers: Stage = field(default_factory=lambda: Stage(epochs=44, lr=3e-3, pack_tokens=1024))
    steps: int = 40
    prompts_per_step: int = 8
    new_tokens: int = 96
    temperature: float = 0.7
    shown: int = 12
    grpo: GRPOConfig = field(
        default_factory=lambda: GRPOConfig(
            group_size=8, lr_actor=1e-4, micro_batch_tokens=8192, kl=KLConfig(coef=0.02, schedule="fixed")
        )
    )


def main(argv: list[str] | None = None) -> None:
    """Runs the demo with the given arguments (default: those of the command line)."""
    run_alone(demo_explain, argv, "demo-explain")


def demo_explain(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for models, rows and the page.")] = Path(
        "runs/demo-explain"
    ),
    steps: Annotated[int, typer.Option(min=1, help="GRPO steps.")] = ExplainPlan.steps,
    smoke: Annotated[bool, typer.Option("--quick", help="Seconds long: a smaller child, few steps.")] = False,
) -> None:
    """Teaches a tiny child to explain, in three stages, and writes one page. Works offline."""
    console, started = Console(), time.perf_counter()
    plan = quick(out) if smoke else ExplainPlan(out, steps=steps)
    run = run_stages(plan, console)
    page = write_stages_page(run, out)
    for name, text in run.summary:
        console.print(f"{name}: {text}", highlight=False)
    console.print(f"{time.perf_counter() - started:.0f} s in all. The page: [bold]{page}[/]", highlight=False)


def quick(out: Path) -> ExplainPlan:
    """A plan of seconds: everything happens, nothing much is learned."""
    once = Stage(epochs=1, lr=3e-3, pack_tokens=4096)
    return ExplainPlan(
        out, Size(layers=1, width=32), 8, once, once, steps=2, prompts_per_step=2, new_tokens=16, shown=2
    )


class Kept(Callback):
    """Keeps a stage's numbers as curves, by name: step and value.

    Args:
        names: the metrics that are kept.
        tell: called with the step and the newest numbers.
    """

    def __init__(self, names: Callable[[str], bool], tell: Callable[[int, dict[str, float]], None]) -> None:
        self._names, self._tell = names, tell
        self.curves: dict[str, Curve] = {}

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items() if self._names(name)}
        for name, value in numbers.items():
            curve = self.curves.setdefault(name, Curve([], []))
            if name.startswith("train/") or not curve.values or curve.values[-1] != value:
                curve.steps.append(trainer.global_step)
                curve.values.append(value)
        self._tell(trainer.global_step, numbers)


def run_stages(plan: ExplainPlan, console: Console) -> StagesRun:
    """The three stages, and the answers of the child after each; what an earlier demo left in the folder goes first."""
    configure_process()
    clear_folder(plan.out, FILES)
    started = time.perf_counter()
    task = _few(explained_questions(), plan.questions)
    stages.write_task(task, plan.out)
    stages.new_child(task, plan.size, 0, plan.out / "new")
    reward = SemanticReward.from_file(find_spec_file("semantic"))
    curves: dict[str, dict[str, Curve]] = {}
    answers: dict[str, list[Answer]] = {}
    with Progress(*COLUMNS, TimeElapsedColumn(), NOTE, console=console) as progress:
        shown = Stages(progress)
        sampling = SamplingConfig(max_new_tokens=plan.new_tokens, temperature=plan.temperature, eval_batch_size=64)
        for name, (learn, child, stage) in {
            "texts": (stages.pretrain, "new", plan.texts),
            "answers": (stages.imitate, "texts", plan.answers),
        }.items():
            shown.begin(name, stage.epochs)
            kept = Kept(lambda name: name.endswith("/loss"), _losses(shown))
            learn(plan.out / child, plan.out, stage, plan.out / name, 0, [kept])
            curves[name] = kept.curves
            policy = Policy(str(plan.out / name), value_head=False, reference=False)
            answers[name] = _answers(policy, plan, sampling, reward)
            shown.end("done")
        shown.begin("GRPO", plan.steps)
        kept = Kept(_of_terms, lambda step, numbers: shown.steps({step - 1: numbers}))
        module = RLModule(str(plan.out / "answers"), reward, plan.grpo, sampling, 0)
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            max_steps=plan.steps,
            logger=False,
            callbacks=[kept],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, PromptData(str(plan.out / stages.TRAIN), None, plan.prompts_per_step, plan.steps))
        curves["explained"] = kept.curves
        module.policy.save_pretrained(plan.out / "explained")
        answers["explained"] = _answers(module.policy, plan, sampling, reward)
        shown.end("done")
    parameters = sum(parameter.numel() for parameter in module.policy.lm.parameters())
    settings = {"questions": plan.questions, "steps": plan.steps, "parameters": parameters}
    return StagesRun(NAMES, curves, answers, settings, versions(), machine(), time.perf_counter() - started)


def _few(task: Task, questions: int) -> Task:
    prompts = task.train_prompts
    return dataclasses.replace(
        task, train_prompts=tuple(prompts[number * len(prompts) // questions] for number in range(questions))
    )


def _losses(shown: Stages) -> Callable[[int, dict[str, float]], None]:
    def tell(step: int, numbers: dict[str, float]) -> None:
        if step % 25 == 0 and "train/loss" in numbers:
            shown.note(f"step {step}  loss {numbers['train/loss']:.2f}")

    return tell


def _of_terms(name: str) -> bool:
    return name == "train/reward" or (name.startswith("train/reward/") and name.count("/") == 2) or name == "train/kl"


def _answers(policy: Policy, plan: ExplainPlan, sampling: SamplingConfig, reward: SemanticReward) -> list[Answer]:
    """Greedy answers to the questions that the page shows, and to as many more as its means are taken over."""
    found: list[Answer] = []
    for split, name in (("trained", stages.TRAIN), ("held out", stages.HELD_OUT)):
        records = read_records(plan.out / name, responses=False)
        texts: Sequence[str] = generate(policy, records, sampling, next(policy.parameters()).device, seed=None).texts
        samples = [record.sample(text) for record, text in zip(records, texts, strict=True)]
        rows = reward.for_validation().score(samples).rows()
        found += [
            Answer(split, str(sample.prompt), sample.references[0], str(sample.ground_truth), sample.response, row)
            for sample, row in zip(samples, rows, strict=True)
        ]
    return found
