"""`pgsrm tasks fetch`: public sets from their source's format, with the digest checked; small files made here."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pgsrm_lab.tasks.questions.casimedicos import CASIMEDICOS
from pgsrm_lab.tasks.questions.comve import COMVE
from pgsrm_lab.tasks.questions.public import PUBLIC_SETS
from pgsrm_lab.tasks.questions.source import PublicSet, SourceFile
from pgsrm_plugin.data.rows import read_records
from pgsrm_plugin.errors import DataError


def item(case: str, key: str, explanation: list[str], options: str = "Aspirin.|Rest.|Surgery.") -> list[str]:
    told = [f"{number}- {option}" for number, option in enumerate(options.split("|"), 1)]
    return ["QUESTION TYPE: SURGERY", "CLINICAL CASE:", case, "What now?", *told, key, *explanation]


def tagged(items: list[list[str]], separator: str) -> str:
    """Sentences as the source has them: a token and its tag a line, an empty line after a sentence."""
    sentences = [sentence for one in items for sentence in one]
    return "".join("".join(f"{token}{separator}O\n" for token in sentence.split()) + "\n" for sentence in sentences)


WHY = "Surgery is right here because the bowel is blocked and nothing else will open it again."
DAY = "After 2.5 hours the pain was so strong that no other measure would have been of help."
ITEMS = [
    item("A man has pain.", "CORRECT ANSWER: 3", ["The correct answer is 3.", WHY, "2 and 1 are absurd."]),
    item("A woman has pain.", "RISPOSTA CORRETTA: 1", [DAY]),
    item("A child has pain.", "BONNE RÉPONSE : 2", ["So it is 2."]),
    item("A dog has pain.", "RESPUESTA CORRECTA: 5", [WHY]),
    item("A cat has pain.", "The key is lost.", [WHY]),
    item("A rat has: 1- pain, 2- fever. It ate.", "CORRECT ANSWER: 2", [WHY]),
    item("A man has pain.", "CORRECT ANSWER: 3", [DAY]),
]
REASONS = "Right Reason1,Confusing Reason1,Confusing Reason2,Right Reason2,Right Reason3"
HEADER = f"Correct Statement,Incorrect Statement,{REASONS}"
COMVE_ROWS = [
    '"He drinks milk, daily",He drinks stones,Stones are hard,x,y,"No, one cannot",Stones are no liquid',
    "Cats purr,Cats bark,Dogs bark,x,y,Option 2 is wrong,Cats only purr",
    "Same,Same,a,x,y,b,c",
    "Ice is cold,Ice is hot,,x,y,,",
]


def public(kind: PublicSet, folder: Path, *contents: bytes, base: str = "http://127.0.0.1:9/none") -> PublicSet:
    """A set whose files are those of the test, in the folder and at the address."""
    paths = list(dict.fromkeys(file.path for file in kind.files.values()))
    files = {}
    for path, content in zip(paths, contents, strict=True):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
        files[path] = SourceFile(base, path, hashlib.sha256(content).hexdigest())
    return replace(kind, files={split: files[file.path] for split, file in kind.files.items()})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def archive(separator: str = " ", language: str = "EN", leave_out: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for part, items in {"train": ITEMS, "dev": [item("A bird is hurt.", "CORRECT ANSWER : 2", [WHY])]}.items():
            content = tagged(items, separator).encode()
            info = tarfile.TarInfo(f"casimedicos-arg/{language}/{part}.tsv")
            info.size = len(content)
            if part != leave_out:
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def server(source: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(source))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


# --- CasiMedicos ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "separator"), [("en", " "), ("it", "\t")])
def test_casimedicos_items_become_questions(source: Path, language: str, separator: str) -> None:
    kind = public(CASIMEDICOS, source, archive(separator, language.upper()))
    task = kind.task(source / "casimedicos-arg.tar.gz", language)
    assert task.name == f"casimedicos-{language}"
    assert (len(task.train_prompts), len(task.held_out_prompts)) == (3, 1)
    first, second, third = task.train_prompts
    assert first.startswith("A man has pain. What now?\nA) Aspirin.\nB) Rest.\nC) Surgery.\n")
    assert list(map(task.truth_of, task.prompts)) == ["C", "A", "B", "B"]
    assert task.references_of(first) == (WHY, DAY), "without sentences that name options, and with the repeated item's"
    assert task.references_of(second) == (DAY,)
    assert third.startswith("A rat has: 1- pain, 2- fever. It ate. What now?\nA) Aspirin.")
    assert ("Which option" in first) == (language == "en")
    assert ("Quale opzione" in first) == (language == "it")
    assert task.labels[first] == {"id": f"{language.upper()}/train.tsv:1", "topic": "surgery"}


def test_what_casimedicos_leaves_out_is_said_with_its_row(source: Path) -> None:
    notes = public(CASIMEDICOS, source, archive()).task(source, "en").notes
    assert notes == (
        "EN/train.tsv, item 3 was left out: without the sentences that name options, fewer than 10 words explain it",
        "EN/train.tsv, item 4 was left out: the key is number 5, and there are 3 options",
        "EN/train.tsv, item 5 was left out: it has no options, or no key after them",
        "EN/train.tsv: 1 explanations lost the sentences that name options by number",
        "EN/dev.tsv: 0 explanations lost the sentences that name options by number",
        "1 repeated questions were joined, with all their explanations as references",
    )


def test_an_archive_without_the_part_is_refused(source: Path) -> None:
    with pytest.raises(DataError, match=r"no readable file casimedicos-arg/EN/dev.tsv"):
        public(CASIMEDICOS, source, archive(leave_out="dev")).task(source, "en")
    with pytest.raises(DataError, match=r"no readable file casimedicos-arg/IT/train.tsv"):
        public(CASIMEDICOS, source, b"no archive").task(source, "it")


# --- ComVE ------------------------------------------------------------------------------------------------------------


def comve(source: Path, **more: Any) -> PublicSet:
    train = "\n".join([HEADER, *COMVE_ROWS])
    return public(COMVE, source, train.encode(), f"{HEADER}\nTea is wet,Tea is dry,a b,x,y,c d,e f".encode(), **more)


def test_comve_asks_which_statement_is_against_common_sense(source: Path) -> None:
    task = comve(source).task(source / "ALL data")
    milk, cats = task.train_prompts
    options = {line[0]: line[3:] for line in milk.splitlines()[1:3]}
    assert options[task.truth_of(milk)] == "He drinks stones"
    assert set(options.values()) == {"He drinks stones", "He drinks milk, daily"}
    assert task.references_of(milk) == ("Stones are hard", "No, one cannot", "Stones are no liquid")
    assert task.references_of(cats) == ("Dogs bark", "Cats only purr")
    assert len(task.held_out_prompts) == 1
    assert task.notes == (
        "train.csv, row 2: a reason that names a statement by its number was left out",
        "train.csv, row 3 was left out: two options are the same: 'Same'",
        "train.csv, row 4 was left out: the explanation is empty",
    )


def test_the_statements_place_says_nothing_and_stays(source: Path) -> None:
    rows = [f"{number} is odd,{number} is wet,a,x,y,b,c" for number in range(200)]
    kind = public(COMVE, source, "\n".join([HEADER, *rows]).encode(), HEADER.encode())
    first, second = (kind.task(source / "ALL data") for _ in range(2))
    assert first == second
    assert 70 <= list(first.truths.values()).count("A") <= 130


def test_a_missing_column_is_named(source: Path) -> None:
    kind = public(COMVE, source, b"Correct Statement\nx", HEADER.encode())
    with pytest.raises(DataError, match=r"train.csv has no column 'Incorrect Statement'"):
        kind.task(source / "ALL data")


# --- the source -------------------------------------------------------------------------------------------------------


def test_a_set_is_downloaded_checked_and_written_for_verl(
    source: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pgsrm: Any
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(PUBLIC_SETS, "comve", comve(source, base=server))
    out = tmp_path / "out.parquet"
    status, said, err = pgsrm("tasks", "fetch", "comve", "--format", "verl", "--split", "all", "--out", out)
    assert status == 0, err
    assert said.startswith(f"3 rows of comve (all) written to {out}\nsource: ComVE")
    assert "CC BY-SA 4.0" in said
    assert "row 3 was left out" in err
    row = pq.read_table(out).to_pylist()[0]
    assert row["data_source"] == "pgsrm/comve"
    assert row["reward_model"]["references"] == ["Stones are hard", "No, one cannot", "Stones are no liquid"]
    assert row["reward_model"]["ground_truth"] in "AB"


def test_a_set_is_read_from_a_folder_and_written_as_records(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pgsrm: Any
) -> None:
    monkeypatch.setitem(PUBLIC_SETS, "casimedicos", public(CASIMEDICOS, source, archive()))
    out = tmp_path / "out.jsonl"
    status, said, err = pgsrm("tasks", "fetch", "casimedicos", "--language", "en", "--from", source, "--out", out)
    assert status == 0, err
    assert "3 rows of casimedicos-en (train)" in said
    assert "CC BY 4.0" in said
    record = read_records(out)[0]
    assert (record.references, record.ground_truth) == ((WHY, DAY), "C")
    assert record.response == f"<explanation>{WHY}</explanation><answer>C</answer>"


def test_another_files_digest_is_refused_and_nothing_is_written(source: Path, tmp_path: Path, pgsrm: Any) -> None:
    (source / "casimedicos-arg.tar.gz").write_bytes(archive())
    out = tmp_path / "out.jsonl"
    status, said, err = pgsrm("tasks", "fetch", "casimedicos", "--from", source, "--out", out)
    assert (status, said) == (2, "")
    digest = hashlib.sha256((source / "casimedicos-arg.tar.gz").read_bytes()).hexdigest()
    assert f"its sha256 is {digest[:16]}..., that of casimedicos-arg.tar.gz is 6a397c38d7917ac7..." in " ".join(
        err.split()
    )
    assert "Nothing was written" in err
    assert list(tmp_path.iterdir()) == [source]


def test_a_changed_download_is_refused(source: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    kind = comve(source, base=server)
    (source / "ALL data" / "dev.csv").write_text("changed")
    with pytest.raises(DataError, match=r"ALL%20data/dev.csv is not the file that is expected.*has changed it"):
        kind.task()
    (source / "ALL data" / "dev.csv").unlink()
    with pytest.raises(DataError, match=r"dev.csv cannot be downloaded \(.*404.*; where there is no network, bring"):
        kind.task()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("comvee",), "there is no public set 'comvee'; did you mean 'comve'?"),
        (("casimedicos", "--language", "ita"), "casimedicos has no language 'ita'; did you mean 'it'?"),
        (("comve", "--from", "train.csv"), "comve consists of dev.csv and train.csv: give the folder"),
        (("casimedicos", "--from", "no.tar.gz"), "no.tar.gz cannot be read: No such file"),
    ],
)
def test_mistakes_in_the_command_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pgsrm: Any, arguments: tuple[str, ...], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = pgsrm("tasks", "fetch", *arguments, "--out", "out.jsonl")
    assert (status, out) == (2, "")
    assert complaint in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []


def test_the_sources_are_pinned_by_commit_and_digest() -> None:
    for kind in PUBLIC_SETS.values():
        for file in kind.files.values():
            assert len(file.sha256) == 64
            assert len(file.folder.rpartition("/")[2]) == 40
            assert kind.licence.startswith("CC BY")
