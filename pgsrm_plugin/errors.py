"""The errors a user can meet. Each message says what is wrong, where, and what to do instead."""

from __future__ import annotations

import difflib
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
