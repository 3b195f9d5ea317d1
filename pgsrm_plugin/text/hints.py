"""What a whole batch of responses says about a wrong setting, where each response alone is only wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.types import Row

_SPECIAL = re.compile(
    r"(<\|[A-Za-z][\w.-]{0,40}\|>|</s>|<eos>|<end_of_turn>|<\|?endoftext\|?>|<｜[^｜<>]{1,40}｜>)\s*$"
)


def hints(rows: Sequence[Row], spec: TextSpec) -> Iterator[tuple[str, str]]:
    """Sentences for the user, each with the name of its kind, where most distinct rows of a batch show a sign."""
    tag = spec.answer_tag
    if tag is not None and all(row.response.unscorable == "no answer tag" for row in rows):
        opening = f"<{tag}>".lower()
        if all(opening in row.visible.lower() for row in rows):
            yield (
                "unclosed",
                f"no response of the batch closes <{tag}>, and all open it: a stop string may have taken it away; "
                "let the answer run to the end with text: {unclosed: true}, or keep the stop string in the output",
            )
    special = [match[1] for row in rows if (match := _SPECIAL.search(row.raw[-64:]))]
    if 2 * len(special) > len(rows):
        yield (
            "special tokens",
            f"{len(special)} of {len(rows)} distinct responses end in a special token ({special[0]}), scored as "
            "text: decode them with skip_special_tokens=True",
        )
