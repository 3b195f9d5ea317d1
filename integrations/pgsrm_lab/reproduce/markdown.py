"""results.parquet -> a page of Markdown. Nothing on it is typed: figures and verdicts come from :mod:`.summary`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from pgsrm_lab.reproduce import words
from pgsrm_lab.reproduce.arms import ARMS, of_role
from pgsrm_lab.reproduce.collect import tables_folder
from pgsrm_lab.reproduce.files import EXAMPLES
from pgsrm_lab.reproduce.measure import MEASURES
from pgsrm_lab.reproduce.summary import BASELINE, CLAIMS, Results, across_tasks, compare, tally
from pgsrm_plugin.data.files import read_rows

SHOWN = ("final_train", "final_held_out", "auc_train", "auc_held_out", "semantic_train", "episodes_to_90")
STEADY = ("smoothness", "kl_variance", "entropy_variance", "value_loss_variance", "kl_jitter")
SHOWN_ACROSS = ("auc_train", "final_train", "semantic_train")
PER_TASK = 4
"""Examples shown of a task."""


def render(path: Path) -> str:
    """The page."""
    results = Results.read(path)
    parts = [
        words.TITLE,
        f"{words.intro(results)} How to run it yourself: [the guide](../guides/reproduce.md).",
        "## What the claims come to",
        words.rule(results),
        *(_claims(results, arm) for arm in of_role("claim") if arm in results.arms()),
        "## Across the tasks",
        words.ACROSS,
        _across(results),
        words.advice(results),
        *(_task(results, task) for task in results.tasks),
        *_alpha(results),
        *_reinforce(results),
        *_examples(tables_folder(path) / EXAMPLES),
        "## How it was run",
        words.method(results.rows[0]),
        _specs(results),
        "## How each number is measured",
        _glossary(),
        "## What this does not say",
        words.LIMITS,
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _claims(results: Results, arm: str) -> str:
    """A row a claim and measure, a column a task: the verdict and the difference behind it."""
    rows = []
    for claim, columns in CLAIMS.items():
        for column in columns:
            cells = []
            for task in results.tasks:
                found = compare(results, task, arm, column)
                cells.append(f"{found.verdict}<br>{words.gap(found)}" if found else "")
            rows.append([claim, words.measure(MEASURES[column]), *cells])
    counts = "; ".join(f"{claim}: {words.counts(tally(results, arm, claim))}" for claim in CLAIMS)
    head = ["claim", "measured as", *results.tasks]
    title = f"### {arm} against {BASELINE}\n\n`{arm}`: {ARMS[arm].about}."
    return f"{title}\n\n{_table(head, rows)}\n\nOver tasks and measures: {counts}."


def _across(results: Results) -> str:
    rows = []
    for arm in results.arms():
        cells = [across_tasks(results, arm, column) for column in SHOWN_ACROSS]
        if all(cells):
            rows.append([arm, *(words.spread(cell, column) for cell, column in zip(cells, SHOWN_ACROSS, strict=True))])
    return _table(["reward", "accuracy, mean over the run", "final accuracy", "final semantic reward"], rows)


def _task(results: Results, task: str) -> str:
    columns = [name for name in SHOWN if any(results.values(task, arm, name) for arm in results.arms(task))]
    learned = [
        [arm, *(words.cell(results.values(task, arm, name), name) for name in columns)] for arm in results.arms(task)
    ]
    steady = [
        [arm, *(words.cell(results.values(task, arm, name), name) for name in STEADY)] for arm in results.arms(task)
    ]
    against = []
    for arm in results.arms(task):
        found = [compare(results, task, arm, name) for name in columns]
        if arm != BASELINE and all(found):
            against.append([arm, *(f"{words.gap(one)}<br>p {one.p:.3f}" for one in found if one)])
    heads = [MEASURES[name].title for name in columns]
    parts = [
        f"## {task}",
        words.start(results, task),
        _table(["reward", *heads], learned),
        f"Less {BASELINE}, paired by seed:",
        _table(["reward", *heads], against),
        _table(["reward", *(MEASURES[name].title for name in STEADY)], steady),
        _table(words.FACTS, [[arm, *words.run_facts(results.of(task, arm))] for arm in results.arms(task)]),
    ]
    return "\n\n".join(parts)


def _alpha(results: Results) -> Iterable[str]:
    arms = ["pgsrm-clipped", *of_role("alpha")]
    tasks = [task for task in results.tasks if all(arm in results.arms(task) for arm in arms)]
    if not tasks:
        return
    yield "## The exponent"
    rows = [
        [task, str(alpha), *(words.cell(results.values(task, arm, name), name) for name in SHOWN_ACROSS)]
        for task in tasks
        for alpha, arm in zip((1, 2, 4, 8), arms, strict=True)
    ]
    yield "max(0, cos)^alpha:"
    yield _table(["task", "alpha", *(MEASURES[name].title for name in SHOWN_ACROSS)], rows)


def _reinforce(results: Results) -> Iterable[str]:
    arms = results.arms(update="reinforce")
    if not arms:
        return
    yield "## The authors' update rule"
    yield words.REINFORCE
    rows = []
    for task in results.tasks:
        for arm in arms:
            if not results.of(task, arm, "reinforce"):
                continue
            found = compare(results, task, arm, "auc_train", update="reinforce") if arm != BASELINE else None
            cells = [
                words.cell(results.values(task, arm, "auc_train", update), "auc_train")
                for update in ("ppo", "reinforce")
            ]
            rows.append([task, arm, *cells, words.gap(found) if found else ""])
    yield _table(["task", "reward", "PPO", "REINFORCE", f"REINFORCE, less {BASELINE}"], rows)


def _examples(path: Path) -> Iterable[str]:
    """For each task, wrong answers of the first claimed reward that its embedding likes best."""
    if not path.is_file():
        return
    rows = [row for _, row in read_rows(path)]
    arm = of_role("claim")[0]
    chosen = [row for row in rows if (row["arm"], row["update"], row["split"]) == (arm, "ppo", "train")]
    table = []
    for task in dict.fromkeys(row["task"] for row in chosen):
        found: dict[tuple[str, str], list[str]] = {}
        for row in sorted((r for r in chosen if r["task"] == task), key=lambda r: (-r["cosine"], r["prompt"])):
            cells = [
                task,
                _code(row["prompt"]),
                _code(row["reference"]),
                _code(row["response"]),
                f"{row['cosine']:.2f}",
            ]
            found.setdefault((row["reference"], row["response"]), cells)
        table += list(found.values())[:PER_TASK]
    if table:
        yield "## What the semantic reward lets pass"
        yield words.PASSES
        yield _table(["task", "prompt", "the parent's answer", "the child's", "cosine"], table)


def _specs(results: Results) -> str:
    seen = {row["arm"]: row for row in reversed(results.rows)}
    parts = []
    for arm in results.arms():
        task = seen[arm]["task"]
        note = f" (its floor is {task}'s)" if ARMS[arm].needs_floor else ""
        parts.append(
            f'??? note "{arm}: {ARMS[arm].about}{note}"\n\n    ```yaml\n{_indented(seen[arm]["spec"])}\n    ```'
        )
    return "\n\n".join(parts)


def _glossary() -> str:
    rows = [[measure.title, "" if measure.about == "the same" else measure.about] for measure in MEASURES.values()]
    return _table(["measure", "how"], [row for row in rows if row[1]])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _code(text: str) -> str:
    text = json.dumps(text, ensure_ascii=False)[1:-1].replace("`", "'").strip()
    return f"`{text}`" if text else "(empty)"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines())
