"""What the guards find and what they damage: ``python scripts/guard_figures.py --data FOLDER [--rows N]``.

FOLDER has, as their authors publish them, SugarCrepe++ (``sugarcrepe_pp/*.json``), STS-B (``stsb-en-dev.csv``), EVOUNA
(``evouna/NQ.json``) and SemEval-2013 task 7 (``semeval2013/semeval-3way-training.zip``). For the shipped spec
``guarded``, with and without its guards: how often the good answer is above the bad one (ties count as wrong), what bad
answers earn, how many true paraphrases the guards cut by more than 30 %. For ``recall-guarded``, and plain cosine
beside it: the ROC AUC on answers that people graded. With an NLI cross-encoder for ``--entailment``, all that with the
guard ``entailment`` beside the others.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar
from xml.etree import ElementTree

import numpy as np
import yaml

from pgsrm_plugin import RewardSample, SemanticReward, load_spec
from pgsrm_plugin.audit.people.builtin import builtin_files
from pgsrm_plugin.audit.people.ranks import area_under_roc
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.guards.entailment import EntailmentGuard

T = TypeVar("T")
HARMLESS = Path(__file__).parent / "pairs" / "harmless.yaml"
CUT = 0.7
"""A true paraphrase that keeps less of its reward than this is damaged."""
BATCH = 256
JUNK = ("other_reference", "universal_suffix", "master_key", "wrong_language", "prompt_echo", "prefix_junk", "padding",
        "loop", "keyword_soup", "word_shuffle")  # fmt: skip
"""Kinds of bad answers that say nothing, or nothing in order."""


class Pair(NamedTuple):
    """A good answer and a bad one to the same prompt."""

    kind: str
    reference: str
    good: str
    bad: str
    prompt: str = ""


class Graded(NamedTuple):
    """An answer, and whether people called it right."""

    sample: RewardSample
    is_right: bool


def builtin() -> list[Pair]:
    """The pairs that come with the package."""
    rows = [row for path in builtin_files() for _, row in read_rows(path)]
    return [Pair(row["kind"], row["reference"], row["good"], row["bad"], row["prompt"]) for row in rows]


def sugarcrepe(data: Path, rows: int) -> list[Pair]:
    """Up to so many rows of each kind."""
    found = []
    for path in sorted(data.glob("sugarcrepe_pp/*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found += [
            Pair(path.stem, row["caption"], row["caption2"], row["negative_caption"])
            for row in draw(list(content.values()) if isinstance(content, dict) else content, rows)
        ]
    return found


def alike(data: Path) -> list[tuple[str, str]]:
    """(response, reference) of STS-B that people gave 4.5 or more of 5."""
    with (data / "stsb-en-dev.csv").open(encoding="utf-8") as file:
        return [(row[1], row[0]) for row in csv.reader(file) if float(row[2]) >= 4.5]


def harmless() -> list[tuple[str, str]]:
    """Near copies that say the same."""
    return [(row[0], row[1]) for row in yaml.safe_load(HARMLESS.read_text(encoding="utf-8"))]


def evouna(data: Path, rows: int) -> list[Graded]:
    """Answers to that many questions by each of five systems; what its authors call improper is left out."""
    content = json.loads((data / "evouna" / "NQ.json").read_text(encoding="utf-8"))
    return [
        Graded(RewardSample(row["question"], row[name], tuple(row["golden_answer"].split("/"))), bool(row[judged]))
        for row in draw([row for row in content if not row["improper"]], rows)
        for name in row
        if name.startswith("answer_") and (judged := name.replace("answer", "judge")) in row and row[name]
    ]


def semeval(data: Path, part: str, rows: int) -> list[Graded]:
    """Students' answers to the questions of one part, each against all of the experts' answers."""
    found = []
    with zipfile.ZipFile(data / "semeval2013" / "semeval-3way-training.zip") as archive:
        for name in sorted(archive.namelist()):
            if f"3way/{part}/" not in name or not name.endswith(".xml"):
                continue
            question = ElementTree.fromstring(archive.read(name))
            references = tuple(one.text or "" for one in question.iter("referenceAnswer"))
            prompt = question.findtext("questionText") or ""
            found += [
                Graded(RewardSample(prompt, one.text or "", references), one.get("accuracy") == "correct")
                for one in question.iter("studentAnswer")
            ]
    return draw(found, rows)


def draw(rows: Sequence[T], count: int) -> list[T]:
    """Up to so many of the rows, the same ones each time."""
    return random.Random(0).sample(list(rows), min(count, len(rows)))


def rewards(reward: SemanticReward, samples: Sequence[RewardSample]) -> np.ndarray:
    """What each is worth, (N,)."""
    batches = [samples[start : start + BATCH] for start in range(0, len(samples), BATCH)]
    return np.concatenate([reward.score(batch).total_B.numpy() for batch in batches])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=200, help="of each kind or part, drawn with a fixed seed")
    parser.add_argument("--entailment", help="folder or hub id of an NLI cross-encoder")
    parser.add_argument("--centre", type=float, default=0.5, help="of its logistic")
    options = parser.parse_args()
    specs = [load_spec(name) for name in ("guarded", "recall-guarded", "pgsrm")]
    if options.entailment:
        judge = EntailmentGuard(model=options.entailment, centre=options.centre)
        specs = [spec.model_copy(update={"guards": {**spec.guards, judge.kind: judge}}) for spec in specs[:2]] + specs[
            2:
        ]
    guarded, recall, cosine = map(SemanticReward, specs)
    plain = guarded.with_spec(guarded.spec.model_copy(update={"guards": {}}))
    print_pairs("built-in pairs", builtin(), plain, guarded)
    print_pairs("SugarCrepe++", sugarcrepe(options.data, options.rows), plain, guarded)
    paraphrases = [(pair.good, pair.reference) for pair in sugarcrepe(options.data, options.rows)]
    goods = sorted({(pair.good, pair.reference) for pair in builtin()})
    print(f"\n{'cut by more than 30 %':32}{'pairs':>8}{'share':>8}{'mean factor':>13}{'least':>7}")
    for name, pairs in (
        ("SugarCrepe++ paraphrases", paraphrases),
        ("STS-B of 4.5 or more", alike(options.data)),
        ("harmless edits", harmless()),
        ("built-in pairs' good answers", goods),
    ):
        print_damage(name, pairs, plain, guarded)
    print(f"\n{'ROC AUC':32}{'answers':>8}{'cosine':>8}{'recall-guarded':>16}")
    for name, graded in (
        ("EVOUNA", evouna(options.data, options.rows)),
        ("Beetle", semeval(options.data, "beetle", 5 * options.rows)),
        ("SciEntsBank", semeval(options.data, "sciEntsBank", 5 * options.rows)),
    ):
        print(f"{name:32}{len(graded):8}{auc(cosine, graded):8.3f}{auc(recall, graded):16.3f}")


def print_pairs(title: str, pairs: Sequence[Pair], plain: SemanticReward, guarded: SemanticReward) -> None:
    """By kind: accuracy without and with guards, and what the bad answers earn."""
    good = [RewardSample(pair.prompt, pair.good, (pair.reference,)) for pair in pairs]
    bad = [RewardSample(pair.prompt, pair.bad, (pair.reference,)) for pair in pairs]
    earned = [(rewards(one, good), rewards(one, bad)) for one in (plain, guarded)]
    kinds = np.array([pair.kind for pair in pairs])
    print(f"\n{title:24}{'pairs':>6}{'plain':>8}{'guarded':>9}{'bad: mean':>11}{'max':>6}")
    above = []
    for kind in sorted(set(kinds)):
        at = kinds == kind
        above.append([float((good_N[at] > bad_N[at] + 1e-6).mean()) for good_N, bad_N in earned])
        paid = earned[1][1][at]
        row = f"{kind:24}{at.sum():6}{above[-1][0]:8.3f}{above[-1][1]:9.3f}{paid.mean():11.3f}{paid.max():6.2f}"
        print(row + ("  junk" if kind in JUNK else ""))
    macro = np.mean(above, axis=0)
    print(
        f"{'mean of kinds':24}{len(kinds):6}{macro[0]:8.3f}{macro[1]:9.3f}{'worst':>11}{min(a for _, a in above):6.2f}"
    )


def print_damage(name: str, pairs: Iterable[tuple[str, str]], plain: SemanticReward, guarded: SemanticReward) -> None:
    """How many of these true paraphrases the guards cut, and which guards do."""
    samples = [RewardSample("", response, (reference,)) for response, reference in pairs]
    before, after = rewards(plain, samples), rewards(guarded, samples)
    kept = np.where(before > 0, after / np.maximum(before, 1e-9), 1.0)
    print(f"{name:32}{len(kept):8}{(kept < CUT - 1e-9).mean():8.3f}{kept.mean():13.3f}{kept.min():7.2f}")


def auc(reward: SemanticReward, graded: Sequence[Graded]) -> float:
    """The chance that a right answer earns more than a wrong one."""
    earned, right = rewards(reward, [one.sample for one in graded]), np.array([one.is_right for one in graded])
    return area_under_roc(earned[right], earned[~right])


if __name__ == "__main__":
    main()
