"""What the guards find and what they damage: ``python scripts/guard_figures.py --data FOLDER [--entailment MODEL]``.

FOLDER has SugarCrepe++ (``sugarcrepe_pp/*.json``) and STS-B (``stsb-en-dev.csv``), as their authors publish them.
Prints, for the shipped spec ``guarded`` with and without its guards: how often the true paraphrase is above the hard
negative (ties count as wrong), and the share of true paraphrases that the guards cut by more than 30 %. With an NLI
cross-encoder for ``--entailment``, all that with the guard ``entailment`` beside the others.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from pathlib import Path

import torch

from pgsrm_plugin import RewardSample, SemanticReward, load_spec
from pgsrm_plugin.guards.entailment import EntailmentGuard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=200, help="of each kind, drawn with a fixed seed")
    parser.add_argument("--entailment", help="folder or hub id of an NLI cross-encoder")
    parser.add_argument("--centre", type=float, default=0.5, help="of its logistic")
    options = parser.parse_args()
    spec = load_spec("guarded")
    if options.entailment:
        judge = EntailmentGuard(model=options.entailment, centre=options.centre)
        spec = spec.model_copy(update={"guards": {**spec.guards, judge.kind: judge}})
    guarded = SemanticReward(spec)
    plain = guarded.with_spec(spec.model_copy(update={"guards": {}}))

    def rewards(reward: SemanticReward, pairs: list[tuple[str, str]]) -> torch.Tensor:
        return reward.score([RewardSample("", response, (reference,)) for response, reference in pairs]).total_B

    def damage(pairs: list[tuple[str, str]]) -> float:
        return float((rewards(guarded, pairs) < 0.7 * rewards(plain, pairs)).double().mean())

    chance = random.Random(0)
    print("kind                     plain  guarded  damage")
    for path in sorted(options.data.glob("sugarcrepe_pp/*.json")):
        content = json.loads(path.read_text())
        rows = list(content.values()) if isinstance(content, dict) else content
        chance.shuffle(rows)
        good = [(row["caption2"], row["caption"]) for row in rows[: options.rows]]
        bad = [(row["negative_caption"], row["caption"]) for row in rows[: options.rows]]
        above = [float((rewards(one, good) > rewards(one, bad)).double().mean()) for one in (plain, guarded)]
        print(f"{path.stem:24} {above[0]:.3f}  {above[1]:.3f}    {damage(good):.3f}")
    with (options.data / "stsb-en-dev.csv").open(encoding="utf-8") as file:
        alike = [(row[1], row[0]) for row in csv.reader(file) if float(row[2]) >= 4.5]
    print(f"STS-B of 4.5 or more: {len(alike)} pairs, damage {damage(alike):.3f}")


if __name__ == "__main__":
    main()
