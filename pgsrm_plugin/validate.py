"""Checks of the input rows: everything that is wrong with the data is said before anything is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

from pgsrm_plugin.data.faults import Faults
from pgsrm_plugin.data.layouts import column_texts, whole_text
from pgsrm_plugin.data.rows import labelled
from pgsrm_plugin.encoders.vocabulary import MOST_UNKNOWN, reference_fault
from pgsrm_plugin.errors import DataError, did_you_mean
from pgsrm_plugin.shapes.baselines import Baselines, RowKey
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.text.batch import PreparedBatch, prepare_batch
from pgsrm_plugin.types import RewardSample, Row, Unread, Vocabulary

_SHOWN_VALUES = 5


def row_label(i: int) -> str:
    """``row 1`` for the first row."""
    return f"row {i + 1}"


def check_samples(
    samples: Sequence[RewardSample], spec: RewardSpec, label: Callable[[int], str] = row_label
) -> PreparedBatch:
    """Prepares the rows, and refuses those that the spec's terms cannot score.

    Args:
        label: how a row is called in messages.

    Raises:
        DataError: a field is missing, empty, or of a wrong type; the message names row, field and term of the first
            faulty rows, and counts the others.
    """
    faults, columns = Faults(), list[dict[str, str]]()
    for i, sample in enumerate(samples):
        with faults.collect(), labelled(label(i)):
            _check_types(sample)
            columns.append({**_read_columns(sample, spec), **_switch_columns(sample, spec)})
    faults.check()
    told = {"with_tokens": bool(spec.policy_terms), "as_given": bool(spec.scorer_terms)}
    batch = prepare_batch(samples, spec.text, compares_references(spec), columns, **told)
    baselines = read_baselines(spec)
    rows = zip(batch.rows, batch.first, strict=True)
    problems = [_problem(row, samples[first], spec, baselines) for row, first in rows]
    for i, (sample, row) in enumerate(zip(samples, batch.index_B.tolist(), strict=True)):
        if problems[row] is not None:
            faults.add(f"{label(i)}: {problems[row]}")
        elif spec.needs_groups and sample.group is None:
            who = f"term {spec.grouped_terms[0]!r}" if spec.grouped_terms else f"aggregate: {spec.aggregate.kind}"
            faults.add(f"{label(i)}: field 'group' is missing, and {who} needs it")
    faults.check()
    return batch


def never_on(batch: PreparedBatch, spec: RewardSpec) -> list[str]:
    """Sentences about terms whose ``when`` holds on no row of a data set: a value may be misspelt."""
    said = []
    for name, term in spec.terms.items():
        if term.when is None or not batch.rows or any(map(term.counts, batch.rows)):
            continue
        there = sorted({row.columns[term.when.column] for row in batch.rows})
        more = f" and {len(there) - _SHOWN_VALUES} more" if len(there) > _SHOWN_VALUES else ""
        said.append(
            f"term {name!r} counts on none of the rows: {term.when.column!r} is "
            f"{', '.join(map(repr, there[:_SHOWN_VALUES]))}{more}, and `when` wants "
            f"{' or '.join(map(repr, term.when.equals))}{did_you_mean(term.when.equals[0], there)}"
        )
    return said


def check_known(
    batch: PreparedBatch, vocabulary: Vocabulary | None, encoder: str, label: Callable[[int], str] = row_label
) -> None:
    """Refuses references by their words alone, before training and before any is embedded.

    Args:
        vocabulary: the encoder's; None: nobody can tell.
        encoder: what messages call it.

    Raises:
        DataError: the encoder does not know more than :data:`~pgsrm_plugin.encoders.vocabulary.MOST_UNKNOWN` of a
            reference's words.
    """
    if vocabulary is not None:
        texts = sorted(set(batch.references()))
        unread = dict(zip(texts, vocabulary.unread(texts), strict=True))
        refuse_unread(batch, unread.__getitem__, vocabulary, encoder, label, MOST_UNKNOWN)


def refuse_unread(
    batch: PreparedBatch,
    unread: Callable[[str], Unread],
    vocabulary: Vocabulary | None,
    encoder: str,
    label: Callable[[int], str],
    most: float = 1.0,
    prompts: bool = False,
) -> None:
    """Refuses references of which the encoder knows no word, or does not know a greater share than ``most``.

    Args:
        prompts: whether prompts are compared with, too.

    Raises:
        DataError: naming the row, a word, and what the encoder reads.
    """
    faults = Faults()
    for first, row in zip(batch.first, batch.rows, strict=True):
        for field, texts in (("reference", row.targets), ("prompt", (row.prompt,) if prompts else ())):
            found = (reference_fault(text, unread(text), encoder, vocabulary, most) for text in texts)
            fault = next(filter(None, found), None)
            if fault is not None:
                faults.add(f"{label(first)}: field {field!r}: {fault}")
    faults.check()


def read_baselines(spec: RewardSpec) -> Baselines | None:
    """What the starting policy earned, where the spec's shape asks for it.

    Raises:
        SpecError: the file cannot be read, or is another spec's.
    """
    return None if spec.shape is None else spec.shape.read(spec.unshaped_fingerprint)


def row_key(row: Row, spec: RewardSpec) -> RowKey:
    """What finds a row's baseline: its prompt, and what the spec compares a response with."""
    return RowKey.of(row, references=compares_references(spec), truths=judges_truth(spec))


