"""The client of a service: what passes is asked again, what does not raises, and an outage is never a number."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from reward_service import FACTS, RewardService
from served import InThread

from pgsrm_plugin.errors import DataError, ScorerError, SpecError, UnscorableError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.scorer.batching import MicroBatchSettings
from pgsrm_plugin.scorer.scorer import Scorer
from pgsrm_plugin.spec import parse_spec

ROW = {"prompt": "q", "response": "four", "label": "x", "image": object()}


def scorer(url: str, deadline_s: float = 60.0, **fields: str) -> Scorer:
    return Scorer(url, limits=MicroBatchSettings(max_wait_ms=2, deadline_s=deadline_s), **fields)


def rewards(rows) -> list[float | None]:
    return [row["reward"] for row in rows]


@pytest.mark.parametrize(
    "faults",
    [
        ["break", "half"],
        [(429, {"error": "full"}, {"Retry-After": "0.2"})],
        [(503, {"error": "stopping"}, {"Retry-After": "0"}), (502, "<html>")],
    ],
)
def test_what_may_pass_is_asked_again(faults):
    count = len(faults)
    with RewardService(faults) as service, scorer(service.url) as asked:
        started = time.monotonic()
        assert rewards(asked.score_rows([ROW, {**ROW, "response": ""}])) == [4.0, 0.0]
        assert len(service.questions) == count + 1
        assert "429" not in str(faults) or time.monotonic() - started >= 0.2


def test_a_service_that_comes_late_is_waited_for():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    late: list[RewardService] = []
    timer = threading.Timer(0.5, lambda: late.append(RewardService(port=port).__enter__()))
    timer.start()
    with scorer(f"http://127.0.0.1:{port}") as asked:
        assert rewards(asked.score_rows([ROW])) == [4.0]
    late[0].__exit__()


def test_no_service_is_an_error_that_says_where_and_what_to_do(caplog):
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{place.getsockname()[1]}"
        started = time.monotonic()
        with scorer(url, deadline_s=1.0) as asked, pytest.raises(ScorerError) as raised:
            asked.score_rows([ROW])
    assert time.monotonic() - started < 20, "the deadline in general is two minutes"
    said = str(raised.value)
    assert said.startswith(f"{url}/v1/spec gave no answer in ")
    assert "ConnectError" in said
    assert said.endswith("nothing was scored. Is `pgsrm serve` running there?")
    (line,) = caplog.messages
    assert line.startswith(f"{url}/v1/spec: ConnectError: ")


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ((422, {"error": "rows[0]: no", "kind": "DataError"}), DataError, "^rows.0.: no$"),
        ((422, {"error": "empty", "kind": "UnscorableError"}), UnscorableError, "^empty$"),
        ((503, {"error": "encoder failed"}), ScorerError, "answered 503: encoder failed; nothing was scored$"),
        ((504, {"error": "too slow"}), ScorerError, "answered 504: too slow; nothing was scored$"),
        ((500, "<html>oops"), ScorerError, "answered 500: <html>oops; nothing was scored$"),
        ((401, {"error": "no token"}), ScorerError, "401: no token; .*; set PGSRM_TOKEN to its token"),
        ((404, "Not Found"), ScorerError, "404: Not Found; .*; give the address of `pgsrm serve`, without a path"),
        ((413, {"error": "too many"}), ScorerError, "; give fewer rows at once"),
        ((302, ""), ScorerError, "answered 302"),
        ((200, "<html>"), ScorerError, "answered no JSON"),
        ((200, {"rows": []}), ScorerError, "answered 0 rows for 1; nothing was scored"),
        ((200, [1.0]), ScorerError, "answered no rows for 1"),
        ((200, {"rows": [0.0]}), ScorerError, "rows without a reward"),
        ((200, {"rows": [{"score": 0.0}]}), ScorerError, "rows without a reward"),
        ((200, '{"rows": [{"reward": NaN}]}'), ScorerError, "answered nan as 'reward'"),
        ((200, '{"rows": [{"reward": "1"}]}'), ScorerError, "answered '1' as 'reward'"),
        ((200, '{"rows": [{"reward": true}]}'), ScorerError, "answered True as 'reward'"),
        ((200, '{"rows": [{"reward": null, "reward/scored": 1.0}]}'), ScorerError, "answered None as 'reward'"),
        ((200, "[" * 100_000), ScorerError, "answered no JSON"),
    ],
)
def test_what_cannot_pass_raises_at_once(fault, kind, message):
    with RewardService([fault]) as service, scorer(service.url) as asked:
        with pytest.raises(kind, match=message):
            asked.score_rows([ROW])
        assert len(service.questions) == 1
        assert rewards(asked.score_rows([ROW])) == [4.0], "and it works again later"


def test_a_masked_row_has_no_reward():
    masked = (200, {"rows": [{"reward": None, "reward/scored": 0.0, "reward/x": 0}]})
    with RewardService([masked]) as service, scorer(service.url) as asked:
        assert asked.score_rows([ROW]) == [{"reward": None, "reward/scored": 0.0, "reward/x": 0.0}]


def test_a_service_that_hangs_is_given_up_at_the_deadline():
    with (
        RewardService(["hang"]) as service,
        scorer(service.url, deadline_s=0.6) as asked,
        pytest.raises(ScorerError, match=r"gave no answer in 1 attempts .*ReadTimeout"),
    ):
        asked.score_rows([ROW])


def test_only_what_is_looked_at_is_sent_and_configured_fields_go_along():
    row = {
        "prompt": [{"role": "user", "content": "q"}],
        "response": "r",
        "extra": {"why": np.array(["a", "b"])},
        "reward_model": {"ground_truth": np.float32(0.7)},
        "image": b"\xff",
    }
    with RewardService() as service, scorer(service.url, reference_field="extra.why") as asked:
        asked.score_rows([row])
        with pytest.raises(DataError, match=r"rows\[0\] cannot be sent as JSON: .*bytes"):
            asked.score_rows([{**row, "label": b"x"}])
        with pytest.raises(DataError, match=r"rows\[0\] must be a mapping"):
            asked.score_rows([5])
    (question,) = service.questions
    assert question["columns"] == {"reference": "extra.why"}
    assert question["rows"] == [
        {
            "prompt": [{"role": "user", "content": "q"}],
            "response": "r",
            "extra": {"why": ["a", "b"]},
            "reward_model": {"ground_truth": 0.7},
        }
    ]


def test_rows_of_many_callers_are_sent_together_and_a_bad_one_spoils_only_its_own():
    texts = ["a" * n for n in range(20)] + ["bad"]

    async def run(asked):
        rows = [{**ROW, "response": text} for text in texts]
        return await asyncio.gather(*map(asked.score_row, rows), return_exceptions=True)

    with RewardService() as service, Scorer(service.url, limits=MicroBatchSettings(max_wait_ms=100)) as asked:
        *good, bad = asyncio.run(run(asked))
        assert rewards(good) == [float(n) for n in range(20)]
        assert (type(bad), str(bad)) == (DataError, "rows[0]: bad")
        assert len(service.questions) < 20
        with ThreadPoolExecutor(16) as pool:
            asks = [[{**ROW, "response": text}] for text in texts[:-1]]
            assert [rewards(rows) for rows in pool.map(asked.score_rows, asks)] == [[float(n)] for n in range(20)]


def test_callers_of_single_rows_are_not_refused_for_what_all_of_them_ask_together():
    spec = parse_spec("terms: {exact_match: {}}")
    rows = [{"prompt": "q", "response": str(n % 3), "answer": "1"} for n in range(20)]

    async def run(asked):
        return await asyncio.gather(*map(asked.score_row, rows))

    together = MicroBatchSettings(max_wait_ms=100)
    with InThread(SemanticReward(spec), max_rows=3) as service, Scorer(service.url, limits=together) as asked:
        assert rewards(asyncio.run(run(asked))) == [float(n % 3 == 1) for n in range(20)]
        with pytest.raises(ScorerError, match=r"answered 413: 4 rows in one question; at most 3 \(--max-rows\)"):
            asked.score_rows(rows[:4])


def test_groups_of_two_callers_are_asked_for_apart():
    with (
        RewardService(aggregate={**FACTS["aggregate"], "kind": "group_normalised", "needs_groups": True}) as service,
        scorer(service.url) as asked,
    ):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda count: asked.score_rows([ROW] * count), (1, 2, 3, 4)))
        assert sorted(len(question["rows"]) for question in service.questions) == [1, 2, 3, 4]
        with pytest.raises(SpecError, match="needs whole groups"):
            asyncio.run(asked.score_row(ROW))


def test_the_token_is_sent_and_never_shown(monkeypatch):
    monkeypatch.setenv("PGSRM_TOKEN", "s3cret-token")
    with RewardService([(500, "s3cret-token?")]) as service, scorer(service.url) as asked:
        with pytest.raises(ScorerError) as raised:
            asked.score_rows([ROW])
        asked.score_rows([ROW])
        assert service.tokens == ["Bearer s3cret-token"] * 2
        assert "s3cret" not in f"{raised.value} {asked._own.backend!r}"


def test_facts_that_are_none_are_an_error():
    with RewardService(name=5) as service, scorer(service.url) as asked, pytest.raises(ScorerError) as raised:
        _ = asked.facts
    assert "/v1/spec is no service of rewards: Input should be a valid string" in str(raised.value)


def _score_in_child(asked: Scorer, answers) -> None:
    answers.put(rewards(asked.score_rows([ROW])))


def test_a_forked_child_has_connections_and_threads_of_its_own():
    context = multiprocessing.get_context("fork")
    with RewardService() as service, scorer(service.url) as asked:
        asked.score_rows([ROW])
        answers = context.Queue()
        child = context.Process(target=_score_in_child, args=(asked, answers))
        child.start()
        assert answers.get(timeout=20) == [4.0]
        child.join()
        assert rewards(asked.score_rows([ROW])) == [4.0]
