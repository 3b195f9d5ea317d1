"""results.parquet -> pages of Markdown. Figures and verdicts on them come from :mod:`.summary`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce import words
from pgsrm_lab.reproduce.arms import ARMS, of_role
from pgsrm_lab.reproduce.collect import tables_folder
from pgsrm_lab.reproduce.files import EXAMPLES
from pgsrm_lab.reproduce.measure import MEASURES
from pgsrm_lab.reproduce.summary import BASELINE, CLAIMS, Results, above, across_tasks, compare, outcome, tally
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.data.whole import write_whole
from pgsrm_plugin.report.compare import Verdict
from pgsrm_plugin.report.templates import environment

SHOWN = ("final_train", "final_held_out", "auc_train", "auc_held_out", "semantic_train", "episodes_to_90")
STEADY = ("smoothness", "kl_variance", "entropy_variance", "value_loss_variance", "kl_jitter")
SHOWN_ACROSS = ("auc_train", "final_train", "semantic_train")
ORDER: tuple[Verdict, ...] = ("not supported", "undecided", "supported")
"""Of the claims on the first page: what was refuted comes first."""
PER_TASK = 4
"""Examples shown of a task."""


def render(path: Path, name: str = "pgsrm") -> dict[str, str]:
    """Each page's text by its path: the findings in ``NAME.md``, and the tables in the folder ``NAME`` beside it."""
    results = Results.read(path)
    examples = _examples(tables_folder(path) / EXAMPLES)
    below = {
        "verdicts": _verdicts(results),
        **{task: _task(results, task, examples.get(task, [])) for task in results.tasks},
        "method": _method(results),
    }
    pages = {f"{name}.md": _findings(results, name)}
    return pages | {f"{name}/{page}.md": _joined([words.MARK, *parts]) for page, parts in below.items()}


def write(results: Path, out: Path) -> None:
    """Writes the findings to a file, and the tables into a folder of its name beside it."""
    for name, text in render(results, out.stem).items():
        page = out.parent / name
        page.parent.mkdir(parents=True, exist_ok=True)
        write_whole(page, text.encode())


def _findings(results: Results, name: str) -> str:
    """The claims with their counts, what else was found, the method in short and its limits."""
    settings = json.loads(results.rows[0]["settings"])
    facts = {
        "name": name,
        "results": results,
        "baseline": BASELINE,
        "about": {arm: ARMS[arm].about for arm in ARMS},
        "runs": len(results.rows),
        "child": settings["child"],
        "parameters": results.rows[0]["child_parameters"],
        "steps": settings["steps"],
        "answers": settings["prompts_per_step"],
        "claims": sorted((_claim(results, claim) for claim in CLAIMS), key=lambda one: ORDER.index(one["outcome"])),
        "controls": [
            (arm, mean, above(results, arm, of_role("claim")))
            for arm in of_role("control")
            if (mean := _mean(results, arm))
        ],
        "exponents": [
            (task, _mean_of(results, task, BASELINE), [_mean_of(results, task, arm) for arm in arms])
            for task, arms in _exponents(results)
        ],
        "reinforce": [(arm, *found) for arm in of_role("claim") if (found := _reinforced(results, arm))],
        "advice": words.advice(results),
        "across": _across(results),
    }
    text = environment(__package__, html=False).get_template("findings.md.j2").render(facts)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _claim(results: Results, claim: str) -> dict[str, Any]:
    arms = [arm for arm in of_role("claim") if arm in results.arms()]
    return {
        "title": claim,
        "outcome": outcome(results, claim),
        "arms": [(arm, tally(results, arm, claim)) for arm in arms],
    }


def _reinforced(results: Results, arm: str) -> tuple[int, int] | None:
    """On how many tasks an arm learned slower than the baseline with the authors' update rule, and of how many."""
    compared = [compare(results, task, arm, "auc_train", update="reinforce") for task in results.tasks]
    found = [one for one in compared if one]
    return (sum(one.verdict == "not supported" for one in found), len(found)) if found else None


def _mean(results: Results, arm: str) -> str:
    found = across_tasks(results, arm, "auc_train")
    return words.spread(found, "auc_train").partition(" (")[0]


def _mean_of(results: Results, task: str, arm: str) -> str:
    return words.cell(results.values(task, arm, "auc_train"), "auc_train").partition(" (")[0]


def _exponents(results: Results) -> list[tuple[str, list[str]]]:
    arms = ["pgsrm-clipped", *of_role("alpha")]
    return [(task, arms) for task in results.tasks if all(arm in results.arms(task) for arm in arms)]


def _verdicts(results: Results) -> Iterable[str]:
    return [
        "# PGSRM, reproduced: the verdicts",
        words.intro(results),
        words.rule(results),
        *(_claims(results, arm) for arm in of_role("claim") if arm in results.arms()),
    ]


