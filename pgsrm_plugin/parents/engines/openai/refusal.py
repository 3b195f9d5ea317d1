"""What an HTTP status other than 200 means for the call and for the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pgsrm_plugin.endpoint import RETRIED_STATUSES, asked_wait_s
from pgsrm_plugin.errors import ScorerError

_EXCERPT = 300
_FILTERED = {"content_filter", "content_policy_violation"}
_NO_MONEY = {"insufficient_quota", "billing_not_active"}


class TransientError(Exception):
    """An attempt failed in a way that may pass.

    Attributes:
        wait_s: what the server asked for, else 0.
        counts: whether it is held against the retries; being told to wait is not.
    """

    def __init__(self, reason: str, wait_s: float = 0.0, counts: bool = True) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.counts = counts


class CallError(Exception):
    """This request will not be answered.

    Attributes:
        refusal: what a content filter said, if that is why.
    """

    def __init__(self, reason: str, refusal: str | None = None) -> None:
        super().__init__(reason)
        self.refusal = refusal


@dataclass(frozen=True)
class Refusal:
    """An answer with a status other than 200; its text is free of secrets."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def wait_s(self) -> float:
        """Seconds that the server asks to wait, else 0."""
        return asked_wait_s(self.headers)

    @property
    def codes(self) -> set[str]:
        """The machine-readable names of the error, as far as there are any."""
        try:
            answer: Any = json.loads(self.text)
            error = answer.get("error", answer)
            return {value for name in ("code", "type") if isinstance(value := error.get(name), str)}
        except (ValueError, AttributeError, RecursionError):
            return set()

    def __str__(self) -> str:
        return f"answered {self.status} {self.text[:_EXCERPT]!r}"


def judge(refusal: Refusal, url: str, key_variable: str | None, succeeded: bool) -> Exception:
    """The error that a refusal amounts to.

    Args:
        url: of the endpoint, for messages.
        key_variable: the environment variable of the token.
        succeeded: whether the endpoint answered an earlier call. If so, 403 and 404 are about this request.
    """
    status = refusal.status
    if refusal.codes & _NO_MONEY or status == 402:
        return _useless(url, refusal, "the account has no credit; top it up and run the same command again")
    if status == 429:
        return TransientError(str(refusal), refusal.wait_s, counts=False)
    if status in RETRIED_STATUSES or status >= 500:
        return TransientError(str(refusal), refusal.wait_s)
    if 300 <= status < 400:
        return _useless(url, refusal, "a redirect, which is not followed; set base_url to its target")
    if status == 401 or (status == 403 and not succeeded):
        hint = f"check the token in ${key_variable}" if key_variable else "name the token's variable in api_key_env"
        return _useless(url, refusal, hint)
    if status in (404, 405) and not succeeded:
        return _useless(url, refusal, "check the model's name, and that base_url ends as the endpoint wants (/v1)")
    if refusal.codes & _FILTERED:
        return CallError(str(refusal), refusal=refusal.text[:_EXCERPT])
    return CallError(str(refusal))


def _useless(url: str, refusal: Refusal, hint: str) -> ScorerError:
    return ScorerError(f"{url} {refusal}; {hint}")
