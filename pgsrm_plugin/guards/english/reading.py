"""A text's words, stems and scopes of negation."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from difflib import Match, SequenceMatcher
from importlib.resources import files
from typing import Any


def listed(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


FUNCTION_WORDS = listed(
    """a an the and or but so to of in on at for by with from is are was were be been being am it its this that these
    those than then there here which who whom whose what where when how why as if while until till though although he
    she they his her their theirs them him me my your our us you we i do does did done doing can could may might must
    shall should will would have has had having about into onto out up down over under off also just only even very too
    quite such some any each both either every all most own same other another s t re ve ll d m since because before
    after between through during against within upon per"""
)
NEGATIONS = listed(
    "not no never none nobody nothing neither nor without hardly rarely seldom nowhere barely scarcely except unless"
)
_DENYING = listed(
    """fail fails failed failing refuse refuses refused refusing decline declines declined unable unlikely unwilling
    neglect neglects neglected forget forgets forgot forbidden impossible"""
)
"""Words that deny what follows them after "to": "he failed to come"."""
_SKIPPING = listed("skip skips skipped skipping omit omits omitted lack lacks lacked lacking")
"""Words that deny their object."""
_NO_DENIAL = listed("sooner only just merely until till")
"""What takes the denial from the "no" or "not" before it: "not only", "not until noon"."""
_COMPARING = listed("fewer less more later earlier")
"""What takes it with the "than" that follows: "no fewer than ten"."""
_BACKWARDS = listed("no none nobody nothing nowhere neither")
"""Negations that also deny what stands before them: "he saw nothing"."""
_BREAKS = listed(
    """, ; : . ! ? ( ) - but because so while although though if when unless and or since that which who"""
)
"""Where a negation's scope ends (NegEx, Chapman et al. 2001)."""
_FALSE = listed("false untrue wrong incorrect myth lie")
"""Words that deny what follows them after "that"."""
_TAKING_THAT = _FALSE | listed(
    """true case correct right accurate fact mean means meant think thinks thought believe believes believed evidence
    sign proof likely possible"""
)
"""Words whose "that" begins what they speak of, so that a negation before them reaches into it: "not true that"."""
_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*|[%€$£°]|[^\w\s]")
_SCOPE = 6
_FAR, _NEAR = 0.35, 0.6
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_CLAUSE = re.compile(
    r"(?<=[.!?;])\s+|, (?=(?:or|but|yet|while|whereas|although|though|and) )|(?<! ) (?=or else |while )"
)
_LETTERS = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Reading:
    """What the guards look at of one text.

    Attributes:
        words: lower-case words, numbers and punctuation marks; contractions taken apart ("can not").
        stems: their stems (Porter 2); of what is no word, itself.
        negated: whether each stands in the scope of a negation.
        is_english: whether rules for English apply: its letters are Latin, and words that only English has are among
            its words wherever there are enough of them to tell.
    """

    words: tuple[str, ...]
    stems: tuple[str, ...]
    negated: tuple[bool, ...]
    is_english: bool

    @functools.cached_property
    def plain(self) -> tuple[str, ...]:
        """The words and numbers, without punctuation marks."""
        return tuple(word for word in self.words if word[0].isalnum())

    @functools.cached_property
    def counts(self) -> Counter[str]:
        """How often each stem of :attr:`plain` occurs."""
        return Counter(stem for word, stem in zip(self.words, self.stems, strict=True) if word[0].isalnum())

    @functools.cached_property
    def denials(self) -> int:
        """How many negations there are; "neither ... nor" is one."""
        paired = "neither" in self.words
        return sum(_denies(self.words, i) for i, word in enumerate(self.words) if not (paired and word == "nor"))

    @functools.cached_property
    def content(self) -> tuple[tuple[str, str, bool], ...]:
        """(word, stem, negated) of each word that is neither a function word nor a negation."""
        return tuple(
            (word, stem, negated)
            for word, stem, negated in zip(self.words, self.stems, self.negated, strict=True)
            if word[0].isalpha() and word not in FUNCTION_WORDS and word not in NEGATIONS
        )


@functools.lru_cache(maxsize=65_536)
def read(text: str) -> Reading:
    """Reads a text.

    >>> reading = read("He can't swim, but he floats.")
    >>> reading.words[:4], [word for word, _, negated in reading.content if negated]
    (('he', 'can', 'not', 'swim'), ['swim'])
    """
    words = tuple(_WORD.findall(_plain(text)))
    stems = tuple(stem(word) for word in words)
    return Reading(words, stems, _negated(words), _is_english(text, words))


@functools.lru_cache(maxsize=65_536)
def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text, cut after a mark that ends one and a space; the text itself where there is none.

    >>> sentences("It rains. Take 2.5 litres!")
    ('It rains.', 'Take 2.5 litres!')
    """
    return tuple(found for found in _SENTENCE.split(text.strip()) if found) or (text,)


def read_english(text: str, other: str) -> tuple[Reading, Reading] | None:
    """Both texts, or None where rules for English do not apply to both."""
    readings = read(text), read(other)
    return readings if all(reading.is_english for reading in readings) else None


@functools.lru_cache(maxsize=65_536)
def likeness(text: str, other: str) -> float:
    """How near two texts are to being copies: difflib's ratio of their words, 0 to 1."""
    matched = sum(block.size for block in blocks(text, other))
    return 2.0 * matched / max(1, len(read(text).words) + len(read(other).words))


