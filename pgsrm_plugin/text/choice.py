"""The letter that a response to a multiple-choice question settles on, in sentences of many languages."""

from __future__ import annotations

import bisect
import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

_TAG = re.compile(r"</[A-Za-z][\w-]*>|<(?![A-Z]>)[A-Za-z][\w-]*>")
_BOX = re.compile(r"\\f?boxed\s?(?=\{)")
_SPACE = re.compile(r"\\[,;:! ]|~")
_NOISE = re.compile(r"[*_`$]+|\\(?:text|mathrm|mathbf|textbf)(?=\{)|[{}]|\\[()\[\]]")
_QUOTED = re.compile(r"(?<!\w)[\"'‘’“”「『《【<\[]\s?([A-Z])\s?[\"'‘’“”」』》】>\]](?!\w)")
# Nouns whose letter is their name, and numbers in words, after which it is a unit.
_THING = re.compile(
    r"(?i)\b(?:vitamin|hepatitis|influenza|type|points?|groups?|class|grade|figure|samples?|solutions?|patients?"
    r"|phase|gas|factor|angles?|nodes?|blocks?|objects?|species|compounds?|substances?|elements?|war|part|degrees"
    r"|one|two|three|four|five|six|seven|eight|nine|ten|hundred|thousand|million)\s$"
)
_LATIN = r"respuesta|r[ée]ponse|antwort|l[öo]sung|risposta|resposta|svar|odpowied[źz]|cevap|yan[ıi]t|jawaban|đáp\s?án"
_OTHER = r"ответ|відповідь|απάντηση|الجواب|الإجابة|उत्तर|תשובה"
_UNSPACED = r"(?:答案|正确选项)(?:应该?)?(?:是|为|选)?|答え|正解|答(?=\s?:)|应选|故选|정답|답|คำตอบ"
_GOOD = r"correct|right|best|final|only|proper|true|(?:most|least)\s\w{1,20}"
_NAMED = r"option|choice|answer|letter|alternative|statement|选项|選択肢"
_CAPITAL = r"(?-i:[A-Z])(?![A-Za-z0-9])"
# Up to ten words between "answer" and "is": none of them a letter ("answer A is wrong"), a plural or a doubt.
_GAP = rf"(?:[ ,(]+(?!{_CAPITAL}|choices|options|could|might|may)[\w'’-]{{1,30}}\)?){{0,10}}?"
_LINK = (
    r"(?:[ ,]*\b(?:is|was|are|isn['’]t|wasn['’]t|(?:would|must|should|will|has\sto|can\sonly|cannot|can['’]t)\sbe)\b"
    r"|[\"'’]?\s?[:=]|\s?(?:-+>|→))(?!\s(?:between|among|either|one\sof))"
)
_AT_LAST = rf"(?=(?:option\s)?\(?{_CAPITAL}\)?\s*(?:[.!]|$))"
_RETRACTION = (
    r"\b(?:wait|actually|but|however|on\s(?:reflection|second\sthought)|re-?(?:check|consider|examin|think)\w*"
    r"|correction|mistaken?|oops|sorry|instead|scratch\sthat|hold\son|sin\sembargo|jedoch|cependant"
    r"|that(?:['’]s|\sis)\s(?:wrong|not|incorrect)|no(?=[,.!]))\b|不对|等等|等一下|更正|重新|然而|其实|但|しかし|いや|待って"
)
_RETRACT = re.compile(rf"(?i){_RETRACTION}")
_IT = r"it['’]s|it\sis|(?:it\s)?(?:should|must)\sbe|I\smean|make\s(?:it|that)|应该?[是为]"
# After this an answer is given; after "it is" only by the very next word, to correct what was said.
_ANSWER = re.compile(
    rf"(?im)(?:\b(?:answers?|(?:{_GOOD})\s(?:choice|option|alternative|statement|solution|one)){_GAP}{_LINK}"
    rf"|(?<![^\W_])(?:(?:{_LATIN})(?![^\W_])(?!\s{_CAPITAL})|(?:{_OTHER})(?![^\W_]))|{_UNSPACED}|####"
    rf"|\b(?P<it>{_IT}|(?:{_RETRACTION})[,\s]{{1,3}}{_AT_LAST}))\s*"
)
# After this too, but only where nothing gives it more plainly: options are also discussed so.
_PICK = re.compile(
    rf"(?im)(?:\b(?:choice|option|solution|alternative|statement){_GAP}{_LINK}"
    r"|\b(?:choose|chose|chosen|select|pick|go(?:ing)?\swith)\b(?!\s(?:between|among|from))"
    r"|选择(?!题)|选(?![项择题出取])|選択(?!肢)|選(?!択)"
    rf"|(?P<direct>\b(?:answer|{_LATIN}|correspond\w*\sto|match(?:es)?)\b|的(?:选项)?[是为]"
    rf"|\b(?:therefore|thus|hence|so|I(?:['’]d)?\s(?:say|think|guess|believe))[,\s]{{1,2}}{_AT_LAST}))\s*"
)
_STOP = re.compile(r"[;!?。！？\n]|(?<!\bi\.e)(?<!\be\.g)\.(?![\d,a-z])|\b(?:because|since)\b|因为")
_FILLER = re.compile(
    r"(?i)[\s,:=>→\-–—\"'’“”】\])是为為就选選择擇項项はが은는]*"
    rf"(?:(?:\b(?:the|la|le|die|therefore|thus|hence|indeed|still|most\slikely|[a-z]+ly)\b|{_NAMED})[\s,:]*)*"
)
_IF = re.compile(r"(?i)\b(?:if|unless|had)\b[^.;!?\n]*$")
_NOT = re.compile(
    r"(?i)(?:\b(?:not|cannot|never|neither|nor|none\sof|rather\sthan|instead\sof|except|unlike"
    r"|nicht|pas|não|no\ses)|n['’]t)\b"
)
# Said of what a relative clause is about ("the only one that does not fit is B"), not of the letter.
_THAT_NOT = re.compile(r"(?i)\b(?:that|which|who)\s(?:(?:\w+\s)?not\b|\w+n['’]t\b)")
_DOUBT = re.compile(
    r"(?i)(?:\bnot|n['’]t|\bnever)\s(?:think|believe|say|mean|imply|true|clear|certain|sure)\b|^\s*is\s(?:it|the)\s$"
    r"|\b(?:wrong|incorrect|(?:whether|if|is|suppose|assum\w+)\s(?:that\s)?(?:the|my)(?:\s\w+)?)\sanswers?\b"
)
_NOT_UNSPACED = re.compile(r"[不非](?:[是应能可该会要选为择]|选项)*\s?\(?$")
_PAUSE = re.compile(r"(?i)[.;!?,:。！？，、；\n]|\b(?:but|sondern|mais|sino)\b|而是")
_NOUN = re.compile(rf"(?i)\b(?:answer|choice|{_LATIN})\b")
_IS = r"(?::|['’]s|\s(?:is|are|was|were|(?:would|must)\sbe|seems?|looks?)(?:\s(?:all|both|also|clearly|indeed))?)"
_WRONG = re.compile(
    rf"(?i)\)?{_IS}?\s(?:not|wrong|false|incorrect|too|impossible|out|no)\b"
    r"|\)?\s(?:cannot|do(?:es)?\snot|(?:can|does|do|is|are|was)n?['’]t|fails?|ist\sfalsch|est\sfau(?:x|sse))\b"
    r"|\)?\s?(?:选?项|選択肢)?(?:说法)?[均都皆也是]*(?:不|错|误)|\)?\s?(?:では|じゃ)(?:な|あり)|\)?[가이]\s?아니"
)
_RIGHT = re.compile(
    rf"(?i)\)?{_IS}\s(?:(?:the|my|thus|most|only)\s)*(?:correct|right|best|true|answer|appropriate)\b"
    r"(?!\s(?:if|in|but|only))|\)?\s?(?:选?项)?(?:说法)?(?:才?是)?(?:正确|对(?![于比应]))"
)
_GIVEN = re.compile(r"(?i)(?:\b(?:is|be)|[:=为是选])\s?\(?$")
_REACH = 40


