"""Clean, visible Unicode: what texts have in common before anything is picked out of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pgsrm_plugin.text import TextSpec

if TYPE_CHECKING:
    from pgsrm_plugin.types import Prompt

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Control and format characters, and all that Unicode calls default-ignorable: they change a text without a trace."""
_ARABIC = "\u0600-\u07ff\u0860-\u08ff\ufb50-\ufdff\ufe70-\ufefc"
_INDIC = "\u0900-\u0dff"
_JOINERS = re.compile(f"(?<![{_ARABIC}{_INDIC}])[\u200c\u200d]+|[\u200c\u200d]+(?![{_ARABIC}{_INDIC}])")
"""Joiners and non-joiners where they do not shape the letters between which they stand."""
_HALF_SPACE = re.compile(f"(?<=[{_ARABIC}])\u200c")
_SPACE = re.compile(r"\s+")


def clean(text: str, spec: TextSpec) -> str:
    """Valid, visible Unicode in normal form: lone surrogates become U+FFFD, what cannot be seen goes."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = _JOINERS.sub("", _INVISIBLE.sub("", text))
    return text if spec.unicode == "none" else unicodedata.normalize(spec.unicode, text)


def has_content(text: str) -> bool:
    """Whether there is a letter, number, punctuation mark or symbol; a braille blank or U+FFFD is none."""
    return any(unicodedata.category(char)[0] in "LNPS" and char not in "\u2800\ufffd" for char in text)


def prompt_text(prompt: Prompt) -> str:
    """The prompt as plain text: chat messages joined by newlines."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(_content(message) for message in prompt)


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))


def normalise_space(text: str) -> str:
    """White space runs to single spaces, ends stripped; a half space is white space."""
    return _SPACE.sub(" ", half_spaces(text)).strip()


def half_spaces(text: str) -> str:
    """Persian's half spaces (non-joiners between Arabic letters) as spaces, as which many write them."""
    return _HALF_SPACE.sub(" ", text)