@functools.lru_cache(maxsize=65_536)
def blocks(text: str, other: str) -> tuple[Match, ...]:
    """The runs of words that both texts have in the same order, by difflib; ``a`` is the place in the other text."""
    return tuple(SequenceMatcher(None, read(other).words, read(text).words, autojunk=False).get_matching_blocks())


@functools.lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """The stem of an English word (Porter 2), of irregular forms that of the word itself.

    >>> stem("increases"), stem("increasing"), stem("paid")
    ('increas', 'increas', 'pay')
    """
    return str(_stemmer().stemWord(whole_form(word))) if word[0].isalpha() else word


@functools.lru_cache(maxsize=65_536)
def clauses(text: str) -> tuple[str, ...]:
    """The sentences of a text, those with conjunctions and semicolons cut there too; the text itself without any.

    >>> clauses("It rains; take 2.5 litres, or else it rains.")
    ('It rains;', 'take 2.5 litres', 'or else it rains.')
    """
    return tuple(found for found in _CLAUSE.split(text.strip()) if found) or (text,)


@functools.lru_cache(maxsize=65_536)
def statements(response: str, reference: str) -> tuple[tuple[str, str], ...]:
    """What is held against what: the whole texts, and where the response has more sentences or clauses than the
    reference, each of them against that of the reference that is nearest to it. Sentences far from all (0.35) are left
    out, and clauses that are no near copy of any (0.6): what a clause leaves unsaid may be in the next one.

    Who says a thing and its contrary has said more than the reference, and one of both is wrong.
    """
    found = [(response, reference)]
    for cut, least in ((sentences, _FAR), (clauses, _NEAR)):
        said, expected = cut(response), cut(reference)
        for one in said if len(said) > len(expected) else ():
            near = [other for other in expected if _most_likeness(one, other) >= least]
            beside = max(near, key=lambda other: likeness(one, other), default=None)
            if beside is not None and (cut is sentences or likeness(one, beside) >= least):
                found.append((one, beside))
    return tuple(dict.fromkeys(found))


def _most_likeness(text: str, other: str) -> float:
    """What :func:`likeness` cannot exceed."""
    words, others = read(text).words, read(other).words
    return 2 * (Counter(words) & Counter(others)).total() / max(1, len(words) + len(others))


def ramp(value: float, low: float, high: float) -> float:
    """0 up to ``low``, 1 from ``high`` on, a straight line between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").lower()
    text = re.sub(r"\bcan't\b", "can not", re.sub(r"\bwon't\b", "will not", text))
    return re.sub(r"n't\b", " not", text).replace("cannot", "can not")


def _negated(words: tuple[str, ...]) -> tuple[bool, ...]:
    flags = [False] * len(words)
    for i, word in enumerate(words):
        if not _denies(words, i):
            continue
        for j in _reach(words, range(i + 1, len(words)), _SCOPE):
            flags[j] = True if word == "without" else not flags[j]
        if word in _BACKWARDS:
            for j in _reach(words, range(i - 1, -1, -1), _SCOPE // 2):
                flags[j] = True
    return tuple(flags)


def _denies(words: tuple[str, ...], i: int) -> bool:
    following = words[i + 1] if i + 1 < len(words) else ""
    if words[i] in _DENYING:
        return following == "to"
    if words[i] in _SKIPPING:
        return True
    if words[i] in _FALSE:
        return following == "that"
    bounds = following in _NO_DENIAL or (following in _COMPARING and words[i + 2 : i + 3] == ("than",))
    return words[i] in NEGATIONS and not (words[i] in ("no", "not") and bounds)


def _reach(words: tuple[str, ...], places: range, content: int) -> list[int]:
    reached = []
    for place in places:
        if content == 0 or (words[place] in _BREAKS and not _takes_up(words, place)):
            break
        reached.append(place)
        content -= words[place] not in FUNCTION_WORDS
    return reached


def _takes_up(words: tuple[str, ...], place: int) -> bool:
    """Whether a word is such a "that", or opens the clause after it: "not true that when it rains"."""
    that = place if words[place] == "that" else place - 1
    return that > 0 and words[that] == "that" and words[that - 1] in _TAKING_THAT and words[place].isalpha()


def _is_english(text: str, words: tuple[str, ...]) -> bool:
    letters = _LETTERS.findall(text)
    latin = sum(letter.isascii() for letter in letters)
    told = sum(word in FUNCTION_WORDS for word in words)
    return bool(letters) and latin >= 0.9 * len(letters) and (len(words) < 6 or told >= 0.1 * len(words))


def whole_form(word: str) -> str:
    """What an irregular form of a verb or an adjective is a form of; another word itself."""
    return _irregular().get(word, word)


@functools.cache
def _irregular() -> dict[str, str]:
    table = files("pgsrm_plugin.guards.english").joinpath("irregular.txt").read_text(encoding="utf-8")
    pairs = [line.split() for line in table.splitlines()]
    return {pair[0]: pair[1] for pair in pairs}


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")
