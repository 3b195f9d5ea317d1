"""`pgsrm audit`: what it measures, writes and refuses."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pgsrm_plugin.audit.attacks import ATTACKS
from pgsrm_plugin.audit.attacks.looped_reference import LoopedReference
from pgsrm_plugin.audit.auditing import AuditPlan, audit
from pgsrm_plugin.audit.card import Card
from pgsrm_plugin.audit.card_page import render_card
from pgsrm_plugin.audit.findings import by_row, damage_of, length_correlation, spread_within
from pgsrm_plugin.audit.form import Form
from pgsrm_plugin.audit.good_answers import Graded
from pgsrm_plugin.audit.limits import limit_names
from pgsrm_plugin.audit.pay import Paid, Paymaster, as_audited
from pgsrm_plugin.audit.targets import Target, drawn_rows, read_rows_of
from pgsrm_plugin.audit.trial import Tried
from pgsrm_plugin.data.rows import Columns, parse_row
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec import parse_spec

TOY = "name: toy\nencoder: {kind: hashing}\nterms: {semantic: {}}\n"
WICKED = "</td><script>alert(1)</script>{{ 6 * 7 }}"
FACTS = [
    ("Why is a tomato red?", "Ripe tomatoes hold lycopene, which is red.", "Lycopene makes a ripe tomato red."),
    ("Why does iron rust?", "Iron rusts because oxygen takes its electrons.", "Oxygen and water turn iron to rust."),
    ("When was the bridge built?", "The bridge was built in 1932.", "They built the bridge in 1932."),
    ("Who paid?", "Ann paid Bob for the boat.", "Bob got the money for the boat from Ann."),
    ("Why is the sky blue?", "Air scatters blue light more than red light.", "Blue light is scattered by the air."),
    ("What is steam?", "Steam is water that is a gas.", "It is gaseous water, made by heat."),
]


def rows(references: int = 2) -> list[dict[str, Any]]:
    return [{"prompt": prompt, "references": list(texts)[:references]} for prompt, *texts in FACTS]


def run(content: list[dict[str, Any]], tmp_path: Path, spec: str = TOY, **settings: Any) -> Card:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    parsed = parse_spec(spec)
    found = read_rows_of(path, Columns(), parsed.text, judged=True)
    reward = SemanticReward(as_audited(parsed))
    return audit(AuditPlan(parsed, "toy", "rows.jsonl", Form.of(parsed), **settings), found, Paymaster(reward))


def read_rows_of_text(content: list[dict[str, Any]]) -> list[Target]:
    return [
        Target(record, str(record.prompt), record.references)
        for number, row in enumerate(content)
        for record in parse_row(row, str(number), responses=False)
    ]


def attack(card: Card, kind: str):
    return next(one for one in card.attacks if one.kind == kind)


# --- what it measures -------------------------------------------------------------------------------------------------


def test_with_two_references_the_last_is_the_good_answer(tmp_path):
    card = run(rows(), tmp_path)
    assert card.good_from == {"other references": 6}
    looped = attack(card, "looped_reference")
    assert (looped.rows, looped.left_out) == (6, 0)
    assert looped.examples[0].bar == looped.examples[0].good < looped.examples[0].reward
    assert looped.success.value == 1.0
    assert looped.auc == 1.0 - 1.0 or looped.auc < 0.5  # the loop is nearer to the reference than a paraphrase
    assert attack(card, "master_key").success.count == 0
    assert attack(card, "changed_number").rows == 1
    assert attack(card, "universal_text").left_out == 3
    assert "Ann paid Bob" in {one.reference[:12] for one in attack(card, "swapped_roles").examples}
    assert card.notes == [] or "earn no more" in card.notes[0]


def test_with_one_reference_it_is_itself_the_good_answer_and_the_bar_is_half_way(tmp_path):
    card = run(rows(1), tmp_path)
    assert card.good_from == {"the reference itself": 6}
    assert card.good_mean == pytest.approx(1.0, abs=1e-6)
    assert "the reference itself serves as their good answer" in card.notes[0]
    assert card.bar == "half-way from another row's reference to the row's own"
    bar = attack(card, "master_key").examples[0].bar
    assert bar == pytest.approx((1.0 + card.unrelated_mean) / 2, abs=1e-6)
    assert attack(card, "shuffled_words").success.value == 1.0
    assert attack(card, "other_reference").success.count == 0


def test_right_responses_are_the_good_answers(tmp_path):
    spec = "terms: {exact_match: {against: ground_truth}}"
    content = [
        {"prompt": "a", "reference": "yes", "ground_truth": "yes", "responses": ["Yes", "no", "yes sir"]},
        {"prompt": "b", "reference": "no", "ground_truth": "no", "responses": ["yes", "maybe"]},
        {"prompt": "c", "reference": "green", "ground_truth": "green", "response": "green"},
    ]
    card = run(content, tmp_path, spec)
    assert card.good_from == {"responses": 2, "the reference itself": 1}
    assert card.good_mean == 1.0
    assert max(one.success.count for one in card.attacks) == 0


def test_a_row_with_three_responses_is_measured_by_them():
    def paid(reward: float, chars: int) -> Paid:
        return Paid(reward, False, False, chars, False, {})

    (target,) = read_rows_of_text(rows(1)[:1])
    own = (paid(0.1, 5), paid(0.3, 9), paid(0.2, 7))
    good = ("x", paid(0.9, 1))
    tried = [Tried(LoopedReference(), [("y", paid(0.5, 50))])]
    with_own = Graded(target, "the reference itself", (good,), own)
    assert by_row([with_own], tried) == [list(own)]
    assert length_correlation(own) == 1.0
    (both,) = by_row([Graded(target, "the reference itself", (good,), own[:2])], tried)
    assert both == [good[1], paid(0.5, 50)]
    assert length_correlation(both) == -1.0
    assert spread_within([own, both]) == pytest.approx(((0.02 / 3 + 0.04) / 2) ** 0.5)


def test_rows_of_one_prompt_and_reference_are_one(tmp_path):
    twice = [{**row, "response": text} for row in rows(1) for text in ("so", "or so")]
    card = run(twice, tmp_path)
    assert (card.rows, card.rows_in_data) == (6, 6)


def test_a_threshold_takes_the_good_answers_place(tmp_path):
    card = run(rows(), tmp_path, threshold=0.99)
    assert card.bar == "a reward of 0.99 or more"
    assert attack(card, "shuffled_words").success.count < 6
    assert {one.bar for each in card.attacks for one in each.examples} == {0.99}


def test_attacks_wear_the_specs_tags_with_a_wrong_answer(tmp_path):
    spec = (
        "encoder: {kind: hashing}\ntext: {answer_tag: why}\n"
        "terms: {semantic: {}, correctness: {}, format: {tags: [why, answer]}}\n"
        "weights: {semantic: 0.5, correctness: 0.3, format: 0.2}"
    )
    content = [{**row, "ground_truth": "AB"[number % 2]} for number, row in enumerate(rows(1))]
    card = run(content, tmp_path, spec)
    assert card.form == "<why>{text}</why><answer>{answer}</answer>"
    assert card.good_mean == pytest.approx(1.0)
    looped, empty = attack(card, "looped_reference"), attack(card, "empty_tags")
    assert looped.unscorable == 0.0
    assert 0.2 + 0.5 * 0.8 < looped.mean <= 0.7  # form and likeness, but not the answer
    assert (empty.unscorable, empty.mean) == (1.0, 0.0)


def test_nothing_is_a_success_that_earns_no_more_than_what_cannot_be_scored(tmp_path):
    card = run(rows(), tmp_path, "terms: {exact_match: {}}")
    assert card.good_mean == 0.0
    assert max(one.success.count for one in card.attacks) == 0
    assert card.unpaid.value == 1.0
    assert "pays too little for what is right" in card.notes[-1]


def test_group_normalised_and_mask_are_scored_row_by_row(tmp_path):
    card = run(rows(), tmp_path, TOY + "aggregate: group_normalised\nunscorable: raise\n")
    assert attack(card, "looped_reference").mean == attack(run(rows(), tmp_path), "looped_reference").mean
    assert [re.sub(r"[,(].*", "", note) for note in card.notes[-2:]] == [
        "Scored with aggregate: sum",
        "Scored with unscorable: floor ",
    ]


def test_noise_is_none_where_texts_are_cleaned_and_some_where_they_are_not(tmp_path):
    assert run(rows(), tmp_path, "terms: {bleu: {}}").noise == 0.0
    card = run(rows(), tmp_path)  # the toy encoder counts trigrams of characters, spaces too
    assert card.noise > 0.01
    assert card.noise_share == card.noise / card.spread


def test_a_guards_damage_is_how_often_it_fires_on_good_answers_and_on_which(tmp_path):
    (target,) = read_rows_of_text([{"prompt": "p", "reference": "r"}])
    paid = [
        Paid(1.0, False, False, 3, True, {"order": share, "numbers": 0.0}, words={"order": ("a", "b")} if share else {})
        for share in (0.0, 0.5)
    ]
    found = damage_of([Graded(target, "other references", tuple(zip(("fine", "cut"), paid, strict=True)), ())])
    assert (found["order"].fires.value, found["order"].mean, found["numbers"].fires.count) == (0.5, 0.25, 0)
    (example,) = found["order"].examples
    assert (example.text, example.words, example.violation) == ("cut", ("a", "b"), 0.5)
    assert found["numbers"].examples == []


def test_the_card_shows_the_words_that_made_a_guard_fire(tmp_path):
    """A changed number is the attack that the guard sees; "They built the bridge in 1932." against 2032 is damage."""
    content = rows()
    content[2]["references"][1] = "They built the bridge in 2032."
    card = run(content, tmp_path, TOY + "guards: {numeric_consistency: {}}")
    (example,) = attack(card, "changed_number").examples
    assert set(example.fired) == {"numeric_consistency"}
    assert "1932" in example.fired["numeric_consistency"]
    damage = card.damage["numeric_consistency"]
    assert (damage.fires.count, damage.fires.of) == (1, 6)
    assert set(damage.examples[0].words) == {"1932", "2032"}
    page = render_card(card)
    assert "<th>numeric_consistency</th><td>16.7 %</td>" in page
    assert "<small>numeric_consistency: " in page
    assert "2032, 1932" in page or "1932, 2032" in page


def test_the_same_card_twice_and_from_rows_in_another_order(tmp_path):
    def numbers(card: Card) -> dict[str, Any]:
        found = {**card.as_dict(), "seconds": 0}
        for one in found["attacks"]:
            one["examples"] = [{**each, "row": ""} for each in one["examples"]]
        return found

    first = numbers(run(rows(), tmp_path))
    assert numbers(run(rows(), tmp_path)) == first
    other = numbers(run(rows()[::-1], tmp_path))
    for one, again in zip(first["attacks"], other["attacks"], strict=True):
        assert (one["kind"], one["success"], one["examples"]) == (again["kind"], again["success"], again["examples"])
        assert one["mean"] == pytest.approx(again["mean"])
    assert numbers(run(rows(), tmp_path, seed=1)) != first


def test_the_sample_depends_on_the_rows_and_not_on_their_order(tmp_path):
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps({"prompt": str(n), "reference": f"text {n}"}) + "\n" for n in range(40)))
    found = read_rows_of(path, Columns(), parse_spec(TOY).text, judged=True)
    drawn = drawn_rows(found, 7, seed=0)
    assert len(drawn) == 7
    assert {one.asked for one in drawn_rows(found[::-1], 7, seed=0)} == {one.asked for one in drawn}
    assert {one.asked for one in drawn_rows(found, 7, seed=1)} != {one.asked for one in drawn}
    assert drawn_rows(found, 100, seed=0) == found


# --- the page ---------------------------------------------------------------------------------------------------------


class Structure(HTMLParser):
    """Tags that close, what is fetched, and headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_self_contained(tmp_path):
    card = run(rows(), tmp_path)
    text = render_card(card, "pgsrm audit toy.yaml rows.jsonl")
    found = Structure(text)
    assert found.open == []
    assert found.addresses == []
    assert not found.tags & {"script", "link", "img", "iframe"}
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert text.count("<details") == sum(1 for one in card.attacks if one.examples)
    for one in card.attacks:
        assert f"<th>{one.title}<small" in text
    assert "pgsrm audit toy.yaml rows.jsonl</pre>" in text


