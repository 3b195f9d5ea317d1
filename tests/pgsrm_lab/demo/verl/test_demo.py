"""`pgsrm demo-verl`: what it reads out of verl's and Lightning's records; the whole demo in the slow tier."""

from __future__ import annotations

import io
import json
import re

import pytest

pytest.importorskip("verl", reason="verl is not installed")
pytest.importorskip("lightning")
pytest.importorskip("plotly")

from minilm import needs_minilm
from rich.console import Console
from rich.progress import Progress, TextColumn

from pgsrm_lab.demo.display import Stages
from pgsrm_lab.demo.verl import backends, compare_trainers, metrics
from pgsrm_lab.demo.verl.trainer_settings import TrainersPlan, lightning_config, verl_overrides
from pgsrm_lab.tasks import colour_mixing
from pgsrm_plugin import DataError, SpecError
from pgsrm_plugin.report import read_run
from pgsrm_plugin.report.templates import environment


def log_line(step: int, **data) -> str:
    return json.dumps({"step": step, "data": data}) + "\n"


def test_verls_metrics_get_the_reports_names_and_clock(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        log_line(0, **{"val-core/train/acc/mean@1": 0.25, "val-aux/held_out/pgsrm/semantic/mean@1": 0.5})
        + log_line(1, **{"critic/score/mean": 0.1, "actor/kl_loss": 0.0, "actor/entropy": 2, "perf/total": 9.0})
        + log_line(2, **{"critic/score/mean": 0.2, "val-core/train/acc/mean@1": 0.75, "timing_s/reward": 0.5})
    )
    assert metrics.verl_points(path) == {
        0: {
            "val/train/accuracy": 0.25,
            "val/held_out/semantic": 0.5,
            "train/reward": 0.1,
            "train/kl": 0.0,
            "train/entropy": 2.0,
        },
        1: {"train/reward": 0.2, "time/reward_s": 0.5},
        2: {"val/train/accuracy": 0.75},
    }


def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert metrics.verl_points(path) == {}
    path.write_text(log_line(1, **{"actor/entropy": 2.0}) + '{"step": 2, "data": {"actor/en')
    assert metrics.verl_points(path) == {0: {"train/entropy": 2.0}}


