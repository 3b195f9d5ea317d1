"""Every shape by numbers worked out by hand, and by what must hold whatever the numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsrm_plugin import DataError, RewardSample, SpecError, parse_spec
from pgsrm_plugin.crosscheck import Use, problems
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.shapes import KINDS, Shape
from pgsrm_plugin.shapes.base import AgainstBaselines, log_sigmoid
from pgsrm_plugin.shapes.baselines import Baseline, line
from pgsrm_plugin.spec.jsonschema import json_schema
from pgsrm_plugin.validate import check_samples, row_key


def shape(kind: str, **more: Any) -> Shape:
    own = {"baselines": "policy.jsonl"} if issubclass(KINDS[kind], AgainstBaselines) else {"at": 0.6}
    return KINDS[kind](**{**own, **more})


@pytest.mark.parametrize(
    ("kind", "more", "reward", "scores", "expected"),
    [
        ("par", {"k": 1}, 0.8, (0.5,), 0.5744425),  # 1 / (1 + exp(-.3))
        ("par", {}, 0.8, (0.5,), 0.9525741),  # 1 / (1 + exp(-3))
        ("par", {"k": 5}, 0.6, (0.2, 0.5, 0.9), 0.5618940),  # the mean sigmoid of 2, .5 and -1.5
        ("par", {"k": 7}, 0.4, (0.4,), 0.5),
        ("centered", {}, 0.6, (0.2, 0.5, 0.9), 0.2 / 3),
        ("tanh", {"k": 1}, 0.8, (0.5,), 0.2913126),
        ("tanh", {"k": 5}, 0.8, (0.5,), 2 * 0.9525741 - 1),  # twice the sigmoid of twice the steepness, less 1
        ("lsc", {"k": 1}, 0.8, (0.5,), -0.5543596),  # -log(1 + exp(-(.3 - 1.0364334e-5)))
        ("lsc", {"k": 1}, 0.8, (0.3, 0.7), -0.6478695),  # q = .5 + 1.0364334 (.2 + 1e-5)
        ("lsc", {"k": 2, "quantile": 0.5}, 0.1, (0.5,), -0.8 - math.log1p(math.exp(-0.8))),
        ("clip", {}, 0.9, (0.0,), 0.7),  # mean .5, deviation .2
        ("clip", {}, 0.1, (0.0,), 0.3),
        ("clip", {}, 0.6, (0.0,), 0.6),
        ("clip", {"deviations": 2}, 0.95, (0.0,), 0.9),
        ("meanstd", {}, 0.9, (0.0,), 2.0),
        ("ceil", {}, 0.9, (0.0,), 0.6),
        ("ceil", {}, 0.5, (0.0,), 0.5),
    ],
)
def test_by_hand(kind: str, more: dict[str, Any], reward: float, scores: tuple[float, ...], expected: float) -> None:
    assert shape(kind, **more).shaped(reward, Baseline(scores, 0.5, 0.2)) == pytest.approx(expected, abs=1e-7)


def test_equal_baselines_have_no_deviation_to_divide_by() -> None:
    assert shape("meanstd").shaped(0.75, Baseline((0.5,), 0.5, 0.0)) == 0.25
    assert shape("clip").shaped(0.75, Baseline((0.5,), 0.5, 0.0)) == 0.5


def test_log_sigmoid_is_that_of_the_definition() -> None:
    for value in (-30.0, -1.0, 0.0, 0.5, 30.0):
        assert log_sigmoid(value) == pytest.approx(math.log(1 / (1 + math.exp(-value))), abs=1e-12)
    assert log_sigmoid(-1e4) == -1e4


UNIT = st.floats(0, 1, allow_nan=False)


@pytest.mark.parametrize("kind", KINDS)
@given(rewards=st.lists(UNIT, min_size=2, max_size=6), scores=st.lists(UNIT, min_size=1, max_size=5), data=st.data())
@settings(max_examples=80, deadline=None)
def test_bounds_permutation_and_that_better_is_never_worse(
    kind: str, rewards: list[float], scores: list[float], data: Any
) -> None:
    one, mean = shape(kind), math.fsum(scores) / len(scores)
    std = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    values = [one.shaped(reward, Baseline(tuple(scores), mean, std)) for reward in sorted(rewards)]
    assert all(map(math.isfinite, values))
    assert values == sorted(values)
    low, high = one.reach(0.0, 1.0)
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in values)
    shuffled = Baseline(tuple(data.draw(st.permutations(scores))), mean, std)
    again = [one.shaped(reward, shuffled) for reward in sorted(rewards)]
    assert again == pytest.approx(values, abs=1e-12)


# --- in a reward ------------------------------------------------------------------------------------------------------

TERMS = """
terms: {exact_match: {}, loops: {kind: repetition, ngram: 1}}
weights: {exact_match: 1, loops: -0.5}
"""


def baselines(path: Path, spec_text: str, rows: dict[str, list[float]], reference: str = "blue") -> Path:
    """A file of scores, by prompt, for rows with that reference."""
    spec = parse_spec(spec_text)
    lines = []
    for prompt, scores in rows.items():
        (row,) = check_samples([RewardSample(prompt, "x", (reference,))], spec).rows
        lines.append(line(row_key(row, spec), prompt, spec.unshaped_fingerprint, scores, {}))
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def shaped_spec(text: str, folder: Path, kind: str = "par") -> Any:
    return parse_spec(f"{text}\nshape: {{kind: {kind}, baselines: policy.jsonl}}", folder=folder)


def test_the_reward_is_held_against_its_own_prompt(tmp_path: Path) -> None:
    baselines(tmp_path / "policy.jsonl", TERMS, {"p": [0.5], "q": [1.0, 0.0]})
    reward = SemanticReward(shaped_spec(TERMS, tmp_path))
    rows = [RewardSample(prompt, text, ("blue",)) for prompt, text in (("p", "blue"), ("q", "blue"), ("q", "a a"))]
    out = reward.score(rows)
    sigmoid = lambda value: 1 / (1 + math.exp(-10 * value))  # noqa: E731
    assert out.diagnostics["unshaped"].tolist() == [1.0, 1.0, -0.25]
    assert out.diagnostics["baseline"].tolist() == [0.5, 0.5, 0.5]
    expected = [sigmoid(0.5), (sigmoid(0) + sigmoid(1)) / 2, (sigmoid(-1.25) + sigmoid(-0.25)) / 2]
    assert out.total_B.tolist() == pytest.approx(expected)
    assert out.rewards.tolist() == out.total_B.tolist()
    assert reward.for_validation().score(rows).total_B.tolist() == [1.0, 1.0, -0.25]
    again = reward.score(rows[::-1])
    assert again.total_B.tolist() == out.total_B.tolist()[::-1]


def test_a_masked_row_stays_out(tmp_path: Path) -> None:
    text = TERMS + "unscorable: mask"
    baselines(tmp_path / "policy.jsonl", text, {"p": [0.5]})
    out = SemanticReward(shaped_spec(text, tmp_path)).score([RewardSample("p", "", ("blue",))])
    assert (out.total_B.tolist(), out.scored_B.tolist()) == ([0.0], [False])


def test_a_missing_baseline_says_prompt_and_command(tmp_path: Path) -> None:
    baselines(tmp_path / "policy.jsonl", TERMS, {"p": [0.5]})
    reward = SemanticReward(shaped_spec(TERMS, tmp_path))
    with pytest.raises(DataError) as error:
        reward.check_references([RewardSample("p", "x", ("blue",)), RewardSample("What?", "x", ("blue",))])
    assert str(error.value) == (
        f"row 2: {tmp_path}/policy.jsonl has no score of the starting policy for the prompt 'What?'; run `pgsrm "
        f"baselines generate DATA --spec SPEC --scores {tmp_path}/policy.jsonl ...` with this row in DATA"
    )
    with pytest.raises(
        DataError, match=r"row 1: .* has scores of 'p' against other references, ground truths or switches"
    ):
        reward.score([RewardSample("p", "x", ("red",))])


def test_only_what_the_spec_compares_with_must_be_the_same() -> None:
    spec = parse_spec(TERMS)
    one, other = (RewardSample("p", "x", ("blue",), truth) for truth in ("a", "b"))
    assert row_key(check_samples([one], spec).rows[0], spec) == row_key(check_samples([other], spec).rows[0], spec)
    chat = RewardSample([{"role": "user", "content": "p"}], "x", ("blue",))
    assert row_key(check_samples([one], spec).rows[0], spec) == row_key(check_samples([chat], spec).rows[0], spec)
    judged = parse_spec("terms: {exact_match: {}, correctness: {extract: number}}")
    one, other = (RewardSample("p", "x", ("blue",), truth) for truth in ("1", "2"))
    assert row_key(check_samples([one], judged).rows[0], judged) != row_key(
        check_samples([other], judged).rows[0], judged
    )


def test_scores_of_another_spec_are_refused_and_names_and_caches_make_none(tmp_path: Path) -> None:
    baselines(tmp_path / "policy.jsonl", TERMS, {"p": [0.5]})
    SemanticReward(shaped_spec(TERMS + "name: other\ncache_mb: 1", tmp_path))
    SemanticReward(shaped_spec(TERMS, tmp_path, "tanh"))
    with pytest.raises(SpecError, match=r"shape.baselines: .* has scores of another spec than this one .fingerprints"):
        SemanticReward(shaped_spec(TERMS.replace("0.5", "0.6"), tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "policy.jsonl cannot be read .No such file or directory.; `pgsrm baselines generate DATA --spec"),
        ('{"prompt": "p"}', "policy.jsonl:1: this is no file of `pgsrm baselines generate` .it has: prompt"),
        (
            '{"prompt_digest": "a", "compared_digest": "b", "spec": "c", "scores": []}',
            "'scores' must be a list of numb",
        ),
        ('{"prompt_digest": "a", "compared_digest": "b", "spec": "c", "scores": [NaN]}', "'scores' must be a list"),
        (
            '{"prompt_digest": "a", "compared_digest": "b", "spec": "c", "scores": [1]}\n'
            '{"prompt_digest": "a", "compared_digest": "b", "spec": "d", "scores": [1]}',
            "policy.jsonl:1 and .*policy.jsonl:2 are of different specs",
        ),
    ],
)
def test_a_file_that_is_none_is_said(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "policy.jsonl").write_text(content + "\n")
    with pytest.raises(SpecError, match=message):
        SemanticReward(shaped_spec(TERMS, tmp_path))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    baselines(tmp_path / "policy.jsonl", TERMS, {"p": [0.5]})
    row, spec = [RewardSample("p", "blue", ("blue",))], shaped_spec(TERMS, tmp_path, "centered")
    assert SemanticReward(spec).score(row).total_B.tolist() == [0.5]
    baselines(tmp_path / "policy.jsonl", TERMS, {"p": [0.25]})
    assert SemanticReward(spec).score(row).total_B.tolist() == [0.75]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shape: par", "shape.baselines: required key is missing"),
        ("shape: {kind: preference_as_reward, baselines: x}", "here that is `kind: par`"),
        (
            "shape: {kind: ceil, at: 0.5}\naggregate: group_normalised",
            "gives advantages, which are no rewards to shape",
        ),
        (
            "shape: {kind: par, baselines: x}\naggregate: vote",
            "aggregate: vote says what a response is worth among others",
        ),
        ("shape: {kind: par, baselines: x, k: 0}", "shape.k: "),
    ],
)
def test_a_wrong_shape_is_said(text: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        parse_spec(TERMS + text)
    assert message in str(error.value)


def test_a_ceiling_needs_no_baselines_and_goes_with_a_vote() -> None:
    spec = parse_spec("terms: {exact_match: {}}\naggregate: vote\nshape: {kind: ceil, at: 0.5}")
    rows = [RewardSample("p", text, ("blue",), group=0) for text in ("blue", "red")]
    assert SemanticReward(spec).score(rows).total_B.tolist() == [0.5, 0.0]
    assert spec.reach == (0.0, 0.5)


def test_a_shift_is_refused_where_it_is_undone() -> None:
    spec = parse_spec(TERMS + "shape: {kind: centered, baselines: x}")
    (said,) = problems(spec, Use(subtracts_mean="algorithm: a subtracts the group's mean"))
    assert said.startswith("shape: centered only shifts the rewards of a prompt, and algorithm: a subtracts")
    assert problems(spec, Use()) == []


def test_a_spec_without_a_shape_is_dumped_as_before() -> None:
    assert "shape" not in parse_spec(TERMS).model_dump_json()
    spec = parse_spec(TERMS + "shape: {kind: ceil, at: 0.5}")
    assert parse_spec(yaml.safe_dump(spec.model_dump(mode="json"))).fingerprint == spec.fingerprint
    assert len(json_schema()["properties"]["shape"]["anyOf"]) == len(KINDS) + 1
