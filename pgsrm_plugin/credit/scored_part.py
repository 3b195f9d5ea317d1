"""The scored part of a response, with where each of its characters stands in what the policy wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.text.clean import clean
from pgsrm_plugin.text.picks import tag_span
from pgsrm_plugin.text.thinking import visible_spans

Span = tuple[int, int]
_JOINERS = "\u200c\u200d"
"""What is kept or not by the letters on both sides."""


@dataclass(frozen=True)
class Traced:
    """A text whose characters were once another's.

    Attributes:
        places: of each character, in the other text.
    """

    text: str
    places: Sequence[Span]

    def take(self, *spans: Span) -> Traced:
        """The pieces, put together."""
        return Traced(
            "".join(self.text[start:end] for start, end in spans),
            [place for start, end in spans for place in self.places[start:end]],
        )

    def pieces(self, start: int, end: int) -> list[Span]:
        """Where a part of the text stands in the other one; what touches is one piece."""
        found: list[Span] = []
        for place in self.places[start:end]:
            if found and place[0] <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], place[1]))
            else:
                found.append(place)
        return found


def scored_part(raw: str, spec: TextSpec) -> tuple[Traced, list[Span]]:
    """What :func:`pgsrm_plugin.text.batch.prepare` scores of a response, but for letter case; empty where nothing is.

    Beside it the places of what ``max_chars`` cuts away, which would be scored if the text before it were shorter.

    Args:
        spec: one without ``extract``: what is in a box or a JSON object is no prose to share a reward out among.
    """
    traced = _cleaned(raw, spec)
    if spec.strip_thinking:
        traced = traced.take(*visible_spans(traced.text, spec.thinking_tags))
    if spec.answer_tag is not None:
        found = tag_span(traced.text, spec.answer_tag, spec.unclosed)
        traced = traced.take((0, 0) if found is None else (found.start, found.end))
    whole = _stripped(traced)
    scored = _stripped(whole.take((0, spec.max_chars)))
    return scored, whole.pieces(len(scored.text), len(whole.text))


def _stripped(traced: Traced) -> Traced:
    start = len(traced.text) - len(traced.text.lstrip())
    return traced.take((start, max(start, len(traced.text.rstrip()))))


def _cleaned(raw: str, spec: TextSpec) -> Traced:
    text = clean(raw, spec)
    if text == raw:
        return Traced(text, [(place, place + 1) for place in range(len(text))])
    parts = [(span, clean(raw[slice(*span)], spec)) for span in _clusters(raw, spec)]
    if "".join(part for _, part in parts) != text:  # cleaning looked further than a cluster: nothing is sure
        return Traced("", [])
    return Traced(text, [span for span, part in parts for _ in part])


def _clusters(raw: str, spec: TextSpec) -> Iterator[Span]:
    """The shortest pieces that are cleaned as they are beside each other: mostly a character and its marks."""
    start = 0
    for place in range(1, len(raw)):
        before, one = raw[start:place], raw[place]
        joined = one in _JOINERS or before[-1] in _JOINERS
        if not joined and clean(before + one, spec) == clean(before, spec) + clean(one, spec):
            yield start, place
            start = place
    if raw:
        yield start, len(raw)
