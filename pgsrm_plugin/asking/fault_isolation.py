"""Calls an engine so that what breaks over one request is held against that request alone."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.asking.engines.base import AsyncEngine, BatchEngine, Completion, Spend, unbounded
from pgsrm_plugin.asking.store.answers import Request
from pgsrm_plugin.errors import PgsrmError


async def complete_one(engine: AsyncEngine, request: Request, spend: Spend = unbounded) -> Completion:
    """The completion of a request; an unexpected exception becomes its error.

    Raises:
        PgsrmError: the engine as a whole is of no use.
    """
    try:
        return await engine.complete(request, spend)
    except PgsrmError:
        raise
    except Exception as error:
        return _failure(error)


def complete_batch(engine: BatchEngine, batch: Sequence[Request]) -> list[Completion]:
    """The completions of a batch; one that breaks is halved until only the requests that break it have failed.

    Raises:
        PgsrmError: the engine as a whole is of no use.
    """
    try:
        return engine.complete_batch(batch)
    except PgsrmError:
        raise
    except Exception as error:
        if len(batch) == 1:
            return [_failure(error)]
    middle = len(batch) // 2
    return complete_batch(engine, batch[:middle]) + complete_batch(engine, batch[middle:])


def _failure(error: Exception) -> Completion:
    return Completion(error=f"{type(error).__name__}: {str(error)[:500]}")
