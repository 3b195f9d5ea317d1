"""The demo's page and table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from pgsrm_lab.demo.verl.trainer_settings import TrainersPlan
from pgsrm_lab.tasks import Task
from pgsrm_plugin.report import Page, Panel, Run, write_report
from pgsrm_plugin.report.stats import by_label
from pgsrm_plugin.report.summary import show

TRAIN = Panel("val/train/accuracy", "accuracy on training prompts", "Greedy answers, all 75 prompts.", percent=True)
HELD_OUT = Panel("val/held_out/accuracy", "accuracy on held-out prompts", "Greedy answers, 15 prompts.", percent=True)
SIMILARITY = Panel("val/train/semantic", "similarity on training prompts", "PGSRM's semantic term, greedy answers.")
OUTCOMES = (TRAIN, HELD_OUT, SIMILARITY, Panel("val/held_out/semantic", "similarity on held-out prompts"))
PANELS = (
    TRAIN,
    HELD_OUT,
    SIMILARITY,
    Panel("train/reward", "training reward", "Mean over a step's responses, sampled at temperature 1."),
    Panel("train/kl", "KL from the warm start", "k3, nats a token; verl: during its updates, Lightning: before them."),
    Panel("train/entropy", "entropy", "Nats per response token, before a step's updates."),
    Panel("train/response_tokens", "response length", "Tokens, with the end-of-text token."),
    Panel("train/clip_fraction", "clipped share of tokens", percent=True),
    Panel("time/reward_s", "seconds of scoring a step", "verl: MiniLM on all its workers. Lightning: in its process."),
)
INTRO = (
    "The same child, twice. A parent language model answered each prompt once; a short supervised run left a small "
    "GPT-2 child with partial knowledge. From there it learned by GRPO on the PGSRM reward: the similarity of its "
    "answer to the parent's in the embedding space of all-MiniLM-L6-v2, squared. Once it was trained by the real verl "
    "(verl.trainer.main_ppo, trainer mode pgsrm_sync) on {workers} gloo workers, policy and encoder both sharded over "
    "them by FSDP2 and the whole step scored at once; once by `pgsrm train` on Lightning, in one process."
)
SAME = (
    "Child, prompts, parent's answers, reward spec and the settings below. A step is {prompts} prompts with {group} "
    "sampled answers each and {epochs} optimizer steps; a run answered {episodes:,} prompts. Validation is greedy, on "
    "all prompts, before the first step and every {every} steps. A point at step n was measured after n training "
    "steps."
)
DIFFERENT = (
    "Random numbers: the two draw different samples and shuffle prompts differently, so their curves agree in shape, "
    "not point by point. Prompts: 75 are three steps of 24 and 3 left over; verl leaves those out of a pass, "
    "Lightning goes on into the next one. Advantages: verl divides by the sample standard deviation of a group plus "
    "1e-6, Lightning by the population's, so its are larger by the factor {factor:.2f}. Loss: verl also clips where "
    "the advantage is negative and the ratio beyond 3. Sampling: verl's rollout is a copy of the weights in a server "
    "of its own (Hugging Face generate, in place of vLLM). Wall time: verl starts Ray, its workers, queue and "
    "servers, and speaks between processes at every step; at this size that is nearly all of it, and says nothing "
    "about larger ones."
)


def write_page(plan: TrainersPlan, task: Task, runs: Sequence[Run]) -> Path:
    """Writes report.html into the demo's folder."""
    same = SAME.format(
        prompts=plan.prompts,
        group=plan.group,
        epochs=plan.epochs,
        episodes=plan.episodes,
        every=plan.validate_every,
    )
    page = Page(
        title="Colour mixing, learned with verl",
        intro=INTRO.format(workers=plan.workers),
        outcomes=OUTCOMES,
        panels=PANELS,
        sections=[
            ("What is the same", same),
            ("What differs", DIFFERENT.format(factor=(plan.group / (plan.group - 1)) ** 0.5)),
            ("The prompts", f"“{task.train_prompts[0]}” and so on. {task.held_out_kind}"),
        ],
        sample_sets=[("val/held_out", "held-out prompts"), ("val/train", "training prompts")],
        command=_command(plan),
        under="with {label}",
    )
    return write_report(runs, plan.out / "report.html", page)


def _command(plan: TrainersPlan) -> str:
    given = {"steps": plan.steps, "workers": plan.workers}
    changed = [f"--{name} {value}" for name, value in given.items() if value != getattr(TrainersPlan, name)]
    return f'make demo-verl DEMO_ARGS="{" ".join(changed)}"' if changed else "make demo-verl"


def outcome_table(runs: Sequence[Run]) -> Table:
    """The short table for the terminal."""
    table = Table()
    for name in ("", "training prompts", "held-out prompts", "episodes", "time of the run"):
        table.add_column(name)
    for label, (run, *_) in by_label(runs).items():
        cells = []
        for panel in (TRAIN, HELD_OUT):
            values = run.metric(panel.metric).values
            cells.append(f"{show(values[0], panel)} to {show(values[-1], panel)}")
        table.add_row(label, *cells, f"{run.info.episodes:,}", f"{run.info.seconds['total']:.0f} s")
    return table