def find_choice(text: str, choices: str) -> str | None:
    """The one letter that a text settles on, upper-case, or None where it names none or leaves several open.

    Looked for, in this order, and taken from the first place that names exactly one letter: the whole text; what
    follows "the answer is" or its like in 20 languages; what follows "choose", "the option is" and the like; a line, or
    the beginning of the only line, that consists of the letter (``B``, ``(B)``, ``B. Paris``); what is called correct;
    the letters mentioned anywhere. Two different answers, and "A or B", leave it open, for listing all must not pay;
    but an answer after "wait", "however" and the like replaces those before. A letter stands alone: not in a word, not
    in "vitamin C" or "10 J", and neither the article A nor the pronoun I.

    >>> find_choice("Answer: C\\nA and B are too small.", "ABCDE"), find_choice("答案是B。", "ABCDE")
    ('C', 'B')
    >>> find_choice("I'd say it is not A but B", "ABCDEFGHIJ"), find_choice("A or B", "ABCDE")
    ('B', None)
    """
    text = _BOX.sub("#### ", _TAG.sub("\n", unicodedata.normalize("NFKC", text)))
    text = _QUOTED.sub(r"(\1)", _NOISE.sub("", _SPACE.sub(" ", text))).strip().lstrip("-• ")
    letters = _letters(choices)
    if whole := letters.whole.fullmatch(text):
        return whole[1].upper()
    places = list(letters.places(text))
    if named := letters.stated(text, places, _ANSWER) or letters.stated(text, places, _PICK):
        return _only(named)
    if alone := {match[1].upper() for line in text.splitlines() if (match := letters.whole.fullmatch(line.strip()))}:
        return _only(alone)
    head = letters.item.match(text)
    if head and not letters.item.search(text, head.end()) and not _WRONG.match(text, head.end()):
        return head[1]
    held = [place for place in places if not place.denied and not place.several]
    return _only(set().union(*(place.letters for place in [one for one in held if one.right] or held)))


