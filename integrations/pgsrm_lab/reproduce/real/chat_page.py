"""results.parquet -> the page and its drawing: sentences are the templates', numbers and verdicts are made here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce.files import EXAMPLES, RESULTS
from pgsrm_lab.reproduce.paper import findings
from pgsrm_lab.reproduce.paper.arms import of_role
from pgsrm_lab.reproduce.paper.pgsrm import Pgsrm
from pgsrm_lab.reproduce.real.chat_drawing import drawing
from pgsrm_lab.reproduce.real.chat_measures import LATE, MEASURES, SPLITS
from pgsrm_lab.reproduce.real.chat_protocol import UPDATES
from pgsrm_lab.reproduce.real.chat_rewards import ARMS
from pgsrm_lab.reproduce.study import Row
from pgsrm_lab.reproduce.summary import Comparison, Results, cells, compare, shared
from pgsrm_lab.reproduce.writing import escaped, markdown
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.report.compare import Verdict

SHOWN = (
    "sentence_mean",
    "sentence_peak",
    "sentence_final",
    "strict_final",
    "sentence_greedy_train",
    "strict_greedy_train",
    "cosine_train",
    "silent",
)
HELD_OUT = ("sentence_greedy_held_out", "strict_greedy_held_out")
READ = ("sentence_mean", "sentence_final", "strict_final")
"""What answers the question: does it win where binary is silent? Over the run, and when it ends."""
HACK = ("reward", "sentence", "strict", "echo", "entropy")
PAID = ("right", "echo", "other")
CLAIMS = {
    "smoother reward": ("smoothness",),
    "steadier PPO": ("entropy_variance", "value_loss_variance"),
    "better sample efficiency": ("sentence_mean", "strict_mean"),
}
"""The paper's claims, as in :data:`pgsrm_lab.reproduce.paper.findings.CLAIMS`, by the measures that there are here."""
SILENT = 0.95
"""A reward is called silent on a task where this share of its groups is."""
PROMPTS = 6
"""Whose answers before and after are shown of a task."""


def render(results: Results, folder: Path, name: str) -> dict[str, str]:
    """The page's text by its path, and beside it the drawing of each update rule."""
    given = {"name": name, "folder": folder.name, **facts(results, folder)}
    curves = {
        f"{name}/curves-{rule}.svg": markdown(__package__, "curves.svg.j2", drawing(results, rule))
        for rule in given["rules"]
    }
    return {f"{name}.md": markdown(__package__, "pretrained.md.j2", given), **curves}


def facts(results: Results, folder: Path) -> dict[str, Any]:
    """What the page and report.html say."""
    rules = [rule for rule in UPDATES if any(row["update"] == rule for row in results.rows)]
    examples = [row for _, row in read_rows(folder / EXAMPLES)] if (folder / EXAMPLES).is_file() else []
    return {
        **shared(results),
        "row": results.rows[0],
        "rules": rules,
        "late": LATE,
        "silent_share": SILENT,
        "read": [MEASURES[column] for column in READ],
        "paid_kinds": PAID,
        "by_rule": [(rule, [_task(results, task, rule) for task in _tasks(results, rule)]) for rule in rules],
        "beside": beside(results, folder.parent / Pgsrm.name / RESULTS),
        "answers": [(task, _answers(results, task, examples)) for task in results.tasks],
        "not_run": [arm for arm in ARMS if arm not in results.arms()],
        "seconds": sum(float(row["seconds"]) for row in results.rows),
        "run_seconds": (min(row["seconds"] for row in results.rows), max(row["seconds"] for row in results.rows)),
    }


def _tasks(results: Results, rule: str) -> list[str]:
    return [task for task in results.tasks if results.arms(task, rule)]


def _task(results: Results, task: str, rule: str) -> dict[str, Any]:
    """All that is said of a task under an update rule."""
    arms, baseline = results.arms(task, rule), results.study.baseline
    columns = [*SHOWN, *(column for column in HELD_OUT if any(results.values(task, arm, column, rule) for arm in arms))]
    some = results.of(task, arms[0], rule)[0]
    silent = results.values(task, baseline, "silent", rule)
    found = {
        arm: [compare(results, task, arm, column, update=rule) for column in READ] for arm in arms if arm != baseline
    }
    return {
        "name": task,
        "start": {split: (some[f"sentence_start_{split}"], some[f"strict_start_{split}"]) for split in SPLITS},
        "columns": [MEASURES[column] for column in columns],
        "rows": [[f"`{arm}`", *cells(results, task, arm, columns, rule)] for arm in arms],
        "silent": sum(silent) / len(silent) if silent else None,
        "against": [(arm, both) for arm, both in found.items() if all(both)],
        "hack": [_hack(results.of(task, arm, rule)) for arm in arms],
    }


