"""The online parent of a streaming run: asked for what neither row nor store has, counted, within its budget."""

from __future__ import annotations

import asyncio
import json

import pytest

pytest.importorskip("verl", reason="verl is not installed")

import verl_support as support
from parent_server import Behaviour, ParentServer, expected
from reward_managers import HASHING, Run, table

from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.cli import main
from pgsrm_plugin.errors import DataError, ScorerError, SpecError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec import parse_spec
from pgsrm_plugin.types import RewardSample
from pgsrm_verl.colocated import checks
from pgsrm_verl.rows import RowReader
from pgsrm_verl.streaming.preflight import make_plan


@pytest.fixture
def server():
    with ParentServer(Behaviour(retry_after="0.01")) as running:
        yield running


def bare(*questions: str) -> list[dict]:
    """Rows of questions without references."""
    return [
        {"prompt": [{"role": "user", "content": question}], "extra_info": {"index": i}, "data_source": "d"}
        for i, question in enumerate(questions)
    ]


def online(folder, server, **changes) -> dict:
    return {"parent": {"store": str(folder / "store"), "model": "m", "base_url": server.url, "budget": 9, **changes}}


def reward(response: str, reference: str) -> float:
    sample = RewardSample("", response, (reference,))
    return SemanticReward(parse_spec(HASHING)).score([sample]).total_B.item()


def test_each_question_is_asked_once_and_what_is_known_not_at_all(server, tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": "known"}) + "\n")
    engine = ["--engine", "openai", "--model", "m", "--base-url", server.url]
    with pytest.raises(SystemExit):
        main(["parent", "generate", str(tmp_path / "p.jsonl"), *engine, "--out", str(tmp_path / "store")])
    server.seen.calls.clear()
    rows = [*bare("known", "new once:500", "new too"), table(1)[0]]
    rows[3]["reward_model"]["references"] = ["a row of its own"]
    run = Run(tmp_path, rows=rows, pgsrm=online(tmp_path, server))
    got = run.answer([(row, response) for row in rows for response in ("answer of mine", "answer of yours")])
    assert server.seen.calls == {"new once:500": 2, "new too": 1}, "500 is asked again, and nothing else twice"
    references = [expected("known", 0), expected("new once:500", 0), expected("new too", 0), "a row of its own"]
    wanted = [reward(said, reference) for reference in references for said in ("answer of mine", "answer of yours")]
    assert [one["reward_score"] for one in got] == pytest.approx(wanted, abs=1e-6)
    last = max((one["reward_extra_info"] for one in got), key=lambda info: info["pgsrm/parent_calls"])
    assert (last["pgsrm/parent_calls"], last["pgsrm/parent_budget_left"]) == (2.0, 7.0)
    assert len({frozenset(one["reward_extra_info"]) for one in got}) == 1
    with ParentStore.open(tmp_path / "store", writable=False) as store:
        assert store.counts()["ok"] == 3


def test_the_ground_truth_is_the_answer_and_not_the_reference(server, tmp_path):
    rows = table(1)
    run = Run(tmp_path, rows=rows, pgsrm=online(tmp_path, server))
    question = rows[0]["prompt"][0]["content"]
    (got,) = run.answer([(rows[0], "red and blue make purple")])
    assert got["reward_score"] == pytest.approx(reward("red and blue make purple", expected(question, 0)), abs=1e-6)
    assert got["reward_extra_info"]["acc"] == 1.0


def test_the_budget_is_hard(server, tmp_path):
    rows = bare("a", "b", "c", "d")
    run = Run(tmp_path, rows=rows, pgsrm=online(tmp_path, server, budget=2))
    manager = run.manager()

    async def ask(*places: int) -> list[dict]:
        return await asyncio.gather(*(manager.run_single(run.proto(rows[i], "x")) for i in places))

    async def story() -> None:
        await ask(0, 1)
        with pytest.raises(ScorerError, match="budget of 2 calls is spent"):
            await ask(2)
        assert len(await ask(0, 1)) == 2, "the store's are still to be had"

    asyncio.run(story())
    assert set(server.seen.calls) == {"a", "b"}


def test_a_refusal_is_no_reference_and_no_reward(server, tmp_path):
    rows = bare("tell me fault:refusal")
    run = Run(tmp_path, rows=rows, pgsrm=online(tmp_path, server))
    with pytest.raises(ScorerError, match="has no reference for a prompt: refused"):
        run.answer([(rows[0], "x")])


def test_it_is_off_by_default(tmp_path):
    with pytest.raises(DataError, match="field 'reference' is missing"):
        make_plan(Run(tmp_path, rows=bare("a")).config, "pgsrm")
    assert not RowReader().online


@pytest.mark.parametrize(
    ("changes", "worker", "said"),
    [
        ({"budgt": 1}, 1, r"pgsrm\.parent\.budgt: unknown key; did you mean 'budget'"),
        ({"budget": -1}, 1, r"pgsrm\.parent\.budget"),
        ({"base_url": None}, 1, r"pgsrm\.parent\.base_url is missing"),
        ({"engine": "hf"}, 1, r"pgsrm\.parent\.base_url is for engine openai, not hf"),
        ({"samples": 3}, 1, "at temperature 0 they are all the same"),
        ({"extract": "xml:a"}, 1, "is no rule"),
        ({}, 2, "needs reward.num_workers=1, not 2"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(server, tmp_path, changes, worker, said):
    run = Run(tmp_path, rows=bare("a"), pgsrm=online(tmp_path, server, **changes), num_workers=worker)
    with pytest.raises(SpecError, match=said):
        make_plan(run.config, "pgsrm")
    assert not server.seen.calls


def test_the_colocated_mode_refuses_it(server, tmp_path):
    with pytest.raises(SpecError, match=r"pgsrm\.parent asks a parent while responses come in, and .*pgsrm_sync"):
        checks.check_config(support.colocated_config(**online(tmp_path, server)))


@pytest.mark.slow
def test_verl_trains_with_a_parent_that_is_asked_on_the_way(server, tmp_path):
    assets = support.build_assets(tmp_path / "assets")
    rows = [{**row, "reward_model": {"style": "rule", "ground_truth": None}} for row in support.rows(64)]
    support.write_parquet(assets.train, rows)
    spec = tmp_path / "reward.yaml"
    spec.write_text(HASHING)
    settings = json.dumps(online(tmp_path, server)["parent"]).replace('"', "")
    overrides = [*support.small_overrides(assets, steps=2), "reward.reward_manager.name=pgsrm", "reward.num_workers=1"]
    overrides += [f"+pgsrm.spec={spec}", f"+pgsrm.parent={settings}", "trainer.rollout_data_dir=rollouts"]
    overrides += ["trainer.test_freq=2"]
    environment = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    run = support.run_verl(overrides, tmp_path / "run", seconds=240, environment=environment)
    assert run.status == 0, run.tail()
    assert len(run.metrics) == 2
    questions = {question for question, _ in support.FACTS}
    assert set(server.seen.calls) == questions, "validation has them all"
    assert set(server.seen.calls.values()) == {1}
    dumped = support.dump_rows(tmp_path / "run")
    assert len(dumped) == 2 * 8 * 4
    for row in dumped:
        (question,) = [question for question in questions if question in row["input"]]
        assert row["score"] == pytest.approx(reward(row["output"], expected(question, 0)), abs=1e-6)
    counted = run.metrics[-1]["val-aux/test/facts/pgsrm/parent_calls/mean@1"]
    assert 0 < counted <= len(questions) == len(server.seen.calls)
    assert "the online parent was asked" in run.output
