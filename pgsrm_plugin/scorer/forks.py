"""What a fork must find in order."""

from __future__ import annotations

import os
import threading
from types import TracebackType


class ForkedLock:
    """A lock for the length of a module, which a forked process finds open: its holder is no thread of that process."""

    def __init__(self) -> None:
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()
