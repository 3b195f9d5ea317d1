"""The reward card of a recipe: its spec audited on its own training rows, before verl starts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pgsrm_plugin.audit.auditing import AuditPlan, audit
from pgsrm_plugin.audit.card import Card
from pgsrm_plugin.audit.form import Form
from pgsrm_plugin.audit.limits import Limit, parse_limits
from pgsrm_plugin.audit.pay import Paymaster, as_audited
from pgsrm_plugin.audit.targets import read_rows_of
from pgsrm_plugin.data.files import stream_rows
from pgsrm_plugin.data.rows import Columns
from pgsrm_plugin.errors import DataError, SpecError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec import load_spec
from pgsrm_plugin.validate import judges_truth
from pgsrm_verl.rehearsal.recipe import Recipe
from pgsrm_verl.rehearsal.standin_rows import data_file
from pgsrm_verl.rows import RowReader
from pgsrm_verl.settings import Settings
from pgsrm_verl.streaming.preflight import CONVENTIONS

_LOOKED_AT = 4096
"""Rows of the training file from which those of the audit are drawn."""


@dataclass(frozen=True)
class Demands:
    """What a recipe's card must show: ``pgsrm.gates`` and the command's ``--gate``.

    Attributes:
        rows: to audit; 0: none.
    """

    rows: int
    limits: Sequence[Limit]

    @classmethod
    def of(cls, settings: Settings | None, rows: int, gates: Sequence[str]) -> Demands:
        """Those of both.

        Raises:
            DataError: a gate has no such form or name.
            SpecError: there are gates and nothing to ask.
        """
        wanted = [*(settings.gates if settings is not None else ()), *gates]
        limits = parse_limits(wanted)
        if limits and settings is None:
            raise SpecError(f"--gate {wanted[0]}: the recipe has no reward of this plugin to audit")
        if limits and not rows:
            raise SpecError(f"gate {wanted[0]}: nothing is audited with --audit-rows 0; take 2 rows or more")
        return cls(rows, limits)

    def failures(self, card: Card) -> list[str]:
        """What the card does not keep to."""
        return [failure for limit in self.limits if (failure := limit.failure(card)) is not None]


def asks_policy(settings: Settings) -> bool:
    """Whether the reward has a term that asks the policy: there is no card of it."""
    return bool(load_spec(settings.spec).policy_terms)


def card_of(recipe: Recipe, settings: Settings, rows: int, folder: Path) -> Card:
    """Audits the recipe's reward on a sample of its first training rows.

    Raises:
        DataError: the rows have no references, or are of one prompt; see :func:`pgsrm_plugin.audit.auditing.audit`.
        ScorerError: the encoder or a term failed.
    """
    spec = load_spec(settings.spec)
    path = data_file(recipe, "data.train_files")
    manager = recipe.get("reward.reward_manager.name")
    convention = next((one for one in CONVENTIONS if one == manager), CONVENTIONS[0])
    reader = RowReader.from_settings(settings, convention)
    column = recipe.get("data.prompt_key") or "prompt"
    own = folder / "audited.jsonl"
    with own.open("w", encoding="utf-8") as file:
        for label, row in islice(stream_rows(path), _LOOKED_AT):
            file.write(json.dumps(_as_read(reader, row, column, label), ensure_ascii=False) + "\n")
    found = read_rows_of(own, Columns(), spec.text, judged=judges_truth(spec))
    plan = AuditPlan(spec, spec.name or Path(settings.spec).stem, path.name, Form.of(spec), rows)
    return audit(plan, found, Paymaster(SemanticReward(as_audited(spec))))


def _as_read(reader: RowReader, row: Mapping[str, Any], column: str, label: str) -> dict[str, Any]:
    sample = reader.sample(row, row.get(column), "", label)
    if not sample.references:
        raise DataError(f"{label}: has no reference yet (an online parent writes it), and attacks are made of it")
    found: dict[str, Any] = {"prompt": sample.prompt, "references": list(sample.references)}
    return found if sample.ground_truth is None else {**found, "ground_truth": sample.ground_truth}


__all__ = ["Demands", "asks_policy", "card_of"]