def test_what_rows_hold_is_escaped(tmp_path):
    content = [{"prompt": f"{WICKED} {number}", "references": [f"{WICKED} so {number}", "x"]} for number in range(4)]
    text = render_card(run(content, tmp_path))
    assert "<script" not in text
    assert "&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;{{ 6 * 7 }}" in text


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.yaml").write_text(TOY)
    return str(tmp_path / "toy.yaml")


def test_the_command_writes_card_and_json(pgsrm, toy, jsonl, tmp_path):
    ended = pgsrm("audit", toy, jsonl("rows.jsonl", rows()), "--json", "card.json", "--rows", 4)
    assert ended.status == 0, ended.err
    found = json.loads((tmp_path / "card.json").read_text())
    assert (found["rows"], found["rows_in_data"], found["data"]) == (4, 6, "rows.jsonl")
    assert {one["kind"] for one in found["attacks"]} == {kind.kind for kind in ATTACKS}
    assert found["attacks"][0]["success"]["value"] == max(one["success"]["value"] or 0 for one in found["attacks"])
    assert "<title>Reward card: toy</title>" in (tmp_path / "reward-card.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in (tmp_path / "reward-card.html").read_text(encoding="utf-8").split("<h2>Settings")[1]
    for title in ("looped reference", "universal text", "master key"):
        assert title in ended.out
    assert max(map(len, ended.out.split("good answers:")[0].splitlines())) <= 80


@pytest.mark.parametrize(
    ("gates", "status", "said"),
    [
        (["max_success.master_key=0.01", "max_unscorable=0", "min_auc.master_key=0.5", "max_damage=0"], 0, ""),
        (["max_success=1"], 0, ""),
        (["max_success=0.01"], 1, "pgsrm: max_success is 1, and the gate allows 0.01"),
        (["max_mean=2", "min_auc=0.99", "max_mean.looped_reference=0.1"], 1, "pgsrm: min_auc is"),
        (["max_sucess=0.01"], 2, "there is no 'max_sucess'; did you mean 'max_success'? (known: max_success, max_mean"),
        (["max_success.loop_reference=1"], 2, "did you mean 'max_success.looped_reference'?"),
        (["max_success"], 2, "--gate 'max_success' must be max_success=NUMBER"),
        (["max_success=x"], 2, "--gate 'max_success=x' must be max_success=NUMBER"),
        (["max_success=nan"], 2, "must be max_success=NUMBER"),
        (["max_success.listed_options=0"], 2, "--gate max_success.listed_options: this audit could not measure it"),
    ],
)
def test_a_gates_exit_status(pgsrm, toy, jsonl, gates, status, said):
    long = [
        {**row, "references": [f"{one} And that is all there is to say." for one in row["references"]]}
        for row in rows()
    ]
    ended = pgsrm("audit", toy, jsonl("rows.jsonl", long), *(part for gate in gates for part in ("--gate", gate)))
    assert ended.status == status, ended.err
    assert said in ended.err
    assert len(ended.err.splitlines()) == (0 if status == 0 else 2 if len(gates) == 3 else 1)


def test_every_gate_has_a_value(tmp_path):
    assert {"max_success", "min_auc", "max_success.master_key", "max_noise", "max_damage"} <= set(limit_names())


@pytest.mark.parametrize(
    ("content", "spec", "said"),
    [
        ([{"prompt": "a"}, {"prompt": "b"}], TOY, "no row has a reference, and attacks are made of references; name"),
        ([{"prompt": "a", "reference": "x"}], TOY, "an audit needs rows of at least 2 prompts: one attack is another"),
        (
            [{"prompt": "a", "reference": "x"}, {"prompt": "b"}],
            TOY,
            "rows.jsonl:2: field 'reference' is missing, and attacks are made of it",
        ),
        (
            [{"prompt": "a", "reference": "x"}, {"prompt": "b", "reference": " "}],
            TOY,
            "rows.jsonl:2: field 'reference': number 1 is empty once it is cleaned",
        ),
        (
            [{"prompt": "a", "reference": "x", "ground_truth": "1"}, {"prompt": "b", "reference": "y"}],
            "terms: {correctness: {extract: number}}",
            "rows.jsonl:2: field 'ground_truth' is missing, and term 'correctness' compares with it",
        ),
        ([], TOY, "rows.jsonl"),
    ],
)
def test_bad_input_gets_one_sentence(pgsrm, jsonl, tmp_path, monkeypatch, content, spec, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(spec)
    ended = pgsrm("audit", tmp_path / "spec.yaml", jsonl("rows.jsonl", content))
    assert ended.status == 2
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "reward-card.html").exists()


def test_a_form_without_a_place_and_a_place_that_cannot_be_written(pgsrm, toy, jsonl, tmp_path):
    data = jsonl("rows.jsonl", rows())
    assert "has no place for the text" in pgsrm("audit", toy, data, "--form", "x").err
    for option, name in (("--html", "card.html"), ("--json", "card.json")):
        ended = pgsrm("audit", toy, data, option, tmp_path / "new" / name)
        told = " ".join(ended.err.split())
        assert (ended.status, f"{option}: there is no folder" in told, "create it first" in told) == (2, True, True)
