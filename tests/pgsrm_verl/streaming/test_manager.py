"""The reward managers, built by verl's own loader: rewards, keys, parity with the command, refusals and faults."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

pytest.importorskip("verl", reason="verl is not installed")

from embedding_server import EmbeddingServer
from reward_managers import HASHING, Run, table
from verl import DataProto

from pgsrm_plugin.cli import main
from pgsrm_plugin.errors import DataError, ScorerError, SpecError
from pgsrm_plugin.types import Embeddings
from pgsrm_verl.streaming import preflight

RICH = """
encoder: {kind: hashing}
terms: {semantic: {alpha: 2}, prompt_copy: {}, repetition: {}, bleu: {}}
weights: {semantic: 1.0, prompt_copy: -0.5, repetition: -0.25, bleu: 0}
"""
ANSWERS = ("red and blue make purple", "green", "blue blue blue blue", "", "red and blue make purple", "What is it?")


# --- rewards -----------------------------------------------------------------------------------------------------


def test_the_same_rows_get_the_rewards_of_the_command(tmp_path, capsys):
    run = Run(tmp_path, RICH)
    pairs = [(row, answer) for row, answer in itertools.product(run.rows, ANSWERS)]
    got = run.answer(pairs)
    rows = [{**row, "response": answer} for row, answer in pairs]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SystemExit) as stopped:
        main(
            [
                "score",
                str(tmp_path / "in.jsonl"),
                "--spec",
                str(tmp_path / "reward.yaml"),
                "--out",
                f"{tmp_path}/o.jsonl",
            ]
        )
    assert not stopped.value.code
    scored = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [one["reward_score"] for one in got] == pytest.approx([row["reward"] for row in scored], abs=1e-6)
    for name in ("semantic", "prompt_copy", "repetition", "bleu", "semantic/weighted", "unscorable", "truncated"):
        ours = [one["reward_extra_info"][f"pgsrm/{name}"] for one in got]
        assert ours == pytest.approx([row[f"reward/{name}"] for row in scored], abs=1e-6), name
    assert len({one["reward_score"] for one in got}) > 3


def test_every_row_has_the_same_float_keys(tmp_path):
    together = {"max_rows": 12, "max_wait_ms": 60_000}  # the batch is full before any wait is over
    run = Run(tmp_path, pgsrm={"micro_batch": together})
    got = [one["reward_extra_info"] for one in run.answer([(row, a) for row in table(2) for a in ANSWERS])]
    assert {frozenset(one) for one in got} == {
        frozenset(
            [f"pgsrm/{name}" for name in ("semantic", "semantic/weighted", "unscorable", "truncated")]
            + [
                f"pgsrm/{name}"
                for name in ("reference_truncated", "response_chars", "unknown_words", "reference_unknown_words")
            ]
            + [f"pgsrm/{name}" for name in ("batch_rows", "queue_ms", "score_ms")]
            + ["acc"]
        )
    }
    assert all(type(value) is float and math.isfinite(value) for one in got for value in one.values())
    assert [one["acc"] for one in got[:6]] == [1, 0, 0, 0, 1, 0]
    assert [one["pgsrm/unscorable"] for one in got[:6]] == [0, 0, 0, 1, 0, 0]
    assert got[0]["pgsrm/batch_rows"] == 12


def test_the_semantic_convention_judges_the_choice(tmp_path):
    spec = """
