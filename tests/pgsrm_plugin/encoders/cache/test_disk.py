"""The disk cache: what one process wrote another finds; nothing torn or foreign is a vector; its size is bounded."""

import hashlib
import json
import multiprocessing
import os
import resource
import signal
import stat
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from pgsrm_plugin import RewardSample, SemanticReward, SpecError, parse_spec
from pgsrm_plugin.encoders.cache import DiskCacheSpec
from pgsrm_plugin.encoders.cache.disk import DiskCache
from pgsrm_plugin.encoders.cache.memory import CachedEncoder, Sources
from pgsrm_plugin.encoders.cache.shards import Embedded
from pgsrm_plugin.types import Embeddings

DIMENSIONS = 16


def vector_of(text: str) -> torch.Tensor:
    """A vector that a text determines."""
    digest = hashlib.sha512(text.encode()).digest()
    return torch.tensor([byte / 7 + 0.1 for byte in digest[:DIMENSIONS]])


class Hashes:
    """An encoder that counts the texts it is given. Odd lengths are truncated, tokens are characters."""

    def __init__(self, identity: str = "hashes") -> None:
        self.identity = identity
        self.calls: list[list[str]] = []

    def encode(self, texts):
        self.calls.append(list(texts))
        lengths = torch.tensor([len(text) for text in texts])
        unknown = torch.tensor([text == "unknown" for text in texts])
        vectors = torch.stack([vector_of(text) * (text != "unknown") for text in texts])
        return Embeddings(vectors, lengths, lengths % 2 == 1, unknown)


def cached(folder, identity: str = "hashes", memory_mb: float = 8) -> CachedEncoder:
    return CachedEncoder(Hashes(identity), memory_mb, DiskCacheSpec(folder=folder))


def shards(folder):
    return sorted(folder.glob("*/*.safetensors"))


def row(text: str) -> Embedded:
    return Embedded(vector_of(text), len(text), False, False)


def test_another_run_finds_every_field_bit_for_bit(tmp_path):
    texts = ["one", "twoo", "unknown", "東京"]
    first = cached(tmp_path)
    written, sources = first.embed(texts)
    assert sources == Sources(computed=4, memory=0, disk=0)
    first.flush()
    second = cached(tmp_path)
    found, sources = second.embed(texts)
    assert sources == Sources(computed=0, memory=0, disk=4)
    assert second.encoder.calls == []
    for text in texts:
        assert torch.equal(found[text].vector_D, written[text].vector_D)
        assert torch.equal(found[text].vector_D, vector_of(text) * (text != "unknown"))
        assert (found[text].tokens, found[text].truncated) == (len(text), len(text) % 2 == 1)
        assert found[text].unknown == (text == "unknown")
    assert second.embed(texts)[1] == Sources(computed=0, memory=4, disk=0)


def test_half_repeated_texts_cost_the_new_half_only(tmp_path):
    spec = parse_spec(f"{{encoder: {{kind: hashing}}, terms: {{semantic: {{}}}}, disk_cache: {{folder: {tmp_path}}}}}")
    steps = [[f"answer {n}" for n in range(start, start + 40)] for start in (0, 20, 40)]
    for number, answers in enumerate(steps):
        encoder = Hashes()
        reward = SemanticReward(spec, encoder)  # a new process each time, as far as memory goes
        output = reward.score([RewardSample("Why?", answer, ("because",)) for answer in answers])
        new = 41 if number == 0 else 20
        assert [len(call) for call in encoder.calls] == [new]
        assert output.stats["encoder/texts_computed"] == new
        assert output.stats["encoder/texts_from_disk"] == 41 - new
        assert output.stats["encoder/texts_from_memory"] == 0
        again = reward.score([RewardSample("Why?", answer, ("because",)) for answer in answers])
        assert again.stats["encoder/texts_from_memory"] == 41
        assert torch.equal(again.total_B, output.total_B)


def test_another_encoder_or_prompt_never_gets_these_vectors(tmp_path):
    one, other = cached(tmp_path, "model;prompt='q: '"), cached(tmp_path, "model;prompt='p: '")
    one.embed(["red"])
    one.flush()
    (path,) = shards(tmp_path)
    assert other.embed(["blue"])[1] == Sources(1, 0, 0)
    (theirs,) = {place.parent for place in tmp_path.glob("*/identity.txt")} - {path.parent}
    path.rename(theirs / path.name)  # even a shard put into the wrong folder is of no use to another encoder
    assert cached(tmp_path, "model;prompt='p: '").embed(["red"])[1] == Sources(1, 0, 0)


