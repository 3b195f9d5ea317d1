"""What each route answers: numbers to the bit, and for whatever is wrong a status and a sentence, never a number."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from scored_rows import ROWS, SPEC
from served import LIMITS, InThread
from wordpiece import wordpiece

from pgsrm_plugin.errors import DataError, ScorerError, SpecError, UnscorableError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.scorer.batching import MicroBatchSettings
from pgsrm_plugin.scorer.scorer import Scorer
from pgsrm_plugin.serve.chat_templates import chat_template
from pgsrm_plugin.serve.prompt_index import PromptIndex
from pgsrm_plugin.spec import parse_spec

SPEC_OF_SERVICE = parse_spec(SPEC)


@pytest.fixture(scope="module")
def service():
    with InThread(SemanticReward(SPEC_OF_SERVICE)) as service:
        yield service


@pytest.fixture(scope="module")
def expected():
    with Scorer(SPEC_OF_SERVICE) as scorer:
        return scorer.score_rows(ROWS)


def asking(url: str) -> Scorer:
    return Scorer(url, limits=MicroBatchSettings(max_wait_ms=2, deadline_s=20))


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_a_client_gets_the_bits_of_this_process(service, expected):
    with asking(service.url) as scorer:
        assert scorer.score_rows(ROWS) == expected
        assert [scorer.score_rows([row])[0] for row in ROWS] == expected
        assert scorer.score_rows([]) == []
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(scorer.score_rows, [ROWS] * 16)) == [expected] * 16


def test_our_route_in_full(service, expected):
    rows = json.loads(json.dumps(ROWS))
    assert service.ask("/v1/score", {"rows": rows}).json() == {"rows": expected}
    assert service.ask("/v1/score", {"rows": []}).json() == {"rows": []}
    named = {"rows": [{"prompt": "q", "response": "a", "why": "a", "short": "b"}]}
    named["columns"] = {"reference": "why", "ground_truth": "short"}
    (row,) = service.ask("/v1/score", named).json()["rows"]
    assert (row["reward/semantic"], row["reward/exact_match"]) == (1.0, 0.0)


def test_openrlhf_of_all_versions(service):
    prompt, answer = "<|im_start|>user\nsky?<|im_end|>\n<|im_start|>assistant\n", "it is blue<|im_end|>"
    with Scorer(SPEC_OF_SERVICE) as scorer:
        rows = [{"prompt": prompt, "response": "it is blue", "label": label} for label in ("blue", ["blue", "azure"])]
        numbers = scorer.score_rows(rows)
    now = {"query": [prompt + answer], "prompts": [prompt], "labels": ["blue"]}
    assert service.ask("/get_reward", now).json() == {
        "rewards": [numbers[0]["reward"]],
        "scores": [numbers[0]["reward"]],
        "extra_logs": {
            "pgsrm/" + name.removeprefix("reward/"): [value] for name, value in numbers[0].items() if name != "reward"
        },
    }
    batch = {"query": [prompt + answer] * 2, "prompts": [prompt] * 2, "labels": ["blue", ["blue", "azure"]]}
    assert service.ask("/get_reward", batch).json()["rewards"] == [row["reward"] for row in numbers]
    empty = service.ask("/get_reward", {"query": [], "prompts": [], "labels": []})
    assert (empty.status_code, empty.json()) == (200, {"rewards": [], "scores": [], "extra_logs": {}})


def test_slime_with_and_without_a_reward_key(service, expected):
    for row, numbers in zip(ROWS[:1] + ROWS[5:7], expected[:1] + expected[5:7], strict=True):
        question = {name: row[name] for name in ("prompt", "response", "label")}
        answer = service.ask("/slime", question).json()
        assert answer.pop("score") == numbers["reward"]
        assert answer == {
            "pgsrm/" + name.removeprefix("reward/"): value for name, value in numbers.items() if name != "reward"
        }
        assert service.ask("/slime?plain=1", question).json() == numbers["reward"]


BRIEF = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "grass?"}]
QWEN = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}"
)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("references") / "prompts.jsonl"
    rows = [
        {"prompt": "sky?", "reference": "blue", "ground_truth": "blue"},
        {"prompt": [{"role": "user", "content": "sky?"}], "reference": "azure", "ground_truth": "navy"},
        {
            "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "grass?"}],
            "answer": "green",
        },
        {"prompt": "sky?<|im_end|>\n<|im_start|>assistant\nblue", "answer": "longer"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_llama_factory_finds_references_by_prompts(prompts):
    index = PromptIndex.from_file(prompts, *chat_template("qwen"))
    texts = {
        QWEN.format("sky?", "azure<|im_end|>"): ("azure", ["blue", "azure"], ["blue", "navy"]),
        "<|endoftext|>" * 3 + QWEN.format("sky?", "red") + "<|endoftext|>": (
            "red",
            ["blue", "azure"],
            ["blue", "navy"],
        ),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\ngrass?<|im_end|>\n<|im_start|>assistant\n": (
            "",
            ["green"],
            ["green"],
        ),
        QWEN.format("sky?<|im_end|>\n<|im_start|>assistant\nblue", "x"): ("x", ["longer"], ["longer"]),
    }
    for text, (response, references, truth) in texts.items():
        row = index.row(text, "messages[0]")
        assert (row["response"], row["references"], row["ground_truth"]) == (response, references, truth)
    spec = parse_spec("{encoder: {kind: hashing}, terms: {semantic: {}}}")
    with InThread(SemanticReward(spec), index) as service, Scorer(spec) as scorer:
        asked = {"model": "model", "messages": list(texts)}
        answer = service.ask("/v1/score/evaluation", asked)
        rows = [{"prompt": "", "response": one, "references": two} for one, two, _ in texts.values()]
        assert answer.json()["scores"] == [row["reward"] for row in scorer.score_rows(rows)]
        assert {"id", "object", "model"} < set(answer.json())
        unknown = service.ask("/v1/score/evaluation", {"model": "m", "messages": [QWEN.format("sea?" * 40, "blue")]})
        assert unknown.status_code == 422
        start = "system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.\nuser"
        assert unknown.json()["error"].startswith(f"messages[0]: {start[:80]!r} begins with none of the 3 prompts")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("chatml", "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"),
        ("gemma", "<bos><start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\n"),
        (
            "llama3",
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("none", "q"),
    ],
)
def test_templates_by_name(name, text):
    render, _ = chat_template(name)
    assert render("q") == render([{"role": "user", "content": "q"}]) == text


def test_a_template_from_a_folder(tmp_path):
    tokenizer = wordpiece(["ask me anything"], 50)
    with pytest.raises(SpecError, match="there is no such folder, nor a template of that name; did you mean 'qwen'"):
        chat_template("qwin")
    with pytest.raises(SpecError, match="no tokenizer can be read from it"):
        chat_template(str(tmp_path))
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(SpecError, match="the tokenizer has no chat template; name one of chatml, qwen"):
        chat_template(str(tmp_path))
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
        "<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<model>{% endif %}"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<<end>>"]})
    tokenizer.save_pretrained(tmp_path)
    render, special = chat_template(str(tmp_path))
    assert render("q") == "<user>q<model>"
    assert "<<end>>" in special
    with pytest.raises(DataError, match="the chat template refuses a prompt: no tools"):
        render([{"role": "tool", "content": "x"}])


# --- masks and groups -------------------------------------------------------------------------------------------------


def test_a_masked_row_is_null_on_our_route_and_stacks_that_cannot_mask_are_refused(expected):
    spec = parse_spec(SPEC + "unscorable: mask\n")
    with InThread(SemanticReward(spec)) as service:
        answer = service.ask("/v1/score", {"rows": ROWS[:1]}).json()["rows"][0]
        assert (answer["reward"], answer["reward/scored"]) == (None, 0.0)
        with asking(service.url) as scorer:
            assert scorer.score_rows(ROWS[:2])[0]["reward"] is None
        for path, stack in (
            ("/get_reward", "OpenRLHF"),
            ("/slime", "slime"),
            ("/v1/score/evaluation", "LLaMA-Factory"),
        ):
            refused = service.ask(path, {"query": [], "prompts": [], "labels": []})
            assert refused.status_code == 409
            assert refused.json()["error"] == (
                f"test: unscorable: mask cannot take a response out of the loss of {stack}; use unscorable: floor, or "
                "ask POST /v1/score"
            )


def test_groups_are_those_of_one_question():
    spec = parse_spec("{terms: {exact_match: {}}, aggregate: group_normalised}")
    rows = [{"prompt": "q", "response": text, "label": "a"} for text in ("a", "b", "b")]
    with InThread(SemanticReward(spec)) as service, Scorer(spec) as scorer, asking(service.url) as asked:
        assert asked.score_rows(rows) == scorer.score_rows(rows)
        assert "needs whole groups" in service.ask("/slime", {}).json()["error"]


# --- what is wrong ----------------------------------------------------------------------------------------------------

GOOD = {"prompt": "q", "response": "r", "label": "l"}


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/score", {"rows": [GOOD, {"prompt": "q", "response": "r"}]}, 422, "rows[1]: field 'reference' is missing"),
        ("/v1/score", {"rows": [{"response": "r"}]}, 422, "rows[0]: field 'prompt' is missing"),
        ("/v1/score", {"rows": [5]}, 422, "rows[0] must be an object with prompt, response and reference, not int"),
        ("/v1/score", {}, 422, "the question must be an object with 'rows', a list of objects"),
        ("/v1/score", {"row": []}, 422, "the question has no use for 'row'; did you mean 'rows'?"),
        ("/v1/score", {"rows": [], "column": {}}, 422, "the question has no use for 'column'; did you mean 'columns'?"),
        ("/v1/score", {"rows": [], "columns": {"refrence": "x"}}, 422, "no 'refrence'; did you mean 'reference'?"),
        ("/v1/score", {"rows": [], "columns": ["x"]}, 422, "field 'columns' must be an object of texts, not a list"),
        ("/v1/score", [], 422, "the question must be an object, not a list"),
        ("/v1/score", b"", 400, "the question is not JSON (Expecting value, line 1)"),
        ("/v1/score", b'{"rows": [', 400, "the question is not JSON"),
        ("/v1/score", b"\xff\xfe\xfd", 400, "the question is not JSON (not UTF-8 text)"),
        ("/v1/score", b'{"rows": ' + b"9" * 5000 + b"}", 400, "the question is not JSON"),
        ("/v1/score", b'{"rows":' + b"[" * 200_000, 400, "the question is nested too deeply"),
        ("/v1/score", b'{"rows":[' * 60_000 + b"]}" * 60_000, 400, "the question is nested too deeply"),
        ("/get_reward", {"query": ["a"], "labels": ["x"]}, 422, "field 'prompts' is missing"),
        (
            "/get_reward",
            {"query": ["a"], "prompts": ["b"], "labels": ["x"]},
            422,
            "query[0]: the text 'a' does not begin",
        ),
        (
            "/get_reward",
            {"query": ["a"], "prompts": ["a"], "labels": []},
            422,
            "'labels' has 0 entries",
        ),
        ("/get_reward", {"query": ["ab"], "prompts": ["a"], "labels": [""]}, 422, "query[0]: field 'reference'"),
        ("/get_reward", {"query": [4], "prompts": ["a"], "labels": ["x"]}, 422, "'query': number 1 must be text"),
        (
            "/slime",
            {"prompt": "a", "response": "b"},
            422,
            "field 'label' is missing (the question has: prompt",
        ),
        ("/slime", {"prompt": "a", "response": "b", "label": None}, 422, "the sample: field 'reference' is missing"),
        ("/v1/score/evaluation", {"messages": ["a"]}, 422, "start the service with --references FILE"),
        ("/v1/scores", {}, 404, "Not Found; there is POST /v1/score, POST /get_reward"),
        ("/get_reward", None, 405, "Method Not Allowed"),
    ],
)
def test_what_is_wrong_gets_its_status_and_a_sentence(service, path, body, status, message):
    answer = service.ask(path, body)
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text
    assert not any(isinstance(value, int | float) for value in answer.json().values())
    assert service.ask("/v1/score", {"rows": [GOOD]}).status_code == 200, "and it lives on"


def test_deep_rows_are_data_that_is_wrong(service):
    deep = "x"
    for _ in range(700):
        deep = [deep]
    answer = service.ask("/v1/score", {"rows": [{**GOOD, "references": deep}]})
    assert answer.status_code == 422
    assert answer.json()["error"] == "rows[0]: nested too deeply to be a row"


def test_bounds_of_a_question():
    with InThread(SemanticReward(SPEC_OF_SERVICE), max_rows=3, max_body_bytes=2000) as service:
        assert service.ask("/v1/score", {"rows": [GOOD] * 3}).status_code == 200
        assert service.ask("/v1/score", {"rows": [GOOD] * 4}).status_code == 413
        assert "4 rows in one question; at most 3" in service.ask("/v1/score", {"rows": [GOOD] * 4}).json()["error"]
        long = service.ask("/v1/score", b"x" * 2001)
        assert (long.status_code, "longer than 2000 bytes" in long.json()["error"]) == (413, True)
        chunks = httpx.post(service.url + "/v1/score", content=(b"x" * 1000 for _ in range(5)))
        assert chunks.status_code == 413
        with asking(service.url) as scorer, pytest.raises(ScorerError, match=r"413.*give fewer rows at once"):
            scorer.score_rows([GOOD] * 4)


def test_bodies_of_all_questions_together_are_bounded(expected):
    held = Held()
    body = json.dumps({"rows": [{**GOOD, "image": "x" * 900}]}).encode()
    with InThread(SemanticReward(SPEC_OF_SERVICE, held), max_body_bytes=1000) as service, ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(service.ask, "/v1/score", body) for _ in range(4)]
        until(lambda: service.service.bytes_under_way == 4 * len(body))
        full = service.ask("/v1/score", body)
        assert (full.status_code, full.headers["retry-after"]) == (429, "1")
        assert "questions of more than 4000 bytes are under way" in full.json()["error"]
        held.gate.set()
        assert [one.result().status_code for one in waiting] == [200] * 4
        until(lambda: service.service.bytes_under_way == 0)
        assert service.ask("/v1/score", body).status_code == 200


class Held:
    """An encoder whose every answer waits until it is let go."""

    identity = "held"

    def __init__(self) -> None:
        self.gate, self.asked = threading.Event(), 0
        self._real = SemanticReward(SPEC_OF_SERVICE).encoder

    def encode(self, texts):
        self.asked += 1
        assert self.gate.wait(30)
        return self._real.encode(texts)


def until(found, patience_s: float = 20.0) -> None:
    end = time.monotonic() + patience_s
    while not found():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_full_queue_is_429_and_a_client_that_waits_gets_its_numbers(expected):
    held = Held()
    limits = MicroBatchSettings(max_rows=4, max_wait_ms=0, max_pending=8, deadline_s=20)
    with InThread(SemanticReward(SPEC_OF_SERVICE, held), limits=limits) as service, ThreadPoolExecutor(3) as pool:
        first = pool.submit(service.ask, "/v1/score", {"rows": [GOOD]})
        until(lambda: held.asked)
        second = pool.submit(service.ask, "/v1/score", {"rows": ROWS[:7]})
        until(lambda: "pgsrm_pending_rows 8.0" in service.ask("/metrics").text)
        full = service.ask("/v1/score", {"rows": [GOOD]})
        assert (full.status_code, full.headers["retry-after"]) == (429, "1")
        assert full.json()["error"] == "8 rows are waiting or being scored, and no more are let in"
        with asking(service.url) as scorer:
            waiting = pool.submit(scorer.score_rows, ROWS)
            time.sleep(0.2)
            held.gate.set()
            assert waiting.result() == expected
        assert first.result().status_code == 200
        assert second.result().json()["rows"] == expected[:7]


def test_the_deadline_is_504_and_no_later_question_pays_for_it(expected):
    held = Held()
    limits = replace_limits(deadline_s=0.3)
    with InThread(SemanticReward(SPEC_OF_SERVICE, held), limits=limits) as service:
        late = service.ask("/v1/score", {"rows": [GOOD]})
        assert (late.status_code, late.json()["kind"]) == (504, "DeadlineError")
        with asking(service.url) as scorer, pytest.raises(ScorerError, match="answered 504"):
            scorer.score_rows([GOOD])
        held.gate.set()
        until(lambda: "pgsrm_pending_rows 0.0" in service.ask("/metrics").text)
        assert service.ask("/v1/score", {"rows": ROWS[:1]}).json()["rows"] == expected[:1]


def replace_limits(**changes) -> MicroBatchSettings:
    return LIMITS.model_copy(update=changes)


class Broken:
    identity = "broken"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def encode(self, texts):
        raise self._error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("gone"), "encoder broken failed: OSError: gone"),
        (ScorerError("endpoint down"), "endpoint down"),
    ],
)
def test_a_failing_encoder_is_503(error, message):
    with InThread(SemanticReward(SPEC_OF_SERVICE, Broken(error))) as service:
        for path, question in {
            "/v1/score": {"rows": [GOOD]},
            "/get_reward": {"query": ["qr"], "prompts": ["q"], "labels": ["l"]},
            "/slime": GOOD,
            "/slime?plain=1": GOOD,
        }.items():
            answer = service.ask(path, question)
            assert (answer.status_code, answer.json()["kind"]) == (503, "ScorerError")
            assert answer.json()["error"] == message
            assert "retry-after" not in answer.headers
        with asking(service.url) as scorer, pytest.raises(ScorerError, match=f"503: {message}; nothing was scored"):
            scorer.score_rows([GOOD])


class Quoting:
    """An encoder whose errors quote what it was given, as some endpoints' do."""

    identity = "quoting"

    def __init__(self, kind: type[Exception]) -> None:
        self._kind = kind

    def encode(self, texts):
        raise self._kind(f"cannot embed {list(texts)!r}")


