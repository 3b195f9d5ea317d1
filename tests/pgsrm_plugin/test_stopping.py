"""Ctrl-C and SIGTERM end every command within seconds, with the status that shells know, and cut no file short."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from parent_server import Behaviour, ParentServer

from pgsrm_plugin.stopping import Stopped, heard, stopping_on_signals

COMMAND = [sys.executable, "-m", "pgsrm_plugin.cli"]
LIMIT_S = 30.0
"""Five seconds are promised; a machine that does much else has half of the minute that the work would go on."""
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)


def stop(command: list[str], number: int, sign: Path | threading.Event, quiet_s: float = 0.2) -> tuple[int, str]:
    """Starts a command, sends the signal once there is a sign that it works; its status and all that it wrote."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 120
        while not (sign.is_set() if isinstance(sign, threading.Event) else sign.exists()):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline, "the command does not begin"
            time.sleep(0.02)
        time.sleep(quiet_s)
        children = psutil.Process(process.pid).children(recursive=True)
        started = time.monotonic()
        process.send_signal(number)
        written, _ = process.communicate(timeout=60)
        assert time.monotonic() - started < LIMIT_S
        _, alive = psutil.wait_procs(children, timeout=LIMIT_S)
        assert alive == []
        return process.returncode, written
    finally:
        process.kill()


WORK = """
import json, os, sys, threading, time, zlib
from pathlib import Path
from pgsrm_plugin.data.whole import replacing
from pgsrm_plugin.stopping import stopping_on_signals

class Swallows:
    def __del__(self):
        time.sleep(60)

def loop():
    time.sleep(60)

def a_library_that_does_not_listen():
    data = os.urandom(1 << 20) * 1500
    Path(sys.argv[2]).touch()
    zlib.compress(data, 9)

def an_exception_that_is_lost():
    Swallows()
    time.sleep(60)

class TakenApart:
    def __del__(self):
        for _ in range(60):
            time.sleep(1)

def a_library_that_is_taken_apart():
    sys.modules["json"].kept = TakenApart()
    time.sleep(60)

def a_thread_that_is_waited_for():
    threading.Thread(target=time.sleep, args=(60,)).start()
    time.sleep(60)

def a_file_half_written():
    with replacing(Path(sys.argv[2]).with_name("whole")) as file:
        file.write(b"half")
        time.sleep(60)

work = sys.argv[1]
with stopping_on_signals():
    if work != "a_library_that_does_not_listen":
        Path(sys.argv[2]).touch()
    globals()[work]()
"""


@BOTH
@pytest.mark.parametrize(
    "work",
    [
        "loop",
        "a_library_that_does_not_listen",
        "an_exception_that_is_lost",
        "a_library_that_is_taken_apart",
        "a_thread_that_is_waited_for",
        "a_file_half_written",
    ],
)
def test_whatever_goes_on_it_ends(work, number, tmp_path):
    status, _ = stop([sys.executable, "-c", WORK, work, str(tmp_path / "sign")], number, tmp_path / "sign")
    assert status == 128 + number
    assert [path.name for path in tmp_path.iterdir()] == ["sign"]


@pytest.fixture
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """An address that takes requests and never answers, and whether one has come."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def listen() -> None:
            try:
                while True:
                    kept.append(server.accept()[0])
                    asked.set()
            except OSError:
                return

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1", asked
        for connection in kept:
            connection.close()


@BOTH
@pytest.mark.parametrize("command", ["score", "calibrate"])
def test_a_command_ends_and_writes_nothing(command, number, silent_server, tmp_path, monkeypatch):
    address, asked = silent_server
    monkeypatch.setenv("NO_PROXY", "*")
    spec, rows, out = tmp_path / "s.yaml", tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    spec.write_text(f"encoder: {{kind: http, base_url: '{address}', model: m}}\nterms: {{semantic: {{}}}}\n")
    rows.write_text("".join(json.dumps({"prompt": p, "response": p, "reference": p}) + "\n" for p in "abc"))
    arguments = [command, str(rows), "--spec", str(spec), *(["--out", str(out)] if command == "score" else [])]
    status, written = stop([*COMMAND, *arguments], number, asked)
    assert (status, written.strip()) == (128 + number, f"pgsrm: stopped by {number.name}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl", "s.yaml"]


@BOTH
def test_parent_generate_ends_and_goes_on(number, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    prompts, store = tmp_path / "prompts.jsonl", tmp_path / "store"
    prompts.write_text("".join(json.dumps({"prompt": f"p{i}"}) + "\n" for i in range(400)))
    with ParentServer(Behaviour(latency_s=0.5)) as server:
        options = ["--out", str(store), "--engine", "openai", "--base-url", server.url, "--model", "m"]
        command = [*COMMAND, "parent", "generate", str(prompts), *options, "--concurrency", "4"]
        status, written = stop(command, number, store, quiet_s=3.0)
    assert status == 128 + number, written
    assert "the same command goes on where it was" in written


@BOTH
@pytest.mark.parametrize("command", [["demo"], ["reproduce", "pgsrm", "--tasks", "colours", "--seeds", "2"]])
def test_a_command_ends_with_its_workers(command, number, tmp_path):
    pytest.importorskip("lightning")
    out = tmp_path / "out"
    status, written = stop([*COMMAND, *command, "--jobs", "2", "--out", str(out)], number, out, quiet_s=6.0)
    # A tracker of a worker's resources may still say that it tidies up after it.
    assert status == 128 + number, written
    assert f"pgsrm: stopped by {number.name}" in written


def test_the_handlers_are_as_they_were_and_the_first_signal_counts():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stopping_on_signals():
        assert heard() is None
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_forked_child_is_not_its_parent():
    with stopping_on_signals():
        child = os.fork()
        if not child:
            signal.pause()
        time.sleep(0.2)
        os.kill(child, signal.SIGTERM)
        assert os.waitpid(child, 0)[1] == signal.SIGTERM
        time.sleep(0.2)
        assert heard() is None


def test_stopped_is_an_exit():
    with pytest.raises(SystemExit) as caught:
        raise Stopped(signal.SIGTERM)
    assert (caught.value.code, str(caught.value)) == (143, "stopped by SIGTERM")
