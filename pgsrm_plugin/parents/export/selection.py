"""Which of a parent's references are good enough to train on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pgsrm_plugin.asking.store.answers import Answer
from pgsrm_plugin.parents.export.references import Answered, settings_id
from pgsrm_plugin.parents.review.agreement import Agreements
from pgsrm_plugin.parents.review.quality import check_text

OWN = "own"
"""In place of shares: the sides that the rows themselves name."""


@dataclass(frozen=True)
class Selection:
    """Which references are good enough, and how they are divided.

    Attributes:
        drop: checks of :func:`~pgsrm_plugin.parents.review.quality.check_text`; a reference that fails one is left out.
        agreements: of the prompts' samples, where they were measured.
        min_agreement: prompts below it, or with fewer than two samples, are left out.
        weight: also write ``weight``, the agreement clamped to [0, 1] (1 where a prompt has one sample).
        shares: sides with their shares; empty: one file. ``own``: the sides that rows name in ``extra_info.split``.
        by: what must not be on two sides, ``prompt`` or ``item``.
    """

    drop: frozenset[str] = frozenset({"refusal", "echo"})
    agreements: Agreements | None = None
    min_agreement: float | None = None
    weight: bool = False
    shares: Mapping[str, float] | str = field(default_factory=dict)
    by: str = "prompt"


@dataclass(frozen=True)
class Reference:
    """What is exported of a prompt: distinct references in the order of the samples, and where they come from.

    Attributes:
        samples: usable answers, repeats included.
        measured: whether agreements were; a prompt with one sample then has None.
    """

    texts: tuple[str, ...]
    samples: int
    measured: bool
    agreement: float | None
    parent: Mapping[str, Any]


def usable(answered: Answered, selection: Selection) -> Reference | str:
    """The reference of a prompt, or in words why it has none."""
    if not answered.ok:
        return " and ".join(sorted({answer.status for answer in answered.answers}))
    agreement = None if selection.agreements is None else selection.agreements.of(answered)
    if selection.min_agreement is not None:
        if agreement is None:
            return "with fewer than two samples, so without agreement"
        if agreement < selection.min_agreement:
            return f"of agreement below {selection.min_agreement:g}"
    good: list[Answer] = []
    reasons: dict[str, None] = {}
    for answer in answered.ok:
        failed = [check for check in check_text(answer.prompt, answer.reference or "") if check in selection.drop]
        reasons |= dict.fromkeys(failed)
        good += [] if failed else [answer]
    if not good:
        return f"dropped as {' and '.join(sorted(reasons))}"
    texts = tuple(dict.fromkeys(answer.reference for answer in good if answer.reference is not None))
    first = good[0]
    parent = {
        "model": first.served_model or first.model,
        "revision": first.revision or "",
        "engine": first.engine,
        "settings": settings_id(first.config),
    }
    return Reference(texts, len(good), selection.agreements is not None, agreement, parent)
