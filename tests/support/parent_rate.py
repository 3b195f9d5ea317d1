"""How close generation comes to the rate that an endpoint allows, and what memory it takes.

    python tests/support/parent_rate.py --prompts 10000 --rate 600

starts the fault server with a rate limit (a token bucket that answers 429 beyond it), asks it for every prompt through
the engine, loop and store that users have, and prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from pgsrm_plugin.asking.engines import build_engine
from pgsrm_plugin.asking.store.answers import ParentConfig, Request
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.parents.generation.generate import generate

SERVER = Path(__file__).with_name("parent_server.py")


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """The fault server in a process of its own; gives its address."""
    with subprocess.Popen([sys.executable, str(SERVER), *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def counts(url: str) -> dict[str, dict[str, int]]:
    """What the server has seen: calls and answers by prompt, faults by kind."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/counts", timeout=10) as answer:
        return json.load(answer)


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def measure(prompts: int, rate: float, burst: float, latency_s: float, concurrency: int, retry_after: str) -> dict:
    """The figures of one run; the allowed seconds are those of a caller that never lets a token lie."""
    arguments = ["--rate", rate, "--burst", burst, "--latency", latency_s, "--retry-after", retry_after]
    with serving(*map(str, arguments)) as url, tempfile.TemporaryDirectory() as folder:
        engine = build_engine(ParentConfig("openai", "parent"), base_url=url, concurrency=concurrency)
        with ParentStore.open(Path(folder) / "store", create=True) as store:
            # Imports, buffers and the allocator's first pools are no growth.
            generate((Request(f"warm {i}") for i in range(200)), engine, store)
            before_mb, begun, cpu_s = resident_mb(), time.monotonic(), time.process_time()
            peak_mb = [before_mb]
            counts = generate(
                (Request(f"prompt {i}") for i in range(prompts)),
                engine,
                store,
                on_progress=lambda counts: peak_mb.append(resident_mb()) if counts.asked % 50 == 0 else None,
            )
            seconds = time.monotonic() - begun
            stored = store.counts()["ok"] - 200
        seen = counts(url)
    return {
        "prompts": prompts,
        "stored": stored,
        "answered": sum(seen["answers"].values()) - 200,
        "attempts": counts.attempts,
        "told_to_wait": counts.attempts - prompts,
        "seconds": round(seconds, 2),
        "rate_per_s": round(prompts / seconds, 1),
        "allowed_per_s": rate,
        "share_of_allowed": round(prompts / seconds / rate, 3),
        "client_cpu_s": round(time.process_time() - cpu_s, 2),
        "resident_before_mb": round(before_mb, 1),
        "resident_growth_mb": round(max(peak_mb) - before_mb, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=600.0, help="answers a second that the server allows")
    parser.add_argument("--burst", type=float, default=50.0, help="answers that the server lets pass at once")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds that each answer takes")
    parser.add_argument("--concurrency", type=int, default=128)
    parser.add_argument("--retry-after", default="1", help="what the server says with a 429")
    given = parser.parse_args()
    figures = measure(given.prompts, given.rate, given.burst, given.latency, given.concurrency, given.retry_after)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