@pytest.mark.parametrize("kind", [ValueError, ScorerError])
def test_what_an_encoder_quotes_of_the_rows_is_in_no_log_and_no_answer(kind, caplog):
    row = {"prompt": "my secret question", "response": "the secret answer is 42", "label": "a secret reference"}
    with InThread(SemanticReward(SPEC_OF_SERVICE, Quoting(kind))) as service:
        answer = service.ask("/v1/score", {"rows": [row]})
    assert answer.status_code == 503
    assert "cannot embed [" in answer.json()["error"]
    assert "secret" not in answer.text
    assert "cannot embed [" in caplog.text
    assert "secret" not in caplog.text


def test_a_clients_error_is_of_the_kind_it_would_be_here():
    with InThread(SemanticReward(parse_spec(SPEC + "unscorable: raise\n"))) as service, asking(service.url) as scorer:
        with pytest.raises(UnscorableError, match=r"rows\[1\]: the response '' cannot be scored"):
            scorer.score_rows([ROWS[1], ROWS[0]])
        with pytest.raises(DataError, match=r"^rows\[0\]: field 'reference' is missing"):
            scorer.score_rows([{"prompt": "q", "response": "r"}])


def test_before_it_is_ready_and_when_it_stops_it_says_so():
    with InThread(None) as service:
        for path, body in (("/health", None), ("/v1/spec", None), ("/v1/score", {"rows": [GOOD]}), ("/slime", GOOD)):
            answer = service.ask(path, body)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert service.ask("/health").json() == {"status": "starting"}
        service.service.use(SemanticReward(SPEC_OF_SERVICE))
        assert service.ask("/health").json() == {"status": "ready"}
        service.service.stopping = True
        assert service.ask("/health").json() == {"status": "stopping"}
        assert service.ask("/v1/score", {"rows": [GOOD]}).json()["error"] == "the service is stopping; ask again"


