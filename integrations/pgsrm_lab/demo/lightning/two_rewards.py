"""The demo's page and table: what is particular to it; the rest is pgsrm_plugin.report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from pgsrm_lab.demo.lightning.reward_runs import RewardsPlan
from pgsrm_lab.tasks import colour_mixing
from pgsrm_plugin.report import Page, Panel, Run, write_report
from pgsrm_plugin.report.stats import by_label, first, interval, last
from pgsrm_plugin.report.summary import show, verdict
from pgsrm_plugin.report.templates import environment

TRAIN = Panel("val/train/accuracy", "accuracy on training prompts", "Greedy answers, all 75 prompts.", percent=True)
HELD_OUT = Panel("val/held_out/accuracy", "accuracy on held-out prompts", "Greedy answers, 15 prompts.", percent=True)
OUTCOMES = (
    TRAIN,
    HELD_OUT,
    Panel("val/train/semantic", "similarity on training prompts"),
    Panel("val/held_out/semantic", "similarity on held-out prompts"),
)
PANELS = (
    TRAIN,
    HELD_OUT,
    Panel("val/train/semantic", "similarity on training prompts", "PGSRM's semantic term: the same for both."),
    Panel("train/reward", "training reward", "Two different rewards: compare the shapes, not the heights."),
    Panel("train/kl", "KL from the warm start", "Nats per response token."),
    Panel("train/entropy", "entropy", "Nats per response token."),
    Panel("train/value_loss", "value loss", "Its scale follows the reward's."),
    Panel("train/explained_variance", "explained variance of the values"),
    Panel("train/clip_fraction", "clipped share of tokens", percent=True),
)


def write_page(plan: RewardsPlan, runs: Sequence[Run]) -> Path:
    """Writes report.html into the demo's folder."""
    info = runs[0].info
    page = Page(
        title="Colour mixing, learned from a parent's answers",
        outcomes=OUTCOMES,
        panels=PANELS,
        sample_sets=[("val/held_out", "held-out prompts"), ("val/train", "training prompts")],
        command=_command(plan),
        template=environment(__package__).get_template("two_rewards.html.j2"),
        facts={
            "plan": plan,
            "task": colour_mixing(),
            "episodes": info.episodes,
            "parameters": float(info.settings["child parameters"] or 0),
        },
    )
    return write_report(runs, plan.out / "report.html", page)


def _command(plan: RewardsPlan) -> str:
    if plan.prompts_per_step != RewardsPlan.prompts_per_step:
        return 'make demo DEMO_ARGS="--quick"'
    given = {"seeds": plan.seeds, "steps": plan.steps}
    changed = [f"--{name} {value}" for name, value in given.items() if value != getattr(RewardsPlan, name)]
    return f'make demo DEMO_ARGS="{" ".join(changed)}"' if changed else "make demo"


def outcome_table(runs: Sequence[Run]) -> Table:
    """The short table for the terminal."""
    groups = by_label(runs)
    table = Table(caption=verdict(groups, TRAIN), caption_justify="left")
    for name in ("", "training prompts", "held-out prompts", "episodes", "time of a run"):
        table.add_column(name)
    every = [run for group in groups.values() for run in group]
    start = [show(interval(first(every, panel.metric)).mean, panel) for panel in (TRAIN, HELD_OUT)]
    table.add_row("warm start", *start, "", "")
    for label, group in groups.items():
        ends = [interval(last(group, panel.metric)) for panel in (TRAIN, HELD_OUT)]
        cells = [f"{100 * end.mean:.1f} % ({100 * end.low:.0f} to {100 * end.high:.0f})" for end in ends]
        seconds = sum(run.info.seconds["total"] for run in group) / len(group)
        table.add_row(label, *cells, f"{group[0].info.episodes:,}", f"{seconds:.0f} s")
    return table
