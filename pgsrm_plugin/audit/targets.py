"""The rows of an audit: what was asked, what to compare with, what is known to be good."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pgsrm_plugin.data.faults import Faults
from pgsrm_plugin.data.layouts import absent
from pgsrm_plugin.data.rows import Columns, Record, parse_row, read_records
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.text.batch import prepare_reference
from pgsrm_plugin.text.clean import prompt_text
from pgsrm_plugin.types import RewardSample, ground_truths

MOST_RESPONSES = 8
"""Of a row with more responses, so many are looked at."""


@dataclass(frozen=True)
class Target:
    """A row to attack.

    Attributes:
        record: the row as it was read; its references are those that responses are compared with.
        asked: the prompt; of chat messages, the user's last one.
        targets: the references in the form in which they are compared.
        right: every text that is known to be right, also where it is held out.
        responses: what the data has as answers to it, right or wrong.
    """

    record: Record
    asked: str
    targets: tuple[str, ...]
    right: tuple[str, ...] = ()
    responses: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How messages call the row."""
        return self.record.label

    @property
    def reference(self) -> str:
        """The reference that attacks are made of."""
        return self.targets[0]

    @property
    def truth(self) -> str | None:
        """The short right answer, if there is one."""
        return next(iter(ground_truths(self.record.ground_truth)), None)

    @property
    def key(self) -> str:
        """What the row's random choices depend on: its texts, not its place."""
        parts = (prompt_text(self.record.prompt), *self.record.references, *ground_truths(self.record.ground_truth))
        return hashlib.sha256("\x00".join(parts).encode("utf-8", "replace")).hexdigest()

    def rng(self, *purpose: object) -> random.Random:
        """Random choices of the row for a purpose."""
        return random.Random(":".join([*map(str, purpose), self.key]))

    def sample(self, response: str) -> RewardSample:
        """What the reward scores."""
        return self.record.sample(response)

    def without_reference(self, held_out: int) -> Target:
        """The same row, with one of its references no longer compared with."""
        references = [one for number, one in enumerate(self.record.references) if number != held_out]
        targets = [one for number, one in enumerate(self.targets) if number != held_out]
        return replace(self, record=replace(self.record, references=tuple(references)), targets=tuple(targets))


def read_rows_of(path: Path, columns: Columns, text: TextSpec, *, judged: bool) -> list[Target]:
    """The rows of a file, one for each distinct prompt, references and ground truth.

    Raises:
        DataError: the file cannot be read, has no references, or has fewer than two rows.
    """
    prompts = replace(columns, response=None)
    records = read_records(path, responses=False, columns=prompts, judged=judged)
    lacking = [record for record in records if not any(one.strip() for one in record.references)]
    if records and len(lacking) == len(records):
        raise DataError(
            f"{path}: no row has a reference, and attacks are made of references; "
            "name their place with --reference-field, or let a parent write them (pgsrm parent generate)"
        )
    faults, found = Faults(), dict[str, Target]()
    for record in records:
        with faults.collect():
            one = _target(record, _responses(record, columns, judged), text)
            known = found.get(one.key)
            found[one.key] = one if known is None else replace(known, responses=known.responses + one.responses)
    faults.check()
    if len({one.asked for one in found.values()}) < 2:
        raise DataError(f"{path}: an audit needs rows of at least 2 prompts: one attack is another prompt's reference")
    return list(found.values())


def drawn_rows(targets: Sequence[Target], count: int, seed: int) -> list[Target]:
    """A sample that does not depend on the order of the rows, in that order."""
    ranked = sorted(targets, key=lambda one: hashlib.sha256(f"{seed}:{one.key}".encode()).digest())
    chosen = {one.key for one in ranked[:count]}
    return [one for one in targets if one.key in chosen]


def _target(record: Record, responses: tuple[str, ...], text: TextSpec) -> Target:
    if not record.references:
        raise DataError(f"{record.label}: field 'reference' is missing, and attacks are made of it")
    targets = tuple(prepare_reference(one, text) for one in record.references)
    for number, one in enumerate(targets, 1):
        if one.unscorable:
            raise DataError(f"{record.label}: field 'reference': number {number} is empty once it is cleaned")
    texts = tuple(one.text for one in targets)
    return Target(record, _asked(record), texts, (*texts, *ground_truths(record.ground_truth)), responses)


def _responses(record: Record, columns: Columns, judged: bool) -> tuple[str, ...]:
    if columns.response is None and all(absent(record.row.get(name)) for name in ("response", "responses")):
        return ()
    own = parse_row(record.row, record.label, columns=columns, judged=judged)
    return tuple(one.response for one in own if one.response is not None)


def _asked(record: Record) -> str:
    if isinstance(record.prompt, str):
        return record.prompt
    users = [message for message in record.prompt if message.get("role") == "user"] or list(record.prompt)
    return prompt_text(users[-1:])