def _only(letters: set[str]) -> str | None:
    return next(iter(letters)) if len(letters) == 1 else None


class _Place(NamedTuple):
    """Where a text names a letter, or several joined ones."""

    start: int
    end: int
    letters: set[str]
    plain: bool  # "(B)" or "option B"
    several: bool  # "AC", a word unless it is all of an answer
    denied: bool
    right: bool


class _Letters(NamedTuple):
    whole: re.Pattern[str]
    item: re.Pattern[str]
    row: re.Pattern[str]
    mentioned: re.Pattern[str]
    joined: re.Pattern[str]

    def places(self, text: str) -> Iterator[_Place]:
        position = 0
        while match := self.mentioned.search(text, position):
            chain, position = [match], match.end()
            while more := self.joined.match(text, position):
                chain.append(more)
                position = more.end()
            before = text[max(0, match.start() - _REACH) : match.start()]
            plain, several = match.lastindex in (1, 2), match.lastindex == 5
            if not plain and _THING.search(before[-12:]):
                continue
            wrong = bool(_WRONG.match(text, position))
            if wrong and len(chain) > 1 and chain[1][0].lstrip(" )").startswith(",") and _GIVEN.search(before):
                chain, wrong = [match], False  # "the answer is C, A and B are wrong"
            letters = {letter for one in chain for letter in next(group for group in one.groups() if group).upper()}
            phrase, right = _PAUSE.split(before)[-1], bool(_RIGHT.match(text, position))
            of_it = _THAT_NOT.sub("", _NOUN.split(phrase)[-1])
            denied = wrong or any((_NOT.search(of_it), _DOUBT.search(phrase), _NOT_UNSPACED.search(phrase)))
            yield _Place(match.start(), chain[-1].end(), letters, plain, several, denied, right)

    def stated(self, text: str, places: list[_Place], giving: re.Pattern[str]) -> set[str]:
        """What the clauses after "the answer is" and its like name, less what is taken back."""
        found: set[str] = set()
        starts, last, opened = [place.start for place in places], 0, False
        intros = list(giving.finditer(text))
        for number, intro in enumerate(intros, 1):
            kind, start = intro.lastgroup, intro.end()
            before = text[max(0, intro.start() - 2 * _REACH) : intro.start()]
            if (kind == "it" and not opened) or ("would" in intro[0] and _IF.search(before)):
                continue
            opened = True
            limit = intros[number].start() if number < len(intros) else len(text)
            stop = _STOP.search(text, start, limit)
            inside = slice(*(bisect.bisect_left(starts, at) for at in (start, stop.start() if stop else limit)))
            place = _chosen(text, start, [one for one in places[inside] if not one.denied], direct=bool(kind))
            if place is None:
                continue
            retracted, last = _RETRACT.search(text, last, place.start), place.end
            if kind == "it" and found and not retracted:
                continue
            found = place.letters | (set() if retracted else found)
            if "\n" in intro[0]:  # the letter stands on the next line, and may begin a list
                found |= {row[1] for row in self.row.finditer(text, place.end, place.end + 8 * _REACH)}
        return found


