"""Answers that were had elsewhere: a batch's output, and rows with prompt and answer."""

from __future__ import annotations

import json

import pytest
from parent_server import Behaviour, ParentServer, expected

from pgsrm_plugin.asking.store.store import ParentStore


def jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def chat(content, reason="stop", **message):
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": reason}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    return {"model": "m-2026", "choices": [choice], "usage": usage}


def line(custom_id, body=None, status=200, **more):
    """As OpenAI's batch API and vLLM's run_batch write it."""
    response = {"status_code": status, "request_id": "r", "body": chat("4") if body is None else body}
    return {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": None, **more}


@pytest.fixture
def take(pgsrm, tmp_path):
    """`pgsrm parent import` of rows into tmp_path/store, with these prompts."""

    def run(answers, prompts=None, *options):
        file = jsonl(tmp_path / "answers.jsonl", *answers)
        given = () if prompts is None else ("--prompts", jsonl(tmp_path / "prompts.jsonl", *prompts))
        return pgsrm("parent", "import", file, "--out", tmp_path / "store", *given, *options)

    return run


def stored(tmp_path) -> dict[str, tuple]:
    with ParentStore.open(tmp_path / "store", writable=False) as store:
        return {str(one.prompt): (one.status, one.reference) for one in store}


QUESTIONS = [{"prompt": f"What is {i}+{i}?", "item": f"q-{i}"} for i in range(3)]


def test_a_batchs_output_by_its_ids(take, pgsrm, tmp_path):
    status, out, err = take([line("q-1", chat("two")), line("q-0", chat("zero")), line("q-2")], QUESTIONS)
    assert (status, err) == (0, "")
    # Three answers of 5 + 2 tokens.
    assert out.splitlines() == [
        "3 answers taken over from answers.jsonl",
        "tokens: 15 of prompts, 6 of answers",
        "3 of 3 answers have a reference",
    ]
    assert stored(tmp_path) == {
        "What is 0+0?": ("ok", "zero"),
        "What is 1+1?": ("ok", "two"),
        "What is 2+2?": ("ok", "4"),
    }
    with ParentStore.open(tmp_path / "store", writable=False) as store:
        one = next(iter(store))
        assert (one.model, one.served_model, one.finish_reason, one.item) == ("m-2026", "m-2026", "stop", "q-1")
        assert one.settings["imported_from"] == "answers.jsonl"
    assert "3 rows (rows 3)" in pgsrm("parent", "export", tmp_path / "store", "--out", tmp_path / "o.parquet")[1]


def test_what_generate_asks_afterwards_is_what_is_missing(take, pgsrm, tmp_path):
    options = ("--model", "m", "--max-tokens", 64)
    status, _, err = take([line("q-1", chat("two"))], QUESTIONS, *options)
    assert (status, "2 prompts have no answer in the file" in err) == (1, True)
    with ParentServer(Behaviour()) as server:
        engine = ("--engine", "openai", "--base-url", server.url)
        prompts = tmp_path / "prompts.jsonl"
        done = pgsrm("parent", "generate", prompts, *engine, *options, "--out", tmp_path / "store")
        assert (done[0], "2 asked in" in done[1], "1 were in the store" in done[1]) == (0, True, True)
        assert set(server.seen.calls) == {"What is 0+0?", "What is 2+2?"}
    assert stored(tmp_path)["What is 0+0?"] == ("ok", expected("What is 0+0?", 0))


def test_unknown_ids_duplicates_and_failures_are_counted_and_named(take, tmp_path):
    gone = {"custom_id": "q-2", "response": None, "error": {"code": "batch_expired", "message": "it took too long"}}
    answers = [line("q-0"), line("q-0", chat("four")), line("q-9"), line("q-8"), gone]
    status, out, err = take(answers, QUESTIONS)
    assert (status, "2 answers taken over" in out, "1 of 2 answers have a reference" in out) == (1, True, True)
    assert "2 answers are to no prompt that is known: q-9, q-8" in err
    assert "1 answers are to what was answered before; the first one counts: q-0" in err
    assert "1 prompts have no answer in the file" in err
    assert f": {tmp_path / 'prompts.jsonl'}:2" in err
    assert "1 failed: the call failed; ask again" in err
    assert "1 x the batch has no answer: it took too long" in err
    assert stored(tmp_path)["What is 0+0?"] == ("ok", "4")


@pytest.mark.parametrize(
    ("body", "status", "kept", "said"),
    [
        (chat("half", "length"), 200, "truncated", "1 truncated"),
        (chat("x", "SAFETY"), 200, "refused", "1 refused"),
        (chat("x", "abort"), 200, "failed", "finish reason 'abort'"),
        (chat(None, reasoning_content="four"), 200, "empty", "all of the answer into reasoning_content"),
        (chat("<think>x</think>"), 200, "empty", "nothing but thinking"),
        (chat(None, refusal="I won't."), 200, "refused", "1 refused"),
        ({"choices": []}, 200, "failed", "the batch's answer has no choice"),
        ({"error": {"message": "too long", "code": "context"}}, 400, "failed", "1 failed for good"),
        ({"error": {"message": "flagged", "code": "content_filter"}}, 400, "refused", "1 refused"),
        ({"error": {"message": "busy"}}, 500, "failed", "ask again with"),
        ({"error": {"message": "slow down"}}, 429, "failed", "1 x answered 429 'slow down'"),
    ],
)
def test_the_checks_are_those_of_generated_answers(take, tmp_path, body, status, kept, said):
    ended, _, err = take([line("q-0", body, status)], QUESTIONS[:1], "--model", "m")
    assert (ended, said in err) == (1, True), err
    assert stored(tmp_path) == {"What is 0+0?": (kept, None)}


def test_thinking_and_parts_are_read_as_from_an_endpoint(take, tmp_path):
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "four"}]
    answers = [line("q-0", chat("<think>x</think>zero")), line("q-1", chat(parts)), line("q-2", chat("a: 4"))]
    assert take(answers, QUESTIONS, "--extract", r"regex:(\w+)$")[0] == 0
    assert [reference for _, reference in stored(tmp_path).values()] == ["zero", "four", "4"]


