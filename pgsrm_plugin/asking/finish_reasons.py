"""Why an answer ended, in the words of engines, endpoints and gateways."""

from __future__ import annotations

from typing import Literal, TypeAlias

Ending: TypeAlias = Literal["whole", "cut", "filtered", "broken"]
"""``whole``: the model was through; ``cut``: there was no room for more; ``filtered``: a filter or the model declined;
``broken``: whatever else."""

_KNOWN: dict[Ending, frozenset[str]] = {
    "whole": frozenset(
        {"stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_str", "stop_token", "complete", "completed"}
    ),
    "cut": frozenset(
        {
            "length",
            "max_length",
            "max_tokens",
            "max_new_tokens",
            "max_output_tokens",
            "model_length",
            "token_limit",
            "length_limit",
            "context_length_exceeded",
            "model_context_window_exceeded",
        }
    ),
    "filtered": frozenset(
        {
            "content_filter",
            "content_filtered",
            "content_policy_violation",
            "safety",
            "sensitive",
            "refusal",
            "recitation",
            "blocklist",
            "prohibited_content",
            "spii",
            "guardrail_intervened",
            "error_toxic",
            "moderation",
        }
    ),
}


def ending_of(reason: str | None) -> Ending:
    """What a finish reason means; a reason that nobody knows is ``broken``, and none at all says nothing amiss.

    >>> ending_of("end_turn"), ending_of("MAX_TOKENS"), ending_of("SAFETY"), ending_of("abort"), ending_of(None)
    ('whole', 'cut', 'filtered', 'broken', 'whole')
    """
    if not reason:
        return "whole"
    name = reason.rpartition(".")[2].casefold().replace("-", "_").replace(" ", "_").removeprefix("finish_reason_")
    return next((ending for ending, names in _KNOWN.items() if name in names), "broken")
