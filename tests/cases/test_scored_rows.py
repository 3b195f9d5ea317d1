"""Situations of public reports and data sets, each by the command that people run: ``pgsrm score`` on their rows.

Each is one instance of a kind; the kinds have tests of their own beside what they test.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from minilm import needs_minilm

from pgsrm_plugin.cli import main

Score = Callable[..., list[dict[str, Any]]]
BINARY = "terms: {exact_match: {}}"
CHOICE = "terms: {correctness: {extract: choice}}"


def status(arguments: list[str]) -> int | str | None:
    """The exit status of the command."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Score:
    """Scores rows (or a file in the folder) with a spec's text; gives the rows that were written."""
    monkeypatch.chdir(tmp_path)

    def run(rows: list[dict[str, Any]] | str, spec: str, *options: str) -> list[dict[str, Any]]:
        data = rows if isinstance(rows, str) else "rows.jsonl"
        if not isinstance(rows, str):
            Path(data).write_text("".join(json.dumps(row) + "\n" for row in rows))
        Path("spec.yaml").write_text(spec)
        assert status(["score", data, "--spec", "spec.yaml", "--out", "out.jsonl", *options]) == 0
        return [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]

    return run


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What ``pgsrm score`` says of a file that it refuses with status 2; nothing is written."""
    monkeypatch.chdir(tmp_path)

    def run(data: str, spec: str = BINARY, expected: int = 2) -> str:
        Path("spec.yaml").write_text(spec)
        assert status(["score", data, "--spec", "spec.yaml", "--out", "out.jsonl"]) == expected
        assert not Path("out.jsonl").exists()
        return capsys.readouterr().err

    return run


def judged(score: Score, spec: str, answers: list[tuple[str, str]], *, term: str = "correctness") -> list[float]:
    rows = [{"prompt": f"q{i}", "response": said, "ground_truth": truth} for i, (said, truth) in enumerate(answers)]
    return [row[f"reward/{term}"] for row in score(rows, spec)]


def verl(truth: Any, response: str, **extra: Any) -> dict[str, Any]:
    prompt = [{"role": "user", "content": "Which city is it?"}]
    return {"prompt": prompt, "reward_model": {"style": "rule", "ground_truth": truth}, "response": response, **extra}


# --- rows (1, 7, 11, 13, 16, 17, 18, 20, 23, 58, 75) ------------------------------------------------------------------


def test_search_r1_keeps_its_answers_in_target(score: Score) -> None:
    rows = [verl({"target": ["Oslo", "the city of Oslo"]}, "the city of Oslo"), verl({"target": ["Rome"]}, "Oslo")]
    Path("rows.parquet").unlink(missing_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), "rows.parquet")
    assert [row["reward"] for row in score("rows.parquet", BINARY)] == [1.0, 0.0]


def test_an_empty_list_of_references_is_none(score: Score) -> None:
    rows = [verl("4", "4", extra_info={"references": []}), verl("4", "four", extra_info={"references": ["four"]})]
    assert [row["reward"] for row in score(rows, BINARY)] == [1.0, 1.0]


def test_a_message_that_calls_a_tool_has_no_content(score: Score) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}
    tool = {"role": "tool", "tool_call_id": "1", "content": "3 degrees"}
    row = {"prompt": [{"role": "user", "content": "Cold?"}, call, tool], "response": "Yes", "reference": "yes"}
    assert score([row], BINARY)[0]["reward"] == 1.0


def test_a_response_in_messages_is_the_assistants(score: Score) -> None:
    row = {"prompt": "Say red", "response": [{"role": "assistant", "content": "red"}], "reference": "red"}
    assert score([row], BINARY)[0]["reward"] == 1.0


@pytest.mark.parametrize("name", ["alpaca.json", "alpaca.jsonl"])
def test_one_json_array_is_called_that(refusal: Callable[..., str], name: str) -> None:
    Path(name).write_text(json.dumps([{"prompt": "p", "response": "r", "reference": "r"}], indent=1))
    said = refusal(name)
    assert "one JSON array" in said
    assert "one object a line" in said


@pytest.mark.parametrize(("name", "named"), [("rows.csv", "'.csv'"), ("rows.jsonl.gz", "'.jsonl.gz'")])
def test_other_formats_are_named_with_what_is_read(refusal: Callable[..., str], name: str, named: str) -> None:
    Path(name).write_bytes(b"x")
    said = refusal(name)
    assert f"the extension must be .jsonl or .parquet, not {named}" in said


def test_a_saved_dataset_says_how_it_becomes_parquet(refusal: Callable[..., str]) -> None:
    datasets.Dataset.from_list([{"prompt": "p", "response": "r", "reference": "r"}]).save_to_disk("saved")
    (arrow,) = Path("saved").glob("*.arrow")
    for data in ("saved", str(arrow)):
        assert "load_from_disk(FOLDER).to_parquet" in refusal(data)


def test_a_float32_truth_is_what_was_written(score: Score) -> None:
    columns = {"prompt": ["a", "b"], "response": ["<answer>0.7</answer>", "<answer>2.5</answer>"]}
    truths = pa.array(np.array([0.7, 2.5], dtype=np.float32))
    pq.write_table(pa.table({**columns, "ground_truth": truths}), "rows.parquet")
    spec = "terms: {correctness: {extract: tag, compare: number}}"
    assert [row["reward"] for row in score("rows.parquet", spec)] == [1.0, 1.0]


def test_the_worked_solution_can_be_named_and_is_hinted_at(score: Score, capsys: pytest.CaptureFixture[str]) -> None:
    solution = "Two bags of 3 make 6.\n#### 6"
    rows = [verl("6", solution, extra_info={"answer": solution})]
    spec = "terms: {correctness: {extract: number}, exact_match: {}}"
    assert score(rows, spec)[0]["reward/exact_match"] == 0.0
    assert "add --reference-field extra_info.answer" in capsys.readouterr().err
    assert score(rows, spec, "--reference-field", "extra_info.answer")[0]["reward/exact_match"] == 1.0
    assert "--reference-field" not in capsys.readouterr().err


def test_an_object_as_json_text_is_called_that(refusal: Callable[..., str]) -> None:
    row = {"prompt": "p", "response": "r", "reward_model": json.dumps({"ground_truth": "r"})}
    Path("rows.jsonl").write_text(json.dumps(row))
    assert "field 'reward_model' must be an object, and is the text of one" in refusal("rows.jsonl")


def test_all_empty_rows_are_counted(refusal: Callable[..., str]) -> None:
    rows = [verl("" if i % 3 == 2 else f"a{i}", "a") for i in range(30)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = refusal("rows.jsonl").splitlines()
    assert [line.split(": ")[-2] for line in said[:5]] == [said[0].split(": ")[-2]] * 5
    assert [line.partition("rows.jsonl:")[2].partition(":")[0] for line in said[:5]] == ["3", "6", "9", "12", "15"]
    assert said[5] == "and 5 more rows are wrong"


# --- answers (24, 25, 26, 28) -----------------------------------------------------------------------------------------


def test_what_stands_after_four_hashes(score: Score) -> None:
    spec = r"""
    terms:
      correctness: {extract: regex, pattern: '####\s*(-?\$?\d[\d,]*(?:\.\d+)?)', compare: number}
    """
    answers = [
        ("so\n#### 18, which is all", "18"),
        ("so\n#### -$7", "-7"),
        ("so\n#### $2,345.50", "2345.5"),
        ("so\n#### 7/2", "7"),
        ("so\n####18", "18"),
    ]
    assert judged(score, spec, answers) == [1, 1, 1, 0, 1]
    shipped = [("so\n#### **18**", "18"), ("so\n#### \\$18", "18"), ("so\n#### .5", "0.5"), ("so 18", "18")]
    spec = r"terms: {correctness: {extract: [regex, number], pattern: '(####[^\n]*)'}}"
    assert judged(score, spec, shipped) == [1, 1, 1, 0]


def test_a_choice_with_its_explanation_on_the_next_line(score: Score) -> None:
    answers = [
        ("Answer: D\nExplanation: A and C melt.", "D"),
        ("The answer is D.\nC is too heavy.", "D"),
        ("Final Answer: (A)\n\nReasoning: (C) forgets the wind", "A"),
        ("**Answer:** A\n- B: no\n- D: no", "A"),
        ("D. Because A is too light", "D"),
        ("D\n\nA is too light", "D"),
    ]
    assert judged(score, CHOICE, answers) == [1] * 6


def test_a_choice_in_chinese_japanese_and_korean(score: Score) -> None:
    answers = [
        "答案是D。",
        "答案：D",
        "选D",
        "正确答案为 D",
        "因为C不对，答案是D。",
        "答えはDです",
        "정답은 D입니다",
        "Ｄ",
    ]
    assert judged(score, CHOICE, [(said, "D") for said in answers]) == [1] * 8


def test_the_last_box_and_what_is_equal_in_it(score: Score) -> None:
    answers = [
        (r"so \boxed{\frac{3}{4}}", r"\frac{3}{4}"),
        (r"so \boxed{\frac{3}{4}}", "3/4"),
        (r"so \boxed{0.75}", r"\frac{3}{4}"),
        (r"\boxed{y^{2}+\frac{a}{b}}", r"y^{2}+\frac{a}{b}"),
        (r"first \boxed{1} then \boxed{3}", "3"),
        (r"\boxed{\text{Friday}}", "Friday"),
        (r"\boxed{15\%}", "15%"),
        (r"\boxed{\frac{\sqrt{5}}{2}}", r"\frac{\sqrt{5}}{2}"),
        (r"\boxed{\dfrac34}", r"\frac{3}{4}"),
        (r"\boxed{\frac{3}{5}}", r"\frac{3}{4}"),
    ]
    assert judged(score, "terms: {correctness: {extract: boxed}}", answers) == [1] * 9 + [0]
    row = {"prompt": "p", "response": r"thus \boxed{red}", "reference": "red"}
    assert score([row], "text: {extract: boxed}\n" + BINARY)[0]["reward"] == 1.0


# --- texts (29, 30, 31, 35, 68) ---------------------------------------------------------------------------------------


def test_thinking_in_the_marks_of_each_model(score: Score) -> None:
    said = [
        "[THINK]is it C?[/THINK]red",
        "◁think▷hm◁/think▷red",
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>red",
        "<|begin_of_thought|>hm<|end_of_thought|>red",
        "<seed:think>hm</seed:think>red",
        "hm</think>\n\nred",
    ]
    spec = "terms: {exact_match: {against: ground_truth}}"
    assert judged(score, spec, [(one, "red") for one in said], term="exact_match") == [1] * 6
    own = 'text: {thinking_tags: [reasoning, ["<<", ">>"]]}\n' + spec
    answers = [("<reasoning>hm</reasoning>red", "red"), ("<<hm>>red", "red")]
    assert judged(score, own, answers, term="exact_match") == [1, 1]


def test_a_closing_tag_that_a_stop_string_took(score: Score, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"prompt": f"q{i}", "response": "<answer>Oslo", "reference": "Oslo"} for i in range(3)]
    spec = "text: {answer_tag: answer}\n" + BINARY
    assert [row["reward/unscorable"] for row in score(rows, spec)] == [1.0] * 3
    assert "unclosed: true" in caplog.text
    unclosed = "text: {answer_tag: answer, unclosed: true}\n" + BINARY
    assert [row["reward"] for row in score(rows, unclosed)] == [1.0] * 3


def test_special_tokens_are_warned_of_once(score: Score, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"prompt": f"q{i}", "response": "red<|im_end|>", "reference": "red"} for i in range(600)]
    assert {row["reward"] for row in score(rows, BINARY)} == {0.0}
    assert [record.message.count("skip_special_tokens=True") for record in caplog.records] == [1]


def test_bleu_of_a_chinese_sentence_with_one_word_changed(score: Score) -> None:
    """The oracle is sacrebleu's own tokenizer for Chinese."""
    from sacrebleu.metrics.bleu import BLEU

    row = {
        "prompt": "q",
        "response": "他明天去上海参加一个关于海洋的会议",
        "reference": "他明天去上海参加一个关于森林的会议",
    }
    oracle = BLEU(tokenize="zh", smooth_method="exp", effective_order=True)
    expected = oracle.sentence_score(row["response"], [row["reference"]]).score / 100
    assert score([row], "terms: {bleu: {}}")[0]["reward"] == pytest.approx(expected, abs=1e-9)
    assert expected > 0.6