def test_again_takes_nothing_and_a_later_success_mends_a_failure(take, tmp_path):
    assert take([line("q-0", {"error": "busy"}, 500), line("q-1")], QUESTIONS[:2])[0] == 1
    status, out, _ = take([line("q-0", {"error": "busy"}, 500), line("q-1")], QUESTIONS[:2])
    assert "0 answers taken over from answers.jsonl, 2 were in the store" in out
    status, out, err = take([line("q-0", {"error": "busy"}, 500), line("q-0", chat("zero"))], QUESTIONS[:1])
    assert (status, "1 answers taken over from answers.jsonl, 1 were" in out, err) == (0, True, "")
    assert stored(tmp_path)["What is 0+0?"] == ("ok", "zero")


def test_a_retry_in_the_same_file_takes_the_place_of_a_failure(take, tmp_path):
    status, _, err = take([line("q-0", {"error": "busy"}, 500), line("q-0", chat("zero")), line("q-0")], QUESTIONS[:1])
    assert (status, "1 answers are to what was answered before" in err, "failed" in err) == (1, True, False)
    assert stored(tmp_path) == {"What is 0+0?": ("ok", "zero")}


def test_a_second_failure_is_a_second_answer(take, tmp_path):
    status, out, err = take([line("q-0", {"error": "busy"}, 500)] * 2, QUESTIONS[:1], "--model", "m")
    assert (status, "1 answers taken over" in out, "1 answers are to what was answered before" in err) == (
        1,
        True,
        True,
    )


def test_choices_are_samples_and_their_account_is_counted_once(take, tmp_path):
    body = chat("one")
    body["choices"].append({"index": 1, "message": {"content": "two"}, "finish_reason": "stop"})
    status, out, _ = take([line("q-0", body)], QUESTIONS[:1], "--temperature", 0.7)
    assert (status, "2 answers taken over" in out, "tokens: 5 of prompts, 2 of answers" in out) == (0, True, True)
    with ParentStore.open(tmp_path / "store", writable=False) as store:
        assert [(one.sample, one.reference) for one in store] == [(0, "one"), (1, "two")]


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        ([{"prompt": "a", "custom_id": "x"}, {"prompt": "b", "custom_id": "y", "item": "x"}], ()),
        ([{"prompt": "a", "id": "x", "item": "same"}, {"prompt": "b", "id": "y", "item": "same"}], ()),
        ([{"prompt": "a", "uid": "x"}, {"prompt": "b", "uid": "y"}], ("--id", "uid")),
        ([{"prompt": "a", "extra_info": {"n": "x"}}, {"prompt": "b", "extra_info": {"n": "y"}}], ("--id", "n")),
        ([{"custom_id": name, "body": {"messages": [{"role": "user", "content": name}]}} for name in "xy"], ()),
    ],
)
def test_where_prompts_keep_their_ids(take, tmp_path, rows, options):
    assert take([line("x", chat("to x")), line("y", chat("to y"))], rows, *options)[0] == 0
    assert [reference for _, reference in stored(tmp_path).values()] == ["to x", "to y"]