def _hack(rows: Sequence[Row]) -> dict[str, Any]:
    """What rose and what fell in an arm's runs on a task, and what its reward paid for which answers."""
    moved = {name: (_mean(rows, f"{name}_first"), _mean(rows, f"{name}_final")) for name in HACK}
    counts = {kind: sum(row[f"count_{kind}"] for row in rows) for kind in PAID}
    paid = {
        kind: sum(row[f"paid_{kind}"] * row[f"count_{kind}"] for row in rows if row[f"count_{kind}"]) / count
        for kind, count in counts.items()
        if count
    }
    rises = moved["reward"][1] > moved["reward"][0]
    return {
        "arm": rows[0]["arm"],
        "moved": moved,
        "peak": _mean(rows, "sentence_peak"),
        "counts": counts,
        "paid": paid,
        "hacked": rises and moved["sentence"][1] <= moved["sentence"][0] and moved["strict"][1] <= moved["strict"][0],
        "echoes": _mean(rows, "echo_greedy_train"),
    }


def _mean(rows: Sequence[Row], column: str) -> float:
    return sum(float(row[column]) for row in rows) / len(rows)


def tally(results: Results, claim: str) -> dict[Verdict, int]:
    """How often a claim was supported, not supported and undecided, over rewards, tasks, measures and update rules."""
    counts: Counter[Verdict] = Counter({"supported": 0, "not supported": 0, "undecided": 0})
    rules = ("ppo",) if claim == "steadier PPO" else UPDATES
    counts.update(one.verdict for one in _comparisons(results, CLAIMS[claim], rules))
    return dict(counts)


def _comparisons(results: Results, columns: Sequence[str], rules: Sequence[str]) -> list[Comparison]:
    found = [
        compare(results, task, arm, column, update=rule)
        for rule in rules
        for task in results.tasks
        for arm in results.arms(task, rule)
        if arm != results.study.baseline
        for column in columns
    ]
    return [one for one in found if one is not None]


def beside(results: Results, tiny: Path) -> list[dict[str, Any]]:
    """For each claim, the verdicts here and, where the tiny children's table stands beside, theirs."""
    there = Results.read(Pgsrm(), tiny) if tiny.is_file() else None
    return [
        {
            "claim": claim,
            "here": tally(results, claim),
            "tiny": None if there is None else _tiny(there, claim),
            "outcome": None if there is None else findings.outcome(there, claim),
        }
        for claim in CLAIMS
    ]


def _tiny(results: Results, claim: str) -> dict[Verdict, int]:
    counts: Counter[Verdict] = Counter()
    for arm in of_role("claim"):
        counts.update(findings.tally(results, arm, claim))
    return dict(counts)


def _answers(results: Results, task: str, examples: Sequence[Row]) -> dict[str, Any]:
    """The greedy answers of the first seed to some prompts, spread over the task: before, and after with each arm."""
    rule = results.study.update if results.arms(task) else UPDATES[-1]
    arms = results.arms(task, rule)
    mine = [row for row in examples if (row["task"], row["update"], row["seed"]) == (task, rule, 0)]
    mine = [row for row in mine if row["split"] == SPLITS[0]]
    prompts = list(dict.fromkeys(row["prompt"] for row in mine))
    chosen = [prompts[number * len(prompts) // PROMPTS] for number in range(min(PROMPTS, len(prompts)))]
    rows = []
    for prompt in chosen:
        by_arm = {row["arm"]: row for row in mine if row["prompt"] == prompt}
        first = next(iter(by_arm.values()))
        said = [_said(first, "before"), *(_said(by_arm[arm], "after") if arm in by_arm else "" for arm in arms)]
        rows.append([_quoted(prompt), _quoted(first["reference"]), *said])
    return {"rule": rule, "arms": arms, "rows": rows}


def _said(row: Row, when: str) -> str:
    marks = "**" if row[f"sentence_{when}"] else ""
    return f"{marks}{_quoted(row[when]) or '(empty)'}{marks}"


def _quoted(text: str) -> str:
    return escaped(text).replace('\\"', '"').replace("*", "\\*")
