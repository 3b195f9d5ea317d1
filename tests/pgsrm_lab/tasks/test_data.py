"""The PGSRM paper's tasks beside colour mixing: numbers, prompts and answers as it has them, and how they were made."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from statistics import fmean

import pytest

from pgsrm_lab.tasks import PGSRM_TASKS, TASKS, load_task
from pgsrm_lab.tasks.make.__main__ import HERE, main, sentence_files
from pgsrm_lab.tasks.make.frames import choose, fillings, words
from pgsrm_lab.tasks.make.wordnet import DEBIAN, WordNet
from pgsrm_plugin.errors import DataError

PAPER = {
    "colours": (90, 2, r"Mix the two colors and output only one lowercase color name: (\w+ and \w+) is =>"),
    "antonyms": (94, 2, r"The opposite of '([a-z]+)' is"),
    "categories": (100, 2, r"What category does this word belong to: '([a-z]+)'\?"),
    "copying": (100, 10, r"Copy this sentence: '([A-Z][A-Za-z ]+\.)'"),
    "inversion": (101, 10, r"Rewrite this as sad: '([A-Z][A-Za-z ]+\.)'"),
}
"""How many prompts the paper trains on, its longest answer in tokens, and the wording of the prompt."""


def asked(name: str, prompts: tuple[str, ...]) -> list[str]:
    matches = [re.fullmatch(PAPER[name][2], prompt) for prompt in prompts]
    assert all(matches), prompts
    return [match[1] for match in matches if match]


def test_there_are_the_papers_five_tasks() -> None:
    assert list(PGSRM_TASKS) == list(PAPER)
    assert set(PGSRM_TASKS) < set(TASKS)


@pytest.mark.parametrize("name", PAPER)
def test_numbers_and_wording_are_the_papers(name: str) -> None:
    task = load_task(name)
    assert (task.name, len(set(task.paper_prompts)), task.new_tokens) == (name, *PAPER[name][:2])
    assert len(set(asked(name, task.prompts))) == len(task.prompts)
    assert set(task.train_prompts) <= set(task.paper_prompts) <= set(task.prompts)
    assert set(task.expert) == set(task.mistakes) == set(task.prompts)
    assert not set(task.train_prompts) & set(task.held_out_prompts)
    assert all(task.mistakes[prompt] != task.expert[prompt] for prompt in task.prompts)
    assert TASKS[name]() == task


@pytest.mark.parametrize(("name", "mean"), [("copying", 4.25), ("inversion", 6.3)])
def test_sentences_are_as_long_as_the_papers(name: str, mean: float) -> None:
    task = load_task(name)
    lengths = [len(words(sentence)) for sentence in asked(name, task.paper_prompts)]
    assert fmean(lengths) == pytest.approx(mean, abs=0.05)
    # A token a word, the full stop, and the end of the text.
    assert max(len(words(answer)) for answer in task.expert.values()) + 2 <= task.new_tokens


@pytest.mark.parametrize("name", ["antonyms", "categories"])
def test_word_tasks_answer_with_one_word_and_hold_nothing_out(name: str) -> None:
    task = load_task(name)
    assert all(re.fullmatch("[a-z]+", answer) for answer in task.expert.values())
    assert task.held_out_prompts == ()
    with pytest.raises(DataError, match=f"task '{name}' has no held-out prompts. None is held out: a child"):
        task.split("held_out")


def test_some_answers_that_every_child_knows() -> None:
    antonyms, categories = load_task("antonyms").expert, load_task("categories").expert
    assert antonyms["The opposite of 'hot' is"] == "cold"
    assert antonyms["The opposite of 'king' is"] == "queen"
    assert categories["What category does this word belong to: 'carrot'?"] == "vegetable"
    assert categories["What category does this word belong to: 'iron'?"] == "metal"
    assert {list(categories.values()).count(category) for category in categories.values()} == {10}


def test_a_copy_is_the_sentence_and_its_mistake_one_word_off() -> None:
    task = load_task("copying")
    for sentence, prompt in zip(asked("copying", task.prompts), task.prompts, strict=True):
        assert task.expert[prompt] == sentence
        right, wrong = sentence.split(), task.mistakes[prompt].split()
        assert [a == b for a, b in zip(right, wrong, strict=True)] == [True] * (len(right) - 1) + [False]


def test_an_inversion_replaces_glad_words_and_nothing_else() -> None:
    task = load_task("inversion")
    replaced = set()
    for sentence, prompt in zip(asked("inversion", task.prompts), task.prompts, strict=True):
        both = list(zip(words(sentence), words(task.expert[prompt]), strict=True))
        changed = {pair for pair in both if pair[0] != pair[1]}
        assert changed, sentence
        replaced |= changed
    glad, sad = {a for a, _ in replaced}, {b for _, b in replaced}
    assert not glad & sad
    assert len(glad) == len(sad) == len(replaced)
    assert {("wonderful", "terrible"), ("love", "hate"), ("happy", "sad")} <= replaced


@pytest.mark.parametrize("name", ["copying", "inversion"])
def test_every_held_out_word_is_trained_on(name: str) -> None:
    task = load_task(name)
    assert len(task.held_out_prompts) == 25
    train, held_out = (asked(name, prompts) for prompts in (task.train_prompts, task.held_out_prompts))
    assert {word for text in held_out for word in words(text)} <= {word for text in train for word in words(text)}
    assert {words(text)[0] for text in held_out} <= {words(text)[0] for text in train}


def test_an_unknown_task_or_split_names_the_nearest() -> None:
    with pytest.raises(DataError, match="no task 'color'; did you mean 'colours'"):
        load_task("color")
    with pytest.raises(DataError, match=r"no split 'heldout'; did you mean 'held_out'\? \(splits: train, held_out, "):
        load_task("copying").split("heldout")


# How they were made


def test_the_committed_sentences_are_what_the_script_makes() -> None:
    for name, text in sentence_files().items():
        assert (HERE / name).read_text(encoding="utf-8") == text


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="WordNet is not installed (apt-get install wordnet-base)")
def test_the_committed_words_are_what_the_script_makes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--out", str(tmp_path)])
    assert "antonyms.csv: 94 rows" in capsys.readouterr().out
    for made in tmp_path.iterdir():
        assert made.read_bytes() == (HERE / made.name).read_bytes()


def test_a_folder_without_wordnet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no WordNet database; install one: apt-get install wordnet-base"):
        WordNet(tmp_path)


def test_frames_are_filled_on_both_sides() -> None:
    slots = {"who": "Anna Tom", "mood": "glad|sad", "when": "last_night"}
    pairs = fillings("{who} was {mood} {when}.", slots)
    assert pairs == [
        ("Anna was glad last night.", "Anna was sad last night."),
        ("Tom was glad last night.", "Tom was sad last night."),
    ]


def test_held_out_sentences_have_no_new_words_and_no_new_first_word() -> None:
    slots = {"a": "A B C D", "x": "p q r s"}
    train, held_out = choose(["{a} {x}."], slots, {2: 6}, {2: 10}, seed=1)
    assert len(train) == len(set(train)) == 6
    known = {word for first, _ in train for word in words(first)}
    assert held_out
    assert not set(train) & set(held_out)
    assert all(set(words(first)) <= known for first, _ in held_out)


def test_the_wordnet_reader_follows_a_small_database(tmp_path: Path) -> None:
    up = "00000000 05 a 01 up 0 001 ! 00000047 a 0101 | \n"
    down = "00000047 05 a 01 down 0 001 ! 00000000 a 0101 | \n"
    animal, dog = "00000000 05 n 01 animal 0 000 | \n", "00000033 05 n 01 dog 0 001 @ 00000000 n 0000 | \n"
    assert (len(up), len(animal)) == (47, 33)
    for part, data, index in (
        ("adj", up + down, "up a 1 1 ! 1 0 00000000\ndown a 1 1 ! 1 0 00000047\n"),
        ("noun", animal + dog, "animal n 1 0 1 0 00000000\ndog n 1 1 @ 1 0 00000033\n"),
        ("verb", "", ""),
        ("adv", "", ""),
    ):
        (tmp_path / f"data.{part}").write_text(data)
        (tmp_path / f"index.{part}").write_text("  1 a licence\n" + index)
    wordnet = WordNet(tmp_path)
    assert wordnet.first_antonym("up", "a") == "down"
    assert wordnet.first_antonym("dog", "n") is None
    assert wordnet.ancestors("dog") == [33, 0]


def test_the_licence_of_each_file_is_stated() -> None:
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    for path in HERE.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            assert next(csv.reader(file))
    for path in [*HERE.glob("*.csv"), *HERE.glob("*.jsonl")]:
        assert f"`{path.name}`" in readme
    assert "Princeton University" in (HERE / "LICENSE.wordnet").read_text(encoding="utf-8")
