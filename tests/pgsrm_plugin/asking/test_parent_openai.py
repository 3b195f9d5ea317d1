"""The openai engine against a real server on this machine that fails on demand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import socket

import pytest
from parent_server import Behaviour, ParentServer, expected

from pgsrm_plugin.asking.engines import build_engine
from pgsrm_plugin.asking.engines.base import AsyncEngine, Completion
from pgsrm_plugin.asking.engines.openai.completion import parse_answer, read_answer
from pgsrm_plugin.asking.engines.openai.pacing import Gate
from pgsrm_plugin.asking.engines.openai.refusal import Refusal, unwanted_field, unwanted_role
from pgsrm_plugin.asking.store.answers import ParentConfig, Request, Sampling
from pgsrm_plugin.endpoint import Backoff, BadAnswerError
from pgsrm_plugin.errors import ScorerError, SpecError

TOKEN = "sk-s3cr3t-t0ken-0123456789"
CONFIG = ParentConfig("openai", "parent")


@pytest.fixture(scope="module")
def server():
    with ParentServer() as running:
        yield running


@pytest.fixture
def serve():
    with contextlib.ExitStack() as stack:
        yield lambda behaviour: stack.enter_context(ParentServer(behaviour))


def engine(server: ParentServer, config: ParentConfig = CONFIG, **settings):
    return build_engine(config, **({"base_url": server.url, "timeout_s": 5.0, "retries": 2} | settings))


def ask(server: ParentServer, *prompts: str, config: ParentConfig = CONFIG, **settings) -> list[Completion]:
    asked = engine(server, config, **settings)

    async def run() -> list[Completion]:
        try:
            return await asyncio.gather(*(asked.complete(Request(prompt)) for prompt in prompts))
        finally:
            await asked.aclose()

    return asyncio.run(run())


# --- what is asked and what comes back -----------------------------------------------------------------------------


def test_an_answer_and_its_account(server):
    assert ask(server, "mix red and blue") == [
        Completion(
            text=expected("mix red and blue", 0),
            finish_reason="stop",
            prompt_tokens=4,
            completion_tokens=2,
            served_model="parent-2026",
        )
    ]


def test_the_whole_request(server):
    sampling = Sampling(0.7, 0.9, 17, 5, ("\n",), {"reasoning_effort": "low"})
    config = ParentConfig("openai", "m", None, sampling, "Be brief.")
    asked = engine(server, config, max_tokens_field="max_completion_tokens")
    asyncio.run(asked.complete(Request([{"role": "user", "content": "whole"}], sample=3)))
    assert server.seen.bodies[-1] == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "whole"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_completion_tokens": 17,
        "seed": 8,
        "stop": ["\n"],
        "reasoning_effort": "low",
    }


def test_settings_that_say_nothing_are_not_sent(server):
    config = ParentConfig("openai", "m", sampling=Sampling(temperature=None, seed=None))
    ask(server, "quiet", config=config)
    assert server.seen.bodies[-1].keys() == {"model", "messages", "max_tokens"}


def test_it_is_an_async_engine_whose_provenance_is_plain(server):
    asked = engine(server, base_url=f"{server.url}?key=abc")
    assert isinstance(asked, AsyncEngine)
    assert json.loads(json.dumps(asked.settings)) == {"url": f"{server.url}/chat/completions"}
    assert "abc" not in repr(asked)


def test_connections_are_kept(serve):
    server = serve(Behaviour(latency_s=0.01))
    ask(server, *(f"p {i}" for i in range(40)), concurrency=4)
    assert server.seen.most_under_way == 4
    assert server.seen.connections == 4


# --- faults that pass ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["429", "429ms", "429date", "500", "503", "garbage", "empty-choices", "cut", "cut-early"]
)
def test_a_passing_fault_costs_one_more_attempt(server, fault):
    (completion,) = ask(server, f"once:{fault} ")
    assert (completion.text, completion.error, completion.attempts) == (expected(f"once:{fault} ", 0), None, 2)


@pytest.mark.parametrize("fault", ["slow", "drip"])
def test_a_slow_body_is_asked_for_again(server, fault):
    (completion,) = ask(server, f"once:{fault} ", timeout_s=0.3)
    assert (completion.error, completion.attempts) == (None, 2)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("500", r"answered 500 .*server error.* \(3 attempts\)"),
        ("503", r"answered 503 .*overloaded"),
        ("garbage", r"returned an answer that is not JSON \(3 attempts\)"),
        ("empty-choices", r"returned no choice \(3 attempts\)"),
        ("cut", r"broke the connection \(RemoteProtocolError"),
        ("cut-early", r"broke the connection \("),
        ("slow", r"did not answer within 0\.2 s \(3 attempts\)"),
        ("drip", r"did not answer within 0\.2 s"),
    ],
)
def test_a_fault_that_stays_is_the_calls_error_after_the_retries(server, fault, complaint):
    (completion,) = ask(server, f"fault:{fault}", timeout_s=0.2 if fault in ("slow", "drip") else 5.0)
    assert completion.attempts == 3
    assert completion.text == ""
    with pytest.raises(AssertionError, match=complaint):
        raise AssertionError(completion.error)


def test_being_told_to_wait_is_no_failed_attempt(serve):
    server = serve(Behaviour(rate=20.0, burst=1.0))
    completions = ask(server, *(f"p {i}" for i in range(12)), retries=0, concurrency=12)
    assert [one.error for one in completions] == [None] * 12
    assert server.seen.faults["429"] > 0
    assert max(server.seen.answers.values()) == 1


def test_a_429_that_never_ends_ends_at_the_calls_deadline(server):
    (completion,) = ask(server, "fault:429", deadline_s=0.5)
    # On a busy machine the last attempt may be cut short.
    assert completion.error.startswith(("answered 429", "did not answer within"))
    assert "no time for another attempt within 0.5 s" in completion.error


# --- faults that stay ----------------------------------------------------------------------------------------------


def test_faults_of_one_request_are_not_retried(server):
    too_long, filtered, huge = ask(server, "fault:400", "fault:filter", "fault:huge", max_response_mb=1)
    assert "the context is too long" in too_long.error
    assert (too_long.refusal, too_long.attempts) == (None, 1)
    assert "flagged" in filtered.refusal
    assert huge.error == "sent more than max_response_mb: 1"


def test_refusals_and_cut_answers_are_told_apart(server):
    refused, blank, long = ask(server, "fault:refusal", "fault:blank", "fault:long")
    assert (refused.refusal, refused.text, refused.attempts) == ("I can't help with that.", "", 1)
    assert (blank.text, blank.error) == (" \n", None)
    assert long.finish_reason == "length"


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("401", "answered 401 .*name the token's variable in api_key_env"),
        ("402", "no credit"),
        ("quota", "exceeded your quota.*no credit"),
        ("404", "no such model.*check the model's name, and that base_url"),
        ("redirect", "a redirect, which is not followed"),
        ("429long", "asks to wait 86[0-9]{3} s, more than deadline_s: 600; run again after that time"),
    ],
)
def test_what_is_wrong_for_every_request_stops_the_run(server, fault, complaint):
    with pytest.raises(ScorerError, match=f"{server.url}/chat/completions .*{complaint}"):
        ask(server, f"fault:{fault}")


def test_a_404_after_a_success_is_about_the_request(server):
    async def run() -> Completion:
        asked = engine(server)
        await asked.complete(Request("well"))
        return await asked.complete(Request("fault:404"))

    assert "answered 404" in asyncio.run(run()).error


def test_an_endpoint_out_of_reach_stops_the_run():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asked = build_engine(CONFIG, base_url=f"http://127.0.0.1:{port}/v1", outage_s=0.3)
    with pytest.raises(ScorerError, match=rf"http://127\.0\.0\.1:{port}/v1/chat/completions cannot be reached for "):
        asyncio.run(asked.complete(Request("hello")))


def test_an_outage_is_waited_for():
    with ParentServer() as server:
        port = server.port
        asked = build_engine(CONFIG, base_url=server.url, retries=0, outage_s=30.0)

    async def run() -> Completion:
        waiting = asyncio.create_task(asked.complete(Request("hello")))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        server = ParentServer(port=port)
        await asyncio.to_thread(server.__enter__)
        try:
            return await waiting
        finally:
            await asyncio.to_thread(server.__exit__)

    completion = asyncio.run(run())
    assert completion.error is None
    assert completion.attempts > 1


# --- the token -----------------------------------------------------------------------------------------------------


def test_the_token_is_sent_and_nowhere_else(serve, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PARENT_KEY", TOKEN)
    server = serve(Behaviour(token=TOKEN))
    asked = engine(server, api_key_env="PARENT_KEY", retries=0)
    prompts = ["well", "fault:echo-key", "fault:500", "fault:cut"]

    async def run() -> list[Completion]:
        return [await asked.complete(Request(prompt)) for prompt in prompts]

    completions = asyncio.run(run())
    assert server.seen.headers[0]["authorization"] == f"Bearer {TOKEN}"
    assert completions[1].text == "Bearer [token]"
    shown = [repr(asked), repr(vars(asked)), repr(completions), repr(asked.settings), caplog.text]
    assert not [text for text in shown if TOKEN in text]


def test_a_wrong_token_names_its_variable_and_not_its_value(serve, monkeypatch):
    monkeypatch.setenv("PARENT_KEY", "wrong-" + TOKEN)
    with pytest.raises(ScorerError, match=r"answered 401 .*check the token in \$PARENT_KEY") as failure:
        ask(serve(Behaviour(token=TOKEN)), "hello", api_key_env="PARENT_KEY")
    assert TOKEN not in str(failure.value)


def test_a_placeholder_token_does_not_blot_out_an_answer(serve, monkeypatch):
    monkeypatch.setenv("PARENT_KEY", "answer")
    (completion,) = ask(serve(Behaviour(token="answer")), "hello", api_key_env="PARENT_KEY")
    assert completion.text == expected("hello", 0)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"api_key_env": "UNSET_KEY"}, "api_key_env: the environment variable UNSET_KEY is not set"),
        ({"base_url": "http://me:secret@h/v1"}, "leave user and password out"),
        ({"base_url": "ftp://h"}, "engine openai: base_url"),
        ({"concurency": 3}, "engine openai: concurency"),
        ({"concurrency": 0}, "engine openai: concurrency"),
    ],
)
def test_wrong_settings(monkeypatch, settings, complaint):
    monkeypatch.delenv("UNSET_KEY", raising=False)
    with pytest.raises(SpecError, match=complaint) as failure:
        build_engine(CONFIG, **({"base_url": "http://h/v1"} | settings))
    assert "secret" not in str(failure.value)


def test_an_unknown_engine():
    with pytest.raises(SpecError, match="engine 'magic' is unknown; the engines are hf, vllm, openai"):
        build_engine(ParentConfig("magic", "m"))


# --- parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no object"),
        (b'{"choices": 3}', "no choice"),
        (b'{"error": {"message": "busy"}}', "no choice, but the error 'busy'"),
        (b'{"choices": [7]}', "no choice"),
        (b'{"choices": [{}]}', "without a message"),
        (
            b'{"choices": [{"error": {"message": "upstream is gone"}}]}',
            "without a message, but the error 'upstream is gone'",
        ),
        (b'{"choices": [{"message": {"content": [1]}}]}', "a list, not text"),
    ],
)
def test_senseless_answers(content, complaint):
    with pytest.raises(BadAnswerError, match=complaint):
        parse_answer(content)


def test_an_answer_without_an_account_is_an_answer():
    assert parse_answer(b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": -1}}') == Completion(
        text="x"
    )


def test_reasoning_that_used_up_the_tokens_is_a_cut_answer():
    content = b'{"choices": [{"message": {"content": null}, "finish_reason": "length"}]}'
    assert parse_answer(content).finish_reason == "length"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "four"}],
            "four",
        ),
        ([{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "4"}, {"type": "text", "text": "!"}], "4!"),
        ([{"type": "output_text", "text": "four"}], "four"),
        ([{"text": "four"}], "four"),
        (["fo", "ur"], "four"),
        ([], ""),
    ],
)
def test_content_in_parts_is_joined_without_its_thinking(content, text):
    assert read_answer({"choices": [{"message": {"content": content}}]}).text == text


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([("Yes", -0.1), ("No", 0.001)], {"Yes": -0.1, "No": 0.001}),
        ([], None),  # asked for, and not given
        ([("Yes", 1000), ("No", -0.1)], None),
        ([("Yes", float("nan"))], None),
        ([("Yes", "x")], None),
        ([("Yes", 10**400)], None),
    ],
)
def test_what_is_no_logarithm_of_a_probability_is_none(candidates, expected):
    listed = [{"token": token, "logprob": value} for token, value in candidates]
    choice = {"message": {"content": "Yes"}, "logprobs": {"content": [{"top_logprobs": listed}]}}
    assert read_answer({"choices": [choice]}).first_token == expected


def test_a_part_that_refuses_is_a_refusal():
    message = {"content": [{"type": "refusal", "refusal": "I won't."}]}
    found = read_answer({"choices": [{"message": message}]})
    assert (found.text, found.refusal) == ("", "I won't.")


@pytest.mark.parametrize(
    ("fault", "text", "why"),
    [
        ("reasoning", f"<think>{expected('fault:reasoning', 0)}</think>", "all of the answer into reasoning_content"),
        ("no-content", "", None),
        ("blank", " \n", None),
        ("only-thinking-parts", "", "no part with text, but thinking"),
        ("tool", "", "called a tool"),
    ],
)
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_an_answer_without_text_is_asked_for_once(server, fault, text, why, temperature):
    config = ParentConfig("openai", "parent", sampling=Sampling(temperature))
    before = server.seen.calls[f"fault:{fault}"]
    (found,) = ask(server, f"fault:{fault}", config=config)
    assert (found.text, found.error, found.attempts) == (text, None, 1)
    assert (found.prompt_tokens, found.completion_tokens) == (1, 2)
    assert why is None or why in found.blank
    assert server.seen.calls[f"fault:{fault}"] - before == 1


def test_the_tokens_of_answers_that_came_to_nothing_are_counted(server):
    # Each of the three answers has 1 + 2 tokens, the one without choices too.
    (failed,) = ask(server, "fault:empty-choices")
    (well,) = ask(server, "once:empty-choices again")
    assert (failed.attempts, failed.prompt_tokens, failed.completion_tokens) == (3, 3, 6)
    assert (well.attempts, well.prompt_tokens, well.completion_tokens) == (2, 4, 4)
    assert ask(server, "fault:500")[0].prompt_tokens is None


def test_leave_is_asked_for_an_attempt_only_where_the_last_one_may_be_paid(server):
    asked = engine(server)
    granted: list[bool] = []

    async def complete(prompt: str, leave: bool) -> Completion:
        return await asked.complete(Request(prompt), lambda: granted.append(leave) or leave)

    async def run() -> list[Completion]:
        prompts = [("fault:500", True), ("fault:cut", True), ("fault:garbage", False), ("fault:400", True)]
        try:
            return [await complete(*one) for one in prompts]
        finally:
            await asked.aclose()

    found = asyncio.run(run())
    assert [one.attempts for one in found] == [3, 3, 1, 1]
    assert granted == [True, True, False]
    assert "no further attempt is paid" in found[2].error


def test_a_setting_of_none_is_left_out(server):
    ask(server, "nothing", config=ParentConfig("openai", "m", sampling=Sampling(extra={"seed": None})))
    assert server.seen.bodies[-1].keys() == {"model", "messages", "max_tokens", "temperature"}


def test_a_field_that_the_endpoint_does_not_take_stops_the_run_with_its_words(server):
    said = r"answered 422 'body.seed: Extra inputs are not permitted'; leave the field out with --seed none"
    with pytest.raises(ScorerError, match=said):
        ask(server, "fault:no-seed")
    (found,) = ask(server, "fault:no-seed", config=ParentConfig("openai", "m", sampling=Sampling(seed=None)))
    assert found.error is None


def test_a_role_that_the_model_does_not_take_is_the_calls_error_for_good(server):
    (found,) = ask(server, "fault:no-system", config=ParentConfig("openai", "m", system="Be brief."))
    assert (found.permanent, found.attempts) == (True, 1)
    assert found.error.startswith("answered 400 'System role not supported'; this model takes no system prompt: put")
    assert not ask(server, "fault:500")[0].permanent


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error": {"message": "too long", "code": 7}}', "too long"),
        ('{"error": "no such model"}', "no such model"),
        ('{"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs"}]}', "body.seed: Extra inputs"),
        ('{"object": "error", "message": {"detail": [{"loc": ["a"], "msg": "b"}]}}', "a: b"),
        ('{"strange": 1}', '{"strange": 1}'),
        ("<html>", "<html>"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_the_words_of_a_server(body, words):
    assert Refusal(400, {}, body).words == words


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("Unsupported value: 'temperature' does not support 0 with this model.", "--temperature none"),
        ("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens'.", "max_tokens_field="),
        ("Unrecognized request argument supplied: seed", "--seed none"),
        ("max_tokens is too large: 5000 is not supported, the maximum is 4096", ""),
        ("This model's maximum context length is 512 tokens, max_tokens included", ""),
        ("the seeds of apples are not supported", ""),
        ("seed 5 was used", ""),
    ],
)
def test_hints_about_fields(words, hint):
    assert hint in unwanted_field(words)
    assert bool(hint) == bool(unwanted_field(words))


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ("System role not supported", True),
        ("Developer instruction is not enabled; role 'system' is not supported", True),
        ("the system is overloaded and does not support more", False),
        ("the operating system prompt is nice", False),
    ],
)
def test_hints_about_the_system_role(words, about):
    assert bool(unwanted_role(words)) == about


def test_the_gate_halves_once_a_round_grows_back_fast_and_then_by_one_a_round():
    async def run() -> list[float]:
        gate = Gate(20)
        limits = []
        began = [await gate.enter() for _ in range(20)]
        for one in began:
            gate.slow_down(one, 0.0)
            gate.leave()
        limits.append(gate.limit)
        await asyncio.sleep(0.001)
        gate.slow_down(await gate.enter(), 0.0)
        limits.append(gate.limit)
        for successes in (4, 4, 500):
            for _ in range(successes):
                gate.succeeded()
            limits.append(gate.limit)
        return limits

    halved, again, back, grown, full = asyncio.run(run())
    # Nine tenths of 10 are 9: so far by one a success.
    assert (halved, again, back, full) == (10.0, 5.0, 9.0, 20.0)
    # 9 + 1/9 + 1/9.111 + 1/9.221 + 1/9.329
    assert grown == pytest.approx(9.4365, abs=1e-4)


class VirtualTime(asyncio.SelectorEventLoop):
    """An event loop that does not wait: its clock jumps to what comes next."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