def test_texts_are_not_written_and_files_are_private(tmp_path):
    folder = tmp_path / "new" / "cache"
    before = os.umask(0)
    try:
        kept = cached(folder)
        kept.embed(["a secret that nobody may read"])
        kept.flush()
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    paths = list(folder.rglob("*"))
    assert len(paths) == 3  # the encoder's folder, its identity, a shard
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
        assert path.is_dir() or b"secret" not in path.read_bytes()


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "bit", "key", "flag", "token"])
def test_damage_is_seen_and_computed_again(tmp_path, damage):
    first = cached(tmp_path)
    first.embed(["red", "green"])
    first.flush()
    (path,) = shards(tmp_path)
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    places = {name: start + begin for name, begin in offsets(content).items()}
    if damage == "cut":
        content = content[:-5]
    elif damage == "empty":
        content = bytearray()
    elif damage == "garbage":
        content = bytearray(os.urandom(3000))
    else:
        at = {"bit": places["vectors"] + 2, "key": places["keys"] + 12, "flag": places["flags"]}
        content[at.get(damage, places["tokens"])] ^= 1
    path.write_bytes(content)
    second = cached(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found, sources = second.embed(["red", "green"])
    assert sources.computed >= 1
    for text in ("red", "green"):
        assert torch.equal(found[text].vector_D, vector_of(text))
        assert (found[text].tokens, found[text].truncated) == (len(text), True)
    if damage != "key":  # a changed key is the key of no text
        assert "is left out" in str(caught[0].message)
        assert "computed again" in str(caught[0].message)
        assert not path.exists()
    second.flush()
    assert cached(tmp_path).embed(["red", "green"])[1].disk == 2


def offsets(content: bytes) -> dict[str, int]:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return {name: entry["data_offsets"][0] for name, entry in header.items()}


def test_what_a_crash_left_half_written_is_not_read_and_goes(tmp_path):
    first = cached(tmp_path)
    first.embed(["red"])
    first.flush()
    (path,) = shards(tmp_path)
    left, young = path.parent / ".new-abc", path.parent / ".new-def"
    left.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(left, (1, 1))
    second = cached(tmp_path)
    assert second.embed(["red", "blue"])[1] == Sources(1, 0, 1)
    second.flush()
    assert not left.exists()
    assert young.exists()  # may be another process's, being written


def test_the_folder_stays_within_its_bound_and_forgets_the_oldest_use(tmp_path):
    one_mb = 0.05
    disks = [DiskCache(tmp_path, one_mb, f"encoder {n}") for n in range(4)]
    for number, disk in enumerate(disks):
        disk.add({f"{number}-{n}": row(f"{number}-{n}") for n in range(120)})  # about 15 kB
        disk.flush()
        if number == 1:
            for path in shards(tmp_path):
                os.utime(path, (1000, 1000))
            assert len(disks[0].find(["0-3"])) == 1  # used again, so the second encoder's shard is the oldest
    assert sum(path.stat().st_size for path in shards(tmp_path)) <= one_mb * 2**20
    assert [len(DiskCache(tmp_path, 16, f"encoder {n}").find([f"{n}-3"])) for n in range(4)] == [1, 0, 1, 1]
    assert disks[1].find(["1-3"]) == {}  # which still believed in its shard


def test_small_writes_grow_one_shard(tmp_path):
    disk = DiskCache(tmp_path, 16, "e")
    for n in range(30):
        disk.add({str(n): row(str(n))})
        disk.flush()
    assert len(shards(tmp_path)) == 1
    found = DiskCache(tmp_path, 16, "e").find([str(n) for n in range(31)])
    assert sorted(found) == sorted(str(n) for n in range(30))


def test_large_writes_are_cut_into_shards(tmp_path, monkeypatch):
    monkeypatch.setattr("pgsrm_plugin.encoders.cache.disk.SHARD_BYTES", 121 * 10)  # a row: 16 x 4 + 57 bytes
    disk = DiskCache(tmp_path, 16, "e")
    disk.add({str(n): row(str(n)) for n in range(25)})
    assert len(shards(tmp_path)) == 3
    assert len(DiskCache(tmp_path, 16, "e").find([str(n) for n in range(25)])) == 25


def test_a_running_process_sees_what_another_writes(tmp_path):
    reader, writer = DiskCache(tmp_path, 16, "e"), DiskCache(tmp_path, 16, "e")
    assert reader.find(["a", "b"]) == {}
    for text in ("a", "b"):
        writer.add({text: row(text)})
        writer.flush()
        assert np.array_equal(reader.find([text])[text].vector_D, vector_of(text).numpy())


def write_and_read(folder, number: int, rounds: int) -> None:
    disk = DiskCache(folder, 0.5, "e")
    for start in range(rounds):
        texts = [f"text {(start * 7 + number * 3 + n) % 200}" for n in range(20)]
        for text, found in disk.find(texts).items():
            if not np.array_equal(found.vector_D, vector_of(text).numpy()):
                os._exit(3)
        disk.add({text: row(text) for text in texts})
        disk.flush()
    os._exit(0)


def test_several_processes_share_a_folder_while_it_evicts(tmp_path):
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=write_and_read, args=(tmp_path, number, 40)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert not list(tmp_path.glob("*/.new-*"))


END = """
import sys, torch
sys.path.insert(0, {tests!r})
from test_disk import cached
kept = cached({folder!r})
kept.embed(["first"])    # written at once
kept.embed(["second"])   # waits for its time
{last}
"""


@pytest.mark.parametrize(("last", "code", "expected"), [("", 0, 2), ("import os; os.kill(os.getpid(), 9)", -9, 1)])
def test_the_end_of_a_process_writes_and_a_kill_loses_only_the_last_seconds(tmp_path, last, code, expected):
    script = END.format(tests=os.path.dirname(__file__), folder=str(tmp_path), last=last)
    ran = subprocess.run([sys.executable, "-c", script], timeout=120, check=False)
    assert ran.returncode == code
    assert cached(tmp_path).embed(["first", "second"])[1].disk == expected


@pytest.mark.parametrize("place", ["a file", "below a file"])
def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path, place):
    blocked = tmp_path / "blocked"
    blocked.write_text("in the way")
    folder = blocked if place == "a file" else blocked / "cache"
    spec = parse_spec(f"{{encoder: {{kind: hashing}}, terms: {{semantic: {{}}}}, disk_cache: {{folder: {folder}}}}}")
    with pytest.raises(SpecError, match=r"disk_cache\.folder: .*blocked.* cannot be written to \(.+\); name a folder"):
        SemanticReward(spec)


