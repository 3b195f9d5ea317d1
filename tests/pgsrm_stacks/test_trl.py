"""TRL's own trainers on the reward: a tiny child learns, terms are logged, rows are masked or refused, outages stop."""

from __future__ import annotations

import asyncio
import math
import pickle
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from embedding_server import EmbeddingServer

pytest.importorskip("trl")

from pgsrm_plugin.errors import DataError, ScorerError, SpecError
from pgsrm_plugin.scorer.batching import MicroBatchSettings
from pgsrm_plugin.scorer.scorer import Scorer
from pgsrm_stacks.trl import TrlReward

RECIPE = Path(__file__).parents[2] / "recipes" / "stacks" / "trl_grpo.py"
SPEC = "name: colours\nencoder: {kind: hashing}\nterms: {semantic: {}, exact_match: {}}\n"
QUICK = MicroBatchSettings(max_wait_ms=0, deadline_s=20)


@pytest.fixture
def spec(tmp_path):
    """Writes a spec."""

    def write(text: str = SPEC) -> str:
        path = tmp_path / "spec.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def trained(tiny_child, tmp_path):
    """Trains with a reward on questions after the second colour; the trainer afterwards."""

    def train(reward, kind="GRPO", steps=2, lr=0.0, data=None):
        import trl
        from datasets import Dataset

        args = getattr(trl, f"{kind}Config")(
            output_dir=str(tmp_path / "out"),
            max_steps=steps,
            num_generations=8,
            per_device_train_batch_size=72,
            max_completion_length=1,
            learning_rate=lr,
            lr_scheduler_type="constant",
            beta=0.0,
            use_cpu=True,
            bf16=False,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=1,
        )
        colours = ("red", "blue", "green")
        rows = data or [{"prompt": f"mix {a} and {b} is", "answer": b} for a in colours for b in colours]
        trainer = getattr(trl, f"{kind}Trainer")
        trainer = trainer(tiny_child, reward_funcs=reward, args=args, train_dataset=Dataset.from_list(rows))
        trainer.train()
        return trainer

    return train


def logged(trainer, name):
    return [log[name] for log in trainer.state.log_history if name in log]


@pytest.mark.parametrize("kind", ["GRPO", "RLOO"])
def test_a_child_learns_and_each_number_is_logged(kind, spec, trained):
    trainer = trained(TrlReward(spec(), limits=QUICK), kind, steps=60, lr=5e-3)
    rewards = logged(trainer, "reward")
    assert len(rewards) == 60
    # Chance is one in eight tokens.
    assert sum(rewards[:5]) / 5 < 0.6 < 1.6 < sum(rewards[-5:]) / 5
    assert logged(trainer, "rewards/pgsrm/mean") == pytest.approx(rewards, abs=1e-5)
    sums = [a + b for a, b in zip(logged(trainer, "pgsrm/semantic"), logged(trainer, "pgsrm/exact_match"), strict=True)]
    assert sums == pytest.approx(rewards, abs=1e-5)
    for name in ("pgsrm/acc", "pgsrm/scored", "pgsrm/unscorable", "pgsrm/semantic/weighted"):
        assert len(logged(trainer, name)) == 60


def test_a_service_gives_the_same_run(spec, trained):
    from served import InThread

    from pgsrm_plugin.reward import SemanticReward

    with InThread(SemanticReward.from_file(spec())) as service:
        served = trained(TrlReward(service.url, limits=QUICK), steps=3, lr=1e-2)
    assert logged(served, "reward") == logged(trained(TrlReward(spec()), steps=3, lr=1e-2), "reward")


def test_a_failing_encoder_stops_the_run(spec, trained):
    with EmbeddingServer() as server:
        reward = TrlReward(
            spec(f"encoder: {{kind: http, base_url: {server.url}, model: x, retries: 0}}\nterms: {{semantic: {{}}}}\n")
        )
        server.faults += ["500"] * 99
        with pytest.raises(ScorerError, match="answered 500"):
            trained(reward)


def test_rows_without_an_answer_stop_the_run(spec, trained):
    with pytest.raises(DataError, match=r"rows\[0\]: field 'reference' is missing"):
        trained(TrlReward(spec()), data=[{"prompt": "mix red and blue is", "colour": "blue"}] * 9)
    other = trained(TrlReward(spec(), reference_field="colour"), data=[{"prompt": "is", "colour": "blue"}] * 9)
    assert len(logged(other, "reward")) == 2


MASKED = SPEC + "unscorable: mask\n"
ROWS = {"prompts": ["a", "b"], "answer": ["red", "red"]}


def test_a_masked_row_is_left_out_where_trl_can(spec, trained):
    reward = TrlReward(spec(MASKED), limits=QUICK)
    trainer = trained(reward, steps=1)
    seen = []

    def log(self, name, value):
        seen.append((name, value))

    type(trainer)._log_metric, kept = log, type(trainer)._log_metric
    try:
        some = trainer._calculate_rewards([{"prompt": "a", "answer": "red"}] * 2, ["a"] * 2, ["", "red"], [[1]] * 2)
        names = [name for name, _ in seen]
        seen.clear()
        none = trainer._calculate_rewards([{"prompt": "a", "answer": "red"}] * 2, ["a"] * 2, ["", ""], [[1]] * 2)
    finally:
        type(trainer)._log_metric = kept
    assert [math.isnan(one) for one in some[:, 0].tolist()] == [True, False]
    assert some[1, 0] == 2.0
    assert none.isnan().all()
    assert [name for name, _ in seen] == names, "every rank logs the same"
    assert all(math.isfinite(value) for _, value in seen)