def compares_references(spec: RewardSpec) -> bool:
    """Whether any term looks at references."""
    return any(term.needs().references for term in spec.terms.values())


def judges_truth(spec: RewardSpec) -> bool:
    """Whether any term looks at the ground truth."""
    return any(term.needs().ground_truth for term in spec.terms.values())


def _switch_columns(sample: RewardSample, spec: RewardSpec) -> dict[str, str]:
    """The columns that the spec's switches look at, as texts."""
    found: dict[str, str] = {}
    for name, term in spec.terms.items():
        if term.when is not None:
            try:
                found |= column_texts(sample.columns, [term.when.column])
            except DataError as error:
                has = ", ".join(map(str, list(sample.columns)[:8])) or "no others"
                raise DataError(f"{error}, and term {name!r} is switched by it (the row has: {has})") from None
    return found


def _read_columns(sample: RewardSample, spec: RewardSpec) -> dict[str, str]:
    """The columns that terms read, as texts; one that is no text as JSON, one that is missing as an empty text."""
    paths = {path for term in spec.terms.values() for path in term.needs().columns}
    return {path: whole_text(sample.columns, path) for path in sorted(paths)}


def _check_types(sample: RewardSample) -> None:
    if not isinstance(sample, RewardSample):
        raise DataError(f"a sample must be a RewardSample, not {_named(sample)}")
    if isinstance(sample.group, bool) or not isinstance(sample.group, str | int | None):
        raise DataError(f"field 'group' must be text or an integer, not {_named(sample.group)}")
    if not isinstance(sample.response, str):
        raise DataError(f"field 'response' must be text, not {_named(sample.response)}")
    if isinstance(sample.references, str) or not isinstance(sample.references, Sequence):
        raise DataError(f"field 'references' must be a tuple of texts, not {_named(sample.references)}")
    for number, reference in enumerate(sample.references, 1):
        if not isinstance(reference, str):
            raise DataError(f"field 'references': number {number} must be text, not {_named(reference)}")
    truth = sample.ground_truth
    if not (isinstance(truth, str | None) or (isinstance(truth, tuple) and all(isinstance(one, str) for one in truth))):
        raise DataError(f"field 'ground_truth' must be text or a tuple of texts, not {_named(truth)}")
    if isinstance(sample.prompt, str):
        return
    if not isinstance(sample.prompt, Sequence) or not all(isinstance(message, Mapping) for message in sample.prompt):
        raise DataError("field 'prompt' must be text or a list of chat messages")
    for number, message in enumerate(sample.prompt, 1):
        assert isinstance(message, Mapping)
        content = message.get("content", 0)
        if not isinstance(content, str | Sequence | None):
            raise DataError(f"field 'prompt': message {number} has no 'content' of text (it has: {', '.join(message)})")


def _problem(row: Row, sample: RewardSample, spec: RewardSpec, baselines: Baselines | None) -> str | None:
    try:
        _check_row(row, sample, spec)
        if baselines is not None:
            baselines.of(row_key(row, spec), row.prompt)
    except DataError as error:
        return str(error)
    return None


def _check_row(row: Row, sample: RewardSample, spec: RewardSpec) -> None:
    needs = {name: term.needs() for name, term in spec.terms.items() if term.counts(row)}
    if len(needs) < len(spec.terms):
        _check_left(set(needs), row, spec)
    comparing = next((name for name, need in needs.items() if need.references), None)
    if comparing is not None:
        _check_references(row, sample, comparing)
    for name in needs:
        term = spec.terms[name]
        if needs[name].prompts and not row.prompt.strip():
            raise DataError(f"field 'prompt' is empty, and term {name!r} compares with it")
        truths = row.ground_truths
        if needs[name].ground_truth and (not all(truth.strip() for truth in truths) or not truths):
            raise DataError(f"field 'ground_truth' is missing, and term {name!r} compares with it")
        term.check_row(row, name)


def _check_left(on: Set[str], row: Row, spec: RewardSpec) -> None:
    """Refuses a row on which the terms that count make no reward."""
    problem = spec.aggregate.lacks(spec.weighed, on)
    if problem is not None:
        values = ", ".join(f"{column} is {value!r}" for column, value in row.columns.items())
        raise DataError(f"{problem} counts on it ({values}); see `when` of the terms")


def _check_references(row: Row, sample: RewardSample, term: str) -> None:
    if not row.references:
        raise DataError(f"field 'reference' is missing, and term {term!r} compares with it")
    for number, (raw, reference) in enumerate(zip(sample.references, row.references, strict=True), 1):
        if reference.unscorable:
            raise DataError(f"field 'reference': number {number} ({raw[:40]!r}) is empty once it is cleaned")


def _named(value: object) -> str:
    return "null" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
