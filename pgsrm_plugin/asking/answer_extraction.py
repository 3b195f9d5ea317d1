"""The reference inside a parent's answer: the rules ``json:KEY``, ``tag:NAME``, ``regex:PATTERN``, and none."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pgsrm_plugin.asking.channels import final_channel
from pgsrm_plugin.errors import SpecError, did_you_mean
from pgsrm_plugin.text.clean import has_content
from pgsrm_plugin.text.picks import as_text, inside_tag, json_objects
from pgsrm_plugin.text.thinking import strip_thinking

MAX_CHARS = 20_000
"""A rule looks at the last so many characters of an answer: the time that a pattern takes has a bound."""
KINDS = ("json", "tag", "regex")
_NAME = re.compile(r"[A-Za-z_][\w-]*")

Extractor = Callable[[str], str | None]


def spoken(answer: str) -> str:
    """What an answer says, without thinking, channels and special tokens at its end.

    >>> spoken("<think>2+2</think>4"), spoken("<think>2+2</think>")
    ('4', '')
    """
    return strip_thinking(final_channel(answer))


def build_extractor(rule: str | None, stop: Sequence[str] = ()) -> Extractor:
    """What takes an answer and returns the reference in it, stripped, or None where there is none.

    Args:
        rule: ``json:KEY``: the value of a key of the answer's last JSON object, also inside a code fence or with
            single quotes, a missing brace and the like; ``tag:NAME``: the inside of the last complete ``<NAME>``;
            ``regex:PATTERN``: the first match, or its group where the pattern has one; None: the whole answer. All
            look past thinking, as :func:`spoken` does.
        stop: the texts that end an answer and are left out of it; one with the closing tag lets the last ``<NAME>`` run
            to the end.

    Raises:
        SpecError: the rule is unknown, or its pattern does not compile, has several groups, or may run away.

    >>> build_extractor("json:OUTPUT")('Sure! ```json\\n{"OUTPUT": "orange"}\\n```')
    'orange'
    """
    if rule is None:
        return lambda answer: _filled(spoken(answer))
    kind, colon, argument = rule.partition(":")
    if kind not in KINDS or not colon or not argument:
        nearest = did_you_mean(kind, KINDS)
        raise SpecError(
            f"extract: {rule!r} is no rule{nearest} (json:KEY, tag:NAME or regex:PATTERN; leave it out for the whole)"
        )
    find = _tag_rule(argument, stop) if kind == "tag" else {"json": _json_rule, "regex": _regex_rule}[kind](argument)
    return lambda answer: _filled(find(spoken(answer)[-MAX_CHARS:]))


def _filled(text: str | None) -> str | None:
    return text.strip() if text is not None and has_content(text) else None


def _tag_rule(tag: str, stop: Sequence[str]) -> Extractor:
    if not _NAME.fullmatch(tag):
        raise SpecError(f"extract: {tag!r} is no tag's name; give letters and digits, e.g. tag:answer")
    closing = f"</{tag}>".casefold()
    taken = any(closing in text.casefold() or text.casefold().strip() in closing for text in stop if text.strip())
    return lambda text: inside_tag(text, tag, open_end=taken)


def _json_rule(key: str) -> Extractor:
    name, quotes = re.escape(key), "[\"'\u2018\u2019\u201c\u201d`*]{0,4}"
    quoted = r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|\u201c([^\u201d]*)\u201d"
    loose = re.compile(
        rf"(?<!\w){quotes}{name}{quotes}\s{{0,20}}[:=]\*{{0,2}}\s{{0,20}}(?:{quoted}|([^,}}\n]+))", re.DOTALL
    )

    def find(text: str) -> str | None:
        values = [value for found in json_objects(text) if (value := as_text(found.get(key))) is not None]
        if values:
            return values[-1]
        matches = list(loose.finditer(text))
        return _loose_value(matches[-1]) if matches else None

    return find


def _loose_value(match: re.Match[str]) -> str | None:
    double, single, curly, bare = match.groups()
    if bare is not None:
        bare = bare.strip().strip("\"'`*")
        return None if bare.startswith(("{", "[")) or bare == "null" else bare
    if curly is not None:
        return curly
    if double is not None:
        return str(json.loads(f'"{double}"', strict=False)) if _is_json_text(double) else double
    return single.replace("\\'", "'")


def _is_json_text(inside: str) -> bool:
    try:
        json.loads(f'"{inside}"', strict=False)
    except ValueError:
        return False
    return True


def _regex_rule(pattern: str) -> Extractor:
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise SpecError(f"extract: the pattern {pattern!r} does not compile: {error}") from None
    if compiled.groups > 1:
        raise SpecError(
            f"extract: the pattern {pattern!r} has {compiled.groups} groups, and it is unclear which is the answer; "
            "keep one and write the others as (?:...)"
        )
    if _nests_repeats(_parse(pattern)):
        raise SpecError(
            f"extract: the pattern {pattern!r} repeats something that itself repeats, which can take for ever on an "
            "answer that does not match; write it with one repeat, e.g. [\\w ]+ for (?:\\w+ ?)+"
        )

    def find(text: str) -> str | None:
        match = compiled.search(text)
        return match[compiled.groups] if match else None

    return find


def _parse(pattern: str) -> Any:
    name = "re._parser" if sys.version_info >= (3, 11) else "sre_parse"
    return importlib.import_module(name).parse(pattern)


def _nests_repeats(parsed: Any, inside: bool = False) -> bool:
    """Whether an unbounded repeat stands within another one, at any depth of a parsed pattern."""
    if isinstance(parsed, tuple | list) or hasattr(parsed, "data"):
        items = list(parsed)
        if len(items) == 2 and str(items[0]) in ("MAX_REPEAT", "MIN_REPEAT"):
            _, most, body = items[1]
            endless = int(most) > 1000
            return (endless and inside) or _nests_repeats(body, inside or endless)
        return any(_nests_repeats(item, inside) for item in items)
    return False
