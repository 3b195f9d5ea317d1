"""results.parquet -> the page: sentences are the templates', numbers and verdicts are made here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce.files import EXAMPLES
from pgsrm_lab.reproduce.semantic.explaining import TINY
from pgsrm_lab.reproduce.semantic.judging import COLUMNS, MEASURES, SPLITS
from pgsrm_lab.reproduce.semantic.mixtures import ARMS
from pgsrm_lab.reproduce.semantic.verdicts import BEST, PAIRS, PAPERS, Claim, Part, claims, parts, ratings
from pgsrm_lab.reproduce.study import Row
from pgsrm_lab.reproduce.summary import Results, cells, shared
from pgsrm_lab.reproduce.writing import escaped, markdown
from pgsrm_lab.tasks.questions.public import PUBLIC_SETS
from pgsrm_plugin.data.files import read_rows

TABLE = (
    "cosine",
    "accuracy",
    "claims",
    "rouge",
    "format",
    "contradicted",
    "length",
    "consistent",
    "repetition",
    "overpaid",
)
MOST = 2
"""Questions of each split whose answers are shown in report.html; the page has the first of them."""


def render(results: Results, folder: Path, name: str) -> dict[str, str]:
    """The page's text by its path."""
    return {f"{name}.md": markdown(__package__, "semantic.md.j2", {"name": name, **facts(results, folder)})}


def facts(results: Results, folder: Path) -> dict[str, Any]:
    """What the page and report.html say."""
    found = parts(results)
    said = {part.name: claims(part) for part in found}
    return {
        **shared(results),
        "splits": SPLITS,
        "papers": PAPERS,
        "first_seed": min(row["seed"] for row in results.rows),
        "only_tiny": all(part.child == TINY for part in found),
        "public": [part.task for part in found if part.task in PUBLIC_SETS],
        "arms_there": [ARMS[arm] for arm in results.arms()],
        "measured": [
            (MEASURES[f"{column}_new"].title.partition(",")[0], MEASURES[f"{column}_new"].about) for column in COLUMNS
        ],
        "overview": _overview(said),
        "parts": [_of_part(part, said[part.name], folder) for part in found],
        "seconds": sum(float(row["seconds"]) for row in results.rows),
    }


def _overview(said: Mapping[str, Sequence[Claim]]) -> list[list[str]]:
    """A row a claim: its verdict on each part, held-out questions before trained ones."""
    rows = []
    for claim in (BEST, *(pair.said for pair in PAIRS)):
        verdicts = [" / ".join(one.verdict for one in found if one.said == claim) for found in said.values()]
        if any(verdicts):
            rows.append([claim, *verdicts])
    return rows


def _of_part(part: Part, said: Sequence[Claim], folder: Path) -> dict[str, Any]:
    results, row = part.results, part.results.rows[0]
    there = results.arms(part.task)
    return {
        "name": part.name,
        "task": part.task,
        "seeds": part.seeds,
        "runs": len(results.rows),
        "arms": there,
        "not_run": [arm for arm in ARMS if arm not in there],
        "claims": said,
        "unrated": [arm for arm in there if len(results.of(part.task, arm)) < part.seeds],
        "ratings": {split: ratings(part, split) for split in SPLITS},
        "tables": {split: _table(part, split) for split in SPLITS},
        "columns": [MEASURES[f"{column}_new"].title.partition(",")[0] for column in TABLE],
        "questions": _questions(part, folder / EXAMPLES),
        "settings": json.loads(row["settings"]),
        "origin": row.get("origin"),
        "parameters": row["child_parameters"],
        "asked": {split: len(json.loads(row["cosines"])[split]) for split in SPLITS},
        "command": _command(part),
    }


def _command(part: Part) -> str:
    """What ran it."""
    there = part.results.arms(part.task)
    words = ["pgsrm reproduce semantic"]
    if part.child != TINY:
        words.append(f"--child {part.child}")
    if part.task in PUBLIC_SETS:
        words.append(f"--tasks {part.task}")
    if there != list(ARMS):
        words.append(f"--arms {','.join(there)}")
    return " ".join([*words, f"--seeds {part.seeds} --jobs 2"])


def _table(part: Part, split: str) -> list[list[str]]:
    columns, rows = [f"{column}_{split}" for column in TABLE], []
    for arm in part.results.arms(part.task):
        seeds = len(part.results.of(part.task, arm))
        fewer = f", {seeds} seed{'' if seeds == 1 else 's'}" if seeds < part.seeds else ""
        rows.append([f"`{arm}`{fewer}", *cells(part.results, part.task, arm, columns)])
    return rows


def _questions(part: Part, path: Path) -> list[dict[str, Any]]:
    """Some questions of each split with every arm's answer of the first seed."""
    if not path.is_file():
        return []
    runs = {row["digest"]: row["seed"] for row in part.results.rows}
    first = min(runs.values())
    rows = [row for _, row in read_rows(path) if runs.get(row["digest"]) == first]
    found = []
    for split in SPLITS:
        asked = list(dict.fromkeys(row["prompt"] for row in rows if row["split"] == split))
        for number, prompt in enumerate(asked[3 : 3 + MOST]):
            answers = {row["arm"]: row for row in rows if row["split"] == split and row["prompt"] == prompt}
            found.append({"split": SPLITS[split], "first": number == 0, **_question(prompt, answers)})
    return found


def _question(prompt: str, answers: Mapping[str, Row]) -> dict[str, Any]:
    any_row = next(iter(answers.values()))
    listed = [(arm, escaped(answers[arm]["response"]), answers[arm]["cosine"]) for arm in ARMS if arm in answers]
    return {
        "question": escaped(" ".join(prompt.split("\n")[:-1])),
        "reference": escaped(any_row["reference"]),
        "key": any_row["key"],
        "answers": listed,
    }
