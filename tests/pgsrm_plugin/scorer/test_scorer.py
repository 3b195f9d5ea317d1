"""Rewards of rows in this process: the same as scoring directly, from threads and loops, and none spoils another's."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from scored_rows import ROWS, SPEC

from pgsrm_plugin.crosscheck import Use
from pgsrm_plugin.errors import DataError, ScorerError, SpecError, UnscorableError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.scorer.batching import DeadlineError, MicroBatchSettings
from pgsrm_plugin.scorer.scorer import Scorer
from pgsrm_plugin.spec import parse_spec
from pgsrm_plugin.types import RewardSample

SAMPLES = [
    RewardSample("q", "", ("blue",), "blue"),
    RewardSample([{"role": "user", "content": "sky?"}], "the sky is blue", ("blue as the sky",), "blue as the sky"),
    RewardSample("two", "red", ("crimson red", "red"), "red"),
    RewardSample("special", "green", ("green",), "green"),
    RewardSample("tool", "it is violet", ("violet",), "violet"),
    RewardSample("number", "4", ("4",), "4"),
    RewardSample("json", "oak", ("an oak", "a tree"), "oak"),
    RewardSample("verl", "grey \ud83d", ("grey",), "grey"),
]
LIMITS = MicroBatchSettings(max_wait_ms=2, deadline_s=20)


@pytest.fixture
def scorer():
    with Scorer(parse_spec(SPEC), limits=LIMITS) as scorer:
        yield scorer


def direct(samples=SAMPLES, spec=SPEC):
    return SemanticReward(parse_spec(spec)).score(samples).rows()


def test_rows_get_the_bits_of_a_direct_score(scorer):
    rows = scorer.score_rows(ROWS)
    assert [{name: value for name, value in row.items() if name != "acc"} for row in rows] == direct()
    assert [row["acc"] for row in rows] == [0, 0, 1, 1, 0, 1, 1, 0]
    assert scorer.score_rows([]) == []


def test_single_rows_from_threads_and_loops_get_the_same_bits(scorer):
    expected = scorer.score_rows(ROWS)

    async def one_by_one():
        return await asyncio.gather(*map(scorer.score_row, ROWS))

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(asyncio.run, one_by_one()) for _ in range(4)]
        calls += [pool.submit(scorer.score_rows, ROWS) for _ in range(4)]
        assert [call.result() for call in calls] == [expected] * 8
    assert asyncio.run(scorer.score_rows_async(ROWS)) == expected


def test_a_bad_row_spoils_only_its_own_call(scorer):
    async def run():
        rows = [*ROWS, {"prompt": "q", "response": "r"}, {"prompt": "q", "response": 5, "label": "x"}]
        return await asyncio.gather(*map(scorer.score_row, rows), return_exceptions=True)

    *good, lacking, mistyped = asyncio.run(run())
    assert good == scorer.score_rows(ROWS)
    assert (type(lacking), type(mistyped)) == (DataError, DataError)
    assert str(lacking) == "the row: field 'reference' is missing, and term 'semantic' compares with it"
    assert str(mistyped) == "the row: field 'response' must be text, not the number 5"


def test_all_bad_rows_of_a_call_are_named(scorer):
    with pytest.raises(DataError) as raised:
        scorer.score_rows([ROWS[0], {"response": "r"}, {"prompt": "q", "responses": ["a", "b"], "label": "l"}, 7])
    assert str(raised.value).splitlines() == [
        "rows[1]: field 'prompt' is missing (the row has: response)",
        "rows[2]: field 'responses' holds 2; give each a row of its own",
        "rows[3] must be an object with prompt, response and reference, not int",
    ]


def test_unscorable_rows_are_masked_or_raised_as_the_spec_says():
    with Scorer(parse_spec(SPEC + "unscorable: mask\n"), limits=LIMITS) as scorer:
        first, second = scorer.score_rows(ROWS[:2])
        assert (first["reward"], first["reward/scored"], first["reward/unscorable"]) == (None, 0.0, 1.0)
        assert second == {**scorer.score_rows([ROWS[1]])[0], "reward/scored": 1.0}
        with pytest.raises(SpecError, match=r"test: unscorable: mask cannot take a response out of the loss of X"):
            scorer.check_use(Use(cannot_mask=("X", "use Y")))
    with Scorer(parse_spec(SPEC + "unscorable: raise\n"), limits=LIMITS) as scorer:

        async def run():
            return await asyncio.gather(*map(scorer.score_row, ROWS), return_exceptions=True)

        first, *others = asyncio.run(run())
        assert isinstance(first, UnscorableError)
        assert "the row: the response '' cannot be scored (1 of 1 rows)" in str(first)
        assert others == scorer.score_rows(ROWS[1:])


GROUPS = """
terms: {exact_match: {}, length: {mode: relative, unit: chars}}
weights: {exact_match: 1, length: 1}
aggregate: group_normalised
"""


def test_groups_of_two_callers_are_not_mixed():
    """The sum is normalised over a whole call, so a call's numbers must not depend on who asks at the same time."""
    spec = parse_spec(GROUPS)
    calls = [
        [{"prompt": name, "response": word, "label": "red"} for word in words]
        for name, words in {"a": ["red", "reddish", "blue"], "b": ["red", "a long and winding answer"]}.items()
    ]
    with Scorer(spec, limits=MicroBatchSettings(max_wait_ms=100)) as scorer:
        alone = [scorer.score_rows(call) for call in calls]
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(scorer.score_rows, calls)) == alone
        with pytest.raises(SpecError, match="needs whole groups, and here responses come one by one; give score_rows"):
            asyncio.run(scorer.score_row(calls[0][0]))


