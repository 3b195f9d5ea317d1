"""`pgsrm parent`, as typed: against a real server on this machine and a real tiny model."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parent_answers import CONFIG, answer
from parent_server import Behaviour, ParentServer, expected

from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.cli.parent.options import EngineOptions
from pgsrm_plugin.data.rows import read_records
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.parents.export.references import settings_id, settings_in
from pgsrm_plugin.parents.generation.plan import make_plan
from pgsrm_plugin.parents.generation.prompts import PromptRow
from pgsrm_plugin.parents.generation.runs import keep_run, load_runs
from pgsrm_plugin.parents.review.agreement import NAME

SECRET = "sk-do-not-write-me-anywhere-0123456789"


@pytest.fixture
def server():
    with ParentServer(Behaviour(retry_after="0.01")) as running:
        yield running


@pytest.fixture
def ask(server, tmp_path, pgsrm):
    """`pgsrm parent generate` from the server into tmp_path/store."""

    def run(prompts, *options):
        engine = ("--engine", "openai", "--model", "m", "--base-url", server.url)
        return pgsrm("parent", "generate", prompts, *engine, "--out", tmp_path / "store", *options)

    return run


def jsonl(path: Path, *rows) -> Path:
    path.write_text("".join(json.dumps(row if isinstance(row, dict) else {"prompt": row}) + "\n" for row in rows))
    return path


def test_generate_resumes_and_exports_what_it_asked(ask, server, pgsrm, tmp_path):
    prompts = jsonl(tmp_path / "p.jsonl", "one", "two", {"prompt": "one", "item": "again"}, "three")
    status, out, _ = ask(prompts, "--limit", 2)
    assert (status, "2 of 2 answers have a reference" in out) == (0, True)
    status, out, _ = ask(prompts)
    assert (status, "1 asked in" in out, "2 were in the store" in out) == (0, True, True)
    assert server.seen.calls == {"one": 1, "two": 1, "three": 1}
    status, out, _ = pgsrm("parent", "export", tmp_path / "store", "--format", "jsonl", "--out", tmp_path / "out.jsonl")
    assert (status, out.splitlines()[-1]) == (0, "4 rows (rows 4)")
    records = read_records(tmp_path / "out.jsonl", responses=False)
    found = [(record.prompt, record.references) for record in records]
    assert found == [(name, (expected(name, 0),)) for name in ("one", "two", "one", "three")]


def test_a_dry_run_counts_and_asks_nothing(ask, server, tmp_path):
    prompts = jsonl(tmp_path / "p.jsonl", "12345678", "1234", "1234", "x" * 400)
    system = tmp_path / "system.txt"
    system.write_text("Be brief.\n")
    ask(prompts, "--limit", 1, "--max-tokens", 10, "--system", system)
    server.seen.calls.clear()
    options = ("--max-tokens", 10, "--dry-run", "--price-in", 2, "--price-out", 4, "--system", system)
    status, out, _ = ask(prompts, *options)
    assert status == 0
    assert "[system] Be brief.\n[user] 12345678" in out
    assert "3 distinct prompts, 3 answers wanted, of which 1 are in the store" in out
    assert re.search(r"^calls +2$", out, re.MULTILINE)
    # 4 a message and a quarter of the characters: (4 + 3 + 4 + 1) + (4 + 3 + 4 + 100)
    assert re.search(r"^prompt tokens +123 \(an estimate", out, re.MULTILINE)
    assert re.search(r"^answer tokens +at most 20, about 4 by the store's answers so far$", out, re.MULTILINE)
    # 123 * 2e-6 + 20 * 4e-6, and with 4 answer tokens
    assert re.search(r"^cost +at most 0.000326, about 0.000262$", out, re.MULTILINE)
    assert not server.seen.calls
    assert not (tmp_path / "elsewhere").exists()


def test_what_failed_is_said_and_asked_again_by_the_command_that_is_named(ask, server, pgsrm, tmp_path):
    prompts = jsonl(tmp_path / "p.jsonl", "a once:500", "b fault:refusal", "c fault:long", "d")
    status, out, err = ask(prompts, "--engine-arg", "retries=0")
    store = tmp_path / "store"
    assert (status, "1 of 4 answers have a reference" in out) == (1, True)
    assert f"1 failed: the call failed; ask again with `pgsrm parent retry-failed {store}`" in err
    assert "1 x answered 500 'server error' (1 attempts)" in err
    assert "1 refused: the parent declined" in err
    assert "1 truncated: cut at max_tokens; generate with a larger --max-tokens" in err
    status, out, _ = pgsrm("parent", "retry-failed", store)
    assert (status, "1 asked in" in out) == (0, True)
    assert server.seen.calls == {"a once:500": 2, "b fault:refusal": 1, "c fault:long": 1, "d": 1}
    status, _, err = pgsrm("parent", "retry-failed", store, "--status", "truncatd")
    assert (status, "did you mean 'truncated'" in err) == (2, True)
    status, _, err = pgsrm("parent", "retry-failed", store, "--status", "refused")
    assert (status, "1 refused" in err) == (1, True)


def test_what_fails_for_good_is_not_said_to_be_asked_again(ask, server, tmp_path):
    system = tmp_path / "s.txt"
    system.write_text("Be brief.")
    prompts = jsonl(tmp_path / "p.jsonl", *(f"{i} fault:no-system" for i in range(3)))
    status, out, err = ask(prompts, "--system", system)
    assert (status, "0 of 3 answers have a reference" in out) == (1, True)
    assert "3 failed for good: asked again, the same call would fail the same" in err
    assert "3 x answered 400 'System role not supported'; this model takes no system prompt: put its text" in err
    assert "retry-failed" not in err


def test_a_field_that_the_endpoint_does_not_take_can_be_left_out(ask, server, tmp_path):
    prompts = jsonl(tmp_path / "p.jsonl", "a fault:no-seed", "b fault:no-seed")
    status, _, err = ask(prompts)
    assert (status, "Extra inputs are not permitted'; leave the field out with --seed none" in err) == (3, True)
    status, out, _ = ask(prompts, "--seed", "none", "--temperature", "none")
    assert (status, "2 of 2 answers have a reference" in out) == (0, True)
    assert server.seen.bodies[-1].keys() == {"model", "messages", "max_tokens"}


def test_why_answers_are_empty_is_said(ask, server, tmp_path):
    prompts = jsonl(tmp_path / "p.jsonl", "a fault:reasoning", "b fault:reasoning", "c fault:blank", "d fault:parts")
    status, out, err = ask(prompts)
    assert (status, "1 of 4 answers have a reference" in out) == (1, True)
    assert "3 empty: blank, or nothing but thinking" in err
    assert "2 x the endpoint put all of the answer into reasoning_content, and content is empty" in err
    assert "1 x the answer is blank" in err
    # Four prompts of 2 words and four answers of 2 words, each asked for once.
    assert "tokens: 8 of prompts, 8 of answers" in out
    assert set(server.seen.calls.values()) == {1}


def test_what_is_no_whole_answer_is_no_reference(ask, pgsrm, tmp_path):
    reasons = ("stop", "max_tokens", "MAX_TOKENS", "model_length", "abort", "error", "SAFETY", "sensitive")
    status, out, err = ask(jsonl(tmp_path / "p.jsonl", *(f"finish:{reason}" for reason in reasons)))
    assert (status, "1 of 8 answers have a reference" in out) == (1, True)
    for said in ("3 truncated", "2 refused", "2 failed", "broken off (finish reason 'abort')"):
        assert said in err
    status, out, _ = pgsrm("parent", "export", tmp_path / "store", "--format", "jsonl", "--out", tmp_path / "o.jsonl")
    assert (status, "1 rows (rows 1)" in out) == (0, True)


def test_thinking_is_neither_reference_nor_ground_truth_and_hides_no_refusal(ask, pgsrm, tmp_path):
    answers = (
        "<think>2+2</think>\n\nfour",
        "<think>no</think>I'm sorry, but I can't help with that.",
        "<think>x</think>",
    )
    status, _, err = ask(jsonl(tmp_path / "p.jsonl", *(f"{'a long question, ' * 20}say:{text}" for text in answers)))
    assert (status, "1 empty: " in err, "1 x the answer is nothing but thinking" in err) == (1, True, True)
    status, out, _ = pgsrm("parent", "export", tmp_path / "store", "--out", tmp_path / "o.parquet")
    assert (status, "left out: 1 dropped as refusal" in out, "left out: 1 empty" in out) == (0, True, True)
    (row,) = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert row["reward_model"] == {"style": "rule", "ground_truth": "four", "references": ["four"]}
    assert "1  refusal" in pgsrm("parent", "check", tmp_path / "store", "--no-agreement")[1]


def test_a_stop_text_that_takes_the_closing_tag_leaves_the_answer(ask, pgsrm, tmp_path):
    prompts = jsonl(tmp_path / "p.jsonl", "say:<think>hm</think><answer>four")
    status, _, _ = ask(prompts, "--stop", "</answer>", "--extract", "tag:answer")
    assert status == 0
    status, _, err = ask(prompts, "--extract", "tag:answer")
    assert (status, "1 unextracted" in err) == (1, True)
    pgsrm(
        "parent", "export", tmp_path / "store", "--settings", "all", "--format", "jsonl", "--out", tmp_path / "o.jsonl"
    )
    assert [json.loads(line)["references"] for line in (tmp_path / "o.jsonl").read_text().splitlines()] == [["four"]]


def test_another_extraction_asks_nothing_anew(ask, server, pgsrm, tmp_path):
    prompts = jsonl(tmp_path / "p.jsonl", "a", "b")
    ask(prompts)
    status, out, err = ask(prompts, "--extract", "json:OUTPUT")
    assert (status, "2 extracted anew" in out, "2 unextracted" in err) == (1, True, True)
    status, out, _ = ask(prompts, "--extract", r"regex:answer (\w+)")
    assert (status, "0 asked" in out) == (0, True)
    assert server.seen.calls == {"a": 1, "b": 1}
    with ParentStore.open(tmp_path / "store", writable=False) as store:
        assert len(settings_in(store.answers())) == 3
    status, _, err = pgsrm("parent", "export", tmp_path / "store", "--out", tmp_path / "x.parquet")
    assert (status, "answers under 3 settings; name one with --settings" in err) == (2, True)


def test_the_key_is_written_nowhere(ask, server, tmp_path, monkeypatch):
    server.behaviour.token = SECRET
    monkeypatch.setenv("MY_PARENT_KEY", SECRET)
    prompts = jsonl(tmp_path / "p.jsonl", "a", "b fault:400", "c fault:echo-key")
    status, out, err = ask(prompts, "--api-key-env", "MY_PARENT_KEY", "--engine-arg", "retries=0")
    assert status == 1
    assert server.seen.headers[0]["authorization"] == f"Bearer {SECRET}"
    written = [path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert len(written) >= 4
    assert not any(SECRET.encode() in content for content in [*written, out.encode(), err.encode()])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--engine", "vlm"), "did you mean 'vllm'"),
        (("--n", 4), "with temperature 0 asks for the same answer 4 times; add e.g. --temperature 0.7"),
        (("--extract", "xml:a"), "is no rule"),
        (("--engine-arg", "x"), "is not key=value"),
        (("--seed", "x"), "is no whole number, and not none"),
        (("--temperature", "hot"), "is no number, and not none"),
        (("--engine-arg", "retriez=1"), "retriez"),
        (("--system", "nowhere.txt"), "system prompt nowhere.txt cannot be read"),
        (("--engine", "hf"), "--base-url is for --engine openai, not hf"),
        (("--api-key-env", "NOT_SET_ANYWHERE"), "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_a_mistake_is_said_before_any_call(ask, server, tmp_path, options, said):
    status, _, err = ask(jsonl(tmp_path / "p.jsonl", "a"), *options)
    assert (status, said in err) == (2, True), err
    assert not server.seen.calls


def test_a_picture_that_the_parent_does_not_see_is_said_before_any_call(ask, server, tmp_path):
    row = {"prompt": [{"role": "user", "content": "<image>Find x."}], "images": [{"bytes": b"PNG"}]}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "p.parquet")
    for options in ((), ("--dry-run",)):
        status, _, err = ask(tmp_path / "p.parquet", *options)
        assert (status, "in the column 'images'; a parent is asked text" in err) == (2, True)
    assert not server.seen.calls
    assert not (tmp_path / "store").exists()


def test_a_bad_row_is_said_before_any_call(ask, server, tmp_path):
    status, _, err = ask(jsonl(tmp_path / "p.jsonl", "a", {"text": "b"}))
    assert (status, "p.jsonl:2: field 'prompt' is missing" in err) == (2, True)
    assert not server.seen.calls
    assert not (tmp_path / "store").exists()


def test_engine_arguments_reach_vllm():
    options = EngineOptions(concurrency=8, arguments=("tensor_parallel_size=2", "dtype=bfloat16", "enforce_eager=true"))
    assert options.settings("vllm") == {
        "batch_size": 8,
        "engine_args": {"tensor_parallel_size": 2, "dtype": "bfloat16", "enforce_eager": True},
    }
    assert EngineOptions(arguments=("dtype=float32",), concurrency=8).settings("hf") == {
        "dtype": "float32",
        "batch_size": 8,
    }
    with pytest.raises(SpecError, match="--base-url is for"):
        EngineOptions("http://x").settings("vllm")


def test_a_real_model_by_transformers_and_a_dry_run_with_its_tokenizer(pgsrm, tmp_path):
    from transformers import AutoConfig

    from pgsrm_verl.rehearsal.tiny import save_tiny_model, train_tokenizer

    tokenizer = train_tokenizer(["the sky is blue", "grass is green"])
    save_tiny_model(tmp_path / "m", AutoConfig.for_model("qwen2"), tokenizer)
    command = ("parent", "generate", jsonl(tmp_path / "p.jsonl", "sky", "grass"), "--engine", "hf")
    command += ("--model", tmp_path / "m", "--out", tmp_path / "s", "--max-tokens", 4, "--engine-arg", "device=cpu")
    _, out, _ = pgsrm(*command, "--dry-run")
    ids = [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True)
        for text in ("sky", "grass")
    ]
    tokens = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ids)
    assert f"{tokens} (by the tokenizer of" in out
    assert "<|im_start|>user\nsky<|im_end|>\n<|im_start|>assistant" in out
    pgsrm(*command)
    with ParentStore.open(tmp_path / "s", writable=False) as store:
        answers = list(store.answers())
    assert sum(one.prompt_tokens for one in answers) == tokens
    assert {one.status for one in answers} <= {"ok", "truncated", "empty"}


@pytest.fixture
def store(tmp_path):
    """Two samples of three prompts, a refusal, and a failure."""
    folder = tmp_path / "s"
    with ParentStore.open(folder, create=True) as opened:
        for i in range(3):
            opened.extend([answer(f"question {i}", f"reply {i}"), answer(f"question {i}", f"word {i}", sample=1)])
        opened.append(answer("who?", "I'm sorry, but I can't help with that."))
        opened.append(answer("why?", status="failed", error="answered 500"))
    return folder


def test_status_and_show(store, pgsrm):
    status, out, _ = pgsrm("parent", "status", store)
    assert (status, "8 answers, 0 rows of prompts, 56 + 24 tokens" in out) == (0, True)
    assert re.search(r"\b7 +1 +openai parent-1, temperature", out)
    status, out, _ = pgsrm("parent", "show", store, "--status", "failed")
    assert "failed: answered 500" in out
    key = answer("question 0", "reply 0").key
    status, out, _ = pgsrm("parent", "show", store, key[:9])
    assert (status, "[parent] reply 0" in out) == (0, True)
    wrong = key[:8] + "zz"
    status, _, err = pgsrm("parent", "show", store, wrong)
    assert (status, f"no answer with the key '{wrong}'; the nearest is '{key[:16]}'" in err) == (2, True)
    status, _, err = pgsrm("parent", "show", store, "--status", "faild")
    assert (status, "did you mean 'failed'" in err) == (2, True)


def test_check_measures_once_and_writes_a_page_that_loads_nothing(store, pgsrm, tmp_path):
    spec = tmp_path / "r.yaml"
    spec.write_text("encoder: {kind: hashing}\nterms: {semantic: {}}\n")
    page = tmp_path / "page.html"
    status, out, _ = pgsrm("parent", "check", store, "--html", page, "--spec", spec, "--expect", r"regex:reply|word")
    assert (status, "8 answers to 5 prompts" in out) == (0, True)
    for found in (
        "1  failed",
        "1  refusal",
        "1  format",
        "agreement of the answers to a prompt, 3 prompts, by hashing",
    ):
        assert found in out
    html = page.read_text()
    assert "3 of 5" not in html
    assert "4 of 5 prompts have a reference" in html
    assert "I&#39;m sorry, but I can&#39;t help with that." in html
    assert not re.search(r'(src|href)="|https?://', html)
    kept = json.loads((store / NAME).read_text())
    assert len(kept["values"]) == 3


def test_export_filters_by_agreement_and_says_what_it_left_out(store, pgsrm, tmp_path):
    spec = tmp_path / "r.yaml"
    spec.write_text("encoder: {kind: hashing}\nterms: {semantic: {}}\n")
    out_file = tmp_path / "o.parquet"
    status, out, _ = pgsrm("parent", "export", store, "--out", out_file, "--min-agreement", -1, "--spec", spec)
    assert status == 0
    assert "3 rows (rows 3)" in out
    assert "left out: 1 with fewer than two samples, so without agreement" in out
    assert "left out: 1 failed" in out
    row = pq.read_table(out_file).to_pylist()[0]
    assert row["reward_model"]["references"] == ["reply 0", "word 0"]
    assert -1 <= row["extra_info"]["agreement"] <= 1
    status, _, err = pgsrm("parent", "export", store, "--out", out_file, "--min-agreement", 0.999, "--spec", spec)
    assert (status, "no row has a usable reference (3 of agreement below 0.999" in err) == (2, True)


def test_a_raw_export_has_every_answer_a_line(store, pgsrm, tmp_path):
    out_file = tmp_path / "answers.jsonl"
    assert pgsrm("parent", "export", store, "--out", out_file, "--raw")[:2] == (0, f"8 answers written to {out_file}\n")
    rows = [json.loads(line) for line in out_file.read_text(encoding="utf-8").splitlines()]
    assert [(row["prompt"], row["sample"], row["status"], row["text"]) for row in rows] == [
        *(
            (f"question {i}", sample, "ok", f"{word} {i}")
            for i in range(3)
            for sample, word in enumerate(("reply", "word"))
        ),
        ("who?", 0, "ok", "I'm sorry, but I can't help with that."),
        ("why?", 0, "failed", ""),
    ]
    assert rows[-1]["error"] == "answered 500"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "verll"), "did you mean 'verl'"),
        (("--split", "train=2"), "is not name=share"),
        (("--by", "item"), "--by item says how --split divides"),
        (("--drop", "refusals"), "did you mean 'refusal'"),
        (("--settings", "00000000"), "no answer has the settings '00000000'"),
        (("--raw",), "o.parquet: --raw writes JSON lines; call the file .jsonl"),
        (("--raw", "--split", "train=0.5,val=0.5"), "--split chooses among references, and --raw writes every answer"),
    ],
)
def test_a_wrong_export_is_said(store, pgsrm, tmp_path, options, said):
    status, _, err = pgsrm("parent", "export", store, "--out", tmp_path / "o.parquet", *options)
    assert (status, said in err) == (2, True), err


def test_merge_takes_answers_and_rows(ask, server, pgsrm, tmp_path):
    for name, prompts in (("one", ("a", "b once:400")), ("two", ("b once:400", "c"))):
        ask(jsonl(tmp_path / f"{name}.jsonl", *prompts))
        os.rename(tmp_path / "store", tmp_path / name)
    status, out, _ = pgsrm("parent", "merge", tmp_path / "one", tmp_path / "two")
    assert (status, "2 answers and 1 rows of prompts taken over" in out) == (0, True)
    assert "0 answers and 0 rows" in pgsrm("parent", "merge", tmp_path / "one", tmp_path / "two")[1]
    assert "3 rows (rows 3)" in pgsrm("parent", "export", tmp_path / "one", "--out", tmp_path / "o.parquet")[1]
    assert "is the store itself" in pgsrm("parent", "merge", tmp_path / "one", tmp_path / "one")[2]


def test_no_store_and_a_locked_one(store, ask, pgsrm, tmp_path):
    for command in ("status", "show", "retry-failed", "check", "repair"):
        status, _, err = pgsrm("parent", command, tmp_path)
        assert (status, "is no parent store" in err) == (2, True), command
    with ParentStore.open(store):
        os.rename(store, tmp_path / "store")
        status, _, err = ask(jsonl(tmp_path / "p.jsonl", "a"))
        assert (status, "is being written by process" in err) == (2, True)


def test_repair(store, pgsrm):
    with closing(sqlite3.connect(store / "answers.sqlite3")) as database, database:
        database.execute("UPDATE answers SET record = record || '#' WHERE id = 1")
    status, _, err = pgsrm("parent", "status", store)
    assert (status, "pgsrm parent repair" in err) == (2, True)
    status, out, _ = pgsrm("parent", "repair", store)
    assert (status, "7 intact records kept, 1 damaged ones moved aside" in out) == (0, True)
    assert pgsrm("parent", "status", store)[0] == 0


def test_verl_parquet_goes_in_and_comes_out(ask, pgsrm, tmp_path):
    row = {
        "data_source": "d",
        "prompt": [{"role": "user", "content": "1 + 1?"}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "2"},
        "extra_info": {"index": 5, "split": "train"},
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "in.parquet")
    ask(tmp_path / "in.parquet")
    pgsrm("parent", "export", tmp_path / "store", "--out", tmp_path / "out.parquet")
    (back,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert back["reward_model"] == {"style": "rule", "ground_truth": "2", "references": [expected("1 + 1?", 0)]}
    for name in ("data_source", "prompt", "ability"):
        assert back[name] == row[name]
    assert back["extra_info"]["index"] == 5


def test_the_commands_import_nothing_heavy():
    heavy = {"torch", "httpx", "pyarrow", "transformers"}
    code = f"import sys, pgsrm_plugin.cli.parent.app; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_what_may_be_a_secret_is_not_kept_of_a_run(tmp_path):
    plain = {"tensor_parallel_size": 2, "tokenizer": "other", "max_num_batched_tokens": 512}
    arguments = {**plain, "hf_token": SECRET}
    given = {"base_url": f"http://x/v1?key={SECRET}", "api_key_env": "NAME", "retries": 3, "engine_args": arguments}
    keep_run(tmp_path, CONFIG, given)
    kept = {"api_key_env": "NAME", "retries": 3, "engine_args": plain}
    assert load_runs(tmp_path) == {settings_id(CONFIG): kept}


def test_asking_vllm_again_has_the_arguments_of_the_last_run():
    assert EngineOptions(concurrency=8).settings("vllm") == {"batch_size": 8}
    assert EngineOptions().settings("vllm") == {}


def test_asking_again_ends_with_what_became_of_what_was_asked(ask, pgsrm, tmp_path):
    prompts = jsonl(tmp_path / "p.jsonl", "a once:400 fault:refusal", "b fault:long")
    ask(prompts)
    status, out, err = pgsrm("parent", "retry-failed", tmp_path / "store")
    assert (status, "1 asked in" in out) == (1, True)
    assert "1 refused: the parent declined" in err
    assert "truncated" not in err


def test_another_settings_failures_are_none_of_those_named(ask, server, pgsrm, tmp_path):
    prompts = jsonl(tmp_path / "p.jsonl", "a once:400")
    ask(prompts)
    ask(jsonl(tmp_path / "q.jsonl", "b fault:400"), "--max-tokens", 9)
    with ParentStore.open(tmp_path / "store", writable=False) as store:
        mended = next(own for own, (config, _) in settings_in(store).items() if config.sampling.max_tokens != 9)
    status, _, err = pgsrm("parent", "retry-failed", tmp_path / "store", "--settings", mended)
    assert (status, err) == (0, "")
    assert server.seen.calls["b fault:400"] == 1


def test_text_that_no_terminal_can_show_is_shown_escaped(ask, pgsrm, tmp_path):
    prompts = jsonl(tmp_path / "p.jsonl", "half \ud800 a pair")
    assert "[user] half \\ud800 a pair" in ask(prompts, "--dry-run")[1]
    assert ask(prompts)[0] == 0
    status, out, _ = pgsrm("parent", "show", tmp_path / "store")
    assert (status, "[user] half \\ud800 a pair" in out) == (0, True)


def test_a_dry_run_shows_what_a_models_template_refuses(monkeypatch):
    class Refusing:
        chat_template = "x"

        def apply_chat_template(self, *_, **__):
            raise ValueError("roles must alternate")

    monkeypatch.setattr("pgsrm_plugin.parents.generation.plan.load_tokenizer", lambda config: Refusing())
    plan = make_plan([PromptRow("12345678")], 1, replace(CONFIG, engine="hf"), None)
    assert plan.rendered == ("[cannot be rendered, so this call will fail: ValueError: roles must alternate]",)
    assert (plan.calls, plan.prompt_tokens) == (1, 4 + 2)


def test_a_plan_counts_each_sample():
    plan = make_plan([PromptRow("12345678"), PromptRow("12345678")], 2, CONFIG, None)
    assert (plan.prompts, plan.calls, plan.prompt_tokens, plan.most_tokens) == (1, 2, 2 * (4 + 2), 2 * 32)
    assert plan.cost(1e6, 1e6) == (12 + 64, None)
