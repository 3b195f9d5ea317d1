"""What a gpt-oss model says in its last channel."""

import doctest

import pytest

from pgsrm_plugin.asking import channels
from pgsrm_plugin.asking.channels import final_channel

THOUGHT = "<|channel|>analysis<|message|>User asks a sum."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>four", "four"),
        (f"{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>four<|return|>", "four"),
        ("<|channel|>final<|message|>four<|return|>", "four"),
        ("<|channel|>final <|constrain|>json<|message|>[4]", "[4]"),
        (THOUGHT, ""),
        (f"{THOUGHT}<|end|><|start|>assistant<|channel|>commentary to=f <|constrain|>json<|message|>{{}}<|call|>", ""),
        ("analysisUser asks a sum.assistantfinalfour", "four"),
        ("analysisUser asks a sum.", ""),
        ("analysis of the data gives four", "analysis of the data gives four"),
        ("the assistantfinal word", "the assistantfinal word"),
        ("four<|im_end|>", "four"),
        ("four<|im_end|>\\n<|endoftext|>".replace("\\n", chr(10)), "four"),
        ("<|im_end|> ends a turn", "<|im_end|> ends a turn"),
        ("a |> b", "a |> b"),
        ("four", "four"),
    ],
)
def test_the_last_final_channel(text, said):
    assert final_channel(text) == said


@pytest.mark.parametrize("hostile", ["<|channel|>" * 10**5, "<|channel|>a" * 10**5, " <|end|>" * 10**5 + "x|>"])
@pytest.mark.timeout(10)
def test_hostile_marks_end(hostile):
    final_channel(hostile)


def test_examples():
    assert doctest.testmod(channels).failed == 0