class Failing:
    identity = "failing"

    def __init__(self, do) -> None:
        self._do = do

    def encode(self, texts):
        return self._do(texts)


def test_a_failing_and_a_hanging_encoder_raise(scorer):
    def fail(texts):
        raise OSError("gone")

    with (
        Scorer(SemanticReward(parse_spec(SPEC), Failing(fail)), limits=LIMITS) as failing,
        pytest.raises(ScorerError, match="encoder failing failed: OSError: gone"),
    ):
        failing.score_rows(ROWS)
    gate = multiprocessing.Event()
    limits = MicroBatchSettings(deadline_s=0.3)
    with (
        Scorer(SemanticReward(parse_spec(SPEC), Failing(lambda texts: gate.wait(30))), limits=limits) as hanging,
        pytest.raises(DeadlineError, match=r"not scored within deadline_s: 0\.3 .*the encoder is too slow"),
    ):
        hanging.score_rows(ROWS)
    gate.set()


def test_configured_fields(scorer):
    rows = [{"prompt": "q", "response": "red", "label": "blue", "extra": {"why": "red", "short": 4}}]
    with Scorer(
        parse_spec(SPEC), reference_field="extra.why", ground_truth_field="extra.short", limits=LIMITS
    ) as chosen:
        (numbers,) = chosen.score_rows(rows)
    assert (numbers["reward/semantic"], numbers["reward/exact_match"]) == (1.0, 0.0)


def test_a_copy_in_another_process_gives_the_same(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    with Scorer(path, ground_truth_field="label", limits=LIMITS) as scorer:
        copy = pickle.loads(pickle.dumps(scorer))
        assert copy.score_rows(ROWS[:1]) == scorer.score_rows(ROWS[:1])
        assert copy.facts == scorer.facts
        copy.close()
    with pytest.raises(TypeError, match="make it of a spec"):
        pickle.dumps(Scorer(SemanticReward(parse_spec(SPEC))))


def _score_in_threads(scorer, answers):
    built, build = [], SemanticReward.__init__

    def slowly(self, *args, **named):
        built.append(self)
        time.sleep(0.3)
        build(self, *args, **named)

    SemanticReward.__init__ = slowly
    with ThreadPoolExecutor(8) as pool:
        rewards = list(pool.map(lambda i: time.sleep(i / 20) or scorer.score_rows(ROWS)[2]["reward"], range(8)))
    answers.put((len(built), rewards))


def test_threads_of_a_forked_child_share_one_scorer_of_its_own(scorer):
    expected = scorer.score_rows(ROWS)[2]["reward"]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_score_in_threads, args=(scorer, answers))
    child.start()
    assert answers.get(timeout=15) == (1, [expected] * 8)  # before the deadline
    child.join()


def test_facts(scorer):
    facts = scorer.facts
    assert (facts.name, facts.aggregate.kind, facts.unscorable) == ("test", "sum", "floor")
    assert facts.terms == {"semantic": 0.7, "exact_match": 0.2, "repetition": -0.1}
    assert facts.fingerprint == parse_spec(SPEC).fingerprint
    assert facts.encoder == SemanticReward(parse_spec(SPEC)).encoder.identity


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "neither is set"),
        ({"PGSRM_SPEC": "pgsrm", "PGSRM_URL": "http://h"}, "both are set; unset one"),
        ({"PGSRM_URL": "ftp://h"}, "begins with http:// or https://, not 'ftp://h'"),
        ({"PGSRM_URL": "localhost:8900"}, "begins with http:// or https://, not 'localhost:8900'"),
        ({"PGSRM_URL": "http:/h:8900/token"}, "begins with http:// or https://, not 'http:/h:8900/token'"),
        ({"PGSRM_SPEC": "pgsmr"}, "did you mean 'pgsrm'"),
    ],
)
def test_a_source_that_is_none_is_refused(monkeypatch, environment, message):
    for name in ("PGSRM_SPEC", "PGSRM_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SpecError, match=message):
        Scorer()


def test_the_environment_names_the_spec(monkeypatch, tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)
    monkeypatch.delenv("PGSRM_URL", raising=False)
    monkeypatch.setenv("PGSRM_SPEC", str(tmp_path / "spec.yaml"))
    with Scorer() as scorer:
        assert scorer.facts.name == "test"
