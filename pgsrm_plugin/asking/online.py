"""A language model that is asked while rewards are computed, for what a store lacks, within a budget."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, Protocol, TypeAlias

from typing_extensions import Self

from pgsrm_plugin.asking.answer_extraction import build_extractor
from pgsrm_plugin.asking.engines.base import AnyEngine, BatchEngine, Completion
from pgsrm_plugin.asking.fault_isolation import complete_batch, complete_one
from pgsrm_plugin.asking.outcome import as_judged_now, extract_again, make_answer
from pgsrm_plugin.asking.store.answers import Answer, Request
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.errors import ScorerError
from pgsrm_plugin.types import Prompt

_ASKED_AGAIN_AFTER_S = 60.0


@dataclass(frozen=True)
class OnlineCounts:
    """What an online model has done.

    Attributes:
        calls: answers asked of the model, and asked again after an attempt that may have to be paid; never more than
            the budget.
        attempts: how often that meant a request, retries included.
        hits: answers that were in the store.
        shared: questions that waited for a call already under way.
        failures: calls without a usable reference.
        prompt_tokens, completion_tokens: as far as the engine counted them.
    """

    calls: int = 0
    attempts: int = 0
    hits: int = 0
    shared: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


_New: TypeAlias = "tuple[Request, str, Future[Answer]]"


class Answers(Protocol):
    """Where answers are kept: a store, or several."""

    def get(self, key: str) -> Answer | None: ...
    def by_call(self, call: str) -> Answer | None: ...
    def append(self, answer: Answer) -> None: ...


class OnlineModel:
    """Answers from a store, else from the model; each answer is stored before it is used.

    Safe to use from several threads and event loops. The same question asked several times at once is one call. A call
    that failed is asked again, within the budget, when it comes up ``forgiving_s`` later or more.

    Args:
        answers: open for writing; stay open after :meth:`close`.
        engine: the model.
        budget: the most calls that this object may make, those for answers that came to nothing included; a hard bound.
        forgiving_s: seconds.

    Attributes:
        counts: see :class:`OnlineCounts`.
    """

    def __init__(self, answers: Answers, engine: AnyEngine, budget: int, forgiving_s: float) -> None:
        self.counts = OnlineCounts()
        self.engine = engine
        self._answers = answers
        self._budget = budget
        self._forgiving_s = forgiving_s
        self._extract = build_extractor(engine.config.extract, engine.config.sampling.stop)
        self._under_way: dict[str, Future[Answer]] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pgsrm-online", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, requests: Sequence[Request]) -> list[Future[Answer]]:
        """The answers to come, of any status; what is new is asked, all of it together where the engine takes batches.

        Raises:
            ScorerError: the budget is spent; nothing of what is new is asked then.
        """
        futures, new = list[Future[Answer]](), list[_New]()
        with self._lock:
            if self._closed:
                raise ScorerError("the online model is closed")
            try:
                for request in requests:
                    futures.append(self._claim(request, new))
            except BaseException as error:
                for _, key, future in new:
                    del self._under_way[key]
                    future.set_exception(error)
                raise
        self._start(new)
        return futures

    def close(self) -> None:
        """Waits for the calls under way, stores them, and ends the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            pending = list(self._under_way.values())
        for future in pending:
            with contextlib.suppress(Exception):
                future.result()
        if not isinstance(self.engine, BatchEngine):
            self._wait(self.engine.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _claim(self, request: Request, new: list[_New]) -> Future[Answer]:
        """The answer that is known or under way, or a place for a new one."""
        key = request.key(self.engine.config)
        if key in self._under_way:
            self._count(shared=1)
            return self._under_way[key]
        found = self._find(request, key)
        future: Future[Answer] = Future()
        if found is not None and not (self._forgiven(found) and self.counts.calls < self._budget):
            self._count(hits=1)
            future.set_result(found)
            return future
        self._spend()
        # From here on nobody can cancel it.
        future.set_running_or_notify_cancel()
        self._under_way[key] = future
        new.append((request, key, future))
        return future

    def _start(self, new: Sequence[_New]) -> None:
        if not isinstance(self.engine, BatchEngine):
            for request, key, future in new:
                asyncio.run_coroutine_threadsafe(self._answer_one(request, key, future), self._loop)
            return
        size = self.engine.batch_size
        for start in range(0, len(new), size):
            asyncio.run_coroutine_threadsafe(self._answer_batch(new[start : start + size]), self._loop)

    def _find(self, request: Request, key: str) -> Answer | None:
        """What the store has: an answer, or what another extraction rule can still use."""
        answer = self._answers.get(key)
        if answer is not None:
            return as_judged_now(answer)
        config = self.engine.config
        earlier = self._answers.by_call(request.call(config))
        if earlier is None:
            return None
        found = extract_again(request, config, earlier, self._extract)
        self._answers.append(found)
        return found

    def _forgiven(self, answer: Answer) -> bool:
        """Whether it is a call that failed long enough ago to be tried again."""
        if answer.status != "failed":
            return False
        age = datetime.now(timezone.utc) - datetime.fromisoformat(answer.created)
        return age.total_seconds() >= self._forgiving_s

    def _spend(self) -> None:
        if self.counts.calls >= self._budget:
            raise ScorerError(self._spent())
        self._count(calls=1)

    def _spent(self) -> str:
        """What is said when the budget is spent."""
        return f"the budget of {self._budget} calls of {self.engine.config.model!r} is spent; raise `budget`"

    async def _answer_one(self, request: Request, key: str, future: Future[Answer]) -> None:
        try:
            assert not isinstance(self.engine, BatchEngine)
            completion = await complete_one(self.engine, request, self._spend_more)
            answer = await self._stored(request, completion)
        except Exception as error:
            self._failed(key, future, error)
        else:
            self._finished(key, future, answer)

    async def _answer_batch(self, new: Sequence[_New]) -> None:
        try:
            assert isinstance(self.engine, BatchEngine)
            # In the loop's own thread: a model takes one call at a time.
            completions = complete_batch(self.engine, [request for request, _, _ in new])
            pairs = zip(new, completions, strict=True)
            answers = [await self._stored(request, completion) for (request, _, _), completion in pairs]
        except Exception as error:
            for _, key, future in new:
                self._failed(key, future, error)
        else:
            for (_, key, future), answer in zip(new, answers, strict=True):
                self._finished(key, future, answer)

    async def _stored(self, request: Request, completion: Completion) -> Answer:
        answer = make_answer(request, self.engine.config, completion, self._extract, self.engine.settings)
        await asyncio.to_thread(self._answers.append, answer)
        return answer

    def _failed(self, key: str, future: Future[Answer], error: Exception) -> None:
        with self._lock:
            del self._under_way[key]
            self._count(failures=1)
        future.set_exception(error)

    def _finished(self, key: str, future: Future[Answer], answer: Answer) -> None:
        with self._lock:
            del self._under_way[key]
            self._count(
                attempts=answer.attempts,
                failures=int(not answer.ok),
                prompt_tokens=answer.prompt_tokens or 0,
                completion_tokens=answer.completion_tokens or 0,
            )
        future.set_result(answer)

    def _spend_more(self) -> bool:
        with self._lock:
            if self.counts.calls >= self._budget:
                return False
            self._count(calls=1)
            return True

    def _count(self, **more: int) -> None:
        self.counts = replace(self.counts, **{name: getattr(self.counts, name) + n for name, n in more.items()})


class OnlineParent(OnlineModel):
    """References from the store, else from the parent; each answer is stored before it is used.

    As :class:`OnlineModel`. A call that failed is asked again when its prompt comes up a minute later or more: an
    outage must not cost a long run its prompts. What was refused, cut or empty is not: see
    ``pgsrm parent retry-failed``.

    Args:
        store: open for writing; stays open after :meth:`close`.
        engine: the parent.
        budget: the most calls that this object may make, those for answers that came to nothing included; a hard bound.
        samples: references wanted of each prompt.
        known: further stores that are only read. Processes that train together each need a store of their own to write
            to, and can share one that was generated beforehand; merge theirs into it afterwards.

    Attributes:
        counts: see :class:`OnlineCounts`.
    """

    def __init__(
        self,
        store: ParentStore,
        engine: AnyEngine,
        budget: int,
        samples: int = 1,
        known: Sequence[ParentStore] = (),
    ) -> None:
        super().__init__(SeveralStores(store, known), engine, budget, _ASKED_AGAIN_AFTER_S)
        self._folder = store.folder
        self._samples = samples

    def references(self, prompt: Prompt) -> tuple[str, ...]:
        """The parent's references for a prompt, of as many samples as have one.

        Raises:
            ScorerError: the budget is spent, the parent is of no use, or it gave no reference for this prompt.
        """
        return _references([future.result() for future in self._ask(prompt)])

    async def references_async(self, prompt: Prompt) -> tuple[str, ...]:
        """As :meth:`references`, without blocking the event loop."""
        # Whoever stops waiting must not cancel a call that others wait for, and that is paid.
        futures = [asyncio.shield(asyncio.wrap_future(future)) for future in self._ask(prompt)]
        return _references(list(await asyncio.gather(*futures)))

    def _ask(self, prompt: Prompt) -> list[Future[Answer]]:
        if not _is_text(prompt):
            raise ScorerError("a prompt has parts that are no text (images?), and the online parent is asked text")
        return self.submit([Request(prompt, sample) for sample in range(self._samples)])

    def _spent(self) -> str:
        return (
            f"the online parent's budget of {self._budget} calls is spent, and a prompt is not in {self._folder}; "
            "raise the budget, or answer the prompts beforehand with `pgsrm parent generate`"
        )


class SeveralStores:
    """A store that is written to, and others that are only read: an ok answer of any goes before a failure."""

    def __init__(self, own: ParentStore, others: Sequence[ParentStore]) -> None:
        self._own = own
        self._all = (own, *others)

    def get(self, key: str) -> Answer | None:
        """The answer under a key."""
        answers = [as_judged_now(answer) for store in self._all if (answer := store.get(key)) is not None]
        return next((answer for answer in answers if answer.ok), answers[0] if answers else None)

    def by_call(self, call: str) -> Answer | None:
        """The answer to a call, whatever its extraction."""
        return next((answer for store in self._all if (answer := store.by_call(call)) is not None), None)

    def append(self, answer: Answer) -> None:
        """Adds an answer to the store that is written to."""
        self._own.append(answer)


def _is_text(prompt: Prompt) -> bool:
    contents: list[Any] = [] if isinstance(prompt, str) else [turn["content"] for turn in prompt]
    parts = [part for content in contents if not isinstance(content, str) for part in content]
    return all(part.get("type") == "text" for part in parts)


def _references(answers: list[Answer]) -> tuple[str, ...]:
    references = tuple(answer.reference for answer in answers if answer.reference is not None)
    if not references:
        first = answers[0]
        raise ScorerError(
            f"the parent {first.model!r} has no reference for a prompt: {first.status}, {first.error}; leave the "
            "prompt out, or ask again with `pgsrm parent retry-failed`"
        )
    return references
