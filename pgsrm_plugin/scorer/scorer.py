"""One callable for every stack: rows in, numbers out, in this process or from a service."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from pgsrm_plugin.crosscheck import Use, check_use
from pgsrm_plugin.data.completions import SPECIAL_TOKENS
from pgsrm_plugin.data.layouts import STOCK
from pgsrm_plugin.data.rows import Columns
from pgsrm_plugin.errors import DataError, SpecError, UnscorableError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.scorer.base import Backend, Numbers, Outcome
from pgsrm_plugin.scorer.batching import MicroBatcher, MicroBatchSettings
from pgsrm_plugin.scorer.facts import RewardFacts
from pgsrm_plugin.scorer.forks import ForkedLock
from pgsrm_plugin.scorer.in_process import InProcess
from pgsrm_plugin.scorer.over_http import OverHttp, check_address, is_address
from pgsrm_plugin.spec import RewardSpec, load_spec

SPEC, URL, TOKEN = "PGSRM_SPEC", "PGSRM_URL", "PGSRM_TOKEN"
"""Environment variables for stacks that can only name a function: the spec or the service, and the service's token."""
LIMITS = MicroBatchSettings(deadline_s=100.0)
_POSTS = 8
"""Questions under way at once, of one process to a service: it puts them together, those of other processes too."""
_ONE_BY_ONE = Use(one_by_one="give score_rows all responses to a prompt at once")
_rebuilding = ForkedLock()


@dataclass
class _Own:
    """What scores in one process.

    Attributes:
        is_known: whether the backend was asked for its facts.
    """

    pid: int
    backend: Backend[Any]
    batcher: MicroBatcher[Any, Outcome]
    is_known: bool = False