def test_rows_with_prompt_and_answer_need_nothing_else(take, pgsrm, tmp_path):
    rows = [
        {"prompt": "1+1?", "answer": "<think>easy</think>two", "model": "m", "ground_truth": "2", "tag": "t"},
        {"prompt": [{"role": "user", "content": "2+2?"}], "response": "four", "finish_reason": "length"},
        {"prompt": "3+3?", "answer": None},
        {"prompt": "1+1?", "answer": "II", "sample": 1},
        {"prompt": "1+1?", "answer": "2"},
    ]
    status, out, err = take(rows, None)
    assert (status, "4 answers taken over" in out, "2 of 4 answers have a reference" in out) == (1, True, True)
    assert "the first one counts: " in err
    assert "answers.jsonl:5" in err
    assert "1 truncated" in err
    assert "1 empty" in err
    pgsrm("parent", "export", tmp_path / "store", "--format", "jsonl", "--out", tmp_path / "o.jsonl")
    (row,) = [json.loads(text) for text in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert (row["prompt"], row["references"], row["ground_truth"], row["tag"]) == ("1+1?", ["two", "II"], "2", "t")
    assert "answer" not in row


def test_rows_are_taken_only_for_the_prompts_that_are_given(take, tmp_path):
    rows = [{"prompt": "What is 0+0?", "answer": "zero"}, {"prompt": "What is x?", "answer": "y"}]
    status, _, err = take(rows, QUESTIONS[:1], "--model", "m")
    assert (status, "1 answers are to no prompt that is known: " in err, "answers.jsonl:2" in err) == (1, True, True)
    assert stored(tmp_path) == {"What is 0+0?": ("ok", "zero")}


def test_an_answer_about_a_picture_is_taken(take, tmp_path):
    row = {"prompt": "<image>What is it?", "images": ["a.png"], "item": "q-0"}
    assert take([line("q-0", chat("a cat"))], [row])[0] == 0
    assert stored(tmp_path) == {"<image>What is it?": ("ok", "a cat")}


@pytest.mark.parametrize(
    ("answers", "prompts", "options", "said"),
    [
        ([line("q-0")], None, (), "a batch's output, which has no prompts; give them with --prompts"),
        ([line("q-0")], [{"prompt": "a"}], (), "e.g. 'q-0' (there is no custom_id; there is no item; there is no id)"),
        ([line("z")], QUESTIONS, (), "item has none of the ids of the answers"),
        ([line("q-0")], QUESTIONS, ("--id", "uid"), "(there is no uid)"),
        (
            [line("q")],
            [{"prompt": "a", "id": "q"}, {"prompt": "b", "id": "q"}],
            ("--id", "id"),
            "stands for two prompts",
        ),
        ([{"prompt": "a", "answer": "b"}], None, (), "does not say what model answered; give --model"),
        ([{"prompt": "a"}], None, (), "answers.jsonl:1: there is neither 'answer' nor 'response' beside the prompt"),
        ([{"prompt": "a", "answer": 4}], None, (), "field 'answer' must be text, not the number 4"),
        ([{"prompt": "a", "answer": "b", "sample": -1}], None, (), "field 'sample' must be a number from 0"),
        ([line("q-0"), {"text": "a"}], QUESTIONS, (), "answers.jsonl:2: neither a line of a batch's output"),
        ([line("q-0")], QUESTIONS, ("--extract", "xml:a"), "is no rule"),
        ([line("q-0")], QUESTIONS, ("--engine", "magic"), "--engine magic is unknown"),
    ],
)
def test_a_mistake_is_said_before_anything_is_kept(take, tmp_path, answers, prompts, options, said):
    status, _, err = take(answers, prompts, *options)
    assert (status, said in err) == (2, True), err
    assert not (tmp_path / "store").exists()
