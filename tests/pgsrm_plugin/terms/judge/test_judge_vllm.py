"""A real local judge: SmolLM2-135M-Instruct in a real vLLM, behind its own server and in this process (slow)."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from real_child import needs_real_child

from pgsrm_plugin import RewardSample, SemanticReward, parse_spec
from pgsrm_plugin.pretrained import embedded

pytestmark = [
    pytest.mark.slow,
    needs_real_child,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]
RUBRIC = "rubric: [It names the capital of France.]"
SAMPLES = [
    RewardSample("What is the capital of France?", text, group=0)
    for text in ("The capital of France is Paris.", "I like bananas and cheese.", "Solution:", "Paris.")
]
SETTINGS = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def child() -> str:
    return embedded.resolve(embedded.MODEL)


@pytest.fixture(scope="module")
def endpoint(child, tmp_path_factory):
    """The address of vLLM's OpenAI-compatible server, which is this test's own process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "log"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", child, "--port", str(port)]
    command += ["--served-model-name", "smol", "--max-model-len", "2048", "--dtype", "float32", "--enforce-eager"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **SETTINGS}, start_new_session=True
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _wait_for(url: str, process: subprocess.Popen, log) -> None:
    until = time.monotonic() + 400
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(2)
    raise AssertionError(log.read_text(errors="replace")[-4000:])


@pytest.mark.timeout(900)
def test_a_real_judge_behind_an_endpoint(endpoint, tmp_path):
    where = f"base_url: {endpoint}, model: smol, timeout_s: 300, deadline_s: 600, store: {tmp_path / 'kept'}"
    yes = SemanticReward(parse_spec(f"terms: {{judge: {{{where}, mode: yes_probability, {RUBRIC}}}}}")).score(SAMPLES)
    right, wrong, key, _ = yes.total_B.tolist()
    assert 0 < wrong < 1
    assert 0 < right < 1
    assert right != wrong
    assert key == 0.0
    for mode in ("pointwise", "rating", "listwise", "tournament"):
        spec = parse_spec(f"terms: {{judge: {{{where}, mode: {mode}, critique: false, max_tokens: 48, {RUBRIC}}}}}")
        first = SemanticReward(spec).score(SAMPLES)
        # So small a model does not always give a verdict: such rows are unscorable, and said to be.
        declined = first.diagnostics["declined/judge"].tolist()
        assert declined[2] == 0.0
        assert all(0 <= value <= 1 for value in first.total_B.tolist())
        again = SemanticReward(spec).score(SAMPLES)
        assert again.total_B.tolist() == first.total_B.tolist()
        print(mode, first.total_B.tolist(), declined)
        if mode == "pointwise":
            assert declined == [0.0] * 4


@pytest.mark.timeout(900)
def test_the_same_judge_offline_in_this_process(child, monkeypatch, endpoint):
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    arguments = "engine_args: {dtype: float32, max_model_len: 2048, enforce_eager: true, seed: 0}"
    offline = parse_spec(
        f"terms: {{judge: {{engine: vllm, model: {child}, {arguments}, mode: yes_probability, {RUBRIC}}}}}"
    )
    online = parse_spec(
        f"terms: {{judge: {{base_url: {endpoint}, model: smol, timeout_s: 300, deadline_s: 600, "
        f"mode: yes_probability, {RUBRIC}}}}}"
    )
    here, there = SemanticReward(offline).score(SAMPLES), SemanticReward(online).score(SAMPLES)
    assert here.total_B.tolist() == pytest.approx(there.total_B.tolist(), abs=1e-3)
    assert here.total_B.tolist()[2] == 0.0