def test_lightnings_validation_is_counted_after_its_step(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train/reward,val/train/accuracy\n0,0,0.1,\n0,1,0.2,\n0,1,,0.5\n0,2")
    assert metrics.lightning_points(path) == {
        0: {"train/reward": 0.1},
        1: {"train/reward": 0.2},
        2: {"val/train/accuracy": 0.5},
    }


def test_points_go_into_the_reports_file(tmp_path):
    metrics.write_points({10: {"b": 2.0}, 0: {"a": 1.0, "b": 0.5}}, tmp_path)
    assert (tmp_path / "metrics.csv").read_text().split() == ["step,a,b", "0,1.0,0.5", "10,,2.0"]


def test_seconds_are_summed_by_part():
    points = {0: {"time/reward_s": 0.5, "train/kl": 3.0}, 1: {"time/reward_s": 0.25, "time/update_s": 1.0}}
    assert metrics.seconds(points) == {"reward": 0.75, "update": 1.0}


def test_validation_is_read_off_rollouts():
    rows = [
        {"split": "val/train", "accuracy": 1.0, "reward/semantic": 1.0},
        {"split": "val/train", "accuracy": 0.0, "reward/semantic": 0.5},
        {"split": "val/held_out", "accuracy": 0.0, "reward/semantic": 0.0},
    ]
    assert metrics.validation_points(rows) == {
        "val/train/accuracy": 0.5,
        "val/train/semantic": 0.75,
        "val/held_out/accuracy": 0.0,
        "val/held_out/semantic": 0.0,
    }


def test_verls_validation_responses_become_rollouts(tmp_path):
    entry = {"input": "p", "output": " red", "gts": "gray", "score": 0.5, "pgsrm/semantic": 0.5}
    entry |= {"pgsrm/semantic/weighted": 0.5, "acc": 0.0}
    for step in (0, 40):
        (tmp_path / f"{step}.jsonl").write_text(json.dumps(entry) + "\n")
    first, last = metrics.verl_rollouts(tmp_path, 40, {"p": "held_out"})
    assert first == {
        "step": 0,
        "split": "val/held_out",
        "when": "start",
        "prompt": "p",
        "response": " red",
        "references": ["gray"],
        "accuracy": 0.0,
        "reward": 0.5,
        "reward/semantic": 0.5,
        "reward/semantic/weighted": 0.5,
    }
    assert (last["step"], last["when"]) == (40, "end")
    with pytest.raises(DataError, match=r"0.jsonl:1: 'p' is no prompt of the task"):
        metrics.verl_rollouts(tmp_path, 40, {"q": "train"})
    with pytest.raises(DataError, match=r"41.jsonl: verl wrote no validation responses"):
        metrics.verl_rollouts(tmp_path, 41, {"p": "train"})


def test_both_sides_get_the_same_settings(tmp_path):
    plan = TrainersPlan(
        tmp_path, steps=7, prompts=6, group=5, learning_rate=3e-4, entropy=0.5, kl=0.25, clip=0.1, epochs=3
    )
    verl = dict(item.split("=", 1) for item in verl_overrides(plan, tmp_path, tmp_path))
    config = lightning_config(plan, tmp_path, tmp_path)
    grpo, actor = config["model"]["grpo"], "actor_rollout_ref.actor"
    assert float(verl[f"{actor}.optim.lr"]) == grpo["lr_actor"] == 3e-4
    assert float(verl[f"{actor}.entropy_coeff"]) == grpo["entropy_coef"] == 0.5
    assert float(verl[f"{actor}.kl_loss_coef"]) == grpo["kl"]["coef"] == 0.25
    assert float(verl[f"{actor}.clip_ratio"]) == grpo["clip"] == 0.1
    assert int(verl[f"{actor}.ppo_epochs"]) == grpo["epochs"] == 3
    assert int(verl["actor_rollout_ref.rollout.n"]) == grpo["group_size"] == 5
    assert int(verl["data.train_batch_size"]) == int(verl[f"{actor}.ppo_mini_batch_size"]) == 6
    assert config["data"]["prompts_per_step"] == 6
    assert int(verl["trainer.total_training_steps"]) == config["trainer"]["max_steps"] == 7
    assert verl["actor_rollout_ref.model.path"] == config["model"]["child"]
    assert verl["+pgsrm.spec"] == config["model"]["spec"]


def test_a_workers_share_is_one_micro_batch(tmp_path):
    verl = dict(
        item.split("=", 1) for item in verl_overrides(TrainersPlan(tmp_path, workers=3, prompts=24), tmp_path, tmp_path)
    )
    assert int(verl["actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"]) == 24 * 8 // 3
    with pytest.raises(SpecError, match="5 workers cannot share 192 responses a step evenly"):
        TrainersPlan(tmp_path, workers=5, prompts=24)


def test_progress_is_told_in_lines_where_there_is_no_terminal():
    out = io.StringIO()
    with Progress(TextColumn("{task.fields[note]}"), console=Console(file=out)) as progress:
        stages = Stages(progress)
        stages.begin("verl", 12)
        for done in range(1, 13):
            stages.steps({step: {"train/reward": step / 10} for step in range(done)} | {0: {"val/train/accuracy": 0.5}})
        stages.steps({11: {"train/reward": 1.1}})
    lines = [line for line in out.getvalue().splitlines() if line.startswith("verl: ")]
    assert lines == [
        "verl: starts",
        "verl: step 10 of 12  reward 0.90  accuracy 0.50",
        "verl: step 12 of 12  reward 1.10  accuracy 0.50",
    ]


def test_verls_prompts_are_the_tokens_that_lightning_sees(tmp_path):
    from transformers import AutoTokenizer

    from pgsrm_lab.tiny import models

    task = colour_mixing()
    models.train_tokenizer([f"{p} {a}" for p, a in task.expert.items()]).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"n_head": 4}')
    backends.fit_for_verl(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["num_key_value_heads"] == 4
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    prompt = task.train_prompts[0]
    chat = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True)
    assert list(chat["input_ids"] if hasattr(chat, "keys") else chat) == tokenizer(prompt)["input_ids"]


def test_the_pages_sentences_have_the_plans_numbers(tmp_path):
    template = environment("pgsrm_lab.demo.verl").get_template("two_trainers.html.j2")
    context = template.new_context({"plan": TrainersPlan(tmp_path), "task": colour_mixing()})
    text = "".join(template.blocks["method"](context))
    assert "a run answered 14,400 prompts" in text
    assert "larger by the factor 1.07" in text  # the root of 8 / 7


@pytest.mark.slow
@pytest.mark.timeout(900)
@needs_minilm
def test_three_steps_of_the_whole_demo(tmp_path):
    with pytest.raises(SystemExit) as ended:
        compare_trainers.main(["--steps", "3", "--out", str(tmp_path), "--time-limit", "400"])
    assert ended.value.code == 0
    verl, lightning = (read_run(tmp_path / name) for name in ("verl", "lightning"))
    for metric in ("val/train/accuracy", "val/held_out/accuracy", "val/train/semantic"):
        assert verl.metric(metric).steps == lightning.metric(metric).steps == (0, 3)
        assert verl.metric(metric).values[0] == pytest.approx(lightning.metric(metric).values[0], abs=1e-6)
    for metric in ("train/reward", "train/kl", "train/entropy", "train/response_tokens", "train/clip_fraction"):
        assert verl.metric(metric).steps == lightning.metric(metric).steps == (0, 1, 2)
    assert verl.metric("train/entropy").values[0] == pytest.approx(lightning.metric("train/entropy").values[0], abs=0.2)
    assert verl.info.episodes == lightning.info.episodes == 3 * 75 * 8
    assert len(verl.rollouts) == len(lightning.rollouts) == 2 * 90
    page = (tmp_path / "report.html").read_text()
    assert page.count("<figure>") == 9
    assert str(tmp_path) not in page
    assert re.search(r"With verl, accuracy on training prompts went from [\d.]+ % to", page)
