"""A scored batch as the rows of numbers that verl logs beside the reward."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.text.batch import prepare
from pgsrm_plugin.text.clean import normalise_space
from pgsrm_plugin.types import RewardOutput, RewardSample


def row_numbers(output: RewardOutput, samples: Sequence[RewardSample], spec: RewardSpec) -> list[dict[str, float]]:
    """One dict of floats a row: ``reward``, ``acc`` and the ``pgsrm/...`` numbers, the same keys in each.

    ``acc`` is the term ``correctness`` or ``exact_match`` if the spec has one, else whether the response equals the
    ground truth (or, without one, a reference), case and white space aside.
    """
    columns = {"reward": output.total_B.tolist()}
    columns |= {f"pgsrm/{name}": value_B.tolist() for name, value_B in output.terms.items()}
    columns |= {f"pgsrm/{name}/weighted": value_B.tolist() for name, value_B in output.weighted.items()}
    columns |= {f"pgsrm/{name}": value_B.tolist() for name, value_B in output.diagnostics.items()}
    by_kind = {term.kind: name for name, term in spec.terms.items()}
    judge = by_kind.get("correctness") or by_kind.get("exact_match")
    columns["acc"] = output.terms[judge].tolist() if judge else [_is_right(sample, spec) for sample in samples]
    return [{name: float(values[i]) for name, values in columns.items()} for i in range(len(samples))]


def _is_right(sample: RewardSample, spec: RewardSpec) -> bool:
    targets = sample.references if sample.ground_truth is None else (sample.ground_truth,)
    return _form(prepare(sample.response, spec.text).text) in map(_form, targets)


def _form(text: str) -> str:
    return normalise_space(text).casefold()
