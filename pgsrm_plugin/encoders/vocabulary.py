"""Words that an encoder does not know: their share of a text, and what is said of them."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable

from pgsrm_plugin.encoders.base import EncoderSection
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.text.words import count_words
from pgsrm_plugin.types import Encoder, ReadingEncoder, Unread, Vocabulary

MOST_UNKNOWN = 0.5
"""A reference of which the encoder does not know a greater share of words is refused before training."""
_NAMED = 0.05
_logger = logging.getLogger(__name__)


def vocabulary_of(encoder: Encoder | None) -> Vocabulary | None:
    """The words that an encoder knows, where it tells them."""
    return encoder.vocabulary if isinstance(encoder, ReadingEncoder) else None


def vocabulary_here(section: EncoderSection | None) -> Vocabulary | None:
    """The words that the encoder of a section knows, where this machine can tell; a warning where it should and cannot.

    For processes that do not hold the encoder itself: its files need not be on their machine.
    """
    try:
        return section.vocabulary() if section is not None else None
    except SpecError as error:
        _logger.warning("which words the encoder does not know cannot be told on this machine: %s", error)
        return None


def unknown_share(text: str, unread: Unread) -> float:
    """The share of the text's words (:func:`~pgsrm_plugin.text.words.count_words`) that are unknown, in [0, 1]."""
    return 1.0 if unread.whole else min(1.0, len(unread.words) / max(1, count_words(text)))


def reference_fault(
    text: str, unread: Unread, identity: str, vocabulary: Vocabulary | None, most: float = 1.0
) -> str | None:
    """Why a reference cannot be compared with, to stand after its field; None where it can.

    Args:
        most: the greatest share of unknown words that is allowed, beside that some word is known.
    """
    if unread.whole:
        return (
            f"{text[:60]!r} has no representation: encoder {identity} knows none of its words; correct it, or use "
            f"another encoder{_advice(vocabulary)}"
        )
    share = unknown_share(text, unread)
    if share <= most:
        return None
    return (
        f"{text[:60]!r} is mostly unread: encoder {identity} does not know {share:.0%} of its words "
        f"({unread.words[0][:40]!r}, for one), above {most:.0%}; correct it, or use another encoder"
        f"{_advice(vocabulary)}"
    )


def advice(vocabulary: Vocabulary) -> str:
    """What the encoder reads, and what to take for other texts."""
    return f"this encoder reads {vocabulary.reads}; take a multilingual one"


def _advice(vocabulary: Vocabulary | None) -> str:
    return f" ({advice(vocabulary)})" if vocabulary is not None else ""


def scripts_of(words: Iterable[str]) -> str:
    """The scripts of a vocabulary's words with their shares, those of at least 5 %, by their first letters.

    >>> scripts_of(["red", "blue", "##ish", "красный", "[PAD]", "1"])
    'Latin script (80% of its words), Cyrillic (20%)'
    """
    letters = (next(filter(str.isalpha, word), "") for word in words)
    counts = Counter(unicodedata.name(letter, "other").split(" ")[0] for letter in letters if letter)
    total = counts.total()
    shares = [(script, count / total) for script, count in counts.most_common() if count >= _NAMED * total]
    if not shares:
        return "no words"
    (first, most), *others = [(script if script == "CJK" else script.capitalize(), share) for script, share in shares]
    rest = "".join(f", {script} ({share:.0%})" for script, share in others)
    return f"{first} script ({most:.0%} of its words){rest}"
