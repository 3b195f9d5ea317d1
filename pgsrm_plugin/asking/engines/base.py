"""What every engine takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from pgsrm_plugin.asking.store.answers import ParentConfig, Request


@dataclass(frozen=True)
class Completion:
    """What an engine got for one request; :class:`~pgsrm_plugin.asking.store.answers.Answer` has the fields.

    Attributes:
        refusal: what the model or a filter said when it declined.
        error: why there is no answer.
        permanent: whether the same request would have the same error again.
        blank: why there is no text where the answer is whole.
        first_token: log-probabilities of the likeliest first tokens, where they were asked for.
    """

    text: str = ""
    finish_reason: str | None = None
    refusal: str | None = None
    error: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    served_model: str | None = None
    attempts: int = 1
    permanent: bool = False
    blank: str | None = None
    first_token: Mapping[str, float] | None = None


Spend: TypeAlias = "Callable[[], bool]"
"""Asks for leave to ask once more where the last attempt may have to be paid; False: the money is spent."""


def unbounded() -> bool:
    """Leave to ask, always."""
    return True


class Engine(Protocol):
    """A parent that can be asked. Whatever makes it useless as a whole is a ScorerError."""

    @property
    def config(self) -> ParentConfig: ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What goes into the provenance of an answer beside the config: plain JSON, no secret."""


@runtime_checkable
class BatchEngine(Engine, Protocol):
    """Answers a list of requests at a time, in this process."""

    @property
    def batch_size(self) -> int: ...

    def complete_batch(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion a request, in order. What it raises, other than ScorerError, is held against the requests."""


@runtime_checkable
class AsyncEngine(Engine, Protocol):
    """Answers single requests, many at the same time."""

    @property
    def concurrency(self) -> int:
        """Most requests under way at the same time."""

    async def complete(self, request: Request, spend: Spend = unbounded) -> Completion: ...

    async def aclose(self) -> None:
        """Gives up what is bound to the running event loop; the next ``complete`` may run in another one."""


AnyEngine: TypeAlias = "BatchEngine | AsyncEngine"
