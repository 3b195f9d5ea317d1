"""Which output of a classifier says that the hypothesis follows from the premise."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.errors import SpecError

ENTAILED = frozenset({"entailment", "entailed", "entails", "entail"})
OTHERS = frozenset(
    {"neutral", "contradiction", "contradicts", "contradictory", "not_entailment", "non_entailment", "not_entailed"}
)


def entailed_index(model: str, own: Sequence[str], given: Sequence[str] | None) -> int:
    """The place of the entailment label among a model's outputs, of which it has at least two.

    Args:
        model: what messages call it.
        own: the labels of the model's config, in the order of its outputs.
        given: those of the spec, which go first.

    Raises:
        SpecError: there is one output only, or the labels are not entailment and some of neutral, contradiction and
            not_entailment, in any order.
    """
    where = "labels" if given is not None else "model"
    if len(own) < 2:
        raise SpecError(
            f"{where}: {model} has one output, a score of likeness or relevance; take a cross-encoder trained on "
            "natural language inference, with the labels entailment, neutral and contradiction (or not_entailment)"
        )
    if given is not None and len(given) != len(own):
        raise SpecError(f"labels: {len(given)} are given, and {model} has {len(own)} outputs ({', '.join(own)})")
    labels = list(own if given is None else given)
    strange = [label for label in labels if _plain(label) not in ENTAILED | OTHERS]
    places = [place for place, label in enumerate(labels) if _plain(label) in ENTAILED]
    if len(places) == 1 and not strange:
        return places[0]
    what = f"unknown labels: {', '.join(strange)}" if strange else f"the labels {', '.join(labels)}, not one entailment"
    raise SpecError(
        f"{where}: {model} has {what}. Known are entailment, neutral, contradiction and not_entailment; look up the "
        "order of its outputs and write it, e.g. labels: [contradiction, entailment, neutral], or take another model"
    )


def _plain(label: str) -> str:
    return label.strip().lower().replace("-", "_").replace(" ", "_")
