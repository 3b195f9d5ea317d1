"""Terms that a row switches on: what counts, what is asked of the row, and what each aggregation does."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from served import InThread

from pgsrm_plugin import DataError, RewardSample, SpecError, parse_spec
from pgsrm_plugin.cli import main
from pgsrm_plugin.reward import SemanticReward, accuracy
from pgsrm_plugin.scorer.scorer import Scorer
from pgsrm_plugin.spec.jsonschema import json_schema
from pgsrm_plugin.terms.when import When

R3 = """
terms:
  exact_match: {when: {column: qtype, equals: closed}}
  form: {kind: format, pattern: ".*!", when: {column: qtype, equals: [open, chat]}}
  loops: {kind: repetition, ngram: 1}
weights: {exact_match: 2, form: 1, loops: -0.5}
"""


def row(response: str, qtype: object, reference: str | None = "blue", **more: Any) -> RewardSample:
    references = () if reference is None else (reference,)
    return RewardSample("p", response, references, columns={"qtype": qtype}, **more)


def test_a_term_that_no_row_switches_on_is_said(tmp_path: Any, capsys: Any, caplog: Any) -> None:
    form = {"kind": "format", "pattern": ".*", "when": {"column": "q", "equals": "opne"}}
    terms = {"exact_match": None, "form": form}
    said = (
        "term 'form' counts on none of the rows: 'q' is 'closed', 'open', and `when` wants 'opne'; did you mean 'open"
    )
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({"terms": terms}))
    rows = [{"prompt": "p", "response": "a", "reference": "a", "q": q} for q in ("open", "closed", "open")]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    arguments = ["score", str(tmp_path / "rows.jsonl"), "--spec", str(tmp_path / "spec.yaml")]
    with pytest.raises(SystemExit):
        main([*arguments, "--out", str(tmp_path / "out.jsonl")])
    assert said in capsys.readouterr().err
    reward = SemanticReward(parse_spec(yaml.safe_dump({"terms": terms})))
    reward.check_references([RewardSample("p", "a", ("a",), columns={"q": row["q"]}) for row in rows])
    assert said in caplog.text
    caplog.clear()
    reward.check_references([RewardSample("p", "a", ("a",), columns={"q": q}) for q in ("open", "opne")])
    assert caplog.text == ""


def test_a_term_counts_where_its_column_says_so() -> None:
    reward = SemanticReward(parse_spec(R3))
    rows = [row("blue", "closed"), row("blue", "open", None), row("blue!", "chat", None), row("a a", "closed")]
    out = reward.score(rows)
    assert out.total_B.tolist() == pytest.approx([2.0, 0.0, 1.0, -0.25])
    columns = out.columns()
    assert columns["reward/on/exact_match"].tolist() == [1, 0, 0, 1]
    assert columns["reward/on/form"].tolist() == [0, 1, 1, 0]
    assert "reward/on/loops" not in columns
    assert columns["reward/exact_match"].tolist() == [1, 0, 0, 0]
    assert columns["reward/form/weighted"].tolist() == [0, 0, 1, 0]


def test_equal_texts_of_rows_that_differ_in_the_switch_are_two_rows() -> None:
    reward = SemanticReward(parse_spec(R3))
    out = reward.score([row("blue", "closed"), row("blue", "open"), row("blue", "closed")])
    assert out.total_B.tolist() == [2.0, 0.0, 2.0]
    assert out.stats["distinct_rows"] == 2


def test_values_are_compared_as_texts() -> None:
    when = When(column="level", equals=[3, True, "x"])
    assert when.equals == ("3", "true", "x")
    spec = parse_spec("terms: {exact_match: {when: {column: info.level, equals: 3}}, form: {kind: format, pattern: x}}")
    reward = SemanticReward(spec)
    for info in ({"level": 3}, {"level": 3.0}, {"level": "3"}, '{"level": 3}'):
        sample = RewardSample("p", "blue", ("blue",), columns={"info": info})
        assert reward.score([sample]).diagnostics["on/exact_match"].tolist() == [1.0], info
    assert reward.score([RewardSample("p", "x", ("x",), columns={"info": {"level": 30}})]).total_B.tolist() == [1.0]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (
            row("blue", None),
            "row 1: field 'qtype' is missing, and term 'exact_match' is switched by it .the row has: q",
        ),
        (RewardSample("p", "r", ("r",)), "row 1: field 'qtype' is missing, .* .the row has: no others"),
        (row("blue", ["closed"]), "row 1: field 'qtype' must be text or a number, not a list"),
        (row("blue", "closed", None), "row 1: field 'reference' is missing, and term 'exact_match' compares with it"),
    ],
)
def test_a_row_that_does_not_say_or_lacks_what_its_terms_need_is_refused(sample: RewardSample, message: str) -> None:
    with pytest.raises(DataError, match=message):
        SemanticReward(parse_spec(R3)).score([sample])


def test_a_row_on_which_nothing_counts_is_refused() -> None:
    spec = parse_spec("terms: {exact_match: {when: {column: qtype, equals: closed}}}")
    with pytest.raises(DataError, match=r"row 1: no term with a weight counts on it .qtype is 'open'.; see `when`"):
        SemanticReward(spec).score([row("blue", "open")])


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("{column: q, equals: []}", "terms.exact_match.when.equals"),
        ("{column: q, equals: [[1]]}", "field 'equals' must be text or a number, not a list"),
        ("{column: q, equals: null}", "field 'equals' is missing"),
        ("{field: q, equals: 1}", "write `column`"),
        ("{equals: 1}", "when.column: required key is missing"),
    ],
)
def test_a_wrong_switch_is_said(when: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        parse_spec(f"terms: {{exact_match: {{when: {when}}}}}")
    assert message in str(error.value)


def test_a_spec_without_switches_is_dumped_as_before() -> None:
    assert "when" not in parse_spec("terms: {exact_match: {}}").model_dump_json()
    spec = parse_spec(R3)
    again = parse_spec(yaml.safe_dump(spec.model_dump(mode="json", exclude_none=True)))
    assert again.fingerprint == spec.fingerprint
    (column, equals) = json_schema()["$defs"]["When"]["properties"].values()
    assert column["type"] == "string"
    assert {one.get("type") for one in equals["anyOf"]} >= {"string", "boolean", "array"}


def test_a_gate_on_a_term_that_is_off_closes_nothing_and_changes_no_term_that_is_off() -> None:
    spec = parse_spec(R3 + "gates: [{term: form, at_least: 1}]")
    out = SemanticReward(spec).score([row("blue", "closed"), row("blue", "open")])
    assert out.diagnostics["gate_failed"].tolist() == [0, 1]
    assert out.total_B.tolist() == [2.0, -0.5]  # the fault's worst
    assert out.weighted["exact_match"].tolist() == [2.0, 0.0]


def test_a_fault_that_is_off_is_not_charged_where_a_gate_closes() -> None:
    spec = parse_spec("""