@pytest.mark.parametrize(
    ("rate", "latency_s", "concurrency"), [(600.0, 0.05, 128), (400.0, 0.05, 64), (100.0, 2.0, 512)]
)
def test_the_gate_comes_within_a_tenth_of_what_an_endpoint_allows(rate, latency_s, concurrency):
    """A token bucket that says 429 and "wait 1 s", in virtual time; with the halving alone it is four fifths."""
    draws = random.Random(1)
    backoff = Backoff(limit_s=20.0, draw=draws.uniform)
    calls, burst = 8000, 50.0

    async def run() -> float:
        loop, gate = asyncio.get_running_loop(), Gate(concurrency)
        tokens, filled_at, left = burst, 0.0, calls

        async def call() -> bool:
            nonlocal tokens, filled_at
            began = await gate.enter()
            await asyncio.sleep(latency_s * draws.uniform(0.8, 1.2))
            tokens, filled_at = min(burst, tokens + (loop.time() - filled_at) * rate), loop.time()
            allowed = tokens >= 1
            tokens -= allowed
            gate.leave()
            if not allowed:
                gate.slow_down(began, 1.0)
                await asyncio.sleep(backoff.wait_s(1, 1.0))
                return False
            gate.succeeded()
            return True

        async def worker() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                while not await call():
                    pass

        await asyncio.gather(*(worker() for _ in range(concurrency)))
        return calls / loop.time()

    loop = VirtualTime()
    try:
        assert 0.9 * rate < loop.run_until_complete(run()) < 1.02 * rate
    finally:
        loop.close()


def test_the_gate_lets_in_as_many_as_its_limit_and_survives_those_that_give_up():
    async def run() -> None:
        gate = Gate(2)
        await gate.enter()
        await gate.enter()
        waiting = [asyncio.create_task(gate.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        waiting[0].cancel()
        gate.leave()
        waiting[1].cancel()
        await asyncio.sleep(0.01)
        gate.leave()
        await asyncio.wait_for(waiting[2], 1)
        gate.leave()
        await asyncio.wait_for(gate.enter(), 1)

    asyncio.run(run())


def test_a_long_retry_after_holds_every_call_back():
    async def run() -> tuple[bool, bool]:
        gate = Gate(4)
        gate.slow_down(await gate.enter(), 2.0)
        gate.leave()
        waiting = asyncio.create_task(gate.enter())
        await asyncio.sleep(0.2)
        early = waiting.done()
        await asyncio.wait_for(waiting, 10)
        return early, waiting.done()

    assert asyncio.run(run()) == (False, True)
