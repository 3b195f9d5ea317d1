"""The store of a parent's answers: what is in it after a kill, damage, a second writer, a merge."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgsrm_plugin.asking.store.answers import FAILURES, STATUSES, Answer, ParentConfig, Request, Sampling, settings_of
from pgsrm_plugin.asking.store.repair import DAMAGED, repair
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.errors import SpecError, StoreError

CONFIG = ParentConfig("hf", "parent")


def answer(prompt="hello", status="ok", text="well", created="2026-01-01", config=CONFIG, sample=0) -> Answer:
    request = Request(prompt, sample, item="row 1")
    return Answer(
        key=request.key(config),
        call=request.call(config),
        item=request.item,
        sample=sample,
        prompt=prompt,
        status=status,
        text=text,
        reference=text if status == "ok" else None,
        error=None if status == "ok" else "why",
        finish_reason="stop",
        prompt_tokens=3,
        completion_tokens=None,
        attempts=1,
        model=config.model,
        engine=config.engine,
        revision=config.revision,
        served_model=None,
        settings=settings_of(config),
        created=created,
    )


def opened(folder: Path, **kwargs: bool) -> ParentStore:
    return ParentStore.open(folder, **({"create": True} | kwargs))


def database(folder: Path) -> Path:
    return folder / "answers.sqlite3"


def sql(folder: Path, statement: str) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(database(folder))) as connection, connection:
        return connection.execute(statement).fetchall()


def filled(folder: Path, count: int) -> list[Answer]:
    answers = [answer(f"prompt {i}") for i in range(count)]
    with opened(folder) as store:
        store.extend(answers)
    return answers


# --- keys ----------------------------------------------------------------------------------------------------------


def test_what_shapes_an_answer_is_in_its_key_and_nothing_else():
    request = Request("hello")
    others = [
        (Request("hello!"), CONFIG),
        (Request([{"role": "system", "content": "x"}, {"role": "user", "content": "hello"}]), CONFIG),
        (Request("hello", sample=1), CONFIG),
        *(
            (request, replace(CONFIG, **change))
            for change in (
                {"model": "other"},
                {"revision": "v2"},
                {"system": "Be brief."},
                {"extract": "tag:answer"},
                {"sampling": Sampling(temperature=1.0)},
                {"sampling": Sampling(top_p=0.5)},
                {"sampling": Sampling(max_tokens=17)},
                {"sampling": Sampling(seed=None)},
                {"sampling": Sampling(stop=("\n",))},
                {"sampling": Sampling(extra={"top_k": 5})},
            )
        ),
    ]
    keys = [request.key(CONFIG), *(asked.key(config) for asked, config in others)]
    assert len(set(keys)) == len(keys)
    same = [
        (Request("hello", item="another row"), CONFIG),
        (Request([{"role": "user", "content": "hello"}]), CONFIG),
        (Request(({"content": "hello", "role": "user"},)), CONFIG),
        (request, replace(CONFIG, engine="vllm")),
        (request, replace(CONFIG, sampling=Sampling(temperature=0, top_p=1))),
    ]
    assert {asked.key(config) for asked, config in same} == {keys[0]}


def test_a_key_is_the_same_in_every_process():
    # sha256 of the canonical JSON, worked out with coreutils' sha256sum.
    assert Request("hello").call(CONFIG) == "02b5b651b7e5173aff1631774e80f023ffac0538db3d5d264f80701e9023c93c"
    assert Request("hello").key(CONFIG) == "58b61fd6b2dc484ffcf4d7b3cdcf848f1e6d08e845517f6721935db1812bbc92"


def test_a_system_prompt_takes_the_place_of_the_prompts_own():
    config = replace(CONFIG, system="Ours.")
    turns = [{"role": "system", "content": "Theirs."}, {"role": "user", "content": "hi"}]
    assert Request(turns).messages(config) == [{"role": "system", "content": "Ours."}, turns[1]]
    assert Request(turns).messages(CONFIG) == turns
    assert Request("hi").messages(config) == [{"role": "system", "content": "Ours."}, turns[1]]


@pytest.mark.parametrize("bad", [{"temperature": -1}, {"temperature": float("nan")}, {"top_p": 0}, {"max_tokens": 0}])
def test_senseless_sampling_is_refused(bad):
    with pytest.raises(SpecError):
        Sampling(**bad)


def test_only_an_ok_answer_has_a_reference():
    for status in FAILURES:
        with pytest.raises(StoreError, match="cannot have the reference 'x'"):
            replace(answer(status=status), reference="x")
    with pytest.raises(StoreError, match="cannot have the reference ''"):
        replace(answer(), reference="")


# --- what goes in comes out ----------------------------------------------------------------------------------------


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.text(), st.text(min_size=1)), min_size=1, max_size=5))
def test_any_text_survives(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("store")
    answers = [answer(prompt, text=text) for prompt, text in pairs]
    with opened(folder) as store:
        store.extend(answers)
    last = {one.key: one for one in answers}
    with opened(folder, writable=False) as store:
        assert {one.key: one for one in store} == last
        assert all(store.get(key) == one for key, one in last.items())


def test_hostile_text_survives(tmp_path):
    hostile = '\x00 \n \r \u2028 \ud800 "}\n{"crc32" \U0001f600'
    with opened(tmp_path) as store:
        store.append(answer(hostile, text=hostile))
    with opened(tmp_path) as store:
        assert [one.text for one in store] == [hostile]


def test_an_answer_knows_how_to_be_asked_again(tmp_path):
    sampling = Sampling(0.7, 0.9, 17, 5, ("\n",), {"top_k": 3})
    config = ParentConfig("openai", "m", "v1", sampling, "Be brief.", "tag:answer")
    with opened(tmp_path) as store:
        store.append(answer(config=config, sample=2))
        (found,) = store
    assert found.config == config
    assert found.request.key(found.config) == found.key


def test_the_last_record_of_a_key_counts_but_a_failure_never_replaces_an_answer(tmp_path):
    with opened(tmp_path) as store:
        for one in (answer(status="failed"), answer(status="refused"), answer(text="a"), answer(text="b")):
            store.append(one)
        store.append(answer(status="failed"))
        store.append(answer("other", status="empty"))
        live = list(store), store.counts(), len(store)
    with opened(tmp_path, writable=False) as store:
        assert (list(store), store.counts(), len(store)) == live
        assert [one.text for one in store if one.ok] == ["b"]
        assert store.counts() == {name: {"ok": 1, "empty": 1}.get(name, 0) for name in STATUSES}
        assert store.status(answer().key) == "ok"
        assert store.status(answer("other").key) == "empty"
        assert store.status(answer("third").key) is None
        assert answer().key in store
        assert answer("third").key not in store


def test_an_answer_is_found_by_its_call_under_another_extraction(tmp_path):
    other = replace(CONFIG, extract="tag:answer")
    with opened(tmp_path) as store:
        store.append(answer("failed one", status="failed"))
        store.append(answer())
        assert store.get(Request("hello").key(other)) is None
        assert store.by_call(Request("hello").call(other)).text == "well"
        assert store.by_call(Request("failed one").call(other)) is None


def test_a_store_at_rest_is_one_file_for_its_owner_alone(tmp_path):
    folder = tmp_path / "deep" / "store"
    with opened(folder) as store:
        store.append(answer())
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert (folder / "answers.sqlite3-wal").exists()
        for path in folder.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert sorted(path.name for path in folder.iterdir()) == ["answers.sqlite3", "writer.lock"]


def test_an_answer_is_synced_before_append_returns(tmp_path):
    with opened(tmp_path) as store:
        store.append(answer())
        # 3 is EXTRA: a sync of the log at each commit, before it returns.
        assert store._connection.execute("PRAGMA synchronous").fetchone() == (3,)
        assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        with opened(tmp_path, writable=False) as reader:
            assert [one.prompt for one in reader] == ["hello"]


def test_a_file_system_that_cannot_share_memory_gets_a_rollback_journal_and_is_told_of(tmp_path, monkeypatch):
    connect = sqlite3.connect
    # This VFS of SQLite locks by a file and has no shared memory.
    monkeypatch.setattr(sqlite3, "connect", lambda name, **more: connect(f"{name}&vfs=unix-dotfile", **more))
    with opened(tmp_path) as store:
        (note,) = store.notes
        assert "rollback journal" in note
        store.extend([answer("a"), answer("b", text="old")])
        found = store.answers()
        first = next(found)
        store.append(answer("b", text="new"))
        assert [first.prompt, *[(one.prompt, one.text) for one in found]] == ["a", ("b", "old")]
    with opened(tmp_path, writable=False) as store:
        assert len(store) == 2


def test_threads_share_the_store(tmp_path):
    with opened(tmp_path) as store:
        batches = [[answer(f"{worker} {i}") for i in range(20)] for worker in range(8)]
        threads = [threading.Thread(target=lambda b=b: [store.append(one) for one in b]) for b in batches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with opened(tmp_path, writable=False) as store:
        assert {one.key for one in store} == {one.key for batch in batches for one in batch}


# --- a write that was cut short ------------------------------------------------------------------------------------


def test_a_kill_in_the_middle_of_a_transaction_leaves_all_of_it_or_none(tmp_path):
    filled(tmp_path, 3)
    pid = os.fork()
    if pid == 0:
        with opened(tmp_path) as store:
            store.append(answer("committed"))
            store._connection.execute("PRAGMA cache_size = 1")  # so that it is in the log before the commit
            store._connection.execute("BEGIN IMMEDIATE")
            copy = "INSERT INTO answers SELECT NULL, ?, call, status, created, crc, record FROM answers WHERE id = 1"
            for i in range(200):
                store._connection.execute(copy, (str(i),))
            (tmp_path / "begun").touch()
            signal.pause()
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for writable in (False, True):
        with opened(tmp_path, writable=writable) as store:
            assert [one.prompt for one in store] == ["prompt 0", "prompt 1", "prompt 2", "committed"]
    assert repair(tmp_path).kept == 4


def test_a_kill_with_a_rollback_journal_keeps_no_reader_out(tmp_path):
    """As between one journal and another: what was half done is in the file, and what was before in the journal."""
    before = filled(tmp_path, 3)
    pid = os.fork()
    if pid == 0:
        try:
            connection = sqlite3.connect(database(tmp_path), isolation_level=None)
            connection.execute("PRAGMA cache_size = 1")
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(50):  # more than the cache holds, so that pages are written before the commit
                connection.execute("UPDATE answers SET record = zeroblob(20000)")
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert Path(f"{database(tmp_path)}-journal").stat().st_size
    with opened(tmp_path, create=False, writable=False) as store:
        assert list(store) == before
    with opened(tmp_path, create=False) as store:
        assert list(store) == before


def test_a_log_that_was_torn_anywhere_loses_only_its_end(tmp_path):
    answers = [answer(f"prompt {i}") for i in range(3)]
    with opened(tmp_path / "whole") as store:
        for one in answers:
            store.append(one)
        main, log = ((tmp_path / "whole" / name).read_bytes() for name in ("answers.sqlite3", "answers.sqlite3-wal"))
    seen = set()
    for size in range(0, len(log), 3000):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / "answers.sqlite3").write_bytes(main)
        (folder / "answers.sqlite3-wal").write_bytes(log[:size])
        with opened(folder) as store:
            kept = list(store)
            assert kept == answers[: len(kept)]
            store.append(answer("more"))
            assert len(store) == len(kept) + 1
        seen.add(len(kept))
    assert {0, 1, 2} <= seen


def test_a_full_disk_takes_nothing_and_the_store_goes_on(tmp_path):
    with opened(tmp_path) as store:
        store.append(answer("a"))
        size = (tmp_path / "answers.sqlite3-wal").stat().st_size
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, limits[1]))
        try:
            with pytest.raises(StoreError, match=r"answers\.sqlite3 cannot be read or written: .*run the same command"):
                store.append(answer("b", text="x" * 100_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert answer("b").key not in store
        store.append(answer("c"))
    with opened(tmp_path) as store:
        assert [one.prompt for one in store] == ["a", "c"]


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_disk_that_refuses_is_a_store_error_that_says_what_to_do(tmp_path, monkeypatch, call):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StoreError, match=r"cannot be (read or )?written: No space left.*run the same command"):
            opened(tmp_path)
    opened(tmp_path).close()


def test_a_full_disk_does_not_need_to_take_the_note_of_who_writes(tmp_path, monkeypatch):
    opened(tmp_path).close()

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    with opened(tmp_path), pytest.raises(StoreError, match="is being written by another process"):
        opened(tmp_path)


# --- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_damaged_record_is_an_error_that_names_file_and_record(tmp_path, number):
    filled(tmp_path / "s", 3)
    sql(
        tmp_path / "s", f"UPDATE answers SET record = CAST(replace(record, 'well', 'evil') AS BLOB) WHERE id = {number}"
    )
    with opened(tmp_path / "target") as target, opened(tmp_path / "s", writable=False) as store:
        with pytest.raises(
            StoreError, match=rf"answers\.sqlite3, record {number}: it is damaged; `pgsrm parent repair"
        ):
            list(store)
        with pytest.raises(StoreError, match=f"record {number}: it is damaged"):
            target.merge(store)
        assert len(target) == 0


def test_repair_keeps_the_rest_and_the_damaged_file(tmp_path):
    answers = filled(tmp_path, 4)
    sql(tmp_path, "UPDATE answers SET record = CAST(replace(record, 'well', 'evil') AS BLOB) WHERE id = 2")
    before = database(tmp_path).read_bytes()
    report = repair(tmp_path)
    assert (report.kept, report.damaged) == (3, 1)
    assert report.aside.parent == tmp_path / DAMAGED
    assert report.aside.read_bytes() == before
    with opened(tmp_path) as store:
        assert list(store) == [answers[0], *answers[2:]]
        store.append(answers[1])
        assert len(store) == 4
    again = repair(tmp_path)
    assert (again.kept, again.damaged, again.aside) == (4, 0, None)


@pytest.mark.parametrize("harm", ["cut", "zeros"])
def test_a_file_that_was_cut_or_overwritten_is_refused_and_repaired(tmp_path, harm):
    answers = filled(tmp_path, 200)
    content = database(tmp_path).read_bytes()
    middle = len(content) // 2 // 4096 * 4096
    end = b"" if harm == "cut" else bytes(8192) + content[middle + 8192 :]
    database(tmp_path).write_bytes(content[:middle] + end)
    with pytest.raises(StoreError, match=r"answers\.sqlite3 is damaged .*`pgsrm parent repair"):
        opened(tmp_path)
    report = repair(tmp_path)
    assert 50 < report.kept < 200
    assert report.aside.exists()
    with opened(tmp_path) as store:
        kept = list(store)
    assert len(kept) == report.kept
    assert all(one in answers for one in kept)


def test_a_file_without_its_beginning_is_refused_and_moved_aside(tmp_path):
    filled(tmp_path, 3)
    content = bytes(4096) + database(tmp_path).read_bytes()[4096:]
    database(tmp_path).write_bytes(content)
    for writable in (False, True):
        with pytest.raises(StoreError, match="is damaged"):
            opened(tmp_path, writable=writable)
    report = repair(tmp_path)
    assert report.kept == 0
    assert report.aside.read_bytes() == content


# --- what is no store ----------------------------------------------------------------------------------------------


def test_only_a_store_is_opened_and_only_an_empty_folder_becomes_one(tmp_path):
    with pytest.raises(StoreError, match=r"no parent store: it has no answers\.sqlite3"):
        ParentStore.open(tmp_path)
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match=r"not empty \(thesis\.tex is there\)"):
        opened(tmp_path)
    with pytest.raises(StoreError, match="cannot be made a parent store"):
        opened(tmp_path / "thesis.tex")


def test_another_version_is_refused(tmp_path):
    filled(tmp_path, 1)
    sql(tmp_path, "PRAGMA user_version = 3")
    with pytest.raises(StoreError, match="format version 3; this pgsrm-plugin reads version 2"):
        opened(tmp_path)
    sql(tmp_path, "PRAGMA application_id = 1")
    with pytest.raises(StoreError, match="is of another program"):
        opened(tmp_path)


def test_a_store_of_json_lines_is_converted_when_it_is_written_to(tmp_path):
    answers = [answer("a"), answer("b", status="failed"), answer("b", text="better")]
    contents = [one.to_json() for one in answers]
    lines = [b'{"crc32":"%08x","bytes":%d,"answer":%s}\n' % (zlib.crc32(one), len(one), one) for one in contents]
    (tmp_path / "manifest.json").write_text('{"format": "pgsrm parent store", "version": 1}')
    (tmp_path / "answers-000001.jsonl").write_bytes(b"".join(lines[:2]))
    (tmp_path / "answers-000002.jsonl").write_bytes(lines[2] + lines[0][:50])
    with pytest.raises(StoreError, match=r"earlier format; `pgsrm parent repair .*` converts it"):
        opened(tmp_path, writable=False)
    with opened(tmp_path) as store:
        assert "converted" in store.notes[0]
        assert list(store) == [answers[0], answers[2]]
    with opened(tmp_path, writable=False) as store:
        assert len(store) == 2


def test_a_damaged_line_is_not_converted(tmp_path):
    (tmp_path / "answers-000001.jsonl").write_bytes(b'{"crc32":"00000000","bytes":2,"answer":{}}\n')
    with pytest.raises(StoreError, match=r"answers-000001\.jsonl, line 1: the record is damaged"):
        opened(tmp_path)
    assert not database(tmp_path).exists()


# --- writers and readers -------------------------------------------------------------------------------------------


def test_a_second_writer_is_told_who_the_first_is(tmp_path):
    with opened(tmp_path):
        with pytest.raises(StoreError, match=rf"is being written by process {os.getpid()} on .*merge"):
            opened(tmp_path)
        code = f"from pgsrm_plugin.asking.store.store import ParentStore; ParentStore.open({str(tmp_path)!r})"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert f"is being written by process {os.getpid()} on " in ran.stderr
        with pytest.raises(StoreError, match="is being written by"):
            repair(tmp_path)
    with opened(tmp_path):
        pass


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    with opened(tmp_path):
        pid = os.fork()
        if pid == 0:
            signal.pause()
    try:
        with opened(tmp_path):
            pass
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_a_reader_sees_what_a_writer_adds_and_changes_nothing(tmp_path):
    with opened(tmp_path) as writer, opened(tmp_path, writable=False) as reader:
        writer.append(answer("a"))
        assert len(reader) == 0
        reader.refresh()
        assert [one.prompt for one in reader] == ["a"]
        with pytest.raises(StoreError, match="not open for writing"):
            reader.append(answer("b"))


def test_an_iteration_is_not_disturbed_by_what_is_added(tmp_path):
    with opened(tmp_path) as store:
        store.extend([answer("a"), answer("b", text="old")])
        found = store.answers()
        first = next(found)
        store.append(answer("b", text="new"))
        store.append(answer("c"))
        assert [first.prompt, *[(one.prompt, one.text) for one in found]] == ["a", ("b", "old")]


# --- merging -------------------------------------------------------------------------------------------------------


def test_a_merge_takes_what_is_new_or_better(tmp_path):
    ours = [
        answer("both ok, theirs later", text="ours"),
        answer("both ok, ours later", text="ours", created="2026-03-01"),
        answer("ours ok", text="ours"),
        answer("theirs ok", status="failed", created="2026-03-01"),
        answer("both failed", status="failed"),
        answer("only ours", text="ours"),
    ]
    theirs = [
        answer("both ok, theirs later", text="theirs", created="2026-02-01"),
        answer("both ok, ours later", text="theirs", created="2026-02-01"),
        answer("ours ok", status="refused", created="2026-02-01"),
        answer("theirs ok", text="theirs", created="2026-02-01"),
        answer("both failed", status="refused", created="2026-02-01"),
        answer("only theirs", text="theirs"),
    ]
    with opened(tmp_path / "ours") as target, opened(tmp_path / "theirs") as source:
        target.extend(ours)
        source.extend(theirs)
        assert target.merge(source) == 4
        assert target.merge(source) == 0
        assert {one.prompt: one.text if one.ok else one.status for one in target} == {
            "both ok, theirs later": "theirs",
            "both ok, ours later": "ours",
            "ours ok": "ours",
            "theirs ok": "theirs",
            "both failed": "refused",
            "only ours": "ours",
            "only theirs": "theirs",
        }
