"""Which of a response's tokens are scored."""

from __future__ import annotations

import pytest

from pgsrm_plugin.data.completions import (
    after_prompt,
    completion_text,
    drop_special_tokens,
    join_turns,
    own_turns,
    response_text,
)
from pgsrm_plugin.errors import DataError

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


# --- completions as text ----------------------------------------------------------------------------------------------

CHAT = [
    {"role": "assistant", "content": "let me see"},
    {"role": "tool", "content": "the tool's words"},
    {"role": "assistant", "content": "it is 4<|im_end|>"},
    {"role": "tool", "content": "later"},
]


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("4", "4"),
        ("", ""),
        ("a</s> b<|eot_id|><|end_of_text|>", "a b"),
        ("<|endoftext|>", ""),
        ("<\uff5cend\u2581of\u2581sentence\uff5c>4", "4"),
        ("<think>x</think> 4", "<think>x</think> 4"),  # for the spec's text section
        ("1 < 2 and <b>3</b>", "1 < 2 and <b>3</b>"),
        (CHAT, "it is 4"),
        ({"role": "assistant", "content": "4"}, "4"),
        ({"content": "4"}, "4"),
        ([{"role": "assistant", "content": None, "tool_calls": []}], ""),
        ([{"role": "assistant", "content": [{"type": "text", "text": "4"}, {"type": "image"}]}], "4\n"),
    ],
)
def test_a_completion_is_the_policys_last_words(completion, text):
    assert completion_text(completion) == text


@pytest.mark.parametrize(
    ("completion", "message"),
    [
        (None, "must be text, not null"),
        (["4"], "must be text, not a list"),
        ([], "must be text, not a list"),
        ([{"role": "tool", "content": "x"}], "has no message of the assistant"),
        ([{"role": "assistant", "content": 4}], "message 1: 'content' must be text, not the number 4"),
    ],
)
def test_what_is_no_completion_is_refused(completion, message):
    with pytest.raises(DataError, match=f"field 'response'.*{message}"):
        completion_text(completion)


@pytest.mark.parametrize(
    ("text", "prompt", "response"),
    [
        ("1+1=2", "1+1=", "2"),
        ("<|im_start|>user\nq<|im_end|>\nred<|im_end|>", "<|im_start|>user\nq<|im_end|>\n", "red"),
        ("<|begin_of_text|>ask: red", "ask:", " red"),  # the tokenizer's own first token
        ("<s> ask: red</s>", "ask:", " red"),
        ("<pad><pad>ask red<pad>", "ask", " red"),
        ("ask", "ask", ""),
        ("askask", "ask", "ask"),
        ("red", "", "red"),
    ],
)
def test_the_prompt_goes(text, prompt, response):
    assert after_prompt(text, prompt) == response


def test_a_text_of_another_prompt_is_refused():
    with pytest.raises(DataError, match="'answer' does not begin with its prompt 'question'"):
        after_prompt("answer", "question")


def test_special_tokens_are_those_of_the_list():
    assert drop_special_tokens("a<x>b</s>", ("<x>",)) == "ab</s>"
    assert drop_special_tokens("a<x>b", ()) == "a<x>b"
