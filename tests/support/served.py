"""Services of rewards for tests: in a thread of this process, or as the command in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from pgsrm_plugin.data.completions import SPECIAL_TOKENS
from pgsrm_plugin.data.layouts import STOCK
from pgsrm_plugin.data.rows import Columns
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.scorer.batching import MicroBatchSettings
from pgsrm_plugin.serve.asgi import build_app
from pgsrm_plugin.serve.dialects.llama_factory import LlamaFactory
from pgsrm_plugin.serve.dialects.native import Native
from pgsrm_plugin.serve.dialects.openrlhf import OpenRlhf
from pgsrm_plugin.serve.dialects.slime import Slime
from pgsrm_plugin.serve.process import listen
from pgsrm_plugin.serve.prompt_index import PromptIndex
from pgsrm_plugin.serve.serve_settings import ServeSettings
from pgsrm_plugin.serve.service import Service

PATIENCE_S = 120.0
LIMITS = MicroBatchSettings(max_wait_ms=2, max_pending=64, deadline_s=20)


class InThread:
    """The application behind uvicorn in a thread: real HTTP, and a reward of the test's own."""

    def __init__(self, reward: SemanticReward | None, index: PromptIndex | None = None, **settings: Any) -> None:
        self.service = Service(
            ServeSettings(**{"limits": LIMITS, **settings}), Columns(usual=STOCK, special_tokens=SPECIAL_TOKENS)
        )
        if reward is not None:
            self.service.use(reward)
        app = build_app(self.service, [Native(), OpenRlhf(), Slime(), LlamaFactory(index)])
        place = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{place.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [place]}, daemon=True)

    def __enter__(self) -> InThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self.service.close()

    def ask(self, path: str, document: Any = None, **more: Any) -> httpx.Response:
        """Posts a document (bytes as they are), or gets a path."""
        if document is None:
            return httpx.get(self.url + path, timeout=30, **more)
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        return httpx.post(self.url + path, timeout=30, content=content, **more)


class InProcessOfItsOwn:
    """``pgsrm serve SPEC`` as users start it."""

    def __init__(self, spec: Path | str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "pgsrm_plugin.cli", "serve", str(spec), "--port", "0", *arguments]
        env = {**os.environ, **(environment or {})}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
        self.said: list[str] = []
        self._told = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._told:
                self.said.append(line.rstrip())
                self._told.notify_all()

    def wait_for(self, words: str) -> str:
        """The first line with these words."""
        until = time.monotonic() + PATIENCE_S
        with self._told:
            while not (found := [line for line in self.said if words in line]):
                assert time.monotonic() < until, self.said
                assert self.process.poll() is None or words in str(self.said), self.said
                self._told.wait(0.2)
        return found[0]

    @property
    def url(self) -> str:
        """Where it answers, as soon as it does."""
        found = re.search(r"http://[^ ]*:\d+", self.wait_for(" at http"))
        assert found is not None
        return found.group()

    def ready(self) -> InProcessOfItsOwn:
        """Waits until it says so."""
        self.wait_for(": ready")
        return self

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def served(spec: Path | str, *arguments: str, **more: Any) -> Iterator[InProcessOfItsOwn]:
    """``pgsrm serve`` for the length of a block."""
    service = InProcessOfItsOwn(spec, *arguments, **more)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
        service.process.wait(PATIENCE_S)