def _method(results: Results) -> Iterable[str]:
    return [
        "# PGSRM, reproduced: the method",
        words.method(results.rows[0]),
        "## How each number is measured",
        _glossary(),
        "## The rewards",
        *_specs(results),
        "## What this does not say",
        words.LIMITS,
    ]


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
    title = f"## {arm} against {BASELINE}\n\n`{arm}`: {ARMS[arm].about}."
    return f"{title}\n\n{_table(head, rows)}\n\nOver tasks and measures: {counts}."


def _across(results: Results) -> str:
    rows = []
    for arm in results.arms():
        cells = [across_tasks(results, arm, column) for column in SHOWN_ACROSS]
        if all(cells):
            rows.append([arm, *(words.spread(cell, column) for cell, column in zip(cells, SHOWN_ACROSS, strict=True))])
    return (
        _table(["reward", "accuracy, mean over the run", "final accuracy", "final semantic reward"], rows)
        if rows
        else ""
    )


def _task(results: Results, task: str, examples: Sequence[Sequence[str]]) -> Iterable[str]:
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
    return [
        f"# PGSRM, reproduced: {task}",
        words.start(results, task),
        _table(["reward", *heads], learned),
        f"Less {BASELINE}, paired by seed:",
        _table(["reward", *heads], against),
        _table(["reward", *(MEASURES[name].title for name in STEADY)], steady),
        _table(words.FACTS, [[arm, *words.run_facts(results.of(task, arm))] for arm in results.arms(task)]),
        *_alpha(results, task),
        *_reinforce(results, task),
        *_passed(examples),
    ]


def _alpha(results: Results, task: str) -> Iterable[str]:
    for _, arms in (found for found in _exponents(results) if found[0] == task):
        yield "## The exponent"
        yield "max(0, cos)^alpha:"
        rows = [
            [str(alpha), *(words.cell(results.values(task, arm, name), name) for name in SHOWN_ACROSS)]
            for alpha, arm in zip((1, 2, 4, 8), arms, strict=True)
        ]
        yield _table(["alpha", *(MEASURES[name].title for name in SHOWN_ACROSS)], rows)


def _reinforce(results: Results, task: str) -> Iterable[str]:
    arms = results.arms(task, "reinforce")
    if not arms:
        return
    yield "## The authors' update rule"
    yield words.REINFORCE
    rows = []
    for arm in arms:
        found = compare(results, task, arm, "auc_train", update="reinforce") if arm != BASELINE else None
        cells = [
            words.cell(results.values(task, arm, "auc_train", update), "auc_train") for update in ("ppo", "reinforce")
        ]
        rows.append([arm, *cells, words.gap(found) if found else ""])
    yield _table(["reward", "PPO", "REINFORCE", f"REINFORCE, less {BASELINE}"], rows)


def _passed(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    if rows:
        yield "## What the semantic reward lets pass"
        yield words.PASSES
        yield _table(["prompt", "the parent's answer", "the child's", "cosine"], rows)


def _examples(path: Path) -> dict[str, list[list[str]]]:
    """By task, wrong answers of the first claimed reward that its embedding likes best."""
    if not path.is_file():
        return {}
    rows = [row for _, row in read_rows(path)]
    arm = of_role("claim")[0]
    chosen = [row for row in rows if (row["arm"], row["update"], row["split"]) == (arm, "ppo", "train")]
    table = {}
    for task in dict.fromkeys(row["task"] for row in chosen):
        found: dict[tuple[str, str], list[str]] = {}
        for row in sorted((r for r in chosen if r["task"] == task), key=lambda r: (-r["cosine"], r["prompt"])):
            texts = [_code(row[name]) for name in ("prompt", "reference", "response")]
            found.setdefault((row["reference"], row["response"]), [*texts, f"{row['cosine']:.2f}"])
        table[task] = list(found.values())[:PER_TASK]
    return table


def _specs(results: Results) -> Iterable[str]:
    seen = {row["arm"]: row for row in reversed(results.rows)}
    for arm in results.arms():
        note = f" (its floor is {seen[arm]['task']}'s)" if ARMS[arm].needs_floor else ""
        yield f"`{arm}`: {ARMS[arm].about}{note}\n\n```yaml\n{seen[arm]['spec'].strip()}\n```"


def _glossary() -> str:
    rows = [[measure.title, "" if measure.about == "the same" else measure.about] for measure in MEASURES.values()]
    return _table(["measure", "how"], [row for row in rows if row[1]])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _code(text: str) -> str:
    text = json.dumps(text, ensure_ascii=False)[1:-1].replace("`", "'").strip()
    return f"`{text}`" if text else "(empty)"


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"
