"""The part is the file: no kind is named outside its own, and other packages add theirs without a fork."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

import pytest

from pgsrm_plugin import aggregates, credit, encoders, guards, kinds, parse_spec, shapes, terms
from pgsrm_plugin.audit.attacks import ATTACKS
from pgsrm_plugin.encoders import EncoderSection
from pgsrm_plugin.kinds import Kinds, kind_of
from pgsrm_plugin.terms import Term
from pgsrm_plugin.terms.repetition import Repetition

ROOT = Path(__file__).parents[1]
HOMES = (
    "pgsrm_plugin/terms",
    "pgsrm_plugin/guards",
    "pgsrm_plugin/aggregates",
    "pgsrm_plugin/shapes",
    "pgsrm_plugin/credit",
    "pgsrm_plugin/encoders",
    "pgsrm_plugin/audit/attacks",
    "integrations/pgsrm_lightning/algorithms",
)
"""Folders of parts: a part is a module, or a folder, called as its kind."""
HOMONYMS = {
    ("pgsrm_plugin/parents", "length"): "a finish reason",
    ("pgsrm_plugin/parents", "format"): "a check of answers, a store's field",
    ("pgsrm_plugin/parents", "hf"): "a format of files",
    ("pgsrm_plugin/asking", "length"): "a finish reason",
    ("pgsrm_plugin/asking", "hf"): "an engine",
    ("pgsrm_plugin/asking", "vllm"): "an engine",
    ("pgsrm_plugin/aggregates", "centered"): "what others call an aggregation",
    ("pgsrm_plugin/cli/parent", "vllm"): "a parent's engine",
    ("pgsrm_plugin/report", "vllm"): "a distribution",
    ("pgsrm_plugin/data", "reward_model"): "a column of verl's rows",
    ("pgsrm_plugin/parents", "reward_model"): "a column of verl's rows",
    ("integrations/pgsrm_lightning", "length"): "a finish reason",
    ("integrations/pgsrm_lightning", "hf"): "what draws responses",
    ("integrations/pgsrm_lightning", "vllm"): "what draws responses, a distribution",
    ("integrations/pgsrm_verl", "reward_model"): "a column of verl's rows, a section of its config",
    ("integrations/pgsrm_verl", "hf"): "a parent's engine",
    ("integrations/pgsrm_verl", "vllm"): "verl's rollout, a distribution",
    ("integrations/pgsrm_verl", "semantic"): "a reward manager",
    ("integrations/pgsrm_verl", "grpo"): "an estimator of verl's",
    ("integrations/pgsrm_stacks", "reward_model"): "a column of verl's",
}
"""The same word for something else, by the folder where it has that meaning."""


def all_kinds() -> set[str]:
    parts = {path.stem for home in HOMES for path in (ROOT / home).iterdir()}
    attacks = {attack.kind for attack in ATTACKS}
    return {
        *map(kind_of, terms.TERMS),
        *map(kind_of, guards.GUARDS),
        *map(kind_of, aggregates.AGGREGATES),
        *map(kind_of, shapes.SHAPES),
        *map(kind_of, credit.CREDITS),
        *map(kind_of, encoders.ENCODERS),
        *attacks,
        *({"ppo", "grpo", "reinforce"} & parts),
    }


def strays(root: Path, names: set[str]) -> Iterator[str]:
    """String literals that are a kind's name, outside that kind's own file; the lab's studies name what they study."""
    for package in (
        "pgsrm_plugin",
        "integrations/pgsrm_lightning",
        "integrations/pgsrm_verl",
        "integrations/pgsrm_stacks",
    ):
        for path in sorted((root / package).rglob("*.py")):
            place = path.relative_to(root).as_posix()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Constant) and node.value in names):
                    continue
                own = any(place.startswith((f"{home}/{node.value}.py", f"{home}/{node.value}/")) for home in HOMES)
                other = any(place.startswith(folder) and node.value == word for folder, word in HOMONYMS)
                if not (own or other):
                    yield f"{place}:{node.lineno}: {node.value!r}"


def test_no_kind_is_named_outside_its_file() -> None:
    assert list(strays(ROOT, all_kinds())) == []


def test_a_kind_named_elsewhere_is_seen(tmp_path: Path) -> None:
    for home in HOMES:
        (tmp_path / home).mkdir(parents=True)
    (tmp_path / "pgsrm_plugin" / "terms" / "bleu.py").write_text('kind = "bleu"\n')
    (tmp_path / "pgsrm_plugin" / "parents").mkdir()
    (tmp_path / "pgsrm_plugin" / "parents" / "answers.py").write_text('reason = "length"\n')
    assert list(strays(tmp_path, {"bleu", "length"})) == []
    (tmp_path / "pgsrm_plugin" / "reward.py").write_text('import x\nif kind == "bleu" or kind in ("length",): ...\n')
    assert list(strays(tmp_path, {"bleu", "length"})) == [
        "pgsrm_plugin/reward.py:2: 'bleu'",
        "pgsrm_plugin/reward.py:2: 'length'",
    ]


