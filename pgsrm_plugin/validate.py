"""Checks of the input rows: everything that is wrong with the data is said before anything is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.spec.terms import CorrectnessSpec, ExactMatchSpec, LengthSpec, TermSpec
from pgsrm_plugin.text import has_content, prepare_reference
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
    need_truth = [name for name, term in spec.terms.items() if uses_ground_truth(term)]
    for i, sample in enumerate(samples):
        try:
            _check_types(sample)
            if need_references:
                _check_references(sample, need_references[0], spec)
            if need_truth and not (sample.ground_truth or "").strip():
                raise DataError(f"field 'ground_truth' is missing, and term {need_truth[0]!r} compares with it")
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
    return term.kind in ("semantic", "bleu", "rouge", "bertscore")


def uses_ground_truth(term: TermSpec) -> bool:
    """Whether a term compares with the ground truth."""
    return isinstance(term, CorrectnessSpec) or (isinstance(term, ExactMatchSpec) and term.against == "ground_truth")


def _check_types(sample: RewardSample) -> None:
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


def _check_references(sample: RewardSample, term: str, spec: RewardSpec) -> None:
    if not sample.references:
        raise DataError(f"field 'reference' is missing, and term {term!r} compares with it")
    for number, reference in enumerate(sample.references, 1):
        if not has_content(prepare_reference(reference, spec.text)):
            raise DataError(f"field 'reference': number {number} ({reference[:40]!r}) is empty once it is cleaned")


def _named(value: object) -> str:
    return "null" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
