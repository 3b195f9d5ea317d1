"""`pgsrm evaluate`, run in this process through main()."""

from __future__ import annotations

import json
from importlib import import_module

import pytest

from pgsrm_plugin import load_spec
from pgsrm_plugin.cli.evaluate import split_inputs

TOY = "{encoder: {kind: hashing}, terms: {semantic: {}, repetition: {}}, weights: {semantic: 1, repetition: -0.5}}"
PAIRS = [
    {"prompt": f"p{i}", "reference": "a purple car", "good": "a purple cart", "bad": bad, "subset": bad}
    for i, bad in enumerate(["green", "a purple cart", "a purple car", "a a a a a a"])
]
RATINGS = [
    {"prompt": prompt, "reference": "purple", "response": text, "rating": rating}
    for prompt in "pq"
    for text, rating in (("purple", 5), ("purples", 4), ("green", 1))
]


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(TOY)
    return path


def test_specs_stand_side_by_side(pgsrm, jsonl, toy):
    found = pgsrm("evaluate", toy, "binary", jsonl("d.jsonl", PAIRS))
    assert (found.status, found.err) == (0, "")
    lines = {
        line.split("│")[1].strip(): line.split("│")[2:-1] for line in found.out.splitlines() if line.count("│") == 5
    }
    assert [cell.strip() for cell in lines["all pairs (micro)"]] == [
        "4",
        "0.500 [0.15, 0.85] 1 tie",
        "0.000 [0.00, 0.49] 3 ties",
    ]
    assert [cell.split()[0] for cell in lines["green"]] == ["1", "1.000", "0.000"]
    assert "ties (closer than 1e-6) count as wrong" in found.out


def test_the_builtin_pairs_are_the_default(pgsrm, tmp_path, toy):
    named, left_out = tmp_path / "named.json", tmp_path / "left_out.json"
    assert pgsrm("evaluate", toy, "builtin", "--json", named).status == 0
    assert pgsrm("evaluate", toy, "--json", left_out).status == 0
    assert named.read_bytes() == left_out.read_bytes()
    (spec,) = json.loads(named.read_text())["specs"]
    values = {one["name"]: one["value"] for one in spec["measures"]}
    assert len(values) == 19
    assert values["master_key"] > 0.8
    assert values["role_swap"] < 0.1


def test_ratings_and_labels(pgsrm, jsonl, toy):
    found = pgsrm("evaluate", toy, jsonl("d.jsonl", RATINGS))
    assert "Kendall's tau-b, within prompts │ 2 │ 1.000 [1.00, 1.00]" in found.out
    labels = [{**row, "rating": None, "label": row["rating"] > 3} for row in RATINGS]
    assert "ROC AUC │ 6 │ 1.000 [1.00, 1.00]" in pgsrm("evaluate", toy, jsonl("l.jsonl", labels)).out
    both = jsonl("b.jsonl", [{**row, "label": row["rating"] > 3} for row in RATINGS])
    assert "ROC AUC" in pgsrm("evaluate", toy, both, "--as", "labels").out


def test_a_spec_with_other_keys_stands_beside_it(pgsrm, jsonl, tmp_path, toy):
    numbers = tmp_path / "n.json"
    change = "{name: alone, weights: {semantic: 0, repetition: -1}}"
    found = pgsrm(
        "evaluate", toy, jsonl("d.jsonl", PAIRS), "--with", change, "--with", "aggregate: renorm", "--json", numbers
    )
    assert found.status == 0, found.err
    specs = json.loads(numbers.read_text())["specs"]
    assert [one["spec"] for one in specs] == ["toy", "alone", "aggregate: renorm"]
    values = [{one["name"]: one["value"] for one in spec["measures"]} for spec in specs]
    assert values[0] == values[2], "a shift"
    assert values[0] != values[1]
    for change, said in (
        ("[1]", "must be a mapping of a spec's keys"),
        ("aggregate: prod", "no kind 'prod'"),
        ("a: [", "no"),
    ):
        found = pgsrm("evaluate", toy, jsonl("d.jsonl", PAIRS), "--with", change)
        assert (found.status, said in found.err) == (2, True), found.err
    found = pgsrm("evaluate", toy, jsonl("d.jsonl", PAIRS), "--with", "name: x", "--fit")
    assert (found.status, "leave out --with" in found.err) == (2, True)


def test_answers_to_a_prompt_may_be_scored_as_a_group(pgsrm, jsonl, tmp_path, toy):
    """Alone a vote is the sum, which is never even here; in the group of three it has one winner, so two are even."""
    data, numbers = jsonl("d.jsonl", RATINGS), tmp_path / "n.json"

    def tau(*more):
        assert (
            pgsrm("evaluate", toy, data, "--with", "{name: vote, aggregate: vote}", "--json", numbers, *more).status
            == 0
        )
        return [spec["measures"][0]["value"] for spec in json.loads(numbers.read_text())["specs"]]

    assert tau() == [1.0, 1.0]
    more = [part for name in "abcd" for part in ("--with", f"name: {name}")]
    shown = pgsrm("evaluate", toy, data, *more).out
    assert "│ d " in shown, "a row a spec, where there are many"
    said = pgsrm("evaluate", toy, data, "--with", "{name: vote, aggregate: vote}").err
    assert "vote: answers are scored one by one, by aggregate: sum instead of vote; --grouped scores" in said
    assert "toy: answers" not in said
    alone, voted = tau("--grouped")
    assert alone == 1.0
    assert 0 < voted < 1
    found = pgsrm("evaluate", toy, jsonl("p.jsonl", PAIRS), "--grouped")
    assert (found.status, "--grouped is for ratings" in found.err) == (2, True)