@needs_minilm
def test_words_that_the_encoder_does_not_know_earn_nothing(score: Score, refusal: Callable[..., str]) -> None:
    spec = "encoder: {kind: hf, model: sentence-transformers/all-MiniLM-L6-v2}\nterms: {semantic: {}}"
    rows = [{"prompt": "p", "response": said, "reference": "a red cat"} for said in ("猫", "🍎", "热")]
    written = score(rows, spec)
    assert [(row["reward"], row["reward/unscorable"]) for row in written] == [(0.0, 1.0)] * 3
    Path("out.jsonl").unlink()
    pairs = [("红色", "绿色"), ("猫", "狗")]
    Path("unknown.jsonl").write_text(
        "".join(json.dumps({"prompt": "p", "response": a, "reference": b}) + "\n" for a, b in pairs)
    )
    said = refusal("unknown.jsonl", spec)
    assert "unknown.jsonl:1: field 'reference': '绿色' has no representation" in said
    assert "unknown.jsonl:2: field 'reference': '狗' has no representation" in said


# --- endpoints (54, 56) -----------------------------------------------------------------------------------------------


class _Embeddings(BaseHTTPRequestHandler):
    """Refuses texts of more than 50 words, as vLLM does, unless it is asked to cut them."""

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(question)  # type: ignore[attr-defined]
        long = any(len(text.split()) > 50 for text in question["input"])
        if long and "truncate_prompt_tokens" not in question:
            self._send(400, {"message": "This model's maximum context length is 50 tokens."})
            return
        data = [{"index": i, "embedding": [float(len(text)), 1.0]} for i, text in enumerate(question["input"])]
        self._send(200, {"data": data})

    def _send(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def embeddings() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Embeddings)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def _endpoint(server: ThreadingHTTPServer, settings: str = "") -> str:
    base_url = f"http://127.0.0.1:{server.server_port}/v1"
    return f"encoder: {{kind: http, base_url: '{base_url}', model: e{settings}}}\nterms: {{semantic: {{}}}}"


def test_one_long_response_need_not_end_the_run(
    score: Score, refusal: Callable[..., str], embeddings: ThreadingHTTPServer
) -> None:
    row = {"prompt": "p", "response": "word " * 400, "reference": "a word"}
    Path("rows.jsonl").write_text(json.dumps(row))
    assert "encoder.truncate_prompt_tokens: -1" in refusal("rows.jsonl", _endpoint(embeddings), expected=3)
    assert len(score([row], _endpoint(embeddings, ", truncate_prompt_tokens: -1"))) == 1
    assert score([row], _endpoint(embeddings, ", max_chars: 100"))[0]["reward/truncated"] == 1.0


def test_a_prompt_for_an_endpoint(score: Score, embeddings: ThreadingHTTPServer) -> None:
    row = {"prompt": "p", "response": "red", "reference": "blue"}
    score([row], _endpoint(embeddings, ", prompt: 'query: '"))
    (question,) = embeddings.asked  # type: ignore[attr-defined]
    assert sorted(question["input"]) == ["query: blue", "query: red"]
