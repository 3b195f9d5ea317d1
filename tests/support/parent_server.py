"""A chat completions server that answers by the prompt alone, fails on demand and counts what it is asked.

    python tests/support/parent_server.py --port 0 --rate 600 --faults 429,500,cut --every 7

prints its address, then serves until it is killed. ``GET /counts`` gives calls by prompt, answers and faults by kind.
A prompt that contains ``fault:NAME`` gets that fault always, ``once:NAME`` at its first call only;
``finish:REASON`` ends half an answer with that finish reason, ``say:TEXT`` is answered with the text.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import email.utils
import hashlib
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

FAULTS = (
    "429", "429ms", "429date", "429long", "500", "503", "400", "401", "402", "404", "quota", "filter", "redirect",
    "garbage", "empty-choices", "no-content", "refusal", "blank", "long", "huge", "slow", "drip", "cut", "cut-early",
    "echo-key", "reasoning", "parts", "only-thinking-parts", "tool", "no-seed", "no-system",
)  # fmt: skip


def expected(text: str, seed: int | None = None) -> str:
    """The answer to a prompt whose last message is ``text``."""
    return f"answer {hashlib.sha256(f'{text}|{seed}'.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


@dataclass
class Behaviour:
    """What the server does.

    Attributes:
        latency_s: before each answer.
        rate: answers a second that are allowed, with a bucket of ``burst`` more; None: any number.
        faults: given in turn to every ``every``-th call.
        token: what the Authorization header must carry; None: anything.
    """

    latency_s: float = 0.0
    rate: float | None = None
    burst: float = 50.0
    faults: tuple[str, ...] = ()
    every: int = 0
    token: str | None = None
    retry_after: str = "0.05"
    slow_s: float = 30.0


@dataclass
class Record:
    """What it saw: calls by text of the last message, answers given, faults by name, most calls at the same time."""

    calls: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    bodies: list[dict] = field(default_factory=list)
    headers: list[dict] = field(default_factory=list)
    connections: int = 0
    under_way: int = 0
    most_under_way: int = 0


class ParentServer:
    """Serves in a thread of its own: ``with ParentServer(Behaviour(...)) as server: server.url``."""

    def __init__(self, behaviour: Behaviour | None = None, port: int = 0, keep_bodies: bool = True) -> None:
        self.behaviour = behaviour or Behaviour()
        self.seen = Record()
        self._port = port
        self._keep_bodies = keep_bodies
        self._tokens = self.behaviour.burst
        self._filled_at = time.monotonic()
        self._number = 0

    async def start(self) -> asyncio.AbstractServer:
        server = await asyncio.start_server(self._connection, "127.0.0.1", self._port)
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return server

    def __enter__(self) -> ParentServer:
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(self.start())
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._request(reader, writer):
                pass
        writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serves one request; returns whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if first.startswith("GET /counts"):
            seen = self.seen
            await self._send(writer, 200, {"calls": seen.calls, "answers": seen.answers, "faults": seen.faults})
            return True
        question = json.loads(body)
        self.seen.under_way += 1
        self.seen.most_under_way = max(self.seen.most_under_way, self.seen.under_way)
        try:
            return await self._answer(writer, question, headers)
        finally:
            self.seen.under_way -= 1

    async def _answer(self, writer: asyncio.StreamWriter, question: dict, headers: dict) -> bool:
        text = question["messages"][-1]["content"]
        first = not self.seen.calls[text]
        self.seen.calls[text] += 1
        if self._keep_bodies:
            self.seen.bodies.append(question)
            self.seen.headers.append(headers)
        if self.behaviour.latency_s:
            await asyncio.sleep(self.behaviour.latency_s)
        fault = self._fault(text, first, headers)
        if fault is not None:
            self.seen.faults[fault] += 1
            return await self._fail(writer, fault, question, headers)
        self.seen.answers[text] += 1
        await self._send(writer, 200, self._good(question, text))
        return True

    def _fault(self, text: str, first: bool, headers: dict) -> str | None:
        if self.behaviour.token is not None and headers.get("authorization") != f"Bearer {self.behaviour.token}":
            return "401"
        for name in FAULTS:
            if f"fault:{name} " in f"{text} " or (first and f"once:{name} " in f"{text} "):
                return name
        self._number += 1
        if self.behaviour.every and self._number % self.behaviour.every == 0:
            return self.behaviour.faults[self._number // self.behaviour.every % len(self.behaviour.faults)]
        return None if self._allowed() else "429"

    def _allowed(self) -> bool:
        if self.behaviour.rate is None:
            return True
        now = time.monotonic()
        gained = (now - self._filled_at) * self.behaviour.rate
        self._tokens, self._filled_at = min(self.behaviour.burst, self._tokens + gained), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    @staticmethod
    def _good(question: dict, text: str) -> dict:
        content = text.partition("say:")[2] or expected(text, question.get("seed"))
        _, ends, reason = text.partition("finish:")
        message = {"role": "assistant", "content": content}
        return {
            "model": question["model"] + "-2026",
            "choices": [{"index": 0, "message": message, "finish_reason": reason if ends else "stop"}],
            "usage": {"prompt_tokens": len(text.split()), "completion_tokens": len(content.split())},
        }

    async def _fail(self, writer: asyncio.StreamWriter, fault: str, question: dict, headers: dict) -> bool:
        text = question["messages"][-1]["content"]
        answer = self._good(question, text)
        choice = answer["choices"][0]
        if fault in ("cut", "cut-early"):
            if fault == "cut":
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"choices": [')
                await writer.drain()
            writer.transport.abort()
            return False
        if fault in ("slow", "drip"):
            await self._dawdle(writer, fault)
            return False
        if fault == "garbage":
            await self._send(writer, 200, b"<html>Bad gateway</html>")
        elif fault in _UNLIKED and not _UNLIKED[fault](question):
            await self._send(writer, 200, answer)
        elif fault in _REPLIES:
            status, extra, body = _REPLIES[fault]
            extra = {**extra, **({"Retry-After": self.behaviour.retry_after} if fault == "429" else {})}
            if fault == "429date":
                extra["Retry-After"] = email.utils.formatdate(time.time() + 1.0, usegmt=True)
            await self._send(writer, status, body, extra)
        else:
            _spoil(fault, answer, choice, headers)
            await self._send(writer, 200, answer)
        return True

    async def _dawdle(self, writer: asyncio.StreamWriter, fault: str) -> None:
        until = time.monotonic() + self.behaviour.slow_s
        if fault == "drip":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while time.monotonic() < until:
            if fault == "drip":
                writer.write(b" ")
                await writer.drain()
            await asyncio.sleep(0.02)

    @staticmethod
    async def _send(writer: asyncio.StreamWriter, status: int, body: object, extra: dict | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        await writer.drain()


def _error(message: str, code: str | None = None) -> dict:
    return {"error": {"message": message, "code": code, "type": code}}


_REPLIES: dict[str, tuple[int, dict[str, str], object]] = {
    "429": (429, {}, _error("slow down", "rate_limit_exceeded")),
    "429ms": (429, {"retry-after-ms": "30"}, _error("slow down")),
    "429date": (429, {}, _error("slow down")),
    "429long": (429, {"Retry-After": "86400"}, _error("daily quota")),
    "500": (500, {}, _error("server error")),
    "503": (503, {"Retry-After": "0.05"}, _error("overloaded")),
    "400": (400, {}, _error("the context is too long", "context_length_exceeded")),
    "401": (401, {}, _error("wrong key", "invalid_api_key")),
    "402": (402, {}, _error("payment required")),
    "404": (404, {}, _error("no such model", "model_not_found")),
    "quota": (429, {}, _error("you exceeded your quota", "insufficient_quota")),
    "filter": (400, {}, _error("flagged", "content_filter")),
    "redirect": (307, {"Location": "/elsewhere"}, b""),
    "no-seed": (422, {}, {"object": "error", "message": {"detail": [
        {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 0}
    ]}}),
    "no-system": (400, {}, {"object": "error", "message": "System role not supported", "code": 400}),
}  # fmt: skip
_UNLIKED = {
    "no-seed": lambda question: "seed" in question,
    "no-system": lambda question: question["messages"][0]["role"] == "system",
}
"""What of a question such a fault is about; without it there is none."""


def _spoil(fault: str, answer: dict, choice: dict, headers: dict) -> None:
    if fault == "empty-choices":
        answer["choices"] = []
    elif fault == "no-content":
        choice["message"]["content"] = None
    elif fault == "refusal":
        choice["message"] |= {"content": None, "refusal": "I can't help with that."}
    elif fault == "blank":
        choice["message"]["content"] = " \n"
    elif fault == "long":
        choice["message"]["content"] += " and on" * 50
        choice["finish_reason"] = "length"
    elif fault == "huge":
        choice["message"]["content"] = "x" * 2_000_000
    elif fault == "reasoning":
        choice["message"] |= {"content": None, "reasoning_content": choice["message"]["content"]}
    elif fault == "parts":
        words = choice["message"]["content"].partition(" ")
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
        choice["message"]["content"] = [thinking, *({"type": "text", "text": word} for word in words)]
    elif fault == "only-thinking-parts":
        choice["message"]["content"] = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]
    elif fault == "tool":
        choice["message"] |= {"content": None, "tool_calls": [{"id": "x", "type": "function"}]}
    elif fault == "echo-key":
        choice["message"]["content"] = headers.get("authorization", "")


async def _serve(server: ParentServer) -> None:
    listening = await server.start()
    print(server.url, flush=True)
    await listening.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--burst", type=float, default=50.0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--retry-after", default="0.05")
    parser.add_argument("--faults", default="")
    parser.add_argument("--every", type=int, default=0)
    given = parser.parse_args()
    faults = tuple(name for name in given.faults.split(",") if name)
    behaviour = Behaviour(given.latency, given.rate, given.burst, faults, given.every, retry_after=given.retry_after)
    asyncio.run(_serve(ParentServer(behaviour, given.port, keep_bodies=False)))


if __name__ == "__main__":
    main()
