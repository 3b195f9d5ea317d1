"""``pgsrm tasks``: the five tasks of the PGSRM paper as data sets."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated

import typer

from pgsrm_plugin.cli.apps import new_app

tasks_app = new_app("The five tasks of the PGSRM paper: list, show, export, measure.")

Name = Annotated[str, typer.Argument(help="A task of `pgsrm tasks list`.")]


def main(arguments: list[str]) -> None:
    """Runs the command with the given arguments."""
    tasks_app(arguments, prog_name="pgsrm tasks")


@tasks_app.command("list")
def list_tasks() -> None:
    """List the tasks with their numbers of prompts and the longest answer."""
    from pgsrm_lab.tasks import TASKS

    typer.echo(f"{'name':<12}{'train':>6}{'held out':>10}{'paper':>7}{'new tokens':>12}   answer")
    for name, make in TASKS.items():
        task = make()
        counts = f"{len(task.train_prompts):>6}{len(task.held_out_prompts):>10}{len(task.paper_prompts):>7}"
        typer.echo(f"{name:<12}{counts}{task.new_tokens:>12}   {task.summary}")


@tasks_app.command()
def show(
    name: Name,
    rows: Annotated[int, typer.Option(min=0, help="How many prompts of each split to print.")] = 5,
) -> None:
    """Describe a task and print some of its prompts with the parent's answers."""
    from pgsrm_lab.tasks import load_task

    task = load_task(name)
    facts = {
        "answer": f"{task.summary}, at most {task.new_tokens} GPT-2 tokens",
        "prompts": f"{len(task.train_prompts)} train, {len(task.held_out_prompts)} held out; "
        f"the paper trains on {len(task.paper_prompts)}",
        "held out": task.held_out_kind,
        "source": task.source,
    }
    typer.echo(task.name)
    for label, text in facts.items():
        typer.echo(textwrap.fill(text, 100, initial_indent=f"  {label:<10}", subsequent_indent=" " * 12))
    for split, prompts in {"train": task.train_prompts, "held_out": task.held_out_prompts}.items():
        for prompt in prompts[:rows]:
            typer.echo(f"  {split:<10}{prompt}  ->  {task.expert[prompt]}")


@tasks_app.command()
def export(
    name: Name,
    out: Annotated[Path, typer.Option(help="The file to write: .jsonl, or .parquet for verl.")],
    layout: Annotated[str, typer.Option("--format", help="jsonl (records), or verl (RL parquet).")] = "jsonl",
    split: Annotated[
        str, typer.Option(help="train, held_out, all, or paper (all that the paper trains on; it holds none out).")
    ] = "train",
) -> None:
    """Write a task's prompts with the parent's answers as references."""
    from pgsrm_lab.tasks import load_task
    from pgsrm_lab.tasks.export import export as write

    count = write(load_task(name), out, layout, split)
    typer.echo(f"{count} rows of {name} ({split}) written to {out}")


@tasks_app.command()
def cosines(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Tasks; all if none is given.")] = None,
    spec: Annotated[str, typer.Option(help="The spec whose encoder is measured: a YAML file or a shipped name.")] = (
        "pgsrm"
    ),
) -> None:
    """Measure how near an encoder puts right answers to wrong ones, as a Markdown table."""
    from pgsrm_lab.tasks import TASKS, load_task
    from pgsrm_lab.tasks.cosines import markdown, measure_cosines
    from pgsrm_plugin.cli.floor import encoder_sections
    from pgsrm_plugin.spec.shipped import find_spec_file

    chosen = [load_task(name) for name in names or TASKS]
    encoder_spec, text_spec = encoder_sections(find_spec_file(spec))
    encoder = encoder_spec.build()
    typer.echo(markdown([measure_cosines(task, encoder, text_spec) for task in chosen]))
