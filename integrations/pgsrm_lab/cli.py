"""The lab's commands, which join `pgsrm` through its entry-point group. Nothing heavy is imported before one runs."""

from __future__ import annotations

import typer


def bench(ctx: typer.Context) -> None:
    """Measure the encoder against others; `bench serve`: a service under load; `bench train`: a step against TRL's."""
    if ctx.args[:1] == ["serve"]:
        from pgsrm_lab.bench.service import load_command

        load_command.main(ctx.args[1:])
        return
    if ctx.args[:1] == ["train"]:
        from pgsrm_lab.bench.training import compare_steps

        compare_steps.main(ctx.args[1:])
        return
    from pgsrm_lab.bench import compare_encoders

    compare_encoders.main(ctx.args)


def tasks(ctx: typer.Context) -> None:
    """The PGSRM paper's five tasks, explanations, and public sets: list, show, export, fetch, measure."""
    from pgsrm_lab.tasks import command

    command.main(ctx.args)


def demo(ctx: typer.Context) -> None:
    """The main job: a child learns from its parent's answers; writes a report page."""
    from pgsrm_lab.demo.lightning import compare_rewards

    compare_rewards.main(ctx.args)


def demo_explain(ctx: typer.Context) -> None:
    """A tiny child learns to explain: texts, experts' answers, GRPO; writes a page with its answers after each."""
    from pgsrm_lab.demo.explain import three_stages

    three_stages.main(ctx.args)


def demo_real(ctx: typer.Context) -> None:
    """A pretrained child learns a task from a semantic reward, beside binary; writes a page (15 minutes)."""
    from pgsrm_lab.demo.real import real_child

    real_child.main(ctx.args)


def reproduce(ctx: typer.Context) -> None:
    """The PGSRM paper's experiments: tasks x rewards x seeds, intervals, a report (minutes to hours)."""
    from pgsrm_lab.reproduce import app

    app.main(ctx.args)


def demo_verl(ctx: typer.Context) -> None:
    """The colour task with the real verl on this machine's CPU; writes a report page."""
    from pgsrm_verl.rehearsal.command import require

    require("pgsrm demo-verl", {"verl": "verl", "ray": "verl", "lightning": "demo", "plotly": "demo"})
    from pgsrm_lab.demo.verl import compare_trainers

    compare_trainers.main(ctx.args)
