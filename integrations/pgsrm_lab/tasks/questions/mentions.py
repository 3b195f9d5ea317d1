"""Finds where an explanation names an option by its letter or number, in English, Italian, Spanish and French.

Such a reference pays an answer for writing a label instead of a reason, and is wrong once options are shuffled.
"""

from __future__ import annotations

import re

_OPTION = (
    r"(?:options?|answers?|choices?|alternatives?|statements?|opzion[ei]|rispost[ae]|affermazion[ei]|alternativ[ae]"
    r"|opci[oó]n(?:es)?|respuestas?|alternativas?|afirmaci[oó]n(?:es)?|réponses?|reponses?|propositions?|affirmations?)"
)
_ITEM = (
    r"(?:numbers?|numer[oi]|números?|numéros?|letters?|letter[ae]|letras?|lettres?|points?|punt[oi]|puntos?|items?"
    r"|propuestas?|proposte?|chiffres?|diagn[oó]s\w*|diagnostics?|alteranativas?)"
)
"""What else the sources call one, which in other texts is no option."""
_ORDINAL = (
    r"(?:first|second|third|fourth|fifth|last|prim[ao]|second[ao]|terz[ao]|quart[ao]|quint[ao]|ultim[ao]|primera?"
    r"|segund[ao]|tercera?|cuart[ao]|últim[ao]|premi[eè]re?|deuxième|troisième|quatrième|cinquième|derni[eè]re?)"
)
_DIGIT = r"(?<![\w.,/-])[1-9](?![\w%°/]|[.,-]\d)"
_VERDICT = (
    r"(?:(?:is|was|es|è|est|also|anche|aussi|también)\W+){0,2}"
    r"(?:false|true|wrong|incorrect|correct|right|fals[oaei]|ver[oa]|errat[oa]|sbagliat[oa]|corrett[oa]"
    r"|fals[oa]s?|verdader[oa]|incorrect[oa]|correct[oa]|faux|fausse|vraie?|incorrecte?|correcte)"
)
_REFUSED = (
    r"(?:discard\w*|exclud\w*|mark|rule out|scart\w*|esclud\w*|descart\w*|excl[uû]\w*|marc\w*|écart\w*|élimin\w*)"
)
_LETTER = r"[(\"'«]?\b[A-H]\b(?![.-]?\w|')"

_LABELS = re.compile(
    "|".join(
        (
            rf"\b(?i:{_OPTION})\b[^.;!?\n]{{0,24}}?{_DIGIT}",
            rf"\b(?i:{_OPTION})\b[^\w.;!?]{{1,3}}(?:(?i:is|è|es|est|the|la|correct|number|letter)\s){{0,2}}{_LETTER}",
            rf"\b(?i:{_ORDINAL})\W(?i:{_OPTION})\b",
            r"\b[A-H]\s(?:is|was|è|es|est)\s(?:the\s|la\s)?(?i:right|correct|wrong|false|giust|corrett|fals|juste|fauss)",
            r"\(\s*(?:[1-9]|[A-Ha-h])\s*\)",
        )
    )
)
_NUMBERS = re.compile(
    "|".join(
        (
            r"^\W*[1-9]\s?[-.:)](?!\d)",
            rf"\b(?i:{_ITEM})\b[^.;!?\n]{{0,24}}?{_DIGIT}",
            rf"(?i:\b(?:the|and|but|not|is|il|la|lo|le|les|el|los|las|l'|un|una|y|e|et|ma|pero|mais|no|non|es|è|est))\s+{_DIGIT}",
            rf"{_DIGIT}\s?(?:,|(?i:and|or|y|o|e|et|ou|ed))\s+{_DIGIT}",
            rf"^\W*{_DIGIT}|{_DIGIT}\W*$|{_DIGIT}\s?\(",
            rf"^\W*(?i:in|en|nella|nel|dans|con|with)\s+{_DIGIT}",
            rf"{_DIGIT}\W+(?i:{_VERDICT})\b|\b(?i:{_REFUSED})\s+{_DIGIT}",
        )
    )
)


def named_option(text: str, numbered: bool = False) -> str | None:
    """The words with which a text names an option by letter, number or place; None where it names none.

    Args:
        numbered: the source numbers its options and speaks of them as "2 and 3", so any such number counts. That finds
            too much rather than too little: "after 2 or 3 days" is also found.

    >>> named_option("So option B fits best.")
    'option B'
    >>> named_option("Vitamin B is an option."), named_option("Only 2 and 3 fit.")
    (None, None)
    >>> named_option("Only 2 and 3 fit.", numbered=True)
    '2 and 3'
    """
    found = _LABELS.search(text) or (_NUMBERS.search(text) if numbered else None)
    return found[0].strip() if found else None
