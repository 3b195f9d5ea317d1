"""Colour mixing as plain data."""

import re

import pytest

from pgsrm_lab.tasks import TASKS, colour_mixing
from pgsrm_lab.tasks.colours import COLOURS, PAIRS, mix, prompt

TASK = colour_mixing()


def colours_of(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"Mix the two colors and output only one lowercase color name: (\w+) and (\w+) is =>", text)
    assert match, text
    return match[1], match[2]


def test_there_are_90_distinct_prompts_worded_as_in_the_paper():
    assert len(set(TASK.prompts)) == 90
    assert {colours_of(text) for text in TASK.prompts} == {(a, b) for a in COLOURS for b in COLOURS if a != b}


def test_the_expert_answers_both_orders_alike_with_one_lowercase_word():
    for text, answer in TASK.expert.items():
        a, b = colours_of(text)
        assert TASK.expert[prompt(b, a)] == answer == mix(a, b)
        assert re.fullmatch(r"[a-z]+", answer)
    assert set(TASK.expert) == set(TASK.prompts)


def test_the_table_says_what_every_child_knows():
    assert mix("yellow", "blue") == "green"
    assert mix("red", "yellow") == "orange"
    assert mix("black", "white") == "gray"
    assert mix("white", "red") == "pink"
    assert len(PAIRS) == 45
    assert 20 <= len(set(PAIRS.values())) <= 28


def test_no_held_out_prompt_is_trained_on_but_its_other_order_is():
    train, held_out = set(TASK.train_prompts), set(TASK.held_out_prompts)
    assert (len(train), len(held_out)) == (75, 15)
    assert not train & held_out
    for text in held_out:
        a, b = colours_of(text)
        assert prompt(b, a) in train


def test_every_colour_is_trained_on_in_both_places():
    pairs = [colours_of(text) for text in TASK.train_prompts]
    assert {a for a, _ in pairs} == {b for _, b in pairs} == set(COLOURS)


def test_the_split_is_the_same_every_time():
    assert TASKS["colours"]() == TASK


def test_a_colour_with_itself_is_no_pair():
    with pytest.raises(KeyError):
        mix("red", "red")
