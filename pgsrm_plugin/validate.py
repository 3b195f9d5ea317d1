"""Checks of the input rows: everything that is wrong with the data is said before anything is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.spec.terms import CorrectnessSpec, ExactMatchSpec, LengthSpec, TermSpec
from pgsrm_plugin.text.clean import clean, parse_number, prepare_reference
from pgsrm_plugin.types import RewardSample


def row_label(i: int) -> str:
    """``row 1`` for the first row."""
    return f"row {i + 1}"


def check_samples(samples: Sequence[RewardSample], spec: RewardSpec, label: Callable[[int], str] = row_label) -> None:
    """Refuses rows that the spec's terms cannot score.

    Args:
        label: how a row is called in messages.

    Raises:
        DataError: a field is missing, empty, or of a wrong type; the message names row, field and term.
    """
    need_references = [name for name, term in spec.terms.items() if uses_references(term)]
    need_truth = {name: term for name, term in spec.terms.items() if uses_ground_truth(term)}
    for i, sample in enumerate(samples):
        try:
            _check_types(sample)
            if need_references:
                _check_references(sample, need_references[0], spec)
            for name, term in need_truth.items():
                _check_truth(clean(sample.ground_truth or "", spec.text), name, term)
            if spec.aggregate == "group_normalised" and sample.group is None:
                raise DataError("field 'group' is missing, and aggregate: group_normalised needs it")
        except DataError as error:
            raise DataError(f"{label(i)}: {error}") from None


def uses_references(term: TermSpec) -> bool:
    """Whether a term compares with references."""
    if isinstance(term, ExactMatchSpec):
        return term.against == "references"
    if isinstance(term, LengthSpec):
        return term.mode == "relative"
    return term.kind in ("semantic", "contrast", "bleu", "rouge", "bertscore")


def uses_ground_truth(term: TermSpec) -> bool:
    """Whether a term compares with the ground truth."""
    return isinstance(term, CorrectnessSpec) or (isinstance(term, ExactMatchSpec) and term.against == "ground_truth")


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
    if sample.ground_truth is not None and not isinstance(sample.ground_truth, str):
        raise DataError(f"field 'ground_truth' must be text, not {_named(sample.ground_truth)}")
    if isinstance(sample.prompt, str):
        return
    if not isinstance(sample.prompt, Sequence) or not all(isinstance(message, Mapping) for message in sample.prompt):
        raise DataError("field 'prompt' must be text or a list of chat messages")
    for number, message in enumerate(sample.prompt, 1):
        assert isinstance(message, Mapping)
        content = message.get("content", 0)
        if not isinstance(content, str | Sequence | None):
            raise DataError(f"field 'prompt': message {number} has no 'content' of text (it has: {', '.join(message)})")


def _check_references(sample: RewardSample, term: str, spec: RewardSpec) -> None:
    if not sample.references:
        raise DataError(f"field 'reference' is missing, and term {term!r} compares with it")
    for number, reference in enumerate(sample.references, 1):
        if prepare_reference(reference, spec.text).unscorable:
            raise DataError(f"field 'reference': number {number} ({reference[:40]!r}) is empty once it is cleaned")


def _check_truth(truth: str, name: str, term: TermSpec) -> None:
    if not truth.strip():
        raise DataError(f"field 'ground_truth' is missing, and term {name!r} compares with it")
    if not isinstance(term, CorrectnessSpec):
        return
    if term.compare == "number" and parse_number(truth) is None:
        raise DataError(f"field 'ground_truth': {truth[:40]!r} is no number, and term {name!r} compares numbers")
    if term.extract == "choice" and truth.strip().upper() not in set(term.choices):
        raise DataError(
            f"field 'ground_truth': {truth[:40]!r} is not one of the letters {term.choices} of term {name!r}"
        )


def _named(value: object) -> str:
    return "null" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
