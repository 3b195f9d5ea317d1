"""Many connections that ask a service at once, and how long each answer took."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_PATIENCE_S = 600.0


@dataclass
class Load:
    """What the questions met.

    Attributes:
        answers: the rows of each question's answer, in the questions' order; None where there is none.
        latencies_s: from a question's first byte to its answer's last, waits after 429 included.
        refused: answers 429, after which the question was asked again.
        failed: other answers than 200, as texts.
        seconds: of all together.
    """

    answers: list[list[dict[str, Any]] | None]
    latencies_s: list[float]
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def ask_all(url: str, questions: Sequence[Sequence[dict[str, Any]]], connections: int) -> Load:
    """Asks every question once, from so many connections that are kept open.

    The client is a few lines on asyncio's streams, since it has the service's own cores to share: httpx would take more
    of them than the service does.
    """
    load = Load([None] * len(questions), [0.0] * len(questions))
    left = deque(enumerate(questions))
    place = urlsplit(url)
    started = time.perf_counter()
    workers = [_worker(place.hostname or "", place.port or 80, left, load) for _ in range(connections)]
    await asyncio.wait_for(asyncio.gather(*workers), _PATIENCE_S)
    load.seconds = time.perf_counter() - started
    return load


async def _worker(host: str, port: int, left: deque[tuple[int, Sequence[dict[str, Any]]]], load: Load) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=2**26)
    try:
        while left:
            number, rows = left.popleft()
            started = time.perf_counter()
            while True:
                status, document = await _post(reader, writer, host, json.dumps({"rows": rows}).encode())
                if status != 429:
                    break
                load.refused += 1
                await asyncio.sleep(1.0)
            load.latencies_s[number] = time.perf_counter() - started
            if status == 200:
                load.answers[number] = document["rows"]
            else:
                load.failed.append(f"{status} {document}")
    finally:
        writer.close()


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, body: bytes
) -> tuple[int, dict[str, Any]]:
    head = f"POST /v1/score HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().splitlines()
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    document: dict[str, Any] = json.loads(await reader.readexactly(length))
    return int(lines[0].split()[1]), document
