"""Where in the policy's own tokens a piece of its text ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pgsrm_plugin.policy.base import TokenCodec, Written

_LAST = 64
"""Tokens of a prompt among which a chat template opens the thinking."""


def tokens_until(tokens: Sequence[int], text: str, end: int, policy: TokenCodec) -> tuple[int, ...]:
    """The tokens of a text's beginning: the policy's own, but for one that reaches across its end.

    In place of that one stand the tokens of its part before the end, encoded by themselves; where that part is white
    space, nothing does, for the text that comes after brings the space that it wants.

    Args:
        tokens: of the text.
        end: characters of the beginning.
    """
    whole = whole_tokens(tokens, text, end, policy.decode)
    rest = text[len(policy.decode(tokens[:whole])) : end]
    return (*tokens[:whole], *(policy.encode(rest) if rest.strip() else ()))


def whole_tokens(tokens: Sequence[int], text: str, end: int, decode: Callable[[Sequence[int]], str]) -> int:
    """How many tokens lie wholly before a place in their text; what decodes to nothing there lies after it.

    >>> words = ["so", " it", " is", " <", "answer", ">4"]
    >>> decode = lambda tokens: "".join(words[token] for token in tokens)
    >>> text = decode(range(6))
    >>> whole_tokens(range(6), text, text.index("<"), decode), whole_tokens(range(6), text, text.index("4"), decode)
    (3, 5)
    """
    before = text[:end]
    low, high = 0, len(tokens)
    while low < high:  # the most tokens whose text is not longer
        middle = (low + high + 1) // 2
        if len(decode(tokens[:middle])) <= end:
            low = middle
        else:
            high = middle - 1
    # A character of several tokens decodes to something else before its last one.
    while low and not before.startswith(decode(tokens[:low])):
        low -= 1
    while low and decode(tokens[: low - 1]) == decode(tokens[:low]):
        low -= 1
    return low


def beginning(tokens: Sequence[int], most: int, decode: Callable[[Sequence[int]], str]) -> tuple[int, ...]:
    """The first tokens, at most so many, and fewer where the last ones are a part of a character.

    >>> pieces = [b"caf", b"\\xc3", b"\\xa9", b"!"]
    >>> decode = lambda tokens: b"".join(pieces[token] for token in tokens).decode(errors="replace")
    >>> beginning(range(4), 2, decode), beginning(range(4), 3, decode)
    ((0,), (0, 1, 2))
    """
    text, cut = decode(tokens), max(0, min(most, len(tokens)))
    while cut and not text.startswith(decode(tokens[:cut])):
        cut -= 1
    return tuple(tokens[:cut])


def is_thinking(own: Written, policy: TokenCodec) -> bool:
    """Whether the response is still thinking at its end, in a block that the prompt opened."""
    end = len(own.tokens.prompt) - own.tokens.guidance
    asked, given = own.tokens.prompt[:end], own.tokens.prompt[end:]
    for mark in own.thinking:
        opening, closing = (f"<{mark}>", f"</{mark}") if isinstance(mark, str) else mark
        if policy.decode(asked[-_LAST:]).rstrip().endswith(opening):
            return closing.casefold() not in (policy.decode(given) + own.text).casefold()
    return False
