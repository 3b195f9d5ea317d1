"""How many calls an endpoint gets at a time."""

from __future__ import annotations

import asyncio
from collections import deque

_BEARABLE = 0.9
_PAUSE_FROM_S = 2.0
"""A ``Retry-After`` of at least this holds back every call: the server speaks of a quota, not of a burst. A server that
counts in whole seconds cannot say less than 1."""


class Gate:
    """Additive increase, multiplicative decrease of the calls in flight, as TCP does with packets.

    A 429 halves the limit, once for all the calls that were under way at the time. Each success raises it: by one up to
    nine tenths of where it was, which is about what the endpoint bears (TCP's slow start), then by ``1 / limit``, so by
    one a round trip. Bound to the event loop that uses it.

    Attributes:
        limit: calls allowed at the same time, in [1, maximum].
        throttled: how many calls were told to slow down.
    """

    def __init__(self, maximum: int) -> None:
        self.limit = float(maximum)
        self.throttled = 0
        self._maximum = maximum
        self._bearable = 1.0
        self._active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._halved_at = self._open_from = 0.0

    async def enter(self) -> float:
        """Waits for a free place; returns when the call began. Each ``enter`` needs one ``leave``."""
        loop = asyncio.get_running_loop()
        if self._waiting or not self._free(loop.time()):
            place = loop.create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self.leave()
                raise
        else:
            self._active += 1
        return loop.time()

    def leave(self) -> None:
        self._active -= 1
        self._admit()

    def succeeded(self) -> None:
        """A call got an answer."""
        step = 1.0 if self.limit + 1.0 <= self._bearable else 1 / self.limit
        self.limit = min(self._maximum, self.limit + step)

    def slow_down(self, began: float, wait_s: float) -> None:
        """A call that began at ``began`` was answered 429 and, or so, asked to wait."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.throttled += 1
        if began >= self._halved_at:
            self._bearable = _BEARABLE * self.limit
            self.limit = max(1.0, self.limit / 2)
            self._halved_at = now
        if wait_s >= _PAUSE_FROM_S and now + wait_s > self._open_from:
            self._open_from = now + wait_s
            loop.call_later(wait_s, self._admit)

    def _free(self, now: float) -> bool:
        return self._active < int(self.limit) and now >= self._open_from

    def _admit(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._waiting and self._free(now):
            place = self._waiting.popleft()
            if not place.done():
                self._active += 1
                place.set_result(None)