def _chosen(text: str, start: int, places: list[_Place], *, direct: bool) -> _Place | None:
    """The place that a clause means: its very next word, else "option X" or "(X)", else the first letter."""
    near = places and places[0].start - start <= _REACH and _FILLER.fullmatch(text, start, places[0].start)
    if direct or (near and not places[0].several):
        return places[0] if near else None
    plain = next((place for place in places if place.plain), places[0] if near else None)
    return plain or next((place for place in places if not place.several), None)


@functools.lru_cache(maxsize=64)
def _letters(choices: str) -> _Letters:
    upper, lower, any_case = f"[{choices}]", f"[{choices.lower()}]", f"[{choices}{choices.lower()}]"
    # After a number or a degree it is a unit, before = or < or > a variable.
    edge = r"(?<![A-Za-z0-9°\u00b5-\u04ff])(?<![A-Za-z]['’])(?<![A-Za-z0-9]-)(?<![\d°]\s)"
    end, variable = r"(?![A-Za-z0-9])(?!-[A-Za-z])", r"(?!\s?[=<>≈→])"
    # A before a small word is the article, unless the word could follow a choice; so is I the pronoun.
    verbs = "is|are|was|seems|looks|would|must|should|can|cannot|could|may|might|will|does|did|has|makes|fits"
    follows = rf"{verbs}|and|or|but|nor|because|since|as|for|best|only|though|while"
    article = rf"(?<=A)(?!['’])(?!\s(?!(?:{follows})\b)[a-z])|(?<=\b(?:is|es|be)\sA)|(?<=\b(?:est|ist)\sA)"
    pronoun = r"(?<=I)(?!['’])(?!\s(?!(?:is|because)\b)[a-z])"
    mentioned = (
        rf"\(\s?({any_case})\s?\)|(?i:{_NAMED})\s?({upper}{end}(?:(?<!I)|{pronoun})|{lower}(?=\s?(?:[).:,;]|$)))"
        rf"|{edge}({upper}){end}{variable}(?:(?<![AI])|{article}|{pronoun})"
        rf"|(?:(?<=[:=]\s)|(?<=\bis\s))({lower})(?=\s?(?:[.)]|$))|{edge}({upper}{{2,}}){end}"
    )
    # After a comma or nothing at all, a letter that begins a sentence of its own ("B, A is a gas") is not joined.
    joint = r"/|&|\+|,?\s?\b(?:or|and|oder|und|o|y|ou|et)\b|或|和|与|、"
    own = r"(?!\s(?!(?:and|or|are|both|all)\b)[a-z]|[\u3040-\u9fff](?<![和或与及都均皆]))"
    joined = (
        rf"\)?\s?(?i:{joint})\s?(?i:option\s)?(?:\(\s?({any_case})\s?\)|({upper}){end})"
        rf"|\)?(?:, ?| )({upper}){end}{variable}{own}|\)?,? ?\(({any_case})\)"
    )
    return _Letters(
        re.compile(rf"(?:(?:{_NAMED})\s)?[\[(]?\s?({any_case})\s?[\])]?[).:,;]{{0,2}}", re.IGNORECASE),
        re.compile(rf"{edge}[\[(]?({upper})(?:[\])]|[.:](?=\s|$))"),
        re.compile(rf"\n[-•\s(\[]*({upper})(?:[.:)\]]|\s*(?:\n|$))"),
        re.compile(mentioned, re.MULTILINE),
        re.compile(joined),
    )
