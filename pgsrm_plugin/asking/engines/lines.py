"""Connections that are kept open, each with one request at a time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

import httpx


class Lines:
    """As many single connections as are in use at once, the one used last first.

    A client each, not one client with a pool: httpx's pool looks at every connection, down to its socket, at every
    request and every answer, which at 64 connections is most of the work.

    Args:
        headers: sent with every request.
        timeout: see httpx.
    """

    def __init__(self, headers: Mapping[str, str], timeout: httpx.Timeout) -> None:
        self._headers = dict(headers)
        self._timeout = timeout
        self._verify = httpx.create_ssl_context()
        self._all: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []

    @contextlib.asynccontextmanager
    async def line(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client that is nobody else's until the block ends."""
        client = self._idle.pop() if self._idle else self._new()
        try:
            yield client
        finally:
            self._idle.append(client)

    async def aclose(self) -> None:
        clients, self._all, self._idle = self._all, [], []
        for client in clients:
            await client.aclose()

    def _new(self) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            headers=self._headers,
            timeout=self._timeout,
            verify=self._verify,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
        )
        self._all.append(client)
        return client