encoder: {kind: hashing}
text: {answer_tag: why}
terms: {semantic: {}, correctness: {extract: tag, tag: answer}}
weights: {semantic: 0.5, correctness: 0.5}
"""
    rows = table(1)
    rows[0]["extra_info"]["answer"] = "B"
    run = Run(tmp_path, spec, rows, name="semantic")
    right = "<why>red and blue make purple</why> <answer>B</answer>"
    got = run.answer([(rows[0], right), (rows[0], right.replace("B", "C"))])
    assert [one["reward_score"] for one in got] == pytest.approx([1.0, 0.5])
    assert [one["reward_extra_info"]["acc"] for one in got] == [1, 0]


def test_validation_prompts_have_their_own_reward(tmp_path):
    (tmp_path / "val.yaml").write_text("terms: {exact_match: {against: references}}\n")
    run = Run(tmp_path, pgsrm={"val_spec": str(tmp_path / "val.yaml")})
    val = {**table(1)[0], "prompt": [{"role": "user", "content": "only in validation"}]}
    (tmp_path / "val.jsonl").write_text(json.dumps(val) + "\n")
    train, validation = run.answer([(run.rows[0], "red and blue"), (val, "red and blue")])
    assert 0 < train["reward_score"] < 1
    assert (validation["reward_score"], "pgsrm/exact_match" in validation["reward_extra_info"]) == (0.0, True)
    assert "pgsrm/semantic" not in validation["reward_extra_info"]


def test_only_the_last_of_several_sequences_is_scored(tmp_path):
    run = Run(tmp_path)
    both = DataProto.concat([run.proto(run.rows[0], "green", 2), run.proto(run.rows[0], "blue", 2)])
    result = asyncio.run(run.manager().run_single(both))
    assert result["reward_score"] == run.answer([(run.rows[0], "blue")])[0]["reward_score"]


EXACT = "terms: {exact_match: {}}\n"
TRUTH = "red and blue make purple"


def test_image_prompts_have_their_references_and_their_own_reward(tmp_path):
    train, val = table(2)
    train["prompt"][0]["content"], val["prompt"][0]["content"] = "<image>Find x.", "<image>Find y."
    (tmp_path / "refs.jsonl").write_text(json.dumps({"prompt": "<image>Find x.", "reference": "by sums"}) + "\n")
    (tmp_path / "val.yaml").write_text("terms: {exact_match: {}}\nweights: {exact_match: 5}\n")
    settings = {"references": str(tmp_path / "refs.jsonl"), "val_spec": str(tmp_path / "val.yaml")}
    run = Run(tmp_path, "terms: {exact_match: {against: references}}", [train], pgsrm=settings)
    (tmp_path / "val.jsonl").write_text(json.dumps(val) + "\n")

    def in_rollout(row: dict, words: str) -> dict:
        parts = [{"type": "image", "image": "a.png"}, {"type": "text", "text": words}]
        return {**row, "prompt": [{"role": "user", "content": parts}]}

    asked = [(in_rollout(train, "Find x."), "by sums"), (in_rollout(train, "Find x."), TRUTH)]
    got = run.answer([*asked, (in_rollout(val, "Find y."), TRUTH)])
    assert [one["reward_score"] for one in got] == [1.0, 0.0, 5.0]
    with pytest.raises(DataError, match=r"extra_info\.index 0 is, as verl hands it over, in none of data\.train_files"):
        run.answer([(in_rollout(train, "Find the x."), "by sums")])


def test_reward_workers_do_not_look_through_the_files_again(tmp_path):
    told = []

    class Loop:
        def __init__(self, config) -> None:
            told.append(config)
            self.reward_loop_workers = []

    (tmp_path / "val.yaml").write_text("terms: {exact_match: {}}\nweights: {exact_match: 5}\n")
    run = Run(tmp_path, EXACT, pgsrm={"val_spec": str(tmp_path / "val.yaml")})
    val = {**table(1)[0], "prompt": [{"role": "user", "content": "only in validation"}]}
    (tmp_path / "val.jsonl").write_text(json.dumps(val) + "\n")
    Loop.__init__ = preflight.checked(Loop.__init__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preflight, "_wait_for", lambda workers: None)
        Loop(run.config)
    assert "checked" not in run.config.pgsrm
    (tmp_path / "train.jsonl").unlink()
    (tmp_path / "val.jsonl").unlink()
    run.config = told[0]
    got = run.answer([(run.rows[0], TRUTH), (val, TRUTH)])
    assert [one["reward_score"] for one in got] == [1.0, 5.0]


@pytest.mark.parametrize("outputs", [((10, 2), (4, 5)), ((4, 6), (6, 5)), ((1, 1), (10, 5)), ((3, 5),)])
def test_the_last_output_is_scored_whatever_the_lengths_of_all(tmp_path, outputs):
    run = Run(tmp_path, EXACT)
    said = [" ".join(["no"] * length) for _, length in outputs[:-1]] + [TRUTH]
    made = [(prompt, text, [1] * length) for (prompt, length), text in zip(outputs, said, strict=True)]
    found = run.session(run.rows[0], made)
    assert found["reward_score"] == 1.0
    assert found["reward_extra_info"]["pgsrm/response_chars"] == len(TRUTH)


@pytest.mark.parametrize(("turns", "reward", "chars"), [(None, 1.0, 24), ("last", 0.0, 11), ("all", 0.0, 34)])
def test_what_a_tool_wrote_is_not_the_policys(tmp_path, turns, reward, chars):
    run = Run(tmp_path, EXACT, pgsrm={} if turns is None else {"turns": turns})
    one = (3, "red and blue TOOL SAYS make purple", [1, 1, 1, 0, 0, 1, 1])
    found = run.session(run.rows[0], [one])
    assert (found["reward_score"], found["reward_extra_info"]["pgsrm/response_chars"]) == (reward, chars)


@pytest.mark.parametrize(("turns", "warnings"), [((2, 2), 0), ((2, 4, 4), 1)])
def test_a_session_with_tools_and_without_a_mask_is_warned_of_once(tmp_path, caplog, turns, warnings):
    run = Run(tmp_path, EXACT)
    run.answer([({**run.rows[0], "__num_turns__": number}, "a") for number in turns])
    assert caplog.text.count("verl handed over no response_mask") == warnings


def test_an_empty_response_does_not_put_its_score_on_the_padding(tmp_path):
    run = Run(tmp_path)
    data = DataProto.concat([run.proto(run.rows[0], "red and", 2), run.proto(run.rows[0], "", 4)])
    scores = type(run.manager()).assemble_rm_scores(data, [0.5, 0.25])
    assert scores.tolist() == [[0, 0.5, 0, 0], [0.25, 0, 0, 0]]


# --- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"pgsrm": {"speck": 1}}, SpecError, r"pgsrm\.speck: unknown key; did you mean 'spec'\?"),
        (
            {"spec": HASHING + "aggregate: group_normalised\n"},
            SpecError,
            "group_normalised needs whole groups.*pgsrm_sync",
        ),
        ({"spec": HASHING + "unscorable: mask\n"}, SpecError, "unscorable: mask cannot.*use unscorable: floor, or set"),
        ({"spec": HASHING + "unscorable: raise\n"}, SpecError, "unscorable: raise cannot stop.*unscorable: floor"),
        ({"spec": "terms: {semantics: {}}\n"}, SpecError, "did you mean 'semantic'"),
        (
            {"custom_reward_function": {"path": str(Path(__file__)), "name": "table"}},
            SpecError,
            r"custom_reward_function\.path is set",
        ),
        ({"reward_model": {"enable": True}}, SpecError, r"reward\.reward_model\.enable is true"),
        ({"pgsrm": {"references": "gone.jsonl"}}, DataError, "gone.jsonl: there is no such file"),
    ],
)
def test_what_cannot_work_is_refused_at_construction(changes, error, message, tmp_path, caplog):
    run = Run(tmp_path, **changes)
    with pytest.raises(error, match=message):
        run.manager()
    assert "pgsrm-plugin cannot give rewards: " in caplog.text


def test_a_row_without_a_reference_is_named_before_any_reward(tmp_path):
    rows = table()
    rows[4]["reward_model"]["ground_truth"] = None
    with pytest.raises(DataError, match=r"train\.jsonl:5: field 'reference' is missing, and term 'semantic'"):
        Run(tmp_path, rows=rows).manager()


def test_a_row_that_no_file_showed_is_refused_alone(tmp_path):
    run = Run(tmp_path)
    stranger = {**run.rows[0], "reward_model": {"ground_truth": None}}

    async def ask(manager):
        protos = [run.proto(run.rows[0], "green"), run.proto(stranger, "green")]
        return await asyncio.gather(*map(manager.run_single, protos), return_exceptions=True)

    good, bad = asyncio.run(ask(run.manager()))
    assert good["reward_score"] >= 0
    assert isinstance(bad, DataError)
    assert str(bad).startswith("the response to 'What is it? 0': field 'reference' is missing")


def test_the_reward_loop_is_stopped_before_it_makes_workers(tmp_path):
    made = []

    class Loop:
        def __init__(self, config) -> None:
            made.append(config)
            self.reward_loop_workers = []

    Loop.__init__ = preflight.checked(Loop.__init__)
    rows = table()
    rows[0]["reward_model"]["ground_truth"] = None
    bad = Run(tmp_path, rows=rows)
    with pytest.raises(DataError, match=r"train\.jsonl:1"):
        Loop(bad.config)
    assert made == []
    bad.config.reward.reward_manager.name = "naive"
    Loop(bad.config)
    assert made == [bad.config]


# --- faults ------------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint(quick_http):
    with ExitStack() as servers:
        yield lambda *faults: servers.enter_context(EmbeddingServer(faults, slow_s=0.5))


def over_http(server: EmbeddingServer, **settings) -> str:
    section = {"kind": "http", "base_url": server.url, "model": "m", **settings}
    return json.dumps({"encoder": section, "terms": {"semantic": {}}})


def test_an_endpoint_that_fails_then_is_slow_then_well_loses_nothing(endpoint, tmp_path):
    pairs = [(row, f"an answer {number}") for number, row in enumerate(table(30))]
    well = Run(tmp_path, over_http(endpoint())).answer(pairs)
    server = endpoint(*["500"] * 3, *["slow"] * 2)
    spec = over_http(server, timeout_s=0.2, retries=8)
    run = Run(tmp_path, spec, pgsrm={"micro_batch": {"max_rows": 10}})
    got = run.answer(pairs)
    assert server.served[:5] == ["500"] * 3 + ["slow"] * 2
    assert set(server.served[5:]) == {"well"}
    assert [one["reward_score"] for one in got] == [one["reward_score"] for one in well]
    assert min(one["reward_score"] for one in got) > 0.5


def test_an_outage_is_an_error_for_its_rows_and_never_a_zero(endpoint, tmp_path):
    server = endpoint("500", "500")
    run = Run(tmp_path, over_http(server, retries=1))
    manager, proto = run.manager(), run.proto(run.rows[0], "green")

    async def ask():
        first = await asyncio.gather(*[manager.run_single(proto) for _ in range(5)], return_exceptions=True)
        return first, await manager.run_single(proto)

    first, later = asyncio.run(ask())
    assert [type(one) for one in first] == [ScorerError] * 5
    assert "answered 500" in str(first[0])
    assert later["reward_score"] > 0.5


def test_the_deadline_of_a_micro_batch_is_kept(endpoint, tmp_path):
    spec = over_http(endpoint(*["slow"] * 50))
    run = Run(tmp_path, spec, pgsrm={"micro_batch": {"deadline_s": 0.2}})
    with pytest.raises(ScorerError, match=r"micro_batch\.deadline_s: 0\.2"):
        run.answer([(run.rows[0], "green")])


def test_nan_from_the_encoder_is_an_error(tmp_path):
    run = Run(tmp_path)
    manager = run.manager()

    class Nan:
        identity = manager._rewards.train.encoder.identity

        def encode(self, texts):
            tokens_N, truncated_N = torch.ones(len(texts)), torch.zeros(len(texts), dtype=torch.bool)
            return Embeddings(torch.full((len(texts), 4), math.nan), tokens_N, truncated_N)

    manager._rewards.train._cached.encoder = Nan()
    with pytest.raises(ScorerError, match="a vector that is not finite for 2 of 2 texts"):
        run.answer([(run.rows[0], "green")], manager)
