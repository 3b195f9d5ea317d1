"""What a gpt-oss model says in its last channel, and the marks that end a turn."""

from __future__ import annotations

import re

_MESSAGE = re.compile(r"<\|channel\|>\s{0,4}(\w+)[^<]{0,200}(?:<\|constrain\|>[^<]{0,40})?<\|message\|>")
_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_TURN_END = re.compile(r"(?:\s{0,8}<\|(?:end|return|call|im_end|eot_id|eom_id|endoftext|end_of_text)\|>)+\s*\Z")
_LAST = 400
"""Special tokens at the end are looked for in so many characters: the time has a bound."""
_BARE = re.compile(r"\s*analysis(?=[A-Z])")
"""The marks of the channels are special tokens: a decoder that leaves those out leaves their names."""
_BARE_FINAL = "assistantfinal"


def final_channel(text: str) -> str:
    """What stands in the last channel ``final``, "" where there are other channels alone; other text as it is, without
    the special tokens that end a turn.

    >>> final_channel("<|channel|>analysis<|message|>2+2<|end|><|channel|>final<|message|>4<|return|>")
    '4'
    >>> final_channel("analysisThe user asks 2+2.assistantfinal4"), final_channel("4<|im_end|>")
    ('4', '4')
    """
    messages = list(_MESSAGE.finditer(text))
    if messages:
        finals = [message for message in messages if message[1].casefold() == "final"]
        if not finals:
            return ""
        end = _END.search(text, finals[-1].end())
        return text[finals[-1].end() : len(text) if end is None else end.start()]
    if _BARE.match(text):
        return text.rpartition(_BARE_FINAL)[2] if _BARE_FINAL in text else ""
    return text[:-_LAST] + _TURN_END.sub("", text[-_LAST:], count=1)
