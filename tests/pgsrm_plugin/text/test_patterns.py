"""Patterns of users on texts of policies: where they match, and that a search for ever is given up and said once."""

from __future__ import annotations

import logging

import pytest

from pgsrm_plugin.text.patterns import SECONDS, _warn, find_last, matches_whole

ENDLESS = r"(a|a)+b?c"
"""Tries each way to read a run of a's, 2^60 of them: shorter forms, such as (a+)+b, the library sees through."""


@pytest.mark.parametrize(
    ("pattern", "text", "place"),
    [
        (r"is (\w+)", "it is red, no, it is blue", (21, 25)),
        (r"(\w+)", "blue", (0, 4)),
        (r"is (\w+)", "red", None),
        (r"is(?: (\w+))?", "it is red, it is", None),  # the last match has no such group
        (r"a(.)", "ab a\n", (1, 2)),  # a dot is no line break
    ],
)
def test_the_place_of_the_last_find(pattern, text, place):
    assert find_last(pattern, text) == place


@pytest.mark.parametrize(
    ("pattern", "text", "matches"), [("a.*b", "a\nb", True), ("a", "ab", False), ("b", "ab", False), ("", "", True)]
)
def test_the_whole_text(pattern, text, matches):
    assert matches_whole(pattern, text) is matches


def test_a_search_for_ever_is_no_match_and_is_said_once(caplog):
    _warn.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert matches_whole(ENDLESS, "a" * 60) is False
        assert find_last(ENDLESS, "a" * 62) is None
    (said,) = caplog.messages
    assert said.startswith(
        f"the pattern '(a|a)+b?c' was given up after {SECONDS} s on a response of about 64 characters, "
    )
