"""What every HTTP endpoint needs: its address, its token, and how long it asks to wait."""

from __future__ import annotations

import email.utils
import functools
import math
import os
import re
import time

import httpx
from pydantic import SecretStr

from pgsrm_plugin.errors import SpecError

RETRIED_STATUSES = frozenset({408, 409, 429})
"""Beside 5xx, the statuses that may pass by waiting."""


def api_token(variable: str | None, field: str) -> SecretStr | None:
    """The token in an environment variable.

    Args:
        variable: its name; None: no token.
        field: what a message calls the setting, e.g. ``encoder.api_key_env``.

    Raises:
        SpecError: the variable is missing or empty, or no HTTP header can carry its value.
    """
    if variable is None:
        return None
    value = os.environ.get(variable, "").strip()
    if not value:
        raise SpecError(f"{field}: the environment variable {variable} is not set, or empty")
    if not (value.isascii() and value.isprintable()):
        raise SpecError(f"{field}: the value of {variable} has characters that no HTTP header can carry")
    return SecretStr(value)


def endpoint_url(base_url: str, path: str, field: str, token_field: str) -> str:
    """The address of one function of an API, e.g. ``/embeddings`` below ``http://host:8000/v1``.

    Raises:
        SpecError: it is no address, or holds a password.
    """
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise SpecError(f"{field}: {error}") from error
    if url.userinfo:
        raise SpecError(f"{field}: leave user and password out of the address; name a token in {token_field}")
    return str(url.copy_with(path=url.path.rstrip("/") + path))


def retry_after(value: str | None) -> float:
    """Seconds to wait by a ``Retry-After`` header, which gives seconds or a date; 0 where absent or unreadable."""
    if value is None:
        return 0.0
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else 0.0
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def redact(text: str, token: SecretStr | None) -> str:
    """The text with the token blotted out, also where JSON writes it with escapes (``\\/``, ``\\u002f``)."""
    return text if token is None else _pattern(token).sub("[token]", text)


@functools.lru_cache(maxsize=8)
def _pattern(token: SecretStr) -> re.Pattern[str]:
    return re.compile("".join(map(_spelled, token.get_secret_value())))


def _spelled(character: str) -> str:
    """A pattern for a character in plain text, in JSON, and in JSON inside JSON."""
    escapes = r"\\{0,3}" if character in '"\\/' else ""
    return rf"(?:{escapes}{re.escape(character)}|\\{{1,2}}u(?i:{ord(character):04x}))"
