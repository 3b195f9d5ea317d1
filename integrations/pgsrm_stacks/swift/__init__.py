"""ms-swift: reward functions, ``--external_plugins $(python -m pgsrm_stacks.swift) --reward_funcs pgsrm``.

A folder of its own: ms-swift puts a plugin's on the import path, where our other files would hide the packages of
their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pgsrm_plugin.scorer.over_http import is_address
from pgsrm_plugin.scorer.scorer import from_environment
from pgsrm_plugin.spec import load_spec
from pgsrm_stacks.process_scorer import process_scorer, rows_of, stack_use

_USE = stack_use("ms-swift")


class SwiftReward:
    """The reward that ``PGSRM_SPEC`` or ``PGSRM_URL`` names. References are looked for in the data's other columns, as
    ``solution``; ms-swift takes the response's own away.

    Raises:
        ScorerError: when called, the scorer failed, and the run stops.
    """

    number: ClassVar[str] = "reward"

    def __init__(self, args: Any = None, **other: Any) -> None:
        self.args = args

    def __call__(self, completions: Sequence[str], messages: Sequence[Any] = (), **columns: Any) -> list[float | None]:
        """One reward a completion; ``messages`` are conversations with the completion at their end."""
        prompts: Sequence[Any] = [list(said[:-1]) for said in messages] or [""] * len(completions)
        rows = process_scorer(_USE).score_rows(rows_of(prompts, completions, columns))
        return [row[self.number] for row in rows]


def register(orms: dict[str, Any]) -> None:
    """Adds ``pgsrm``, and ``pgsrm_<term>`` for each term: ms-swift logs one number a function, so give terms that shall
    only be seen the weight 0 (``--reward_weights``)."""
    source = from_environment()
    terms = process_scorer(_USE, source).facts.terms if is_address(source) else load_spec(source).terms
    for name, number in {"pgsrm": "reward", **{f"pgsrm_{term}": f"reward/{term}" for term in terms}}.items():
        orms[name] = type(name, (SwiftReward,), {"number": number})


if __name__ != "pgsrm_stacks.swift":  # ms-swift loads the file under a name of its own
    from swift.rewards import orms

    register(orms)
