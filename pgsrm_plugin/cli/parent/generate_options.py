"""``pgsrm parent generate`` and ``retry-failed``: ask a parent, and ask again what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsrm_plugin.errors import DataError, SpecError

if TYPE_CHECKING:
    from pgsrm_plugin.parents.asking.prompts import PromptRow
    from pgsrm_plugin.parents.store.answers import Answer, ParentConfig, Request

EngineArgs = Annotated[
    list[str] | None,
    typer.Option(
        "--engine-arg", metavar="KEY=VALUE", help="Setting of the engine, e.g. tensor_parallel_size=2; again."
    ),
]
Concurrency = Annotated[
    int | None, typer.Option(min=1, help="Calls at the same time (openai), prompts in a batch (hf, vllm).")
]
BaseUrl = Annotated[str | None, typer.Option(help="openai: the endpoint, e.g. http://127.0.0.1:8000/v1.")]
ApiKeyEnv = Annotated[str | None, typer.Option(metavar="NAME", help="openai: the environment variable with the key.")]
Deadline = Annotated[float | None, typer.Option(min=0.001, help="Seconds after which no further call begins.")]
PriceIn = Annotated[float | None, typer.Option(min=0, help="Price of a million prompt tokens.")]
PriceOut = Annotated[float | None, typer.Option(min=0, help="Price of a million answer tokens.")]


def generate(  # each parameter is an option of the command
    prompts: Annotated[str, typer.Argument(help="A .jsonl or .parquet file (verl's too), or a task's name.")],
    engine: Annotated[str, typer.Option(help="hf (transformers), vllm (offline) or openai (any compatible endpoint).")],
    model: Annotated[str, typer.Option(help="A folder, a hub id, or the endpoint's name for the model.")],
    out: Annotated[Path, typer.Option(metavar="STORE", help="The store: a folder; what it has is not asked again.")],
    revision: Annotated[str | None, typer.Option(help="The model's commit or tag on the hub.")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Answers a prompt (multi-reference).")] = 1,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0, max=1)] = 1.0,
    seed: Annotated[int, typer.Option(help="Sample k is drawn with seed + k.")] = 0,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest answer, in the parent's tokens.")] = 256,
    stop: Annotated[list[str] | None, typer.Option(help="A text that ends an answer; may be given again.")] = None,
    sampling_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Sampling setting by the engine's name, e.g. top_k=40; again."),
    ] = None,
    system: Annotated[Path | None, typer.Option(metavar="FILE", help="System prompt.")] = None,
    extract: Annotated[
        str | None, typer.Option(help="json:KEY, tag:NAME or regex:PATTERN: the reference in an answer.")
    ] = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    concurrency: Concurrency = None,
    engine_arg: EngineArgs = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask the first so many distinct prompts.")] = None,
    deadline: Deadline = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show prompts, calls, tokens and cost; ask nothing.")
    ] = False,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
) -> None:
    """Ask a parent for reference answers and keep each the moment it is there; the same command resumes.

    Exit status 1: some answers have no reference, and standard error says what to do; 2: a setting or a row is wrong;
    3: the parent as a whole failed.
    """
    from pgsrm_plugin.cli.parent.running import EngineOptions, key_values
    from pgsrm_plugin.errors import did_you_mean
    from pgsrm_plugin.parents.asking.prompts import read_system
    from pgsrm_plugin.parents.engines import ENGINES
    from pgsrm_plugin.parents.export.answer_extraction import build_extractor
    from pgsrm_plugin.parents.store.answers import ParentConfig, Sampling

    if engine not in ENGINES:
        raise SpecError(f"--engine {engine} is unknown{did_you_mean(engine, ENGINES)} (known: {', '.join(ENGINES)})")
    if n > 1 and temperature == 0:
        raise SpecError(f"--n {n} with temperature 0 asks for the same answer {n} times; add e.g. --temperature 0.7")
    build_extractor(extract)
    sampling = Sampling(
        temperature, top_p, max_tokens, seed, tuple(stop or ()), key_values(sampling_arg or (), "--sampling-arg")
    )
    config = ParentConfig(engine, model, revision, sampling, read_system(system), extract)
    settings = EngineOptions(base_url, api_key_env, concurrency, tuple(engine_arg or ())).settings(engine)
    folder = out.expanduser()
    if dry_run:
        _dry_run(prompts, n, limit, config, folder, (price_in, price_out))
    else:
        _generate(prompts, n, limit, config, folder, settings, deadline, (price_in, price_out))


def _dry_run(
    prompts: str,
    n: int,
    limit: int | None,
    config: ParentConfig,
    folder: Path,
    prices: tuple[float | None, float | None],
) -> None:
    from pgsrm_plugin.cli.parent.running import show_plan
    from pgsrm_plugin.parents.asking.plan import make_plan
    from pgsrm_plugin.parents.asking.prompts import read_prompts
    from pgsrm_plugin.parents.store.store import ParentStore

    rows = read_prompts(prompts)
    if folder.is_dir() and any(folder.iterdir()):
        with ParentStore.open(folder, writable=False) as store:
            plan = make_plan(rows, n, config, store, limit)
    else:
        plan = make_plan(rows, n, config, None, limit)
    show_plan(plan, *prices)


def _generate(
    prompts: str,
    n: int,
    limit: int | None,
    config: ParentConfig,
    folder: Path,
    settings: dict[str, object],
    deadline: float | None,
    prices: tuple[float | None, float | None],
) -> None:
    from pgsrm_plugin.cli.parent.running import finish, run, summarise
    from pgsrm_plugin.parents.asking.prompts import distinct, read_prompts, requests
    from pgsrm_plugin.parents.export.prompt_rows import keep_rows
    from pgsrm_plugin.parents.store.store import ParentStore

    total = sum(1 for _ in distinct(read_prompts(prompts), limit)) * n  # every row is checked before any call
    with ParentStore.open(folder, create=True):
        keep_rows(folder, _limited(read_prompts(prompts), limit))
    tally = run(folder, config, settings, requests(read_prompts(prompts), n, limit), total, deadline=deadline)
    summarise(tally, prices)
    counts: Counter[str] = Counter()
    with ParentStore.open(folder, writable=False) as store:
        for request in requests(read_prompts(prompts), n, limit):
            counts[store.status(request.key(config)) or "missing"] += 1
    typer.echo(f"{counts['ok']} of {total} answers have a reference; they are in {folder}")
    finish(folder, counts, counts["missing"], tally.stopped)


def _limited(rows: Iterator[PromptRow], limit: int | None) -> Iterator[PromptRow]:
    """Every row of the first ``limit`` prompts."""
    seen: set[bytes] = set()
    for row in rows:
        digest = bytes.fromhex(row.prompt_id)[:16]
        if limit is not None and digest not in seen and len(seen) == limit:
            continue
        seen.add(digest)
        yield row


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
    from pgsrm_plugin.cli.parent.running import EngineOptions, finish, run, summarise
    from pgsrm_plugin.parents.asking.runs import load_runs
    from pgsrm_plugin.parents.export.references import settings_in
    from pgsrm_plugin.parents.store.store import ParentStore

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
        tally = run(folder, config, engine, failed, total, deadline=deadline, retry=wanted)
        summarise(tally)
        stopped = tally.stopped
    with ParentStore.open(folder, writable=False) as opened:
        counts = Counter(opened.status(key) or "missing" for key in again)
    finish(folder, counts, counts["missing"], stopped)


def _check_statuses(wanted: frozenset[str]) -> None:
    from pgsrm_plugin.errors import did_you_mean
    from pgsrm_plugin.parents.store.answers import FAILURES

    for one in sorted(wanted - FAILURES):
        nearest = did_you_mean(one, FAILURES)
        raise SpecError(f"--status {one} is none that can be asked again{nearest} ({', '.join(sorted(FAILURES))})")


def _failed(folder: Path, own: str, wanted: frozenset[str]) -> Iterator[Request]:
    from pgsrm_plugin.parents.export.references import settings_id
    from pgsrm_plugin.parents.store.store import ParentStore

    def matches(answer: Answer) -> bool:
        return answer.status in wanted and settings_id(answer.config) == own

    with ParentStore.open(folder, writable=False) as store:
        yield from (answer.request for answer in store.answers() if matches(answer))
