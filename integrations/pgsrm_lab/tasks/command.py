"""``pgsrm tasks``: tasks as data sets, the project's and public ones."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsrm_plugin.cli.apps import new_app

if TYPE_CHECKING:
    from pgsrm_lab.tasks import Task

tasks_app = new_app("The PGSRM paper's five tasks, explanations, and public sets: list, show, export, fetch, measure.")

Name = Annotated[
    str,
    typer.Argument(
        help="A task of `pgsrm tasks list`, or a .jsonl or .csv of your own questions (question, options, key, "
        "explanation)."
    ),
]
Out = Annotated[Path, typer.Option(help="The file to write: .jsonl, or .parquet for verl.")]
Layout = Annotated[
    str,
    typer.Option(
        "--format",
        help="jsonl (records), verl (RL parquet), sft (parquet of chats to imitate), or text (to pre-train on).",
    ),
]
SHOWN = 5
"""Notes on rows that are printed; the others are counted."""


def main(arguments: list[str]) -> None:
    """Runs the command with the given arguments."""
    tasks_app(arguments, prog_name="pgsrm tasks")


@tasks_app.command("list")
def list_tasks() -> None:
    """List the tasks with their numbers of prompts and the longest answer, and the public sets that can be fetched."""
    from pgsrm_lab.tasks import TASKS
    from pgsrm_lab.tasks.questions.public import PUBLIC_SETS

    typer.echo(f"{'name':<14}{'train':>6}{'held out':>10}{'paper':>7}{'new tokens':>12}   answer")
    for name, make in TASKS.items():
        task = make()
        counts = f"{len(task.train_prompts):>6}{len(task.held_out_prompts):>10}{len(task.paper_prompts) or '-':>7}"
        typer.echo(f"{name:<14}{counts}{task.new_tokens:>12}   {task.summary}")
    typer.echo("\nto be fetched from their sources (pgsrm tasks fetch NAME):")
    for name, public in PUBLIC_SETS.items():
        typer.echo(f"{name:<14}{public.title}; {', '.join(public.languages)}; {public.licence}")


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
        "prompts": f"{len(task.train_prompts)} train, {len(task.held_out_prompts)} held out"
        + (f"; the paper trains on {len(task.paper_prompts)}" if task.paper_prompts else ""),
        "held out": task.held_out_kind,
        "source": task.source,
    }
    typer.echo(task.name)
    for label, text in facts.items():
        typer.echo(textwrap.fill(text, 100, initial_indent=f"  {label:<10}", subsequent_indent=" " * 12))
    for split, prompts in {"train": task.train_prompts, "held_out": task.held_out_prompts}.items():
        for prompt in prompts[:rows]:
            typer.echo(f"  {split:<10}{prompt}  ->  {task.expert[prompt]}".replace("\n", "\n" + " " * 12))
    _say(task.notes)


@tasks_app.command()
def export(
    name: Name,
    out: Out,
    layout: Layout = "jsonl",
    split: Annotated[
        str, typer.Option(help="train, held_out, all, or paper (all that the paper trains on; it holds none out).")
    ] = "train",
) -> None:
    """Write a task's prompts with the parent's answers as references."""
    from pgsrm_lab.tasks import load_task

    _write(load_task(name), out, layout, split)


@tasks_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A public set: casimedicos or comve.")],
    out: Out,
    layout: Layout = "jsonl",
    split: Annotated[str, typer.Option(help="train, held_out (the source's development part), or all.")] = "train",
    language: Annotated[str | None, typer.Option(help="casimedicos: it (default), en, es or fr.")] = None,
    given: Annotated[
        Path | None,
        typer.Option("--from", help="The source's file, or the folder that has it, where there is no network."),
    ] = None,
) -> None:
    """Download a public set from its source, check its sha256, and write it like a task; its licence is printed."""
    from pgsrm_lab.tasks.questions.public import find_public_set

    task = find_public_set(name).task(given, language)
    _write(task, out, layout, split)
    typer.echo(f"source: {task.source}")


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
    from pgsrm_plugin.calibration import spec_to_calibrate
    from pgsrm_plugin.errors import SpecError
    from pgsrm_plugin.spec.shipped import find_spec_file

    chosen = [load_task(name) for name in names or TASKS]
    found = spec_to_calibrate(find_spec_file(spec))
    if found.encoder is None:
        raise SpecError(f"{spec}: the spec has no encoder, so there is no cosine to measure")
    encoder = found.encoder.build()
    typer.echo(markdown([measure_cosines(task, encoder, found.text) for task in chosen]))


def _write(task: Task, out: Path, layout: str, split: str) -> None:
    from pgsrm_lab.tasks.export import export as write

    count = write(task, out, layout, split)
    _say(task.notes)
    typer.echo(f"{count} rows of {task.name} ({split}) written to {out}")


def _say(notes: tuple[str, ...]) -> None:
    """Prints what to know about single rows, on stderr."""
    for note in notes[:SHOWN]:
        typer.echo(textwrap.shorten(note, 240, placeholder=" ..."), err=True)
    if len(notes) > SHOWN:
        typer.echo(f"and {len(notes) - SHOWN} more notes of this kind", err=True)
