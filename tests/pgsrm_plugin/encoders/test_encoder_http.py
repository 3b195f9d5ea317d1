"""The http encoder against a real server on this machine that fails on demand."""

from __future__ import annotations

import email.utils
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from pgsrm_plugin.encoders.http import HttpEncoderSpec
from pgsrm_plugin.encoders.http import client as http
from pgsrm_plugin.encoders.http.client import HttpEncoder
from pgsrm_plugin.endpoint import Backoff
from pgsrm_plugin.errors import ScorerError, SpecError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.types import RewardSample

TOKEN = "s3cr3t-t0ken-0123456789"
Fault = Callable[["Handler", dict], None]


def vector(text: str) -> list[float]:
    return [float(len(text)), float(text.count("a")), 1.0]


def answer(question: dict) -> dict:
    data = [{"object": "embedding", "index": i, "embedding": vector(t)} for i, t in enumerate(question["input"])]
    return {"object": "list", "data": data, "model": question["model"], "usage": {"total_tokens": 5}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), question))
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault is None:
            self.send(answer(question))
        else:
            fault(self, question)

    def send(self, body: dict | bytes, status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


class Endpoint(ThreadingHTTPServer):
    """Answers rightly, except that the first requests meet the listed faults (None: no fault)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[Fault | None] = []
        self.asked: list[tuple[str, dict, dict]] = []
        self.released = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is expected here."""


@pytest.fixture
def endpoint(quick_http: None) -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def spec(endpoint: Endpoint, **settings: object) -> HttpEncoderSpec:
    base_url = f"http://127.0.0.1:{endpoint.server_port}/v1/"
    return HttpEncoderSpec(**{"base_url": base_url, "model": "m", "timeout_s": 5, "deadline_s": 20, **settings})


def build(endpoint: Endpoint, **settings: object) -> HttpEncoder:
    return HttpEncoder(spec(endpoint, **settings))


def status(code: int, body: bytes = b"", **headers: str) -> Fault:
    return lambda handler, question: handler.send(body, code, **headers)


def body_of(change: Callable[[dict], object]) -> Fault:
    """A right answer, changed; what ``change`` returns replaces it unless it is None."""

    def fault(handler: Handler, question: dict) -> None:
        right = answer(question)
        changed = change(right)
        handler.send(right if changed is None else changed)

    return fault


def cut(handler: Handler, question: dict) -> None:
    content = json.dumps(answer(question)).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    handler.close_connection = True


def stall(handler: Handler, question: dict) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')
    handler.wfile.flush()
    handler.server.released.wait(20)
    handler.close_connection = True


def drip(handler: Handler, question: dict) -> None:
    """A byte now and then, so that no single read times out."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.released.wait(0.02):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def endless(handler: Handler, question: dict) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    piece = b" " * 65536
    while not handler.server.released.is_set():
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))


TEXTS = ["a", "bb", "aaa", "dd dd", "e" * 7]
EXPECTED_ND = torch.tensor([vector(text) for text in TEXTS])


def test_the_protocol(endpoint, monkeypatch):
    monkeypatch.setenv("EMBEDDINGS_KEY", TOKEN)
    encoder = build(endpoint, batch_texts=2, api_key_env="EMBEDDINGS_KEY", dimensions=3)
    result = encoder.encode(TEXTS)
    assert torch.equal(result.vectors_ND, EXPECTED_ND)
    assert result.vectors_ND.dtype == torch.float32
    assert result.tokens_N.tolist() == [-1] * 5
    assert result.truncated_N.tolist() == [False] * 5
    paths, headers, questions = zip(*endpoint.asked, strict=True)
    assert set(paths) == {"/v1/embeddings"}
    assert {head["Authorization"] for head in headers} == {f"Bearer {TOKEN}"}
    assert questions == tuple(
        {"model": "m", "input": TEXTS[i : i + 2], "encoding_format": "float", "dimensions": 3} for i in (0, 2, 4)
    )
    assert encoder.identity == "http:m;dimensions=3"
    assert encoder.encode([]).vectors_ND.shape == (0, 3)


def test_without_a_token_none_is_sent(endpoint):
    spec(endpoint).build().encode(["a"])
    _, headers, question = endpoint.asked[0]
    assert "Authorization" not in headers
    assert "dimensions" not in question


@pytest.mark.parametrize(
    "fault",
    [status(500), status(503), status(408), status(409), status(429, Retry_After="0"), cut],
    ids=["500", "503", "408", "409", "429", "cut"],
)
def test_what_may_pass_is_retried(endpoint, fault):
    endpoint.faults = [None, fault, fault]
    assert torch.equal(build(endpoint, batch_texts=3).encode(TEXTS).vectors_ND, EXPECTED_ND)
    assert [len(question["input"]) for _, _, question in endpoint.asked] == [3, 2, 2, 2]


def test_retries_run_out(endpoint):
    endpoint.faults = [None] + [status(503, b"busy")] * 3
    with pytest.raises(ScorerError) as caught:
        build(endpoint, retries=2, batch_texts=3).encode(TEXTS)
    message = str(caught.value)
    where = f"http://127.0.0.1:{endpoint.server_port}/v1/embeddings"
    assert message.startswith(f"encoder http:m at {where} answered 503 'busy', 3 times in a row; 3 of 5 texts were ")
    assert message.endswith(" s, nothing was scored")
    assert len(endpoint.asked) == 4


def test_retry_after_is_waited_for(endpoint, monkeypatch):
    waits = []
    monkeypatch.setattr(http.time, "sleep", waits.append)
    date = email.utils.formatdate(time.time() + 8, usegmt=True)
    endpoint.faults = [status(429, Retry_After="3"), status(503, Retry_After=date), status(503, Retry_After="soon")]
    build(endpoint).encode(["a"])
    assert 3 <= waits[0] <= 3.3
    assert 5 < waits[1] <= 8.8
    assert waits[2] <= 0.004


def test_a_wait_knows_how_many_attempts_failed(endpoint, monkeypatch):
    waits = []
    monkeypatch.setattr(http, "_BACKOFF", Backoff(limit_s=8.0, draw=lambda low, high: high))
    monkeypatch.setattr(http.time, "sleep", waits.append)
    endpoint.faults = [status(500)] * 7
    build(endpoint, retries=7, deadline_s=1000).encode(["a"])
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 8]


def test_a_wait_beyond_the_deadline_is_not_begun(endpoint):
    endpoint.faults = [status(429, b"slow down", Retry_After="100")]
    with pytest.raises(
        ScorerError, match=r"answered 429 'slow down' and asked to wait 100 s; the deadline of 20 s leaves "
    ):
        build(endpoint).encode(["a"])
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("fault", [stall, drip])
def test_an_answer_that_comes_too_slowly_ends_at_the_deadline(endpoint, fault):
    endpoint.faults = [None] + [fault] * 20
    encoder = build(endpoint, batch_texts=2, timeout_s=0.1, deadline_s=0.4, retries=20)
    with pytest.raises(ScorerError, match=r"did not (answer|finish) within .*; 2 of 5 texts were embedded after"):
        encoder.encode(TEXTS)
    assert 2 <= len(endpoint.asked) <= 6


def test_a_slow_answer_may_be_asked_for_again(endpoint):
    endpoint.faults = [stall]
    assert torch.equal(build(endpoint, timeout_s=0.2).encode(TEXTS).vectors_ND, EXPECTED_ND)


def test_no_server(endpoint):
    gone = spec(endpoint, retries=1)
    endpoint.server_close()
    with pytest.raises(ScorerError, match=r"broke the connection \(ConnectError: .*\), 2 times in a row; 0 of 5 texts"):
        HttpEncoder(gone).encode(TEXTS)


def wrong(key: str, value: object) -> Fault:
    return body_of(lambda right: right["data"][1].update({key: value}))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (body_of(lambda right: b"<html>hello</html>"), "returned an answer that is not JSON"),
        (body_of(lambda right: b"\xff\xfe\x00"), "returned an answer that is not JSON"),
        (body_of(lambda right: b"[" * 100_000), "returned an answer that is not JSON"),
        (body_of(lambda right: {"error": "x"}), "returned JSON without a 'data' list"),
        (body_of(lambda right: b"[1]"), "returned JSON without a 'data' list"),
        (body_of(lambda right: {"data": [1, 2, 3, 4, 5]}), "returned JSON whose 'data' is not a list of objects"),
        (body_of(lambda right: right["data"].pop() and None), "returned 4 embeddings for 5 texts"),
        (wrong("index", 0), "returned embeddings whose indexes are not 0 to 4, each once"),
        (wrong("index", 5), "returned embeddings whose indexes are not 0 to 4, each once"),
        (wrong("index", True), "returned embeddings whose indexes are not 0 to 4, each once"),
        (wrong("index", None), "returned embeddings whose indexes are not 0 to 4, each once"),
        (wrong("embedding", [1.0, float("nan"), 0.0]), "returned embedding 1, which is not finite"),
        (wrong("embedding", [1.0, 1e300, 0.0]), "returned embedding 1, which is not finite"),
        (wrong("embedding", [10**400, 1, 1]), "returned embedding 1, which is not finite"),
        (wrong("embedding", "AACAPw=="), "returned embedding 1, which is not a list of numbers"),
        (wrong("embedding", [1.0, "2", 3.0]), "returned embedding 1, which is not a list of numbers"),
        (wrong("embedding", []), "returned embedding 1, which is not a list of numbers"),
        (wrong("embedding", [1.0, 2.0]), "returned embedding 1 of 2 dimensions, expected 3"),
        (endless, "sent more than max_response_mb: 0.5"),
        (
            status(302, Location="http://127.0.0.1:1/"),
            "answered 302, a redirect, which is not followed; set base_url to ",
        ),
        (status(400, b"no such model: m"), "answered 400 'no such model: m'; 0 of 5"),
        (status(404, b"x" * 5000), "answered 404 '" + "x" * 200 + "'; 0 of 5"),
    ],
)
def test_what_cannot_pass_fails_at_once(endpoint, fault, message):
    endpoint.faults = [fault]
    with pytest.raises(ScorerError) as caught:
        build(endpoint, max_response_mb=0.5).encode(TEXTS)
    assert f"/v1/embeddings {message}" in str(caught.value)
    assert len(endpoint.asked) == 1
    assert len(str(caught.value)) < 500


def test_dimensions_must_be_those_asked_for_and_stay_the_same(endpoint):
    with pytest.raises(ScorerError, match="returned embedding 0 of 3 dimensions, expected 4"):
        build(endpoint, dimensions=4).encode(["a"])
    encoder = build(endpoint)
    encoder.encode(["a"])
    endpoint.faults = [body_of(lambda right: right["data"][0].update(embedding=[1.0]))]
    with pytest.raises(ScorerError, match="returned embedding 0 of 1 dimensions, expected 3"):
        encoder.encode(["a"])


def test_answers_out_of_order_are_put_in_order(endpoint):
    endpoint.faults = [body_of(lambda right: right["data"].reverse())]
    assert torch.equal(build(endpoint).encode(TEXTS).vectors_ND, EXPECTED_ND)


def test_the_token_is_never_shown(endpoint, monkeypatch):
    monkeypatch.setenv("EMBEDDINGS_KEY", TOKEN)
    encoder = build(endpoint, api_key_env="EMBEDDINGS_KEY", retries=0)
    echo = f"bad key {TOKEN}".encode()
    for code, hint in [(401, "; check the token in $EMBEDDINGS_KEY"), (400, ""), (500, "")]:
        endpoint.faults = [status(code, echo)]
        with pytest.raises(ScorerError) as caught:
            encoder.encode(["a"])
        error: BaseException | None = caught.value
        assert f"answered {code} 'bad key [token]'{hint}" in str(error)
        while error is not None:
            assert TOKEN not in f"{error!s}{error!r}"
            error = error.__cause__ or error.__context__
    assert TOKEN not in repr(encoder) + repr(vars(encoder)) + encoder.identity


@pytest.mark.parametrize("value", [None, "", "   "])
def test_a_missing_token_is_known_at_once(endpoint, monkeypatch, value):
    monkeypatch.delenv("EMBEDDINGS_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("EMBEDDINGS_KEY", value)
    with pytest.raises(SpecError) as caught:
        build(endpoint, api_key_env="EMBEDDINGS_KEY")
    assert str(caught.value) == "encoder.api_key_env: the environment variable EMBEDDINGS_KEY is not set, or empty"


def test_a_password_in_the_address_is_refused():
    with pytest.raises(SpecError, match=r"^encoder.base_url: leave user and password out of the address") as caught:
        HttpEncoder(HttpEncoderSpec(base_url="http://me:hunter2@127.0.0.1/v1", model="m"))
    assert "hunter2" not in str(caught.value)


def test_threads_get_their_own_answers(endpoint):
    encoder = build(endpoint, batch_texts=1)
    found: dict[int, torch.Tensor] = {}
    texts = {n: [f"{'a' * n} {i}" for i in range(8)] for n in range(6)}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: encoder.encode(texts[n]).vectors_ND})) for n in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[n], torch.tensor([vector(text) for text in texts[n]])) for n in texts)


def test_a_reward_whose_encoder_times_out_half_way_scores_nothing_and_recovers(endpoint):
    encoder = {
        "kind": "http",
        **spec(endpoint, batch_texts=2, timeout_s=0.1, deadline_s=0.3).model_dump(exclude={"kind"}),
    }
    reward = SemanticReward(
        RewardSpec.model_validate({"encoder": encoder, "terms": {"semantic": {}}, "weights": {"semantic": 1}})
    )
    samples = [RewardSample(prompt="p", response=text, references=("aaaa",)) for text in TEXTS]
    endpoint.faults = [None] + [stall] * 20
    with pytest.raises(ScorerError, match=r"2 of 6 texts were embedded after .* nothing was scored"):
        reward.score(samples)
    endpoint.faults = []
    assert len(reward.score(samples)) == len(samples)


def test_a_prompt_stands_before_each_text_and_in_the_identity(endpoint: Endpoint) -> None:
    encoder = HttpEncoder(spec(endpoint, prompt="query: "))
    encoder.encode(["a", "bb"])
    assert endpoint.asked[0][2]["input"] == ["query: a", "query: bb"]
    assert encoder.identity == "http:m;prompt='query: '"


def test_truncation_is_asked_of_the_server(endpoint: Endpoint) -> None:
    encoder = HttpEncoder(spec(endpoint, truncate_prompt_tokens=-1, extra_body={"truncate": True}))
    encoder.encode(["a"])
    question = endpoint.asked[0][2]
    assert (question["truncate_prompt_tokens"], question["truncate"]) == (-1, True)
    assert encoder.identity == "http:m;truncate=True;truncate_prompt_tokens=-1"


def test_texts_are_cut_before_they_are_sent_and_counted(endpoint: Endpoint) -> None:
    result = HttpEncoder(spec(endpoint, max_chars=3)).encode(["abc", "abcd"])
    assert endpoint.asked[0][2]["input"] == ["abc", "abc"]
    assert result.truncated_N.tolist() == [False, True]


@pytest.mark.parametrize(
    ("status", "said", "hint"),
    [
        (400, "This model's maximum context length is 512 tokens.", "encoder.truncate_prompt_tokens: -1"),
        (413, "Input validation error: `inputs` must have less than 512 tokens, too long", "encoder.max_chars"),
        (422, "batch size 64 > maximum allowed batch size 32", "encoder.batch_texts is 64"),
        (413, "", "encoder.batch_texts is 64"),
    ],
)
def test_a_refusal_names_the_setting(endpoint: Endpoint, status: int, said: str, hint: str) -> None:
    endpoint.faults = [lambda handler, question: handler.send({"message": said}, status)]
    with pytest.raises(ScorerError, match=re.escape(hint)):
        HttpEncoder(spec(endpoint)).encode(["a"])


def test_extra_keys_do_not_replace_the_encoders_own(endpoint: Endpoint) -> None:
    with pytest.raises(ValueError, match="'model' has a key of its own"):
        spec(endpoint, extra_body={"model": "other"})