def test_a_mask_is_refused_where_none_would_be_0(spec, trained):
    reward = TrlReward(spec(MASKED), limits=QUICK)
    message = (
        "unscorable: mask cannot take a response out of the loss of TRL below 1.6, OnlineDPO, AsyncGRPO, or several"
    )
    with pytest.raises(SpecError, match=message):
        reward(completions=["", "red"], **ROWS)
    with pytest.raises(SpecError, match=message):
        trained([reward, lambda completions, **columns: [1.0] * len(completions)], steps=1)


def test_whole_groups_are_refused(spec):
    with pytest.raises(SpecError, match="needs whole groups, and here responses come one by one"):
        TrlReward(spec(SPEC + "aggregate: group_normalised\n"))(completions=["", "red"], **ROWS)


def test_one_function_a_term(spec, trained):
    with Scorer(spec(), limits=QUICK) as scorer:
        functions = [TrlReward(scorer, term=term) for term in ("semantic", "exact_match")]
        assert [one(completions=["blue", "red"], **ROWS) for one in functions] == [[0.0, 1.0], [0.0, 1.0]]
        trainer = trained(functions, steps=1)
        assert len(logged(trainer, "rewards/pgsrm_semantic/mean")) == 1
        with pytest.raises(SpecError, match="the spec has no term 'semantics'; did you mean 'semantic'"):
            TrlReward(scorer, term="semantics")(completions=["blue", "red"], **ROWS)


def test_a_copy_for_another_process(spec):
    reward = TrlReward(spec(), term="semantic", limits=QUICK)
    copy = pickle.loads(pickle.dumps(reward))
    assert copy(completions=["blue", "red"], **ROWS) == reward(completions=["blue", "red"], **ROWS)
    assert copy.__name__ == "pgsrm_semantic"


def test_async_grpo_scores_a_group(spec):
    worker = pytest.importorskip("trl.experimental.async_grpo.async_rollout_worker")
    itself = SimpleNamespace(
        reward_funcs=[TrlReward(spec(), limits=QUICK)],
        reward_func_names=["pgsrm"],
        _env_reward_types=[],
        _provides_rollout_reward=False,
    )
    group = SimpleNamespace(
        prompts=["a", "a"],
        completions=["red", "blue"],
        completions_ids=[[1], [2]],
        reward_kwargs={"answer": ["red", "red"]},
        completions_sequences=[[SimpleNamespace(input_ids=[1], completion_mask=[1], old_log_probs=[0.0])]] * 2,
        tool_call_counts=[0, 0],
        tool_failure_counts=[0, 0],
        env_rewards=[None, None],
        model_version=0,
        group_id=0,
    )
    samples = asyncio.run(worker._AsyncRolloutLoop._score_group(itself, group))
    assert [one.metrics["reward"] for one in samples] == [2.0, 0.0]
    assert [one.advantage for one in samples] == pytest.approx([1.0, -1.0])


def test_online_dpo_calls_it(spec, tiny_child, tmp_path):
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

    args = OnlineDPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[], max_new_tokens=1)
    data = Dataset.from_list([{"prompt": "mix red and blue is", "answer": "blue"}] * 8)
    reward = TrlReward(spec(), limits=QUICK)
    tokenizer = AutoTokenizer.from_pretrained(tiny_child)
    trainer = OnlineDPOTrainer(
        tiny_child, reward_funcs=reward, args=args, train_dataset=data, processing_class=tokenizer
    )
    rewards = trainer._calculate_rewards_from_functions(["a", "a"], ["red", "blue"], [[1], [2]], answer=["red", "red"])
    assert rewards.flatten().tolist() == [2.0, 0.0]


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_the_recipe_trains(algorithm, spec, tiny_child, colour_file, tmp_path, monkeypatch, capfd):
    rows = Path(colour_file).read_text().replace('"reference"', '"answer"')
    (tmp_path / "rows.jsonl").write_text(rows)
    told = f"--model {tiny_child} --data {tmp_path}/rows.jsonl --reward {spec()} --algorithm {algorithm} --steps 2"
    monkeypatch.setattr(sys, "argv", ["x", *told.split(), "--group", "2", "--tokens", "1", "--cpu", "--out", "out"])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(RECIPE), run_name="__main__")
    assert "pgsrm/exact_match" in capfd.readouterr().out


@pytest.mark.slow
def test_two_ranks_log_the_same_and_do_not_wait_for_each_other(spec, tiny_child, colour_file, tmp_path):
    """One rank may have masked rows only: were its names others than the other's, TRL's gathering would hang."""
    rows = Path(colour_file).read_text().replace('"reference"', '"answer"')
    (tmp_path / "rows.jsonl").write_text(rows)
    told = f"--model {tiny_child} --data {tmp_path}/rows.jsonl --reward {spec(MASKED)} --steps 6 --cpu"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(RECIPE)]
    ran = subprocess.run(
        [*command, *told.split(), "--group", "4", "--tokens", "1", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout.count("'pgsrm/semantic'") >= 6
