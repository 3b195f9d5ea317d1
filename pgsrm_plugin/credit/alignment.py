"""From segments of a text to the policy's own tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise, takewhile

from pgsrm_plugin.data.completions import Turns, join_turns, own_turns

Span = tuple[int, int]
Decode = Callable[[Sequence[int]], str]
"""Tokens to text, without special tokens: ``tokenizer.decode(ids, skip_special_tokens=True)``."""

_UNFINISHED = "\ufffd"
"""How decoders write a character of which only some bytes are there."""


def token_spans(ids: Sequence[int], decode: Decode) -> list[Span]:
    """Start and end of each token in ``decode(ids)``; equal ones where a token adds no character.

    The tokens are decoded one after the other, each behind some before it, as a tokenizer may write a token in another
    way at the beginning of a text. Tokens that make a character together all have its place. Where the pieces do not
    add up to the text, since the tokenizer tidies it up afterwards, a token ends where the text of all tokens up to it
    parts from the whole.
    """
    text = decode(ids)
    spans, place = list[Span](), 0
    behind, read = 0, 0  # tokens in sight, and tokens whose characters are known
    for last in range(1, len(ids) + 1):
        before, now = decode(ids[behind:read]), decode(ids[behind:last])
        piece = now[len(before) :]
        if now.endswith(_UNFINISHED) and last < len(ids):
            continue
        if not now.startswith(before) or not text.startswith(piece, place):
            return _by_prefixes(ids, decode, text)
        spans += [(place, place + len(piece))] * (last - read)
        place += len(piece)
        if piece:
            behind, read = read, last
        else:
            read = last
    return spans if place == len(text) else _by_prefixes(ids, decode, text)


def response_spans(ids: Sequence[int], own: Sequence[int], turns: Turns, decode: Decode) -> list[Span]:
    """As :func:`token_spans`, in the text that is scored of a response in which tools wrote, too.

    Tokens that are not scored, and those that the policy did not write, have no character.

    Args:
        own: 1 where the policy wrote the token.
        turns: as :func:`pgsrm_plugin.data.completions.response_text` has it.
    """
    if turns == "all" or all(own):
        return [span if by_policy else (0, 0) for span, by_policy in zip(token_spans(ids, decode), own, strict=True)]
    spans, joined = [(0, 0)] * len(ids), ""
    runs = list(own_turns(own))
    for start, end in runs if turns == "own" else runs[-1:]:
        text = decode(ids[start:end])
        joined = join_turns([joined, text])
        before = len(joined) - len(text)
        spans[start:end] = [(before + first, before + last) for first, last in token_spans(ids[start:end], decode)]
    return spans


def _by_prefixes(ids: Sequence[int], decode: Decode, text: str) -> list[Span]:
    """The same, in time that grows with the square of the length."""
    ends = [0]
    for last in range(1, len(ids) + 1):
        known = _shared(decode(ids[:last]), text) if last < len(ids) else len(text)
        ends.append(max(ends[-1], known))
    return list(pairwise(ends))


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def owners(places: Sequence[Sequence[Span]], spans: Sequence[Span]) -> list[list[int]]:
    """The tokens of each segment.

    A token belongs to the segment that has most of its characters, the first of several. A segment that gets no token
    so, as a token holds more than the whole of it, has the tokens that it is in. White space at the edge of a segment
    counts like any character.

    Args:
        places: of each segment, in the response; several pieces where something stands in between.
        spans: of each token, in the response.

    >>> owners([[(0, 3)], [(3, 5)]], [(0, 2), (2, 5), (5, 5)])
    [[0], [1]]
    """
    found: list[list[int]] = [[] for _ in places]
    touched: list[list[int]] = [[] for _ in places]
    for token, span in enumerate(spans):
        shared = [sum(_overlap(span, piece) for piece in pieces) for pieces in places]
        for number, characters in enumerate(shared):
            if characters:
                touched[number].append(token)
        if any(shared):
            found[shared.index(max(shared))].append(token)
    return [own or others for own, others in zip(found, touched, strict=True)]


def spread(
    credits: Sequence[float], places: Sequence[Sequence[Span]], spans: Sequence[Span]
) -> tuple[list[float], list[bool]]:
    """Each token's credit, and whether it has any: a segment's is shared out equally among its tokens.

    >>> spread([0.6, -0.2], [[(0, 4)], [(4, 6)]], [(0, 2), (2, 4), (4, 6), (6, 6)])
    ([0.3, 0.3, -0.2, 0.0], [True, True, True, False])
    """
    shares: list[list[float]] = [[] for _ in spans]
    for credit, tokens in zip(credits, owners(places, spans), strict=True):
        for token in tokens:
            shares[token].append(credit / len(tokens))
    return [math.fsum(own) for own in shares], [bool(own) for own in shares]


def centred(values: Sequence[float], counted: Sequence[bool]) -> list[float]:
    """The values less the mean of those that are counted; 0 for the others.

    >>> centred([3.0, 1.0, 9.0], [True, True, False])
    [1.0, -1.0, 0.0]
    """
    own = [value for value, counts in zip(values, counted, strict=True) if counts]
    mean = math.fsum(own) / len(own) if own else 0.0
    return [value - mean if counts else 0.0 for value, counts in zip(values, counted, strict=True)]


def _overlap(one: Span, other: Span) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))
