"""Raw text to scored text: cleaned, picked out, measured. The ``text`` section of a spec says how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pgsrm_plugin.section import Section, TagName


class TextSpec(Section):
    """What part of a response is scored, and in what form."""

    strip_thinking: bool = Field(True, description="remove thinking blocks; an unclosed one runs to the end")
    thinking_tags: tuple[TagName, ...] = ("think", "thinking")
    answer_tag: TagName | None = Field(None, description="score only the inside of <tag>; without it: unscorable")
    unicode: Literal["NFC", "NFKC", "none"] = Field("NFC", description="Unicode normal form")
    lowercase: bool = False
    max_chars: int = Field(20_000, ge=16, description="longer texts are cut here before encoding, and counted")