def test_an_internal_error_is_500_without_the_clients_words(service, caplog, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("secret words")

    monkeypatch.setattr(service.service, "_named", fail)
    answer = service.ask("/v1/score", {"rows": [GOOD]})
    assert (answer.status_code, answer.json()["error"]) == (500, "internal error: ZeroDivisionError")
    assert "secret" not in caplog.text
    assert "ZeroDivisionError at " in caplog.text


def test_who_goes_away_is_not_scored():
    held = Held()
    limits = MicroBatchSettings(max_rows=1, max_wait_ms=0, deadline_s=20)
    with InThread(SemanticReward(SPEC_OF_SERVICE, held), limits=limits) as service, ThreadPoolExecutor(1) as pool:
        first = pool.submit(service.ask, "/v1/score", {"rows": [GOOD]})
        until(lambda: held.asked)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(service.url + "/v1/score", json={"rows": [{**GOOD, "response": "never"}]}, timeout=0.2)
        until(lambda: 'status="499"' in service.ask("/metrics").text)
        held.gate.set()
        assert first.result().status_code == 200
        until(lambda: "pgsrm_pending_rows 0.0" in service.ask("/metrics").text)
        assert 'pgsrm_rows_total{outcome="scored"} 1.0' in service.ask("/metrics").text


# --- tokens, spec, metrics --------------------------------------------------------------------------------------------


def test_the_ways_of_a_token(caplog):
    token = "abcdefgh-12345678"
    with InThread(SemanticReward(SPEC_OF_SERVICE), token=token) as service:
        rows = {"rows": [GOOD]}
        right = {"Authorization": f"Bearer {token}"}
        for path, headers in (
            ("/v1/score", right),
            ("/v1/score", {"Authorization": f"bearer  {token}"}),
            (f"/{token}/v1/score", {}),
            (f"/v1/score?token={token}", {}),
        ):
            assert service.ask(path, rows, headers=headers).status_code == 200
        for path, headers in (
            ("/v1/score", {}),
            ("/v1/score", {"Authorization": f"Bearer {token}x"}),
            ("/v1/score", {"Authorization": f"Basic {token}"}),
            ("/v1/score", {"Authorization": token}),
            (f"/{token[:-1]}/v1/score", {}),
            (f"/x/{token}/v1/score", {}),
            ("/v1/score?token=", {}),
            ("/v1/score?token=%ff", {}),
            (f"/v1/score?tokens={token}", {}),
        ):
            answer = service.ask(path, rows, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert service.ask("/metrics").status_code == service.ask("/v1/spec").status_code == 401
        assert service.ask("/health").status_code == 200
        assert service.ask("/metrics", headers=right).status_code == 200
    assert token not in caplog.text


def test_a_client_sends_its_token(monkeypatch, expected):
    with InThread(SemanticReward(SPEC_OF_SERVICE), token="abcdefgh-12345678") as service:
        monkeypatch.setenv("PGSRM_TOKEN", "wrong-token")
        with (
            asking(service.url) as scorer,
            pytest.raises(ScorerError, match=r"401: .*check the token in \$PGSRM"),
        ):
            scorer.score_rows(ROWS)
        monkeypatch.setenv("PGSRM_TOKEN", "abcdefgh-12345678")
        with asking(service.url) as scorer:
            assert scorer.score_rows(ROWS) == expected
        monkeypatch.delenv("PGSRM_TOKEN")
        with asking(f"{service.url}/abcdefgh-12345678/") as scorer:
            assert scorer.score_rows(ROWS) == expected


def test_the_spec_is_told_without_the_keys_of_addresses(service):
    told = service.ask("/v1/spec").json()
    assert told["fingerprint"] == SPEC_OF_SERVICE.fingerprint
    assert told["spec"]["weights"] == {"semantic": 0.7, "exact_match": 0.2, "repetition": -0.1}
    http = "{encoder: {kind: http, model: m, base_url: 'http://h/v1?key=s3cret'}, terms: {semantic: {}}}"
    with InThread(SemanticReward(parse_spec(http))) as other:
        told = other.ask("/v1/spec")
        assert told.json()["spec"]["encoder"]["base_url"] == "http://h/v1"
        assert "s3cret" not in told.text


def test_metrics_count_what_happened_and_hold_no_text():
    with InThread(SemanticReward(SPEC_OF_SERVICE)) as service:
        service.ask("/v1/score", {"rows": ROWS})
        service.ask("/v1/score", {"rows": [{}]})
        service.ask("/slime", GOOD)
        text = service.ask("/metrics").text
    assert 'pgsrm_requests_total{route="/v1/score",status="200"} 1.0' in text
    assert 'pgsrm_requests_total{route="/v1/score",status="422"} 1.0' in text
    assert 'pgsrm_rows_total{outcome="scored"} 9.0' in text
    assert "pgsrm_batch_rows_sum 9.0" in text
    assert "pgsrm_reward_count 9.0" in text
    assert 'name="test"' in text
    assert "violet" not in text