terms: {form: {kind: format, pattern: x}, loops: {kind: repetition, when: {column: qtype, equals: open}}}
weights: {form: 1, loops: -0.5}
gates: [{term: form, at_least: 1}]
""")
    out = SemanticReward(spec).score([row("blue", "open"), row("blue", "closed")])
    assert out.total_B.tolist() == [-0.5, 0.0]


def test_an_unscorable_row_gets_the_worst_of_the_terms_that_count() -> None:
    spec = parse_spec("encoder: {kind: hashing}\n" + R3.replace("exact_match: {", "exact_match: {kind: semantic, "))
    spec = spec.model_copy(
        update={
            "terms": {
                **spec.terms,
                "exact_match": spec.terms["exact_match"].model_copy(update={"transform": "euclidean"}),
            }
        }
    )
    out = SemanticReward(spec).score([row("", "closed"), row("", "open")])
    assert out.total_B.tolist() == [-2.5, -0.5]


def test_right_is_what_the_verdict_says_that_counts() -> None:
    spec = parse_spec("""
terms:
  correctness: {extract: number, when: {column: qtype, equals: sum}}
  exact_match: {when: {column: qtype, equals: [sum, word]}}
  form: {kind: format, pattern: ".*"}
""")
    samples = [
        row("it is 7", "sum", "it is 7!", ground_truth="7"),
        row("it is 8", "sum", "it is 8", ground_truth="7"),
        row("blue", "word", "blue"),
        row("blue", "free", "blue"),
        row("red", "free", "blue"),
    ]
    out = SemanticReward(spec).score(samples)
    assert accuracy(out, samples, spec).tolist() == [1, 0, 1, 1, 0]


def test_guards_look_at_the_rows_that_have_references() -> None:
    spec = parse_spec(
        "encoder: {kind: hashing}\n"
        + R3.replace("exact_match: {", "exact_match: {kind: semantic, ")
        + "guards: {length: {}}"
    )
    reward = SemanticReward(spec)
    rows = [row("blue " * 99, "closed"), row("blue " * 99, "open", None), row("", "open", None)]
    found = reward.score(rows).diagnostics["guard/length"].tolist()
    assert found[0] > 0.5
    assert found[1:] == [0.0, 0.0]
    assert reward.score(rows[1:]).diagnostics["guard/length"].tolist() == [0.0, 0.0]


# --- every way to a reward --------------------------------------------------------------------------------------------

ROWS = [
    {"prompt": "p", "response": "blue", "reference": "blue", "qtype": "closed"},
    {"prompt": "q", "response": "blue!", "qtype": "open"},
]


def test_the_command_line(tmp_path: Any) -> None:
    spec, data, out = tmp_path / "r3.yaml", tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    spec.write_text(R3)
    data.write_text("".join(json.dumps(one) + "\n" for one in ROWS))
    with pytest.raises(SystemExit) as stopped:
        main(["score", str(data), "--spec", str(spec), "--out", str(out)])
    assert stopped.value.code == 0
    assert [json.loads(line)["reward"] for line in out.read_text().splitlines()] == [2.0, 1.0]


def test_spec_check_says_where_a_term_counts(tmp_path: Any, capsys: Any) -> None:
    (tmp_path / "r3.yaml").write_text(R3)
    with pytest.raises(SystemExit):
        main(["spec", "check", str(tmp_path / "r3.yaml")])
    assert "term       form (format), weight 1, where qtype is open or chat\n" in capsys.readouterr().out


def test_a_scorer_and_a_service() -> None:
    spec = parse_spec(R3)
    with Scorer(spec) as scorer:
        here = scorer.score_rows(ROWS)
        assert scorer.facts.columns == ("qtype",)
    assert [one["reward"] for one in here] == [2.0, 1.0]
    with InThread(SemanticReward(spec)) as service, Scorer(service.url) as scorer:
        assert scorer.score_rows(ROWS) == here
        with pytest.raises(DataError, match="field 'qtype' is missing"):
            scorer.score_rows([{**ROWS[0], "qtype": None}])
