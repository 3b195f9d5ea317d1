"""Raw text to scored text: cleaned, picked out, measured. The ``text`` section of a spec says how."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from pgsrm_plugin.section import Section, TagName
from pgsrm_plugin.text.thinking import DIALECTS

Step: TypeAlias = Literal["tag", "boxed", "json", "regex", "number", "choice", "whole"]
"""How an answer is found in a text: inside ``<tag>``; inside ``\\boxed{}``; the value of a JSON object's key; the first
group of a pattern; the number that it ends in; the letter that it settles on; all of it."""


def one_or_more(value: Any) -> Any:
    """A word as a list of one."""
    return (value,) if isinstance(value, str) else value


def _marks(value: Any) -> Any:
    """YAML has lists; a pair of marks is one."""
    if isinstance(value, str) and not (value[:1].isalpha() and all(c.isalnum() or c in "-_:." for c in value)):
        raise ValueError(f"{value!r} is no tag's name; for other marks give the pair, e.g. ['[THINK]', '[/THINK]']")
    return value


TagMarks = Annotated[str | Annotated[tuple[str, str], Field(min_length=2)], BeforeValidator(_marks)]
"""The name of a tag, or an opening and a closing mark."""


class TextSpec(Section):
    """What part of a response is scored, and in what form."""

    strip_thinking: bool = Field(True, description="remove thinking blocks; an unclosed one runs to the end")
    thinking_tags: tuple[TagMarks, ...] = Field(
        DIALECTS, description="tags' names, or pairs of an opening and a closing mark; those of known models by default"
    )
    answer_tag: TagName | None = Field(None, description="score only the inside of <tag>; without it: unscorable")
    unclosed: bool = Field(
        False, description="an answer tag that is never closed runs to the end (a stop string took it)"
    )
    extract: Annotated[tuple[Literal["boxed", "json"], ...], BeforeValidator(one_or_more)] = Field(
        (), description="score only this (inside the tag, if one is given); without it: unscorable"
    )
    answer_key: str = Field("answer", min_length=1, description="for json: the key whose value is scored")
    unicode: Literal["NFC", "NFKC", "none"] = Field("NFC", description="Unicode normal form")
    lowercase: bool = False
    max_chars: int = Field(20_000, ge=16, description="longer texts are cut here before encoding, and counted")

    @property
    def steps(self) -> tuple[Step, ...]:
        """Where the answer stands; see :func:`pgsrm_plugin.text.steps.find_answer`."""
        tag: tuple[Step, ...] = ("tag",) if self.answer_tag is not None else ()
        return tag + self.extract

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.answer_tag == "boxed":
            raise ValueError(r"answer_tag looks for <boxed>; for \boxed{...} write extract: boxed")
        if self.unclosed and self.answer_tag is None:
            raise ValueError("unclosed belongs to answer_tag")
        return self
