"""``pgsrm serve`` as a process: how it starts, what it refuses, and that a stop or a kill loses no number."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from embedding_server import EmbeddingServer
from scored_rows import ROWS, SPEC
from served import served

from pgsrm_plugin.cli import main
from pgsrm_plugin.scorer.batching import MicroBatchSettings
from pgsrm_plugin.scorer.scorer import Scorer
from pgsrm_plugin.spec import parse_spec

HTTP_SPEC = """
encoder: {{kind: http, model: letters, base_url: "{url}"}}
terms: {{semantic: {{}}, exact_match: {{}}}}
weights: {{semantic: 0.7, exact_match: 0.3}}
"""
GOOD = {"prompt": "q", "response": "the red one", "label": "red"}


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def asking(url: str, deadline_s: float = 60.0) -> Scorer:
    return Scorer(url, limits=MicroBatchSettings(max_wait_ms=2, deadline_s=deadline_s))


def post(url: str, rows: list) -> httpx.Response:
    return httpx.post(f"{url}/v1/score", content=json.dumps({"rows": rows}), timeout=60)


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
        return port


def test_the_command_serves_the_bits_of_this_process_and_ends_as_others_do(spec):
    token = "abcdefgh-12345678"
    arguments = ("--host", "0.0.0.0", "--token-env", "REWARD_TOKEN")
    with Scorer(parse_spec(SPEC)) as here, served(spec, *arguments, environment={"REWARD_TOKEN": token}) as service:
        url = service.ready().url.replace("0.0.0.0", "127.0.0.1")
        assert post(url, ROWS).status_code == 401
        with asking(f"{url}/{token}") as scorer:
            assert scorer.score_rows(ROWS) == here.score_rows(ROWS)
        assert service.end() == 143
        assert service.said[-1] == "pgsrm: stopped by SIGTERM"
        assert not any(word in line for line in service.said for word in (token, "violet", "sky"))


def test_it_is_ready_when_its_encoder_is_and_a_stop_finishes_what_it_accepted(tmp_path):
    """The endpoint is slow twice: in the self-test, and in the question that the stop meets."""
    path = tmp_path / "spec.yaml"
    with EmbeddingServer(["slow", "slow"], slow_s=2.5) as endpoint, ThreadPoolExecutor(1) as pool:
        path.write_text(HTTP_SPEC.format(url=endpoint.url))
        with served(path) as service:
            until = time.monotonic() + 60
            while not endpoint.served:
                assert time.monotonic() < until
                time.sleep(0.01)
            early = httpx.get(f"{service.url}/health")
            assert (early.status_code, early.json()) == (503, {"status": "starting"})
            assert post(service.url, [GOOD]).status_code == 503
            service.ready()
            accepted = pool.submit(post, service.url, [GOOD])
            while len(endpoint.served) < 2:
                time.sleep(0.01)
            service.process.send_signal(signal.SIGTERM)
            service.wait_for("stopping; 1 questions are finished first")
            late = post(service.url, [GOOD])
            assert (late.status_code, late.headers["retry-after"]) == (503, "1")
            assert httpx.get(f"{service.url}/health").json() == {"status": "stopping"}
            answer = accepted.result()
            assert service.process.wait(20) == 143
        with Scorer(path) as here:
            assert answer.json()["rows"] == here.score_rows([GOOD])


def test_a_second_signal_does_not_wait_and_a_short_grace_is_kept(tmp_path):
    path = tmp_path / "spec.yaml"
    with EmbeddingServer(["well", "slow"], slow_s=30) as endpoint, ThreadPoolExecutor(1) as pool:
        path.write_text(HTTP_SPEC.format(url=endpoint.url))
        with served(path) as service:
            service.ready()
            accepted = pool.submit(post, service.url, [GOOD])
            while len(endpoint.served) < 2:
                time.sleep(0.01)
            service.process.send_signal(signal.SIGINT)
            service.wait_for("stopping")
            started = time.monotonic()
            assert service.end(signal.SIGINT) == 130
            assert time.monotonic() - started < 15
            with contextlib.suppress(httpx.TransportError):
                assert accepted.result().status_code == 503


def test_a_client_gets_its_numbers_though_the_service_is_killed_in_the_middle_of_its_question(tmp_path):
    path, port = tmp_path / "spec.yaml", str(free_port())
    with EmbeddingServer(["well", "slow"], slow_s=3) as endpoint, ThreadPoolExecutor(1) as pool:
        path.write_text(HTTP_SPEC.format(url=endpoint.url))
        with served(path, "--port", port) as first, asking(first.ready().url) as scorer:
            waiting = pool.submit(scorer.score_rows, [GOOD])
            while len(endpoint.served) < 2:
                time.sleep(0.01)
            assert first.end(signal.SIGKILL) == -signal.SIGKILL
            with served(path, "--port", port) as second:
                second.ready()
                numbers = waiting.result()
                assert second.end() == 143
        with Scorer(path) as here:
            assert numbers == here.score_rows([GOOD])


def test_an_encoder_that_does_not_work_ends_it(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(HTTP_SPEC.format(url=f"http://127.0.0.1:{free_port()}").replace('"}', '", retries: 0}'))
    with served(path) as service:
        assert service.process.wait(60) == 3
        assert "broke the connection" in service.said[-1]
        assert not any("ready" in line for line in service.said)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (
            ["--host", "0.0.0.0"],
            {},
            "--host 0.0.0.0 answers whoever reaches this machine: name the environment",
        ),
        (["--host", "gpu-3"], {}, "--host gpu-3 answers whoever"),
        (["--token-env", "T"], {}, "--token-env: the environment variable T is not set, or empty"),
        (["--token-env", "T"], {"T": "short"}, "--token-env: the value of T must be 8 or more letters"),
        (["--token-env", "T"], {"T": "with/slash-and-more"}, "--token-env: the value of T must be 8 or more letters"),
        (["--references", "x.jsonl"], {}, "--references and --chat-template belong together"),
        (["--chat-template", "qwen"], {}, "--references and --chat-template belong together"),
        (["--references", "no.jsonl", "--chat-template", "qwen"], {}, "no.jsonl: there is no such file"),
        (["--references", "x", "--chat-template", "qwn"], {}, "a template of that name; did you mean 'qwen'?"),
        (["--port", "USED"], {}, "Address already in use"),
        (["--host", "203.0.113.1", "--insecure"], {}, "--host 203.0.113.1 --port 8900: "),
    ],
)
def test_what_cannot_start_says_why(spec, capsys, monkeypatch, arguments, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as used:
        arguments = [str(used.getsockname()[1]) if one == "USED" else one for one in arguments]
        with pytest.raises(SystemExit) as stopped:
            main(["serve", str(spec), *arguments])
    assert (stopped.value.code, message in capsys.readouterr().err) == (2, True)


def test_a_mistake_in_the_spec_gets_its_line(tmp_path, capsys):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC + "weigths: {}\n")
    with pytest.raises(SystemExit) as stopped:
        main(["serve", str(path)])
    assert stopped.value.code == 2
    assert f"{path}:6: weigths: unknown key; did you mean 'weights'?" in capsys.readouterr().err


WITHOUT = """
import sys
class Refuse:
    names = ("starlette", "uvicorn", "prometheus_client")
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import pgsrm_plugin
from pgsrm_plugin import Scorer, parse_spec
rows = [{"prompt": "", "response": "a", "label": "a"}]
print(Scorer(parse_spec("terms: {exact_match: {}}")).score_rows(rows)[0]["reward"])
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in Refuse.names else real(name, package)
from pgsrm_plugin.cli import main
main(["serve", "pgsrm"])
"""


def test_without_the_extra_all_else_works_and_the_command_says_what_to_install():
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False, timeout=120, env={**os.environ}
    )
    assert ran.stdout.strip() == "1.0"
    assert ran.returncode == 1
    needs = "pgsrm: `pgsrm serve` needs starlette, uvicorn, prometheus_client; install it with "
    assert ran.stderr.strip().splitlines()[-1] == needs + "`pip install 'pgsrm-plugin[serve]'`"