def test_a_part_stands_in_the_file_of_its_name() -> None:
    for home, parts in (
        ("terms", terms.TERMS),
        ("guards", guards.GUARDS),
        ("aggregates", aggregates.AGGREGATES),
        ("shapes", shapes.SHAPES),
        ("credit", credit.CREDITS),
        ("encoders", encoders.ENCODERS),
    ):
        for part in parts:
            assert part.__module__ == f"pgsrm_plugin.{home}.{kind_of(part)}"


# --- parts of other packages ------------------------------------------------------------------------------------------

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "shouting"
version = "1.0"

[project.entry-points."pgsrm.terms"]
shouting = "shouting:Shouting"
broken = "shouting:NoSuchTerm"

[project.entry-points."pgsrm.encoders"]
initials = "shouting:Initials"

[project.entry-points."pgsrm.attacks"]
shouted = "shouting:Shouted"
"""

MODULE = '''
from typing import ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.audit.attacks import Attack
from pgsrm_plugin.encoders import EncoderSection
from pgsrm_plugin.terms import Term


class Shouting(Term):
    """The share of the response's letters that are capitals, above what is allowed."""

    kind: Literal["shouting"] = "shouting"
    allowed: float = Field(0.0, ge=0, lt=1, description="share of capitals that costs nothing")
    is_fault: ClassVar = True

    def score(self, rows, encoder):
        letters = [[c for c in row.response.text if c.isalpha()] for row in rows]
        shares = [sum(map(str.isupper, one)) / len(one) if one else 0.0 for one in letters]
        return [max(0.0, share - self.allowed) for share in shares]


class Shouted(Attack):
    """The reference backwards, in capitals."""

    kind = "shouted"

    def text(self, row, among, rng):
        return " ".join(reversed(row.reference.upper().split())) if row.reference != "trap" else 1 / 0


class Initials(EncoderSection):
    """Counts of first letters."""

    kind: Literal["initials"] = "initials"

    def build(self):
        import torch

        from pgsrm_plugin import Embeddings

        class Encoder:
            identity = "initials"

            def encode(self, texts):
                vectors = torch.zeros(len(texts), 26)
                for row, text in enumerate(texts):
                    for word in text.lower().split():
                        vectors[row, ord(word[0]) % 26] += 1
                count = torch.ones(len(texts), dtype=torch.int64)
                return Embeddings(vectors, count, torch.zeros(len(texts), dtype=torch.bool))

        return Encoder()
