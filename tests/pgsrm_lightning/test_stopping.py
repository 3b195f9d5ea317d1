"""A signal ends training in the middle of a step; the last checkpoint is whole, and the step is taken again from it."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from lightning.pytorch.utilities.exceptions import SIGTERMException

from pgsrm_lightning import PPOConfig, RLModule, SamplingConfig
from pgsrm_lightning.callbacks import SaveChild
from pgsrm_lightning.checkpoint import WholeFiles
from pgsrm_lightning.data import PromptData
from pgsrm_plugin import parse_spec

COMMAND = [sys.executable, "-m", "pgsrm_plugin.cli", "train", "--config"]
SUPPORT = Path(__file__).parents[1] / "support"
LIMIT_S = 30.0
"""Five seconds are promised for a process; a step here would take many minutes."""
SPEC = "{encoder: {kind: hashing}, terms: {semantic: {}}}"


@pytest.fixture
def config(tmp_path, tiny_child, colour_file):
    (tmp_path / "reward.yaml").write_text(SPEC)

    def write(name: str, epochs: int, **trainer: object) -> str:
        tell = {"class_path": "slow_steps.TellOfSteps", "init_args": {"path": str(tmp_path / f"{name}.sign")}}
        content = {
            "model": {
                "child": tiny_child,
                "spec": str(tmp_path / "reward.yaml"),
                "ppo": {"epochs": epochs, "micro_batch_size": 1},
                "sampling": {"max_new_tokens": 2},
            },
            "data": {"train": colour_file, "prompts_per_step": 4, "steps": 2},
            "trainer": {
                "accelerator": "cpu",
                "enable_progress_bar": False,
                "default_root_dir": str(tmp_path / name),
                "callbacks": [tell],
                **trainer,
            },
        }
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
        return str(tmp_path / f"{name}.yaml")

    return write


def run(*arguments: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(
        [*COMMAND, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def last_numbers(folder: Path) -> list[str]:
    """The last step's rewards, without its times."""
    (file,) = folder.rglob("metrics.csv")
    header, *rows = (line.split(",") for line in file.read_text().splitlines())
    return [value for name, value in zip(header, rows[-1], strict=True) if not name.startswith("time/")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_in_a_step_of_minutes(config, number, tmp_path):
    whole = run(config("whole", 1))
    assert whole.wait(120) == 0, whole.stdout.read()
    (checkpoint,) = (tmp_path / "whole").rglob("*.ckpt")
    kept = checkpoint.read_bytes()

    slow = run(config("slow", 100_000, max_epochs=2), "--ckpt_path", str(checkpoint))
    sign, deadline = tmp_path / "slow.sign", time.monotonic() + 120
    while not sign.exists():
        assert slow.poll() is None, slow.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.0)
    started = time.monotonic()
    slow.send_signal(number)
    written, _ = slow.communicate(timeout=60)
    assert time.monotonic() - started < LIMIT_S
    assert slow.returncode == 128 + number
    assert "Traceback" not in written
    (left,) = (tmp_path / "slow").rglob("*.ckpt")
    assert left.name == "stopped-step=2.ckpt"
    assert written.splitlines()[-2:] == [
        f"pgsrm: the step under way is dropped; `--ckpt_path {left}` goes on from there",
        f"pgsrm: stopped by {number.name}",
    ]
    assert checkpoint.read_bytes() == kept
    assert [*tmp_path.rglob(".new-*")] == []
    of_step, of_signal = (torch.load(each, weights_only=False)["state_dict"] for each in (checkpoint, left))
    assert all(torch.equal(value, of_signal[name]) for name, value in of_step.items()), "though updates had been taken"

    again = run(config("again", 1, max_epochs=2), "--ckpt_path", str(left))
    assert again.wait(120) == 0, again.stdout.read()
    straight = run(config("straight", 1, max_epochs=2))
    assert straight.wait(120) == 0, straight.stdout.read()
    assert last_numbers(tmp_path / "again") == last_numbers(tmp_path / "straight")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_to_the_first_of_two_processes(config, number, tmp_path):
    process = run(config("pair", 100_000, devices=2, strategy="ddp"))
    sign, deadline = tmp_path / "pair.sign", time.monotonic() + 120
    while not sign.exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.0)
    others = psutil.Process(process.pid).children(recursive=True)
    assert others
    started = time.monotonic()
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    _, alive = psutil.wait_procs(others, timeout=10)
    assert alive == []
    assert time.monotonic() - started < LIMIT_S


# --- a module under a trainer of one's own -------------------------------------------------------------------------


class HeardError(Exception):
    pass


@pytest.fixture
def trained(tiny_child, colour_file, quiet_trainer):
    """Trains one step of so many epochs, in which a function is called; returns how it ended."""

    def train(monkeypatch, name, place, epochs=1):
        module = RLModule(
            tiny_child, parse_spec(SPEC), PPOConfig(epochs=epochs, micro_batch_size=1), SamplingConfig(max_new_tokens=8)
        )
        calls = []
        original = getattr(place, name)

        @functools.wraps(original)
        def counted(*args, **kwargs):
            calls.append(len(calls))
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return original(*args, **kwargs)

        monkeypatch.setattr(place, name, counted)
        data = PromptData(train=colour_file, prompts_per_step=4, steps=1)
        with pytest.raises(SIGTERMException):
            quiet_trainer().fit(module, data)
        return len(calls), module

    return train


def test_it_ends_between_two_tokens(trained, monkeypatch):
    from transformers import GPT2LMHeadModel

    calls, module = trained(monkeypatch, "forward", GPT2LMHeadModel)
    assert (calls, module.last_answers) == (2, None)


def test_it_ends_between_micro_batches_without_gradient(trained, monkeypatch):
    from pgsrm_lightning.policy import Policy

    calls, module = trained(monkeypatch, "reference_logprobs", Policy)
    assert calls == 2
    assert module.last_answers is not None


def test_it_ends_between_micro_batches_of_the_update(trained, monkeypatch):
    from pgsrm_lightning.algorithms.ppo import PPO

    calls, module = trained(monkeypatch, "loss", PPO)
    assert (calls, module.steps_done) == (2, 0)


# --- files ---------------------------------------------------------------------------------------------------------


class Unpicklable:
    def __reduce__(self):
        raise HeardError


def test_a_checkpoint_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "last.ckpt"
    WholeFiles().save_checkpoint({"weight": torch.ones(3)}, path)
    with pytest.raises(HeardError):
        WholeFiles().save_checkpoint({"weight": torch.zeros(100_000), "then": Unpicklable()}, path)
    assert WholeFiles().load_checkpoint(path)["weight"].tolist() == [1, 1, 1]
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_a_child_is_never_half_written(tiny_child, quiet_trainer, monkeypatch, tmp_path):
    module, callback = RLModule(tiny_child, parse_spec(SPEC)), SaveChild()
    callback.folder = tmp_path / "child"
    callback.on_train_end(quiet_trainer(), module)
    whole = {file.name: file.read_bytes() for file in callback.folder.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= whole.keys()

    def stopped(folder, merge):
        (Path(folder) / "config.json").write_text("{")
        raise HeardError

    monkeypatch.setattr(module.policy, "save_pretrained", stopped)
    with pytest.raises(HeardError):
        callback.on_train_end(quiet_trainer(), module)
    assert {file.name: file.read_bytes() for file in callback.folder.iterdir()} == whole
