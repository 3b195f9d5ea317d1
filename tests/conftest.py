"""A tiny child, tiny data and a quiet trainer, made on the spot."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

WORDS = ("red", "blue", "green", "mix", "and", "is")
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}{% if add_generation_prompt %}is{% endif %}"
)


def write_child(folder: Path, hidden: int = 32, vocabulary: int = 8, chat: bool = False, seed: int = 0) -> str:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(["<eos>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    # As in gpt2, one token is both pad and end of text.
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>")
    if chat:
        fast.chat_template = CHAT_TEMPLATE
    torch.manual_seed(seed)
    config = GPT2Config(
        n_layer=2, n_embd=hidden, n_head=2, vocab_size=vocabulary, n_positions=32, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)


def write_rows(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def tiny_child(tmp_path_factory) -> str:
    """A GPT-2 with under 30,000 parameters; dropout 0.1, as gpt2 has it."""
    return write_child(tmp_path_factory.mktemp("child"))


@pytest.fixture(scope="session")
def chat_child(tmp_path_factory) -> str:
    return write_child(tmp_path_factory.mktemp("chat_child"), chat=True)


@pytest.fixture
def make_child(tmp_path):
    """Writes a child of another shape."""
    return lambda **kwargs: write_child(tmp_path / "other_child", **kwargs)


@pytest.fixture(scope="session")
def colour_rows() -> list[dict]:
    """Nine prompts; the answer is the second colour."""
    colours = WORDS[:3]
    return [{"prompt": f"mix {a} and {b} is", "reference": b} for a in colours for b in colours]


@pytest.fixture
def jsonl(tmp_path):
    """Writes rows to a file of the given name."""
    return lambda name, rows: write_rows(tmp_path / name, rows)


@pytest.fixture
def colour_file(jsonl, colour_rows) -> str:
    return jsonl("colours.jsonl", colour_rows)


@pytest.fixture
def quiet_trainer(tmp_path):
    """A trainer on the CPU that shows and writes nothing unless asked."""

    def make(**kwargs):
        from lightning.pytorch import Trainer

        settings = {
            "accelerator": "cpu",
            "devices": 1,
            "max_epochs": 1,
            "logger": False,
            "log_every_n_steps": 1,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "default_root_dir": tmp_path,
        }
        return Trainer(**(settings | kwargs))

    return make


class Ended(NamedTuple):
    status: object
    out: str
    err: str


@pytest.fixture
def pgsrm(capsys, monkeypatch):
    """Runs a command in this process; returns its exit status and what it wrote."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object) -> Ended:
        from pgsrm_plugin.cli import main

        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        return Ended(stopped.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def quick_http(monkeypatch) -> None:
    """The http encoder asks this machine through no proxy, and asks again at once."""
    from pgsrm_plugin.encoders.http import client
    from pgsrm_plugin.endpoint import Backoff

    monkeypatch.setattr(client, "_BACKOFF", Backoff(limit_s=8.0, first_s=0.001))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process runs everything that starts Ray: two runs at a time would get half a machine each."""
    for item in items:
        if {"pgsrm_verl", "verl"} & set(item.nodeid.partition("::")[0].split("/")):
            item.add_marker(pytest.mark.xdist_group("ray"))
