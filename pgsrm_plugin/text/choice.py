"""The letter that a response to a multiple-choice question settles on, in sentences of many languages."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import NamedTuple

_SPACED = (
    r"answers?|solution|choice|choose|chosen|respuesta|r[ée]ponse|antwort|l[öo]sung|risposta|resposta|svar|odpowied[źz]|cevap|yan[ıi]t"
    r"|ответ|відповідь|jawaban|đáp\s?án|الجواب|الإجابة|उत्तर|תשובה|απάντηση"
)
_UNSPACED = r"答案|答え|正解|答|应选|故选|选择|選択|选|選|정답|답|คำตอบ"
"""The words after which an answer is given; in scripts without spaces they may stand anywhere."""
_CLAUSE = re.compile(
    rf"(?:(?<![^\W_])(?:{_SPACED})(?![^\W_])|{_UNSPACED}|####|\\boxed)([^.;!?。！？\n]*)", re.IGNORECASE
)
_NOT = re.compile(
    r"\b(?:not|cannot|can't|isn't|is\snot|never|neither|nor|rather\sthan|instead\sof|except|unlike)\b|n't\b|不是|不|非|ではな",
    re.IGNORECASE,
)
_NOISE = re.compile(r"[*_`$]+|\\(?:text|mathrm|mathbf|textbf|boxed)(?=\{)|[{}]|\\[()\[\]]|\\,")
_TAG = re.compile(r"</?[A-Za-z][\w-]*>")
_BUT = re.compile(r"\b(?:but|sondern|mais|sino)\b|而是", re.IGNORECASE)
_WRONG = re.compile(
    r"\)?(?:['’]s|\s(?:is|are|was|were|would\sbe|seems?|looks?))?\s(?:not|wrong|false|incorrect|too|impossible|out)\b"
    r"|\)?\s?(?:不|是错|错)",
    re.IGNORECASE,
)
_PAUSE = re.compile(r"[.;!?,:。！？，、；\n]")
_REACH = 40
_NAMED = r"option|choice|answer|letter|alternative|statement|选项|選択肢"


def find_choice(text: str, choices: str) -> str | None:
    """The one letter that a text settles on, upper-case, or None where it names none or leaves several open.

    Looked for, in this order, and taken from the first place that names exactly one letter: the whole text; the clauses
    that begin with "answer" or its like in 20 languages, each with the first letter that it does not deny; a line, or
    the beginning of the only line, that consists of the letter (``B``, ``(B)``, ``B. Paris``); the letters mentioned
    anywhere. Clauses that name different letters, and "A or B", leave it open: listing all must not pay. A letter
    stands alone: not in a word, not in "vitamin-C", and neither the article A nor the pronoun I.

    >>> find_choice("Answer: C\\nA and B are too small.", "ABCDE"), find_choice("答案是B。", "ABCDE")
    ('C', 'B')
    >>> find_choice("I'd say it is not A but B", "ABCDEFGHIJ"), find_choice("A or B", "ABCDE")
    ('B', None)
    """
    text = _NOISE.sub("", _TAG.sub("\n", unicodedata.normalize("NFKC", text))).strip()
    letters = _letters(choices)
    if whole := letters.whole.fullmatch(text):
        return whole[1].upper()
    clauses = [letters.settled(clause) for clause in _CLAUSE.findall(text)]
    named = [found for found in clauses if found]
    if named:
        return _only(set().union(*named))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    alone = {match[1].upper() for line in lines if (match := letters.whole.fullmatch(line))}
    if alone:
        return _only(alone)
    if (head := letters.head.match(text)) and not letters.head.search(text, head.end()):
        return head[1]
    return _only(letters.mentions(text))


def _only(letters: set[str]) -> str | None:
    return next(iter(letters)) if len(letters) == 1 else None


class _Letters(NamedTuple):
    whole: re.Pattern[str]
    head: re.Pattern[str]
    mentioned: re.Pattern[str]
    joined: re.Pattern[str]

    def settled(self, clause: str) -> set[str]:
        """The first letter of a clause that is not denied, with those joined to it."""
        position = 0
        while match := self.mentioned.search(clause, position):
            position = match.end()
            joined = [match]
            while match := self.joined.match(clause, position):
                joined.append(match)
                position = match.end()
            if not _denied(clause, joined[0].start(), position):
                return {_letter(one) for one in joined}
        return set()

    def mentions(self, text: str) -> set[str]:
        """Every letter that is not denied."""
        return {_letter(one) for one in self.mentioned.finditer(text) if not _denied(text, one.start(), one.end())}


def _letter(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group).upper()


def _denied(text: str, start: int, end: int) -> bool:
    """Whether the sentence says of the letters in this place that they are not the answer."""
    before = _BUT.split(_PAUSE.split(text[max(0, start - _REACH) : start])[-1])[-1]
    after = _PAUSE.split(text[end : end + _REACH])[0]
    return bool(_NOT.search(before) or _WRONG.match(after))


@functools.lru_cache(maxsize=64)
def _letters(choices: str) -> _Letters:
    upper, lower, any_case = f"[{choices}]", f"[{choices.lower()}]", f"[{choices}{choices.lower()}]"
    edge, end = r"(?<![A-Za-z0-9'’])(?<![A-Za-z0-9]-)", r"(?![A-Za-z0-9])(?!-[A-Za-z])"
    # A before a small word is the article, unless the word could follow a choice; I is the pronoun, unless it ends.
    follows = (
        "is|are|was|and|or|but|nor|because|since|as|for|seems|would|must|should|can|cannot|could|may|might|will|does|did"
        "|looks|has|makes|fits|best|only|though|while"
    )
    article = rf"(?<=A)(?!['’])(?!\s(?!(?:{follows})\b)[a-z])"
    pronoun = r"(?<=I)(?=\s?(?:[).:,;!?]|$)|\sis\b|\sbecause\b)"
    mentioned = "|".join(
        [
            rf"\(\s?({any_case})\s?\)",
            rf"(?:{_NAMED})\s({any_case}){end}",
            rf"{edge}({upper}){end}(?:(?<![AI])|{article}|{pronoun})",
            rf"(?:(?<=[:=]\s)|(?<=\bis\s))({lower})(?=\s?(?:[.)]|$))",
        ]
    )
    joint = r",|/|&|\+|,?\s?\b(?:or|and|oder|und|o|y|ou|et)\b|或|和|、"
    return _Letters(
        re.compile(rf"(?:(?:{_NAMED})\s)?[\[(]?\s?({any_case})\s?[\])]?[).:,;]{{0,2}}", re.IGNORECASE),
        re.compile(rf"[-•\s]*[\[(]?({upper})(?:[\])]|[.:](?=\s|$)|\)\s)"),
        re.compile(mentioned, re.MULTILINE),
        re.compile(rf"\)?\s?(?:{joint})\s?(?:option\s)?(?:\(\s?({any_case})\s?\)|({upper}){end})", re.IGNORECASE),
    )
