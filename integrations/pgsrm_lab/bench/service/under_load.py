"""The service and the engine in this process, in turn, on the same rows; and the service killed under a client."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

from pgsrm_lab.bench.service.connections import Load, ask_all
from pgsrm_lab.bench.service.started import StartedService, free_port, started
from pgsrm_lab.bench.systems.base import Progress
from pgsrm_lab.bench.workload import WorkloadSettings, make_workload
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.scorer.batching import MicroBatchSettings
from pgsrm_plugin.scorer.scorer import Scorer
from pgsrm_plugin.spec import load_spec

_GROUP = 8
_BATCH = 256
_CLIENT_THREADS = 16
_CLIENT_DEADLINE_S = 300.0
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class LoadSettings:
    """What to try.

    Attributes:
        spec: a file, or the name of a shipped spec.
        rows: asked in all of each size, in ``rounds`` parts.
        sizes: rows of one question.
        connections: open at once.
        restarts: how often the service is killed under a client.
        mean_tokens: mean length of a text.
    """

    spec: str = "pgsrm"
    rows: int = 10_000
    sizes: tuple[int, ...] = (1, 8, 64)
    connections: int = 256
    rounds: int = 5
    restarts: int = 20
    mean_tokens: int = 24
    seed: int = 0


def run_load(settings: LoadSettings, progress: Progress = lambda _: None) -> dict[str, Any]:
    """Measures; the result names what was lost, what got another number, times, rates and memory.

    Raises:
        SpecError, ScorerError: the spec's encoder cannot be built, or the service does not start.
    """
    reward = SemanticReward(load_spec(settings.spec))
    result: dict[str, Any] = {"settings": settings.__dict__ | {"sizes": list(settings.sizes)}, "sizes": []}
    with started(settings.spec) as service:
        _warm_up(service, reward, settings)
        first_mb = service.memory_mb()
        for size in settings.sizes:
            progress(f"{size} rows a question")
            result["sizes"].append(_one_size(service, reward, settings, size, progress))
        result["memory_mb"] = {"ready": first_mb, "end": service.memory_mb(), "peak": service.memory_mb("VmHWM")}
    if settings.restarts:
        result["killed"] = under_kills(settings, reward, progress)
    return result


def _one_size(
    service: StartedService, reward: SemanticReward, settings: LoadSettings, size: int, progress: Progress
) -> dict[str, Any]:
    """Each round has texts of its own, so that neither side finds them in a cache; who is first takes turns."""
    per_round = max(size, settings.rows // settings.rounds // size * size)
    rates: dict[str, list[float]] = {"service": [], "engine": [], "engine_batches": []}
    cpu: dict[str, list[float]] = {name: [] for name in rates}
    latencies, lost, changed, refused, questions = [], 0, 0, 0, 0
    for turn in range(settings.rounds):
        rows = workload_rows(settings, per_round, seed=1000 * size + turn)
        asked = [rows[start : start + size] for start in range(0, len(rows), size)]
        # A sample is enough for the engine alone at small sizes, which it is slow at.
        alone = asked if size >= _BATCH // 4 else asked[: max(1, len(asked) // 8)]
        for step in ("service", "engine") if turn % 2 else ("engine", "service"):
            progress(f"{size} rows a question, round {turn + 1} of {settings.rounds}: {step}")
            if step == "service":
                before = service.cpu_s()
                load = asyncio.run(ask_all(service.url, asked, settings.connections))
                cpu["service"].append(1000 * (service.cpu_s() - before) / len(rows))
            else:
                batches = [rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH)]
                expected, seconds, cpu_s = in_process(reward, batches)
                rates["engine_batches"].append(len(rows) / seconds)
                cpu["engine_batches"].append(1000 * cpu_s / len(rows))
                _, seconds, cpu_s = in_process(reward, alone)
                rates["engine"].append(sum(map(len, alone)) / seconds)
                cpu["engine"].append(1000 * cpu_s / sum(map(len, alone)))
        rates["service"].append(len(rows) / load.seconds)
        latencies += load.latencies_s
        lost += _lost(load)
        changed += _changed(load, expected)
        refused, questions = refused + load.refused, questions + len(asked)
    return {
        "rows_a_question": size,
        "questions": questions,
        "rows": per_round * settings.rounds,
        "lost": lost,
        "other_number": changed,
        "refused_429": refused,
        "p50_ms": 1000 * _percentile(latencies, 0.50),
        "p99_ms": 1000 * _percentile(latencies, 0.99),
        "pairs_per_s": {name: median(found) for name, found in rates.items()},
        "share_of_engine": _share(rates["service"], rates["engine"]),
        "share_of_engine_batches": _share(rates["service"], rates["engine_batches"]),
        "cpu_ms_a_pair": {name: median(found) for name, found in cpu.items()},
        "cpu_of_engine_batches": _share(cpu["engine_batches"], cpu["service"]),
        "rounds": rates,
        "rounds_cpu_ms": cpu,
    }


def workload_rows(settings: LoadSettings, count: int, seed: int) -> Rows:
    """Rows of GRPO's shape, in an order in which the answers to one prompt are not neighbours."""
    shape = WorkloadSettings(
        prompts=-(-count // _GROUP), group=_GROUP, mean_tokens=settings.mean_tokens, seed=settings.seed + seed
    )
    pairs = make_workload(shape)
    rows: Rows = [
        {"prompt": f"prompt {group}", "response": response, "references": [reference]}
        for response, reference, group in zip(pairs.responses, pairs.references, pairs.groups, strict=True)
    ]
    random.Random(seed).shuffle(rows)
    return rows[:count]


def in_process(reward: SemanticReward, batches: Sequence[Rows]) -> tuple[list[float | None], float, float]:
    """The rewards of batches that are scored one after the other with an empty cache, and the seconds it took: by the
    clock, and of all threads' CPU time."""
    with Scorer(SemanticReward(reward.spec, reward.encoder), limits=MicroBatchSettings(max_wait_ms=0)) as scorer:
        started_at, cpu_at = time.perf_counter(), time.process_time()
        rewards = [row["reward"] for batch in batches for row in scorer.score_rows(batch)]
        return rewards, time.perf_counter() - started_at, time.process_time() - cpu_at


def under_kills(settings: LoadSettings, reward: SemanticReward, progress: Progress) -> dict[str, Any]:
    """Kills the service again and again while a client's threads ask; every row must get the number of this process."""
    port, rng, done = free_port(), random.Random(settings.seed), threading.Event()
    rows = workload_rows(settings, 512, seed=7)
    expected, _, _ = in_process(reward, [rows])
    counts = {"answered": 0, "other_number": 0, "lost": 0}
    lock = threading.Lock()

    def ask(start: int) -> None:
        for i in _endless(start, len(rows)):
            if done.is_set():
                return
            try:
                (numbers,) = scorer.score_rows([rows[i]])
            except Exception:
                with lock:
                    counts["lost"] += 1
                continue
            with lock:
                counts["answered"] += 1
                counts["other_number"] += numbers["reward"] != expected[i]

    limits = MicroBatchSettings(max_wait_ms=1, deadline_s=_CLIENT_DEADLINE_S)
    with Scorer(f"http://127.0.0.1:{port}", limits=limits) as scorer, ThreadPoolExecutor(_CLIENT_THREADS) as pool:
        asking = [pool.submit(ask, start) for start in range(0, len(rows), len(rows) // _CLIENT_THREADS)]
        try:
            for kill in range(settings.restarts):
                progress(f"kill {kill + 1} of {settings.restarts}")
                with started(settings.spec, port) as service:
                    time.sleep(rng.uniform(0.0, 1.0))
                    service.kill()
            with started(settings.spec, port):
                time.sleep(1.0)
                done.set()
                for each in asking:
                    each.result()
        finally:
            done.set()
    return {"restarts": settings.restarts, **counts}


def _endless(start: int, count: int) -> Iterator[int]:
    i = start
    while True:
        yield i % count
        i += 1


def _warm_up(service: StartedService, reward: SemanticReward, settings: LoadSettings) -> None:
    rows = workload_rows(settings, 64, seed=3)
    asyncio.run(ask_all(service.url, [rows], 1))
    in_process(reward, [rows])


def _share(of: Sequence[float], whole: Sequence[float]) -> float:
    """The median of the rounds' ratios: what else the machine does in a round is the same for both."""
    return median(a / b for a, b in zip(of, whole, strict=True))


def _lost(load: Load) -> int:
    return sum(answer is None for answer in load.answers)


def _changed(load: Load, expected: Sequence[float | None]) -> int:
    """Rows whose number is not that of this process, to the bit."""
    position, changed = 0, 0
    size = max((len(answer) for answer in load.answers if answer is not None), default=0)
    for answer in load.answers:
        for row in answer or []:
            changed += row["reward"] != expected[position]
            position += 1
        position += size if answer is None else 0
    return changed


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
