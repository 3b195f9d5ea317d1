"""What is wrong with a parent's answers: checks that need no model. A flag is a reason to look, not a verdict."""

from __future__ import annotations

import functools
import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pgsrm_plugin.asking.answer_extraction import Extractor, spoken
from pgsrm_plugin.asking.store.answers import Answer
from pgsrm_plugin.parents.review.refusals import refusal
from pgsrm_plugin.text.clean import normalise_space, prompt_text
from pgsrm_plugin.types import Prompt

CHECKS = {
    "failed": "no answer: the call failed, or the answer was broken off",
    "refused": "the endpoint or its content filter declined",
    "empty": "the answer is blank, or nothing but thinking",
    "truncated": "it ran into max_tokens; raise --max-tokens",
    "unextracted": "the extraction rule found nothing in it",
    "refusal": "it begins like a refusal",
    "echo": "it repeats the prompt",
    "script": "much of it is in a script that the prompt does not use (not language: French passes for English)",
    "format": "it does not have the format asked for",
    "repeated": "many prompts have exactly this reference",
}
"""Each check and what it says. The first five are how a call ended; such an answer is never a reference."""
TEXT_CHECKS = ("refusal", "echo", "script", "format", "repeated")
_EXAMPLES = 5
_LETTERS = 2000
_ECHO_CHARS = 12
_MANY = 3


@dataclass(frozen=True)
class FlaggedAnswer:
    """One answer with something wrong: the check's name, the answer's key, and what was seen."""

    check: str
    key: str
    prompt: str
    text: str
    detail: str = ""


@dataclass
class Quality:
    """Counts and examples of each check over a store's answers."""

    answers: int = 0
    prompts: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[FlaggedAnswer]] = field(default_factory=dict)

    def add(self, flagged: FlaggedAnswer) -> None:
        self.counts[flagged.check] += 1
        kept = self.examples.setdefault(flagged.check, [])
        if len(kept) < _EXAMPLES and all(one.prompt != flagged.prompt for one in kept):
            kept.append(flagged)

    def share(self, check: str) -> float:
        """In [0, 1], of the answers."""
        return self.counts[check] / self.answers if self.answers else 0.0


def check_text(prompt: Prompt, reference: str, fits: Extractor | None = None) -> dict[str, str]:
    """The checks that a reference fails, each with what was seen: refusal, echo, script, format; thinking aside.

    Args:
        fits: the format that references must have, as an extraction rule; see
            :func:`~pgsrm_plugin.asking.answer_extraction.build_extractor`.
    """
    reference = spoken(reference)
    seen = {"refusal": refusal(reference), "echo": echo(prompt, reference), "script": other_script(prompt, reference)}
    if fits is not None and fits(reference) is None:
        seen["format"] = "nothing in it fits"
    return {check: detail for check, detail in seen.items() if detail}


def inspect(answers: Iterable[Answer], fits: Extractor | None = None, repeated: float = 0.05) -> Quality:
    """All checks over a store's answers, one answer in memory at a time.

    Args:
        fits: see :func:`check_text`; it looks at the raw answer.
        repeated: a reference that at least this share of the prompts have, and at least 3 of them, is flagged.
    """
    quality, prompts, pairs = Quality(), set[bytes](), set[bytes]()
    holders: Counter[bytes] = Counter()
    examples: dict[bytes, FlaggedAnswer] = {}
    for answer in answers:
        quality.answers += 1
        asked = _digest(prompt_text(answer.prompt))
        prompts.add(asked)
        if answer.reference is None:
            quality.add(_flagged(answer.status, answer, answer.error or answer.finish_reason or ""))
            continue
        for check, detail in check_text(answer.prompt, answer.reference).items():
            quality.add(_flagged(check, answer, detail))
        if fits is not None and fits(answer.text) is None:
            quality.add(_flagged("format", answer, "nothing in it fits"))
        form = _digest(normalise_space(answer.reference).casefold())
        if form + asked not in pairs:
            pairs.add(form + asked)
            holders[form] += 1
        if holders[form] == _MANY:
            examples.setdefault(form, _flagged("repeated", answer, ""))
    quality.prompts = len(prompts)
    for form, count in holders.most_common():
        if count < max(_MANY, repeated * len(prompts)):
            break
        quality.add(replace(examples[form], detail=f"{count} of {len(prompts)} prompts"))
    return quality


def _flagged(check: str, answer: Answer, detail: str) -> FlaggedAnswer:
    return FlaggedAnswer(check, answer.key, prompt_text(answer.prompt), answer.reference or answer.text, detail)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def echo(prompt: Prompt, text: str) -> str:
    """Says so where a text begins with its prompt (the last message of a chat) or is a part of it; else "".

    >>> echo("Which colour is the sky?", "Which colour is the sky? Blue."), echo("Is it red or blue?", "blue")
    ('begins with the prompt', '')
    """
    asked = prompt if isinstance(prompt, str) else prompt_text(prompt[-1:])
    asked, said = (normalise_space(words).casefold().rstrip(".?!:= >") for words in (asked, text))
    if len(said) < _ECHO_CHARS or not asked:
        return ""
    if len(asked) >= _ECHO_CHARS and said.startswith(asked):
        return "begins with the prompt"
    return "is a part of the prompt" if len(said) >= 0.5 * len(asked) and said in asked else ""


def other_script(prompt: Prompt, text: str) -> str:
    """The script of at least 30 % of a text's letters that makes up less than 5 % of its prompt's; else "".

    Han, kana and bopomofo count as one. It looks at the first 2,000 letters, and at texts of 8 letters or more.

    >>> other_script("What colour is the sky?", "\u041d\u0435\u0431\u043e \u0441\u0438\u043d\u0435\u0435")
    '100 % Cyrillic'
    """
    said, asked = _scripts(text), _scripts(prompt_text(prompt))
    if said.total() < 8 or not asked.total():
        return ""
    for name, count in said.most_common():
        share = count / said.total()
        if share >= 0.3 and asked[name] < 0.05 * asked.total():
            return f"{share:.0%}".replace("%", " %") + f" {name.capitalize()}"
    return ""


def _scripts(text: str) -> Counter[str]:
    letters: list[str] = []
    for character in text:
        if character.isalpha():
            letters.append(character)
        if len(letters) == _LETTERS:
            break
    return Counter(map(_script, letters))


_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "BOPOMOFO", "HALFWIDTH", "IDEOGRAPHIC")
_LATIN = ("LATIN", "FULLWIDTH", "MODIFIER", "FEMININE", "MASCULINE", "MICRO", "MATHEMATICAL", "DOUBLE-STRUCK", "SCRIPT")


@functools.lru_cache(maxsize=4096)
def _script(character: str) -> str:
    first = unicodedata.name(character, "OTHER").split()[0]
    return "HAN" if first in _EAST_ASIAN else "LATIN" if first in _LATIN else first