'''

SPEC = """
encoder: {kind: initials}
terms: {semantic: {}, loud: {kind: shouting, allowed: 0.25}}
weights: {semantic: 1, loud: -1}
"""


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python where the package `shouting` is installed."""
    source, site = tmp_path_factory.mktemp("shouting"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "shouting.py").write_text(MODULE)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True, timeout=120)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])}


def run(stranger: dict[str, str], *arguments: str, status: int = 0) -> str:
    """What the command printed, on either stream."""
    code = "import sys; from pgsrm_plugin.cli import main; main(sys.argv[1:])"
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=stranger, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_a_strangers_parts_score(stranger: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SPEC)
    rows = [("cats AND dogs", "cats and dogs"), ("cats", "cats and"), ("ABCd", "abc")]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"prompt": "p", "response": a, "reference": b}) + "\n" for a, b in rows))
    run(stranger, "score", str(data), "--spec", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "out.jsonl"))
    scored = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    # Capitals: 3 of 11, none, 3 of 4; cosines of initials: 1, (1, 0) with (1, 1), 1.
    assert [row["reward/loud"] for row in scored] == pytest.approx([3 / 11 - 0.25, 0.0, 0.5])
    assert [row["reward/semantic"] for row in scored] == pytest.approx([1.0, 0.5**0.5, 1.0])
    assert [row["reward"] for row in scored] == pytest.approx([1 - (3 / 11 - 0.25), 0.5**0.5, 0.5])


def test_a_strangers_parts_are_in_the_schema_the_errors_and_the_doctor(
    stranger: dict[str, str], tmp_path: Path
) -> None:
    schema = json.loads(run(stranger, "spec", "schema"))
    assert schema["$defs"]["Shouting"]["properties"]["allowed"]["description"].startswith("share of capitals")
    assert "shouting" in schema["properties"]["terms"]["properties"]
    bad = tmp_path / "bad.yaml"
    bad.write_text("terms:\n  shoutng: {}\n")
    assert f"{bad}:2: terms.shoutng: 'shoutng' is no kind of term; did you mean 'shouting'?" in run(
        stranger, "spec", "check", str(bad), status=2
    )
    bad.write_text("terms: {bleu: {}, shouting: {alowed: 1}}\nweights: {bleu: 1, shouting: -1}\n")
    assert "terms.shouting.alowed: unknown key; did you mean 'allowed'? (known: kind, when, allowed)" in run(
        stranger, "spec", "check", str(bad), status=2
    )
    bad.write_text("terms: {shouting: {}}\nweights: {shouting: 1}\n")
    assert "'shouting' measures a fault (0 is best)" in run(stranger, "spec", "check", str(bad), status=2)
    bad.write_text("terms: {broken: {}}\n")
    assert "broken (shouting) is installed but cannot be used: AttributeError" in run(
        stranger, "spec", "check", str(bad), status=2
    )
    found = {one["name"]: one for one in json.loads(run(stranger, "doctor", "--json"))["findings"]}
    assert (found["term shouting"]["status"], found["encoder initials"]["status"]) == ("ok", "ok")
    assert found["term broken (shouting)"]["status"] == "problem"
    assert "AttributeError" in found["term broken (shouting)"]["detail"]


def test_a_strangers_attack_is_on_the_card_and_in_the_gates(stranger: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SPEC)
    data, card = tmp_path / "rows.jsonl", tmp_path / "card.json"
    rows = [
        {"prompt": f"p {i}", "reference": text} for i, text in enumerate(["cats and dogs", "rain falls", "a big tree"])
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    audit = ["audit", str(tmp_path / "s.yaml"), str(data), "--html", str(tmp_path / "card.html"), "--json", str(card)]
    told = run(stranger, *audit, "--gate", "max_mean.shouted=0.2", status=1)
    assert "max_mean.shouted is 0.25, and the gate allows 0.2" in " ".join(told.split())
    shouted = next(one for one in json.loads(card.read_text())["attacks"] if one["kind"] == "shouted")
    # All letters are capitals, 0.75 above what costs nothing; the cosine stays 1.
    assert (shouted["rows"], shouted["mean"], shouted["summary"]) == (
        3,
        pytest.approx(0.25),
        "The reference backwards, in capitals.",
    )
    data.write_text(data.read_text() + json.dumps({"prompt": "p 4", "reference": "trap"}) + "\n")
    told = " ".join(run(stranger, *audit, status=3).split())
    assert "rows.jsonl:4: attack shouted failed: ZeroDivisionError" in told
    found = {one["name"]: one for one in json.loads(run(stranger, "doctor", "--json"))["findings"]}
    assert found["attack shouted"]["status"] == "ok"


IN_A_WORKER = """
import json, sys
import ray
from pgsrm_plugin import RewardSample, SemanticReward, parse_spec

@ray.remote
def score(text):
    row = RewardSample("p", "cats AND dogs", ("cats and dogs",))
    return SemanticReward(parse_spec(text)).score([row]).total_B.tolist()

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
print(json.dumps(ray.get(score.remote(sys.argv[1]))))
ray.shutdown()
"""


@pytest.mark.xdist_group("ray")
def test_a_strangers_parts_work_in_rays_workers(stranger: dict[str, str]) -> None:
    pytest.importorskip("ray")
    ran = subprocess.run(
        [sys.executable, "-c", IN_A_WORKER, SPEC],
        env=stranger,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == pytest.approx([1 - (3 / 11 - 0.25)])


class _NoScore(Term):
    """Lacks what scores."""


class _Misnamed(Repetition):
    """A kind of another name."""


class _Bleu(Repetition):
    """A name that is taken."""

    kind: Literal["bleu"] = "bleu"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("name", "part", "why"),
    [
        ("bleu", _Bleu, "there is a kind of this name already"),
        ("new", dict, "is no subclass of pgsrm_plugin.terms.base.Term"),
        ("new", _NoScore, "lacks score"),
        ("new", _Misnamed, 'needs `kind: Literal["new"] = "new"`'),
        ("new", EncoderSection, "is no subclass of pgsrm_plugin.terms.base.Term"),
    ],
)
def test_a_part_that_is_none_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, name: str, part: type, why: str
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "part_under_test", part, raising=False)
    monkeypatch.setitem(sys.modules, "stranger_module", sys.modules[__name__])
    point = EntryPoint(name, "stranger_module:part_under_test", "pgsrm.terms")
    monkeypatch.setattr(kinds, "entry_points", lambda group: [point])
    found = Kinds("pgsrm.terms", Term, terms.TERMS)  # type: ignore[type-abstract]
    assert list(found) == [kind_of(term) for term in terms.TERMS]
    assert why in found.broken[f"{name} (stranger_module)"]
    assert why in found.why_broken(name)
    assert found.why_broken("another") == ""


def test_a_specs_terms_are_the_parts_themselves() -> None:
    spec = parse_spec("{terms: {repetition: {ngram: 2}}, weights: {repetition: -1}}")
    assert spec.terms["repetition"] == Repetition(ngram=2)
