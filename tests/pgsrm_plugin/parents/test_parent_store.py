"""The store of a parent's answers: what is in it after a kill, damage, a second writer, a merge."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgsrm_plugin.errors import SpecError, StoreError
from pgsrm_plugin.parents.store import segments
from pgsrm_plugin.parents.store import store as store_module
from pgsrm_plugin.parents.store.answers import FAILURES, STATUSES, Answer, ParentConfig, Request, Sampling, settings_of
from pgsrm_plugin.parents.store.maintenance import DAMAGED, merge, repair
from pgsrm_plugin.parents.store.store import ParentStore

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


def segment(folder: Path, number: int = 1) -> Path:
    return folder / f"answers-{number:06d}.jsonl"


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


def test_segments_follow_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "SEGMENT_BYTES", 2000)
    with opened(tmp_path) as store:
        answers = [answer(f"prompt {i}") for i in range(20)]
        for one in answers:
            store.append(one)
        assert list(store) == answers
    assert segment(tmp_path, 3).exists()
    with opened(tmp_path) as store:
        assert list(store) == answers
        store.append(answer("more"))
        assert len(list(store)) == 21


def test_the_files_are_json_lines_for_their_owner_alone(tmp_path):
    answers = filled(tmp_path / "deep" / "store", 2)
    folder = tmp_path / "deep" / "store"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    rows = [json.loads(line) for line in segment(folder).read_text().splitlines()]
    assert [row["answer"]["key"] for row in rows] == [one.key for one in answers]


def test_an_answer_is_synced_before_append_returns(tmp_path, monkeypatch):
    events = []
    write, fsync = os.write, os.fsync
    with opened(tmp_path) as store:
        monkeypatch.setattr(os, "write", lambda fd, data: events.append("write") or write(fd, data))
        monkeypatch.setattr(os, "fsync", lambda fd: events.append("fsync") or fsync(fd))
        store.append(answer())
        events.append("returned")
    assert events[:2] != ["returned"]
    assert events.index("write") < max(i for i, name in enumerate(events[:-1]) if name == "fsync")
    assert events[events.index("returned") - 1] == "fsync"


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


def test_a_torn_record_is_cut_off_wherever_it_was_torn(tmp_path):
    filled(tmp_path, 3)
    whole = segment(tmp_path).read_bytes()
    second_end = len(whole) - len(whole.splitlines(keepends=True)[-1])
    for size in range(second_end + 1, len(whole), 7):
        segment(tmp_path).write_bytes(whole[:size])
        with opened(tmp_path, writable=False) as store:
            assert (len(store), store.repaired) == (2, [])
        assert segment(tmp_path).stat().st_size == size
        with opened(tmp_path) as store:
            assert len(store) == 2
            assert store.repaired == [
                f"{segment(tmp_path)}, line 3: cut off a record that was not written to its end ({size - second_end} B)"
            ]
            store.append(answer("prompt 2"))
        assert segment(tmp_path).read_bytes() == whole


@pytest.mark.parametrize("tail", [b"\0" * 600, b'{"crc32":"00\0\0\0\n' + b"\0" * 50, b"\0\n\0\n"])
def test_blocks_that_never_reached_the_disk_are_cut_off(tmp_path, tail):
    filled(tmp_path, 2)
    with segment(tmp_path).open("ab") as file:
        file.write(tail)
    with opened(tmp_path) as store:
        assert len(store) == 2
        assert len(store.repaired) == 1
    with opened(tmp_path) as store:
        assert store.repaired == []


def test_a_full_disk_takes_nothing_and_the_store_goes_on(tmp_path, monkeypatch):
    write = os.write

    def full(fd, data):
        if len(data) > 100:
            return write(fd, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(tmp_path) as store:
        store.append(answer("a"))
        before = segment(tmp_path).read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda fd, data: full(fd, bytes(data)[:150]))
            with pytest.raises(StoreError, match=r"answers-000001\.jsonl cannot be written: No space"):
                store.append(answer("b"))
        assert segment(tmp_path).read_bytes() == before
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
        with pytest.raises(StoreError, match=r"manifest\.json cannot be written: No space left.*run the same command"):
            opened(tmp_path)
    opened(tmp_path).close()


def test_a_full_disk_does_not_need_to_take_the_note_of_who_writes(tmp_path, monkeypatch):
    opened(tmp_path).close()

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    with opened(tmp_path), pytest.raises(StoreError, match="is being written by another process"):
        opened(tmp_path)


def test_a_segment_that_does_not_reach_the_disk_when_the_next_begins_ends_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "SEGMENT_BYTES", 1)
    store = opened(tmp_path)
    store.append(answer("a"))

    def broken(fd):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(StoreError, match="did not take the last answers"):
            store.append(answer("b"))
    with pytest.raises(StoreError, match="not open for writing"):
        store.append(answer("c"))
    store.close()


def test_a_failing_sync_ends_writing(tmp_path, monkeypatch):
    def broken(fd):
        raise OSError(errno.EIO, "Input/output error")

    with opened(tmp_path) as store:
        store.append(answer("a"))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", broken)
            with pytest.raises(StoreError, match="did not take the last answers"):
                store.append(answer("b"))
        with pytest.raises(StoreError, match="not open for writing"):
            store.append(answer("c"))


# --- damage --------------------------------------------------------------------------------------------------------


def damage(folder: Path, line: int) -> bytes:
    lines = segment(folder).read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b'"well"', b'"evil"')
    segment(folder).write_bytes(b"".join(lines))
    return lines[line - 1]


@pytest.mark.parametrize("line", [1, 2, 3])
@pytest.mark.parametrize("writable", [True, False])
def test_damage_is_an_error_that_names_file_and_line(tmp_path, line, writable):
    filled(tmp_path, 3)
    damage(tmp_path, line)
    with pytest.raises(StoreError, match=rf"answers-000001\.jsonl, line {line}: the record is damaged"):
        opened(tmp_path, writable=writable)


def test_a_torn_record_in_front_of_others_is_damage(tmp_path):
    filled(tmp_path, 3)
    lines = segment(tmp_path).read_bytes().splitlines(keepends=True)
    segment(tmp_path).write_bytes(lines[0] + lines[1][:40] + lines[2])
    with pytest.raises(StoreError, match="line 2: the record is damaged"):
        opened(tmp_path)


def test_repair_moves_damage_aside_and_keeps_the_rest(tmp_path):
    answers = filled(tmp_path, 4)
    evil = damage(tmp_path, 2)
    report = repair(tmp_path)
    assert report.kept == 3
    (moved,) = report.moved
    assert moved.parent == tmp_path / DAMAGED
    assert "line-000002" in moved.name
    assert moved.read_bytes() == evil
    with opened(tmp_path) as store:
        assert list(store) == [answers[0], *answers[2:]]
        store.append(answers[1])
        assert len(store) == 4
    assert repair(tmp_path).moved == ()


def test_damage_after_opening_is_seen_when_read(tmp_path):
    (one,) = filled(tmp_path, 1)
    with opened(tmp_path, writable=False) as store:
        damage(tmp_path, 1)
        with pytest.raises(StoreError, match="damaged"):
            store.get(one.key)


# --- what is no store ----------------------------------------------------------------------------------------------


def test_only_a_store_is_opened_and_only_an_empty_folder_becomes_one(tmp_path):
    with pytest.raises(StoreError, match="no parent store: it has no manifest"):
        ParentStore.open(tmp_path)
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match=r"not empty \(thesis\.tex is there\)"):
        opened(tmp_path)
    with pytest.raises(StoreError, match="cannot be made a parent store"):
        opened(tmp_path / "thesis.tex")


def test_another_version_is_refused(tmp_path):
    filled(tmp_path, 1)
    (tmp_path / "manifest.json").write_text('{"format": "pgsrm parent store", "version": 2}')
    with pytest.raises(StoreError, match="format version 2; this pgsrm-plugin reads version 1"):
        opened(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(StoreError, match="says nothing of one"):
        opened(tmp_path)


# --- writers and readers -------------------------------------------------------------------------------------------


def test_a_second_writer_is_told_who_the_first_is(tmp_path):
    with opened(tmp_path):
        with pytest.raises(StoreError, match=rf"is being written by process {os.getpid()} on .*merge"):
            opened(tmp_path)
        code = f"from pgsrm_plugin.parents.store.store import ParentStore; ParentStore.open({str(tmp_path)!r})"
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
        with segment(tmp_path).open("ab") as file:
            file.write(b'{"crc32":"0')
        reader.refresh()
        assert len(reader) == 1
        with pytest.raises(StoreError, match="not open for writing"):
            reader.append(answer("b"))


def test_a_record_that_is_finished_while_a_reader_looks_at_it_is_no_damage(tmp_path, monkeypatch):
    with opened(tmp_path) as writer:
        writer.append(answer("a"))
    whole = segments.encode(answer("b"))
    with segment(tmp_path).open("ab", buffering=0) as file:
        file.write(whole[:20])

        def lines(*place):
            for line in segments.read_lines(*place):
                if line.torn:
                    file.write(whole[20:])
                yield line

        with monkeypatch.context() as patch:
            patch.setattr(store_module, "read_lines", lines)
            reader = ParentStore.open(tmp_path, writable=False)
        assert [one.prompt for one in reader] == ["a"]
        reader.refresh()
        assert [one.prompt for one in reader] == ["a", "b"]


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
        assert merge(target, source) == 4
        assert merge(target, source) == 0
        assert {one.prompt: one.text if one.ok else one.status for one in target} == {
            "both ok, theirs later": "theirs",
            "both ok, ours later": "ours",
            "ours ok": "ours",
            "theirs ok": "theirs",
            "both failed": "refused",
            "only ours": "ours",
            "only theirs": "theirs",
        }
