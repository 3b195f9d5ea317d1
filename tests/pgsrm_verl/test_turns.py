"""Which of a response's tokens are scored."""

from __future__ import annotations

import pytest

from pgsrm_verl.turns import join_turns, own_turns, response_text

WORDS = ["<s>", "look", " it", " up", "<result>", "Paris", "It", " is", " far"]


class Tokenizer:
    def decode(self, ids, skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return "".join(WORDS[int(i)] for i in ids if int(i))


@pytest.mark.parametrize(
    ("turns", "said"),
    [("own", "look it up\nIt is"), ("last", "It is"), ("all", "look it up<result>ParisIt is")],
)
def test_what_tools_wrote_is_scored_only_where_asked_for(turns, said):
    ids, own = [1, 2, 3, 4, 5, 6, 7, 0], [1, 1, 1, 0, 0, 1, 1, 1]
    assert response_text(Tokenizer(), ids, own, turns) == said


@pytest.mark.parametrize("turns", ["own", "last"])
@pytest.mark.parametrize(
    ("ids", "own", "said"),
    [
        ([1, 2, 3], [1, 1, 1], "look it up"),
        ([1, 2, 3], None, "look it up"),
        ([1, 2, 4, 5], [1, 1, 0, 0], "look it"),  # cut off in a tool's answer
        ([4, 5, 7, 8], [0, 0, 1, 1], " is far"),
        ([4, 5], [0, 0], ""),
        ([], [], ""),
    ],
)
def test_one_turn_is_the_same_for_both(turns, ids, own, said):
    assert response_text(Tokenizer(), ids, own, turns) == said


def test_turns_are_found_and_parted():
    assert list(own_turns([0, 1, 1, 0, 0, 1])) == [(1, 3), (5, 6)]
    assert list(own_turns([])) == []
    assert join_turns(["a", "b", "", " c", "d\n", "e"]) == "a\nb c\nd\ne"
    assert join_turns([]) == ""
