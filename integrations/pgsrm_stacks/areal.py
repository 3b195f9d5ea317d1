"""AReaL: ``reward_fn="pgsrm_stacks.areal.reward"``, a client of ``pgsrm serve`` (``PGSRM_URL``).

AReaL gives a reward 15 s from the moment it is asked for, and takes 0 for it after the fourth time that it was late. So
this gives up sooner and raises; and after an outage it raises at once, as who waits behind it would be late too.
"""

from __future__ import annotations

import os
import time
from typing import Any

from pgsrm_plugin.errors import ScorerError, SpecError
from pgsrm_plugin.scorer.batching import MicroBatchSettings
from pgsrm_plugin.scorer.scorer import URL
from pgsrm_stacks.process_scorer import process_scorer, row_of, stack_use

LIMITS = MicroBatchSettings(max_wait_ms=0, deadline_s=12)
_USE = stack_use("AReaL")
_PAUSE_S = 60.0
_outage: dict[str, tuple[float, ScorerError]] = {}


def reward(prompt: str, completions: str, prompt_ids: Any, completion_ids: Any, **columns: Any) -> float:
    """The reward of one completion; references are looked for in the data's columns.

    Raises:
        SpecError: ``PGSRM_URL`` is not set: an encoder takes longer to load in AReaL's processes than AReaL waits.
        ScorerError: the service failed. AReaL asks three times more, and stops.
    """
    if not (url := os.environ.get(URL)):
        raise SpecError(f"AReaL gives a reward 15 s, too little to load an encoder: start `pgsrm serve`, and set {URL}")
    until, error = _outage.get(url, (0.0, None))
    if error is not None and time.monotonic() < until:
        raise error
    try:
        row = row_of(columns.pop("messages", prompt), completions, columns)
        (numbers,) = process_scorer(_USE, url, LIMITS).score_rows([row])
    except ScorerError as failed:
        _outage[url] = time.monotonic() + _PAUSE_S, failed
        raise
    assert numbers["reward"] is not None  # a mask was refused
    return numbers["reward"]
