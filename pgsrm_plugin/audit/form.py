"""The form that a spec wants of a response: what an attacker would learn before anything else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgsrm_plugin.errors import DataError

if TYPE_CHECKING:
    from pgsrm_plugin.spec import RewardSpec  # not at run time: a package's module may hold a term beside an attack

TEXT, ANSWER, JSON_TEXT = "{text}", "{answer}", "{json}"
_NO_ANSWER = "?"


@dataclass(frozen=True)
class Form:
    """A response with places to fill.

    Attributes:
        template: holds ``{text}`` (or ``{json}``, the text as a JSON string) where what is compared goes, and
            ``{answer}`` where a short answer goes.
    """

    template: str = TEXT

    def __post_init__(self) -> None:
        if TEXT not in self.template and JSON_TEXT not in self.template:
            raise DataError(f"--form {self.template!r} has no place for the text; write {TEXT} where it goes")

    def fill(self, text: str, answer: str | None) -> str:
        """The whole response.

        >>> Form("<why>{text}</why><answer>{answer}</answer>").fill("it is ripe", "B")
        '<why>it is ripe</why><answer>B</answer>'
        """
        before, mark, after = self.template.partition(TEXT if TEXT in self.template else JSON_TEXT)
        shown = json.dumps(text, ensure_ascii=False) if mark == JSON_TEXT else text
        short = _NO_ANSWER if answer is None else answer
        return before.replace(ANSWER, short) + shown + after.replace(ANSWER, short)

    @property
    def asks_answer(self) -> bool:
        """Whether there is a place for a short answer."""
        return ANSWER in self.template

    @property
    def empty(self) -> str:
        """The form with nothing in it."""
        return self.fill("", "")

    @classmethod
    def of(cls, spec: RewardSpec) -> Form:
        """The form that a spec's text section and its terms' tags ask for.

        A term's ``tags`` all occur, in order; what is compared stands in ``text.answer_tag`` (without it, in the last
        of them), a short answer in the others, and in the ``tag`` in which a term looks for one. A pattern is not
        understood: then the caller says the form.
        """
        inner = TEXT
        for step in reversed(spec.text.extract):
            inner = f"\\boxed{{{inner}}}" if step == "boxed" else f'{{"{spec.text.answer_key}": {JSON_TEXT}}}'
        demanded: tuple[str, ...] = next(
            (each for term in spec.terms.values() if (each := tuple(getattr(term, "tags", ())))), ()
        )
        looked_in = [term.tag for term in spec.terms.values() if "tag" in getattr(term, "extract", ())]  # type: ignore[attr-defined]
        scored = spec.text.answer_tag or (demanded[-1] if demanded else "")
        tags = list(dict.fromkeys([*demanded, *([scored] if scored else []), *looked_in]))
        if not scored and tags:
            return cls(inner + "".join(_tagged(tag, ANSWER) for tag in tags))
        return cls("".join(_tagged(tag, inner if tag == scored else ANSWER) for tag in tags) or inner)


def _tagged(tag: str, inside: str) -> str:
    return f"<{tag}>{inside}</{tag}>"
