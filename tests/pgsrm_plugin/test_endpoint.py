"""What both clients of HTTP endpoints share: nothing secret is shown, and waits are as asked."""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pgsrm_plugin.asking.engines import build_engine
from pgsrm_plugin.asking.engines.settings import OpenAISettings
from pgsrm_plugin.asking.store.answers import ParentConfig, Request
from pgsrm_plugin.cli.spec import describe
from pgsrm_plugin.encoders.http import HttpEncoderSpec
from pgsrm_plugin.endpoint import Backoff, Endpoint, asked_wait_s, retry_after, show_address
from pgsrm_plugin.errors import ScorerError, SpecError
from pgsrm_plugin.spec.parse import parse_spec

KEY = "sk7Qf03dLm29Xz/+8vTw"
IN_URL = "sk7Qf03dLm29Xz%2F%2B8vTw"
PATH_KEY = "0a9s8d7f6g5h4j3k2l1m"


class Echo(BaseHTTPRequestHandler):
    """Refuses with all that it was sent; of a chat, the second call is answered with it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        said = f"{self.path} {IN_URL} {KEY} {self.headers.get('Authorization')}"
        answered = {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
        second = "chat" in self.path and len(self.server.asked) > 1
        content = json.dumps(answered if second else {"error": {"message": said}}).encode()
        self.send_response(200 if second else 400)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    running.daemon_threads, running.asked = True, []
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def embed(base_url: str, api_key_env: str | None) -> list[object]:
    spec = HttpEncoderSpec(base_url=base_url, model="m", api_key_env=api_key_env)
    encoder = spec.build()
    with pytest.raises(ScorerError) as caught:
        encoder.encode(["a"])
    chain = "".join(traceback.format_exception(caught.value))
    return [spec, encoder, vars(encoder), encoder.identity, chain]


def chat(base_url: str, api_key_env: str | None) -> list[object]:
    settings = {"base_url": base_url, "api_key_env": api_key_env}
    engine = build_engine(ParentConfig("openai", "m"), **settings)

    async def ask() -> list[object]:
        try:
            return [await engine.complete(Request("a")), await engine.complete(Request("a"))]
        finally:
            await engine.aclose()

    return [OpenAISettings(**settings), engine, vars(engine), engine.settings, asyncio.run(ask())]


@pytest.mark.parametrize("client", [embed, chat])
@pytest.mark.parametrize(
    ("path", "header"), [("/v1", True), (f"/v1?api-key={IN_URL}", False), (f"/{PATH_KEY}/v1", False)]
)
def test_a_key_is_sent_and_never_shown(server, monkeypatch, caplog, client, path, header):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")  # other tests' libraries make it silent
    monkeypatch.setenv("ENDPOINT_KEY", KEY)
    shown = client(f"http://127.0.0.1:{server.server_port}{path}", "ENDPOINT_KEY" if header else None)
    sent, authorization = server.asked[0]
    assert (authorization == f"Bearer {KEY}") == header
    assert (IN_URL in sent or PATH_KEY in sent) != header
    secrets = [PATH_KEY] if PATH_KEY in path else [KEY, IN_URL]
    for text in (*map(repr, shown), *map(str, shown), caplog.text):
        assert not [secret for secret in secrets if secret in text]
    assert f"127.0.0.1:{server.server_port}" in caplog.text


@pytest.mark.parametrize(
    "address", [f"http://me:{KEY[:14]}@h/v1", f"http://{KEY[:14]}@h/v1", f"http://me:{KEY}@h/v1", "http://h:p/v1"]
)
def test_a_password_or_a_bad_address_is_refused_without_showing_it(address):
    for build in (embed, chat):
        with pytest.raises(SpecError, match=r"leave user and password out|is no address|Invalid port") as caught:
            build(address, None)
        assert KEY[:14] not in "".join(traceback.format_exception(caught.value))


def test_a_key_in_the_place_of_a_variables_name_is_not_shown():
    for build in (embed, chat):
        with pytest.raises(SpecError, match="api_key_env: this looks like a key; give the name of the") as caught:
            build("http://h/v1", PATH_KEY)
        assert PATH_KEY not in str(caught.value)


def test_a_spec_with_a_key_in_the_address_is_described_and_refused_without_it():
    given = "encoder: {kind: http, base_url: '%s://h/v1?key=abc123', model: m}\nterms: {semantic: {}}\n"
    assert "base_url=http://h/v1 model=m" in "\n".join(describe(parse_spec(given % "http")))
    with pytest.raises(SpecError, match=r"base_url: .*, not 'ftp://h/v1'"):
        parse_spec(given % "ftp")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://api.example.com:8000/v1", "https://api.example.com:8000/v1"),
        ("http://h/openai/deployments/gpt-4o-mini-2024-07-18/v1", "http://h/openai/deployments/gpt-4o-mini-2024-07-18/v1"),
        ("http://h/v1?a=b#c", "http://h/v1"),
        ("me:secret@h/v1", "h/v1"),
        ("http://me:secret@h/v1", "http://h/v1"),
        (f"http://h/{PATH_KEY}/v1", "http://h/[hidden]/v1"),
        ("http://h/v1/9b2d7c1e-5f0a-4c3b-8d2e-1a2b3c4d5e6f/x", "http://h/v1/[hidden]/x"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_what_may_be_a_key(address, shown):
    assert show_address(address) == shown


@pytest.mark.parametrize("token", ["plain", 'sl/ash+and=more.*"\\quoted', "\\u0041"])
def test_the_token_is_blotted_out_however_it_is_written(monkeypatch, token):
    monkeypatch.setenv("ENDPOINT_KEY", token)
    endpoint = Endpoint("http://h", "/x", "ENDPOINT_KEY")
    plain = f"key {token}, Grüße"
    spelled = [plain, json.dumps(plain), json.dumps(plain).replace("/", "\\/"), json.dumps(json.dumps(plain))]
    spelled.append("key " + "".join(f"\\u{ord(c):04X}" for c in token) + ", Grüße")
    spelled.append("key " + "".join(f"%{ord(c):02x}" for c in token) + ", Grüße")
    for text in spelled:
        assert token not in endpoint.redact(text)
        assert endpoint.redact(text).count("key [token], Gr") == 1
    assert endpoint.redact("nothing in it") == "nothing in it"
    assert endpoint.redact("\\" * 200_000)


def test_short_secrets_are_left_in_where_they_may_be_words(monkeypatch):
    monkeypatch.setenv("ENDPOINT_KEY", "EMPTY")
    endpoint = Endpoint("http://h?v=1&key=0123456789", "/x", "ENDPOINT_KEY")
    body = "1 EMPTY 0123456789 \u00e9".encode()
    assert endpoint.redact_bytes(body, shortest=16) == body
    assert endpoint.redact_bytes(body, shortest=6) == "1 EMPTY [hidden] \u00e9".encode()
    assert endpoint.redact_bytes(body) == "1 [token] [hidden] \u00e9".encode()


def test_retry_after_gives_seconds_or_a_date():
    assert [retry_after(value) for value in (None, "", "soon", "7", "0.5", "-3", "nan", "inf")] == [
        0, 0, 0, 7, 0.5, 0, 0, 0,
    ]  # fmt: skip
    assert 8 < retry_after(email.utils.formatdate(time.time() + 10, usegmt=True)) <= 10
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert asked_wait_s({"retry-after-ms": "50", "retry-after": "1"}) == 0.05
    assert (asked_wait_s({"retry-after": "1"}), asked_wait_s({})) == (1, 0)


def test_waits_are_jittered_below_an_exponential_ceiling_and_no_sooner_than_asked():
    least, most = (Backoff(20.0, draw=draw) for draw in (lambda low, high: low, lambda low, high: high))
    for failed, ceiling in ((1, 0.25), (2, 0.5), (3, 1.0), (7, 16.0), (8, 20.0), (1000, 20.0)):
        assert (least.wait_s(failed), most.wait_s(failed)) == (0, ceiling)
    assert (least.wait_s(1, 3.0), most.wait_s(1, 3.0)) == (3.0, pytest.approx(3.3))
    waits = [Backoff(20.0).wait_s(1) for _ in range(300)]
    assert 0 <= min(waits) < 0.025
    assert 0.225 < max(waits) <= 0.25
