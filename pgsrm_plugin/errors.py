"""The errors a user can meet. Each message says what is wrong, where, and what to do instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class PgsrmError(Exception):
    """Base class of every error this package raises on purpose."""


class SpecError(PgsrmError, ValueError):
    """A reward spec, or a setting that depends on it, is wrong."""


class DataError(PgsrmError, ValueError):
    """An input row cannot be scored because of its data (not because of the policy's answer)."""


class ScorerError(PgsrmError, RuntimeError):
    """The scorer itself failed: an encoder is down, answers nonsense, or is not the one expected.

    It is never turned into a reward: the step that asked for rewards fails instead.
    """


class UnscorableError(PgsrmError, ValueError):
    """A response cannot be scored and the spec says ``unscorable: raise``."""


class StoreError(PgsrmError, RuntimeError):
    """A store of a parent's answers cannot be used: it is damaged, no store, or written by another process."""


class StoreBusyError(StoreError):
    """Another process, or another part of this one, is writing to the store."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest known word, or the empty string."""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


_QUOTED = 12
"""A run of so many characters that a message shares with a text is a quotation."""


def without_texts(message: str, texts: Iterable[str]) -> str:
    """A message of somebody else's without what it quotes of the texts that were scored, which no log is to hold.

    Runs of 12 characters and more are left out, shorter texts where they stand in quotation marks.

    >>> without_texts("cannot embed 'my secret answer' of 16 characters", ["my secret answer"])
    "cannot embed '[...]' of 16 characters"
    """
    for text in sorted({text for text in texts if text}, key=len, reverse=True):
        if len(text) < _QUOTED:
            message = re.sub(rf"(['\"]){re.escape(text)}\1", r"\1[...]\1", message)
            continue
        while True:
            found = difflib.SequenceMatcher(None, message, text, autojunk=False).find_longest_match()
            if found.size < _QUOTED:
                break
            message = f"{message[: found.a]}[...]{message[found.a + found.size :]}"
    return message
