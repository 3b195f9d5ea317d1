"""Where an answer stands in a response: steps, each applied to what the one before it found."""

from __future__ import annotations

from pgsrm_plugin.text import Step
from pgsrm_plugin.text.choice import find_choice
from pgsrm_plugin.text.patterns import find_last
from pgsrm_plugin.text.picks import final_number, inside_box, inside_tag, json_value
from pgsrm_plugin.text.quantity import number_end


def find_answer(
    text: str,
    steps: tuple[Step, ...],
    *,
    tag: str = "answer",
    key: str = "answer",
    pattern: str = "",
    choices: str = "",
    open_end: bool = False,
    whole_numbers: bool = False,
) -> str | None:
    """What the steps find, or None where one finds nothing.

    Args:
        tag, key, pattern, choices: for the steps that need them.
        open_end: a tag that is never closed runs to the end.
        whole_numbers: a number of which the pattern takes the beginning ("5" of "5/2") is taken whole.

    >>> find_answer(r"<answer>so \\boxed{(B)}</answer>", ("tag", "boxed", "choice"), choices="ABCD")
    'B'
    """
    found: str | None = text
    for step in steps:
        if found is None:
            return None
        if step == "tag":
            found = inside_tag(found, tag, open_end)
        elif step == "boxed":
            found = inside_box(found)
        elif step == "json":
            found = json_value(found, key)
        elif step == "regex":
            place = find_last(pattern, found)
            if place is not None and whole_numbers:
                place = place[0], number_end(found, *place)
            found = None if place is None else found[slice(*place)]
        elif step == "number":
            found = final_number(found)
        elif step == "choice":
            found = find_choice(found, choices)
    return found
