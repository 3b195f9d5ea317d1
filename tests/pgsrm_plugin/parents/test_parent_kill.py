"""kill -9 at random moments: nothing lost, nothing asked twice but what was in flight, the same store in the end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from parent_rate import counts, serving
from parent_server import expected

from pgsrm_plugin.asking.engines import build_engine
from pgsrm_plugin.asking.store.answers import ParentConfig, Request
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.parents.generation.generate import generate

SUPPORT = Path(__file__).parents[2] / "support"
CONCURRENCY = 8
KILLS = 20


def run(folder: Path, url: str, count: int) -> None:
    engine = build_engine(ParentConfig("openai", "parent"), base_url=url, concurrency=CONCURRENCY)
    with ParentStore.open(folder, create=True) as store:
        generate((Request(f"prompt {i}") for i in range(count)), engine, store)


def forked(folder: Path, url: str, count: int) -> int:
    """Runs it in a copy of this process, which starts at once; its pid."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            run(folder, url, count)
            status = 0
        finally:
            os._exit(status)
    return pid


def started(folder: Path, url: str, count: int) -> int:
    """Runs it in a new Python, as a user does; its pid, once the run has begun."""
    code = (
        f"import sys; sys.path[:0] = {[str(SUPPORT), str(Path(__file__).parent)]!r}\n"
        f"from pathlib import Path; import test_parent_kill as t\n"
        f"print(flush=True); t.run(Path({str(folder)!r}), {url!r}, {count})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process.pid


def contents(folder: Path) -> dict[str, tuple]:
    with ParentStore.open(folder, writable=False) as store:
        return {one.key: (one.prompt, one.status, one.text, one.reference, one.error) for one in store}


def await_growth(folder: Path, size: int) -> None:
    """Returns when the store's log has grown by so many bytes; an answer's commit is some pages of 4096."""
    log = folder / "answers.sqlite3-wal"

    def length() -> int:
        with contextlib.suppress(FileNotFoundError):
            return log.stat().st_size
        return 0

    begun, until = length(), time.monotonic() + 60
    while time.monotonic() < until and length() < begun + size:
        time.sleep(0.002)


def kill_and_go_on(folder: Path, url: str, count: int, start: Callable[[Path, str, int], int]) -> list[int]:
    """Kills it at 20 random moments, then lets it end; how many answers there were after each kill."""
    moments = random.Random(5)
    kept: list[int] = []
    before: dict[str, tuple] = {}
    for number in range(KILLS):
        pid = start(folder, url, count)
        # Every fourth is killed almost at once: while it opens the store or sends its first calls.
        if number % 4:
            await_growth(folder, moments.randrange(10_000, 200_000))
        time.sleep(moments.uniform(0.0, 0.03))
        os.kill(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL, "it ended before it was killed"
        now = contents(folder) if (folder / "answers.sqlite3").exists() else {}
        assert now.items() >= before.items()
        # What the endpoint answered is in the store, but for the calls in flight at each kill.
        assert len(counts(url)["answers"]) - len(now) <= CONCURRENCY
        kept.append(len(now))
        before = now
    pid = start(folder, url, count)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return kept


@pytest.mark.parametrize("start", [forked, pytest.param(started, marks=pytest.mark.slow)], ids=["forked", "started"])
def test_twenty_kills(tmp_path, start):
    count = 800
    with serving("--latency", "0.015", "--faults", "429,500,garbage,cut", "--every", "25") as url:
        kept = kill_and_go_on(tmp_path / "killed", url, count, start)
        answers = counts(url)["answers"]
        assert len(answers) == count
        twice = sum(answers.values()) - count
        assert twice <= KILLS * CONCURRENCY
        print(f"{count} prompts, kept after each kill {kept}, answered twice {twice}")
        # It was killed at work, not only at the door.
        assert len(set(kept)) >= 15
        run(tmp_path / "whole", url, count)
    killed, whole = contents(tmp_path / "killed"), contents(tmp_path / "whole")
    assert killed == whole
    assert sorted(text for _, _, text, _, _ in killed.values()) == sorted(
        expected(f"prompt {i}", 0) for i in range(count)
    )


@pytest.mark.slow
def test_ten_thousand_prompts_at_the_rate_that_the_endpoint_allows():
    command = [sys.executable, str(SUPPORT / "parent_rate.py"), "--prompts", "10000"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    figures = json.loads(ran.stdout)
    print(figures)
    assert figures["stored"] == figures["answered"] == 10_000
    assert figures["resident_growth_mb"] < 50
    assert figures["share_of_allowed"] > 0.9
