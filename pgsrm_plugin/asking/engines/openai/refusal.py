"""What an HTTP status other than 200 means for the call and for the run."""

from __future__ import annotations

import json
import re
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
        paid: whether the endpoint may have answered nevertheless, and wants its money.
    """

    def __init__(self, reason: str, wait_s: float = 0.0, counts: bool = True, paid: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.counts = counts
        self.paid = paid


class CallError(Exception):
    """This request will not be answered, however often it is asked.

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

    @property
    def words(self) -> str:
        """What the server says, as text; all that it sent where it is no JSON of a known form."""
        try:
            return _dug(json.loads(self.text)) or self.text
        except (ValueError, RecursionError):
            return self.text

    def __str__(self) -> str:
        return f"answered {self.status} {self.words[:_EXCERPT]!r}"


_WORDS = ("message", "msg", "detail", "error", "errors", "title")


def _dug(value: Any, depth: int = 6) -> str:
    """The message inside an error document, wherever servers put it; a list's by ``;``, a place before its message."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and depth:
        return "; ".join(filter(None, (_dug(one, depth - 1) for one in value[:5])))
    if not isinstance(value, dict) or not depth:
        return ""
    said = next((found for name in _WORDS if (found := _dug(value.get(name), depth - 1))), "")
    place = value.get("loc")
    return f"{'.'.join(map(str, place))}: {said}" if said and isinstance(place, list) else said


_DENIED = (
    r"not permitted|not supported|unsupported|does ?n[o']t support|not allowed|unrecognized|not recognized|unknown"
    r"|unexpected|extra_forbidden"
)
_FIELDS = {
    "seed": "leave the field out with --seed none",
    "temperature": "leave the field out with --temperature none",
    "max_tokens": "name the field otherwise: --engine-arg max_tokens_field=max_completion_tokens",
    "stop": "leave --stop out",
    "top_p": "leave --top-p out",
}
_TOO_LONG = re.compile(r"too (?:large|long)|maximum|exceed", re.IGNORECASE)
_SYSTEM = "this model takes no system prompt: put its text at the beginning of the prompts"


def unwanted_field(words: str) -> str:
    """What to do about a field of the request that a server does not take, or "".

    >>> unwanted_field("body.seed: Extra inputs are not permitted")
    'leave the field out with --seed none'
    """
    if _TOO_LONG.search(words) or not re.search(_DENIED, words, re.IGNORECASE):
        return ""
    found = (hint for name, hint in _FIELDS.items() if re.search(rf"(?<![\w]){name}(?![\w])", words))
    return next(found, "")


def unwanted_role(words: str) -> str:
    """What to do about a system prompt that a model's template does not take, or "".

    >>> unwanted_role("System role not supported") == unwanted_role("too long")
    False
    """
    about = re.search(r"\bsystem\b.{0,40}\b(?:role|message|prompt|instruction)|role.{0,20}\bsystem\b", words, re.I)
    denied = re.search(_DENIED + "|not enabled|must alternate", words, re.I)
    return _SYSTEM if about and denied else ""


def judge(refusal: Refusal, url: str, key_variable: str | None, succeeded: bool) -> Exception:
    """The error that a refusal amounts to.

    Args:
        url: of the endpoint, for messages.
        key_variable: the environment variable of the token.
        succeeded: whether the endpoint answered an earlier call. If so, 403, 404 and complaints of a field are about
            this request.
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
    if not succeeded and (hint := unwanted_field(refusal.words)):
        return _useless(url, refusal, hint)
    hint = unwanted_role(refusal.words) or unwanted_field(refusal.words)
    return CallError(f"{refusal}; {hint}" if hint else str(refusal))


def _useless(url: str, refusal: Refusal, hint: str) -> ScorerError:
    return ScorerError(f"{url} {refusal}; {hint}")
