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
from pgsrm_plugin.report.templates import environment

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


def write_page(plan: TrainersPlan, task: Task, runs: Sequence[Run]) -> Path:
    """Writes report.html into the demo's folder."""
    page = Page(
        title="Colour mixing, learned with verl",
        outcomes=OUTCOMES,
        panels=PANELS,
        sample_sets=[("val/held_out", "held-out prompts"), ("val/train", "training prompts")],
        command=_command(plan),
        under="with {label}",
        template=environment(__package__).get_template("two_trainers.html.j2"),
        facts={"plan": plan, "task": task},
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
