"""An endpoint of embeddings that fails when it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def vector(text: str) -> list[float]:
    return [1.0 + text.count(letter) for letter in "aeiou lrst."]


class EmbeddingServer(ThreadingHTTPServer):
    """Embeddings by letters, served in a thread of its own: ``with EmbeddingServer(["500", "slow"]) as server``.

    Each request takes the next of the faults: "500" is an error, "slow" the right answer after ``slow_s`` seconds.
    After the last it does "well". What it did is in ``served``.
    """

    daemon_threads = True

    def __init__(self, faults: Iterable[str] = (), slow_s: float = 2.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.faults = list(faults)
        self.served: list[str] = []
        self.slow_s = slow_s

    def __enter__(self) -> EmbeddingServer:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: EmbeddingServer

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fault = self.server.faults.pop(0) if self.server.faults else "well"
        self.server.served.append(fault)
        if fault == "slow":
            time.sleep(self.server.slow_s)
        data = [{"index": i, "embedding": vector(text)} for i, text in enumerate(question["input"])]
        body = json.dumps({"data": data, "model": "letters"}).encode()
        self.send_response(500 if fault == "500" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass
