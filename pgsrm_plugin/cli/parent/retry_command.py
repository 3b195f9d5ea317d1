"""``pgsrm parent retry-failed``: asks again what failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsrm_plugin.cli.parent.options import ApiKeyEnv, BaseUrl, Concurrency, Deadline, EngineArgs, EngineOptions
from pgsrm_plugin.errors import DataError, SpecError

if TYPE_CHECKING:
    from pgsrm_plugin.asking.store.answers import Answer, Request


def retry_failed(
    store: Annotated[Path, typer.Argument(help="The store.")],
    status: Annotated[
        list[str] | None, typer.Option(help="What to ask again: failed (default), empty, refused ...; again.")
    ] = None,
    settings: Annotated[str | None, typer.Option(metavar="ID", help="Only the answers under these settings.")] = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    concurrency: Concurrency = None,
    engine_arg: EngineArgs = None,
    deadline: Deadline = None,
) -> None:
    """Ask again what failed, under the settings that it was asked with, and with the last run's engine unless given."""
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.cli.parent.running import Fates, finish, run, summarise
    from pgsrm_plugin.parents.export.references import settings_in
    from pgsrm_plugin.parents.generation.runs import load_runs

    wanted, folder = frozenset(status or ("failed",)), store.expanduser()
    _check_statuses(wanted)
    with ParentStore.open(folder, writable=False) as opened:
        found = settings_in(opened.answers())
    if settings is not None and settings not in found:
        raise DataError(f"no answer has the settings {settings!r}; the store has {', '.join(found) or 'none'}")
    again: list[str] = []
    stopped: str | None = None
    for own, (config, counts) in found.items():
        total = sum(counts[one] for one in wanted)
        if not total or stopped or settings not in (None, own):
            continue
        given = EngineOptions(base_url, api_key_env, concurrency, tuple(engine_arg or ())).settings(config.engine)
        engine = {**load_runs(folder).get(own, {}), **given}
        if config.engine == "openai" and "base_url" not in engine:
            raise SpecError("the store does not know the endpoint any more; give --base-url")
        failed = list(_failed(folder, own, wanted))
        again += [request.key(config) for request in failed]
        run_counts = run(folder, config, engine, failed, total, deadline=deadline, retry=wanted)
        summarise(run_counts)
        stopped = run_counts.stopped
    fates = Fates()
    with ParentStore.open(folder, writable=False) as opened:
        for key in again:
            fates.add(opened, key)
    finish(folder, fates, stopped)


def _check_statuses(wanted: frozenset[str]) -> None:
    from pgsrm_plugin.asking.store.answers import FAILURES
    from pgsrm_plugin.errors import did_you_mean

    for one in sorted(wanted - FAILURES):
        nearest = did_you_mean(one, FAILURES)
        raise SpecError(f"--status {one} is none that can be asked again{nearest} ({', '.join(sorted(FAILURES))})")


def _failed(folder: Path, own: str, wanted: frozenset[str]) -> Iterator[Request]:
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.parents.export.references import settings_id

    def matches(answer: Answer) -> bool:
        return answer.status in wanted and settings_id(answer.config) == own

    with ParentStore.open(folder, writable=False) as store:
        yield from (answer.request for answer in store.answers() if matches(answer))
