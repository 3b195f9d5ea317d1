"""Each of the five tasks can be warm-started from its stated answers, without a parent model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer, GPT2LMHeadModel

from pgsrm_lab import tiny
from pgsrm_lab.tasks import PGSRM_TASKS, load_task
from pgsrm_lab.tiny.models import sampled_accuracy
from pgsrm_plugin.data.rows import read_records


@pytest.mark.parametrize("name", PGSRM_TASKS)
def test_a_childs_tokenizer_fits_the_answers_into_the_papers_new_tokens(tmp_path: Path, name: str) -> None:
    task = load_task(name)
    answers = tiny.store_expert_answers(task, tmp_path)
    assert answers == task.expert
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "parent")
    for prompt, answer in answers.items():
        assert len(tokenizer(f" {answer}")["input_ids"]) + 1 <= task.new_tokens
        assert tokenizer.decode(tokenizer(f"{prompt} {answer}")["input_ids"]) == f"{prompt} {answer}"
    stored = [json.loads(line) for line in (tmp_path / "parent.jsonl").read_text().splitlines()]
    assert [(row["prompt"], row["parent"]) for row in stored] == [(prompt, "stated") for prompt in task.prompts]
    tiny.write_prompts(task, answers, tmp_path)
    assert len(read_records(tmp_path / "train.jsonl", responses=False)) == len(task.train_prompts)
    assert (tmp_path / "held_out.jsonl").exists() == bool(task.held_out_prompts)


@pytest.mark.parametrize("name", ["antonyms", "inversion"])
def test_a_child_is_warm_started_on_words_and_on_sentences(tmp_path: Path, name: str) -> None:
    task, reached = load_task(name), list[float]()
    answers = tiny.store_expert_answers(task, tmp_path)
    tiny.warm_start_child(task, answers, tmp_path, tiny.Size(layers=2, width=128), 0.05, reached.append)
    child = GPT2LMHeadModel.from_pretrained(tmp_path / "child")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "child")
    wanted = [answers[prompt] for prompt in task.train_prompts]
    knows = sampled_accuracy(child, tokenizer, task.train_prompts, wanted)
    assert knows == pytest.approx(reached[-1], abs=1e-5)
    assert knows >= 0.05 > reached[0]