def test_a_full_disk_warns_once_and_the_reward_is_still_right(tmp_path, monkeypatch):
    monkeypatch.setattr("pgsrm_plugin.encoders.cache.disk._FLUSH_S", 0.0)
    kept = cached(tmp_path)
    kept.embed(["before"])
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # the kernel refuses to write more, as if full
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = kept.embed(["while"])[0] | kept.embed(["again"])[0]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    (warning,) = caught
    assert "going on without writing to it, rewards are not affected" in str(warning.message)
    assert torch.equal(found["while"].vector_D, vector_of("while"))
    assert not list(tmp_path.glob("*/.new-*"))
    assert cached(tmp_path).embed(["before", "while"])[1] == Sources(1, 0, 1)


def test_a_relative_folder_starts_at_the_spec_and_a_wrong_key_is_explained(tmp_path):
    text = "encoder: {kind: hashing}\nterms: {semantic: {}}\ndisk_cache: {folder: vectors}\n"
    assert parse_spec(text, folder=tmp_path).disk_cache.folder == tmp_path / "vectors"
    with pytest.raises(
        SpecError, match=r"s.yaml:3: disk_cache.foldr: unknown key; did you mean 'folder'\? \(known: fo"
    ):
        parse_spec(text.replace("folder", "foldr"), source="s.yaml")
    with pytest.raises(SpecError, match=r"s.yaml:3: disk_cache.max_mb"):
        parse_spec(text.replace("vectors", "vectors, max_mb: 1"), source="s.yaml")
