"""Rows that people judged: what is read, how the kind is found, and what is said about faulty ones."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgsrm_plugin.audit.people.judgements import find_data_kind, read_judgements
from pgsrm_plugin.errors import DataError

PAIR = {"prompt": "p", "reference": "r", "good": "g", "bad": "b"}
RATED = {"prompt": "p", "reference": "r", "response": "a", "rating": 3}
LABELLED = {"prompt": "p", "reference": "r", "response": "a", "label": 1}


def test_a_pair_has_two_answers_to_one_prompt(jsonl):
    found = read_judgements(jsonl("d.jsonl", [{**PAIR, "references": ["r", "s"], "reference": None, "kind": "k"}]))
    (pair,) = found.pairs
    assert (found.kind, len(found), pair.section) == ("pairs", 1, "k")
    assert (pair.good.response, pair.bad.response, pair.good.references) == ("g", "b", ("r", "s"))
    assert pair.good.group == pair.bad.group


def test_rewardbenchs_rows_are_pairs(tmp_path):
    path = tmp_path / "filtered.parquet"
    row = {"prompt": "p", "chosen": "c", "chosen_model": "m", "rejected": "x", "subset": "llmbar-natural", "id": 1}
    pq.write_table(pa.Table.from_pylist([row]), path)
    (pair,) = read_judgements(path).pairs
    assert (pair.good.response, pair.bad.response, pair.section) == ("c", "x", "llmbar-natural")


def test_answers_may_be_messages(jsonl):
    chosen, rejected = ([{"role": "user", "content": "p"}, {"role": "assistant", "content": one}] for one in "cx")
    (pair,) = read_judgements(jsonl("d.jsonl", [{"prompt": "p", "chosen": chosen, "rejected": rejected}])).pairs
    assert (pair.good.response, pair.bad.response) == ("c", "x")


@pytest.mark.parametrize(("names", "section"), [(("section", "kind", "subset"), "0"), (("subset",), "0"), ((), "")])
def test_the_section_is_the_first_of_three_columns(jsonl, names, section):
    row = {**PAIR, **{name: number for number, name in enumerate(names)}}
    assert read_judgements(jsonl("d.jsonl", [row])).pairs[0].section == section


@pytest.mark.parametrize("score", ["rating", "score"])
def test_ratings_have_a_number_and_a_group(jsonl, score):
    rows = [{**RATED, "rating": None, score: value, "group": group} for value, group in ((1, "a"), (2.5, None))]
    found = read_judgements(jsonl("d.jsonl", rows))
    assert (found.kind, [one.value for one in found.answers]) == ("ratings", [1.0, 2.5])
    assert found.answers[0].sample.group == "a"
    assert str(found.answers[1].sample.group).startswith("prompt:")


def test_labels_are_zero_and_one_in_any_form(jsonl):
    rows = [{**LABELLED, "label": label} for label in (0, 1, True, False, 1.0, "true", "False", "0")]
    found = read_judgements(jsonl("d.jsonl", rows))
    assert (found.kind, [one.value for one in found.answers]) == ("labels", [0, 1, 1, 0, 1, 1, 0, 0])


def test_what_could_be_two_kinds_must_be_named(jsonl):
    path = jsonl("d.jsonl", [{**RATED, "label": 0}, {**RATED, "label": 1, "rating": 1}])
    with pytest.raises(DataError, match=r"the rows could be ratings or labels; say which, e\.g\. --as ratings"):
        read_judgements(path)
    assert read_judgements(path, "labels").kind == "labels"


def test_rows_that_nobody_judged_are_refused():
    with pytest.raises(DataError) as refused:
        find_data_kind([("d:1", {"prompt": "p", "response": "a"})], "d.jsonl")
    assert str(refused.value) == (
        "d.jsonl: nothing in the rows says what people think of them: pairs have good and bad (or chosen and "
        "rejected), ratings have rating (or score), labels have label (these have: prompt, response)"
    )


@pytest.mark.parametrize(
    ("row", "kind", "complaint"),
    [
        ({"prompt": "p", "good": "g"}, None, "field 'bad' (or 'rejected') is missing (the row has: prompt, good)"),
        ({**PAIR, "bad": None}, None, "field 'bad' is null"),
        ({**PAIR, "bad": None, "rejected": float("nan")}, None, "field 'bad' is null"),
        ({"prompt": "p", "bad": "b"}, None, "field 'good' (or 'chosen') is missing (the row has: prompt, bad)"),
        ({**PAIR, "good": 3}, None, "field 'good' must be text, not the number 3"),
        ({**PAIR, "good": ["a", "b"]}, None, "field 'good' has 2 texts; write a row for each of them"),
        ({**PAIR, "kind": ["k"]}, None, "the section must be text, not a list"),
        ({"good": "g", "bad": "b"}, None, "field 'prompt' is missing (the row has: good, bad)"),
        ({**RATED, "rating": "high"}, None, "field 'rating' must be a number, not text"),
        ({**RATED, "rating": True}, None, "field 'rating' must be a number, not true"),
        ({**RATED, "rating": float("inf")}, None, "field 'rating' must be a number, not the number inf"),
        (PAIR, "ratings", "field 'rating' (or 'score') is missing (the row has: prompt, reference, good, bad)"),
        ({**LABELLED, "label": 2}, None, "field 'label' must be 0 or 1 (or true or false), not the number 2"),
        ({**LABELLED, "response": None, "responses": ["a", "b"]}, None, "field 'responses' has 2 texts; write a row"),
    ],
)
def test_a_faulty_row_gets_a_sentence(jsonl, row, kind, complaint):
    path = jsonl("d.jsonl", [row])
    with pytest.raises(DataError) as refused:
        read_judgements(path, kind)
    message = str(refused.value)
    assert message.startswith(f"{path}:1")
    assert complaint in message
    assert "\n" not in message


def test_every_faulty_row_is_counted(jsonl, tmp_path):
    path = jsonl("d.jsonl", [PAIR, *[{"prompt": "p", "good": "g"}] * 7])
    with (tmp_path / "d.jsonl").open("a") as file:
        file.write("no json\n")
    with pytest.raises(DataError) as refused:
        read_judgements(path)
    lines = str(refused.value).splitlines()
    assert len(lines) == 6
    assert lines[-1] == "and 3 more rows are wrong"


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (LABELLED, "all 3 rows have label 1, so nothing can be told apart; add rows with label 0"),
        ({**LABELLED, "label": 0}, "all 3 rows have label 0, so nothing can be told apart; add rows with label 1"),
        (RATED, "all 3 rows have rating 3, so nothing can be told apart; add rows that people rated otherwise"),
    ],
)
def test_rows_judged_alike_are_refused(jsonl, row, complaint):
    with pytest.raises(DataError) as refused:
        read_judgements(path := jsonl("d.jsonl", [row] * 3))
    assert str(refused.value) == f"{path}: {complaint}"