class Scorer:
    """Rewards of rows, in this process or from a service (``pgsrm serve``), which give the same numbers.

    Safe to use from many threads and event loops at once, whose rows are scored together; in a process that was forked
    from one that scored over HTTP, too. It can be pickled where it was made of a name, a path, a spec or an address.

    A row is a mapping with ``prompt`` (text or messages; "" where there is none), ``response`` (text, or messages of
    which the assistant's last one counts) and what to compare with. References are the first of these that a row has:
    the column ``reference_field``; ``references`` or ``reference``, the row's own or in ``reward_model`` or
    ``extra_info``; ``answer``, ``solution``, ``target``, ``label``, ``ground_truth``, ``reward_model.ground_truth``,
    ``reward_spec.ground_truth``. The ground truth is the column ``ground_truth_field``, else the first of
    ``ground_truth``, ``reward_model.ground_truth``, ``reward_spec.ground_truth`` and, in rows without references of
    their own, ``answer``, ``solution``, ``target``, ``label``. Each may be text, a number, a list of texts, an object
    with ``reference`` or ``references`` and ``ground_truth``, or the JSON text of such an object. Special tokens are
    dropped from responses.

    >>> from pgsrm_plugin import parse_spec
    >>> with Scorer(parse_spec("terms: {exact_match: {}}")) as scorer:
    ...     rows = scorer.score_rows([{"prompt": "1+1", "response": "2<|im_end|>", "label": 2}])
    >>> numbers = rows[0]
    >>> numbers["reward"], numbers["reward/exact_match"]
    (1.0, 1.0)

    Args:
        source: the address of a service (``http://...``), or what to compute in this process: a spec, its path or the
            name of a shipped one, or a reward. None: what ``PGSRM_URL`` or ``PGSRM_SPEC`` says. Where a service wants a
            token, it is in ``PGSRM_TOKEN``.
        reference_field: dotted path of the references' column, taken before all others.
        ground_truth_field: dotted path of the ground truth's column, likewise.
        limits: how rows are put together, and the deadline of each.

    Raises:
        SpecError: the spec or the address is wrong, or there is neither.
        ScorerError: the encoder fails its self-test. That a service is there is seen when it is first asked.
    """

    def __init__(
        self,
        source: str | Path | RewardSpec | SemanticReward | None = None,
        *,
        reference_field: str | None = None,
        ground_truth_field: str | None = None,
        limits: MicroBatchSettings = LIMITS,
    ) -> None:
        self._source = from_environment() if source is None else source
        self._columns = Columns(
            reference=reference_field, ground_truth=ground_truth_field, usual=STOCK, special_tokens=SPECIAL_TOKENS
        )
        self._limits = limits
        self._is_for_single_rows = False
        self._own = self._build()

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self._source, SemanticReward):
            raise TypeError("a Scorer of a SemanticReward cannot be pickled; make it of a spec")
        return _rebuilt, (type(self), self._source, self._columns.reference, self._columns.ground_truth, self._limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def facts(self) -> RewardFacts:
        """What the reward says of itself; a service is asked once.

        Raises:
            ScorerError: the service does not answer within the deadline.
        """
        return self._here().backend.facts()

    def check_use(self, use: Use) -> None:
        """Refuses the reward where a trainer cannot use it as it is.

        Raises:
            SpecError: e.g. ``unscorable: mask`` where the trainer cannot leave a row out.
            ScorerError: the service does not answer.
        """
        check_use(self.facts, use, self.facts.name or "the spec")

    def score_rows(
        self, rows: Sequence[Mapping[str, Any]], label: Callable[[int], str] = "rows[{}]".format
    ) -> list[Numbers]:
        """The numbers of each row, in order: ``reward`` (None where ``unscorable: mask`` leaves the row out), ``acc``,
        ``reward/<term>``, ``reward/<term>/weighted``, ``reward/scored`` and ``reward/<diagnostic>``; floats, and the
        same keys in each.

        Args:
            label: how a row is called in messages; a service calls them ``rows[0]`` ...

        Raises:
            DataError: a row cannot be scored because of its data.
            UnscorableError: a response is unscorable and the spec says ``raise``.
            ScorerError: the scorer failed, or the deadline passed. Nothing is scored then.
        """
        rows = list(rows)
        if not rows:
            return []
        own = self._here()
        return _numbers(own.batcher.submit_and_wait(own.backend.job(rows, label), len(rows)).value)

    async def score_rows_async(
        self, rows: Sequence[Mapping[str, Any]], label: Callable[[int], str] = "rows[{}]".format
    ) -> list[Numbers]:
        """As :meth:`score_rows`, without blocking the event loop."""
        rows = list(rows)
        if not rows:
            return []
        own = self._own if self._own.pid == os.getpid() else await asyncio.to_thread(self._here)
        if not own.is_known:  # a service is asked what of the rows it looks at
            await asyncio.to_thread(own.backend.facts)
            own.is_known = True
        return _numbers((await own.batcher.submit(own.backend.job(rows, label), len(rows))).value)

    async def score_row(self, row: Mapping[str, Any]) -> Numbers:
        """The numbers of one row, scored together with those that are asked for at the same time.

        Raises:
            SpecError: the spec looks at whole groups.
            DataError, UnscorableError, ScorerError: as :meth:`score_rows`.
        """
        if not self._is_for_single_rows:
            await asyncio.to_thread(self.check_use, _ONE_BY_ONE)
            self._is_for_single_rows = True
        (numbers,) = await self.score_rows_async([row], label=lambda i: "the row")
        return numbers

    def close(self) -> None:
        """Closes connections, and lets threads end; the scorer is of no use afterwards."""
        self._own.batcher.close()
        self._own.backend.close()

    def _here(self) -> _Own:
        """What works in this process: threads and connections do not live on in a fork."""
        if self._own.pid != os.getpid():
            with _rebuilding:
                if self._own.pid != os.getpid():
                    self._own = self._build()
        return self._own

    def _build(self) -> _Own:
        source, threads = self._source, 1
        backend: Backend[Any]
        if isinstance(source, str) and is_address(source):
            check_address(source)
            token = TOKEN if os.environ.get(TOKEN) else None
            backend, threads = OverHttp(source, token, self._columns, self._limits.deadline_s), _POSTS
        elif isinstance(source, SemanticReward):
            backend = InProcess(source, self._columns)
        else:
            spec = source if isinstance(source, RewardSpec) else load_spec(source)
            backend = InProcess(SemanticReward(spec), self._columns)
        return _Own(os.getpid(), backend, MicroBatcher(backend.score, self._limits, threads))


def from_environment() -> str:
    """The address or the spec that the environment names.

    Raises:
        SpecError: neither or both are set.
    """
    found = {name: value for name in (URL, SPEC) if (value := os.environ.get(name, "").strip())}
    if len(found) != 1:
        which = "both are set; unset one" if found else "neither is set"
        raise SpecError(f"give Scorer a spec or an address, or set {SPEC} or {URL} in the environment: {which}")
    return next(iter(found.values()))


def _rebuilt(
    kind: type[Scorer], source: Any, reference: str | None, ground_truth: str | None, limits: MicroBatchSettings
) -> Scorer:
    return kind(source, reference_field=reference, ground_truth_field=ground_truth, limits=limits)


def _numbers(outcome: Outcome) -> list[Numbers]:
    if isinstance(outcome, DataError | UnscorableError):
        raise outcome
    return outcome
