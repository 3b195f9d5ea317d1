"""A service of rewards that fails when it is told to; the real one is `pgsrm serve`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FACTS = {
    "name": "lengths",
    "terms": {"length": 1.0},
    "aggregate": {
        "kind": "sum",
        "needs_groups": False,
        "gives_advantages": False,
        "only_shifts": False,
        "instead": "sum",
    },
    "unscorable": "floor",
    "fingerprint": "f",
    "encoder": None,
    "version": "0",
}


class RewardService(ThreadingHTTPServer):
    """Rewards each response with its length: ``with RewardService(["refuse", (429, {...})]) as service``.

    Each question takes the next of the faults: ``break`` closes the connection, ``half`` in the middle of the answer,
    ``hang`` answers after ``hang_s`` seconds, ``(status, headers, text)`` is that answer. After the last it does well.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, faults: Iterable[Any] = (), hang_s: float = 5.0, port: int = 0, **facts: object) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.faults = list(faults)
        self.facts = {**FACTS, **facts}
        self.hang_s = hang_s
        self.questions: list[Any] = []
        self.tokens: list[str | None] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever goes away is no news: some tests do."""

    def __enter__(self) -> RewardService:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: RewardService

    def do_GET(self) -> None:
        self._answer(200, self.server.facts)

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.questions.append(question)
        self.server.tokens.append(self.headers["Authorization"])
        fault = self.server.faults.pop(0) if self.server.faults else "well"
        self.close_connection |= fault in ("break", "half")
        if fault == "break":
            return
        if fault == "hang":
            time.sleep(self.server.hang_s)
        if isinstance(fault, tuple):
            self._answer(*fault)
            return
        for i, row in enumerate(question["rows"]):
            if "bad" in row["response"]:
                self._answer(422, {"error": f"rows[{i}]: bad", "kind": "DataError"})
                return
        rows = [{"reward": float(len(row["response"])), "reward/scored": 1.0} for row in question["rows"]]
        self._answer(200, {"rows": rows}, cut=fault == "half")

    def _answer(self, status: int, document: Any, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def log_message(self, *args: object) -> None:
        pass