def test_the_page_is_written(pgsrm, jsonl, tmp_path, toy):
    pytest.importorskip("plotly")
    page = tmp_path / "out.html"
    assert pgsrm("evaluate", toy, jsonl("d.jsonl", PAIRS), "--html", page).status == 0
    assert "Agreement with people: d.jsonl" in page.read_text(encoding="utf-8")


def test_fit_writes_a_spec_that_loads(pgsrm, jsonl, tmp_path, toy):
    out = tmp_path / "fitted.yaml"
    found = pgsrm("evaluate", toy, jsonl("d.jsonl", PAIRS), "--fit", "--out", out)
    assert (found.status, found.err) == (0, "")
    fitted = load_spec(out)
    assert sum(map(abs, fitted.weights.values())) == pytest.approx(1, abs=1e-3)
    assert fitted.terms == load_spec(toy).terms
    assert f"weights: {{semantic: {fitted.weights['semantic']:g}" in found.out
    assert "on pairs left out of the fit (4 folds)" in found.out
    assert pgsrm("evaluate", out, "builtin").status == 0


@pytest.mark.parametrize(
    ("given", "split"),
    [
        (["a"], (["a"], "builtin")),
        (["a", "b.yaml"], (["a", "b.yaml"], "builtin")),
        (["a", "b.yaml", "c.jsonl"], (["a", "b.yaml"], "c.jsonl")),
        (["a", "builtin"], (["a"], "builtin")),
        (["a", "c.csv"], (["a"], "c.csv")),
    ],
)
def test_the_data_are_the_last_argument_unless_it_is_a_spec(given, split):
    assert split_inputs(given) == split


def test_one_encoder_serves_specs_that_share_it(monkeypatch, toy):
    from pgsrm_plugin.encoders.hashing import HashingEncoderSpec

    built = []
    monkeypatch.setattr(
        HashingEncoderSpec, "build", lambda self, old=HashingEncoderSpec.build: built.append(1) or old(self)
    )
    rewards = import_module("pgsrm_plugin.cli.evaluate")._build(["one", "two"], [load_spec(toy), load_spec(toy)])
    assert (len(built), rewards[0].encoder is rewards[1].encoder) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{d}"], "there is no spec to evaluate on {d}; name one before it, e.g. pgsrm evaluate pgsrm {d}"),
        (["{d}", "{toy}"], "{d} is data, not a spec; give the specs first, and one file of data after them"),
        (["{toy}", "{d}", "--out", "x.yaml"], "--out is where --fit writes the spec; add --fit, or use --json"),
        (["{toy}", "binary", "{d}", "--fit"], "--fit fits the weights of one spec, not of 2; name one"),
        (["{toy}", "{r}", "--fit"], "{r}: --fit learns from pairs (good and bad answers), and these are ratings"),
        (["{toy}", "{d}", "--json", "x.txt"], "--json x.txt: the extension must be .json, not '.txt'"),
        (["{toy}", "{d}", "--html", "no/x.html"], "--html: there is no folder no to write x.html to; create it first"),
        (["{toy}", "no.csv"], "no.csv: the extension must be .jsonl or .parquet, not '.csv'"),
        (["{toy}x", "{d}"], "{toy}x"),
        (["tooy", "{d}"], "tooy: there is no such spec file"),
        (["{toy}", "{one}"], "no prompt has two responses of different ratings"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(pgsrm, jsonl, tmp_path, monkeypatch, toy, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    files = {"d": jsonl("d.jsonl", PAIRS), "r": jsonl("r.jsonl", RATINGS), "toy": str(toy)}
    files["one"] = jsonl("one.jsonl", RATINGS[1:4:2])
    found = pgsrm("evaluate", *(argument.format(**files) for argument in arguments))
    assert found.status == 2
    assert complaint.format(**files) in found.err
    assert found.err.count("\n") == 1
    assert not list(tmp_path.glob("x.*"))


def test_a_spec_that_cannot_be_computed_is_named(pgsrm, jsonl, tmp_path):
    path = tmp_path / "lost.yaml"
    path.write_text("{encoder: {kind: hf, model: ./nowhere}, terms: {semantic: {}}}")
    found = pgsrm("evaluate", path, jsonl("d.jsonl", PAIRS))
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith(f"pgsrm: {path}: ")


def test_html_without_plotly_is_said_before_the_work(pgsrm, jsonl, tmp_path, monkeypatch, toy):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = pgsrm("evaluate", toy, jsonl("d.jsonl", PAIRS), "--html", tmp_path / "o.html")
    assert (found.status, found.err) == (2, "pgsrm: --html needs plotly: pip install 'pgsrm-plugin[demo]'\n")
