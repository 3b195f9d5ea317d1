"""Makes the built-in pairs, pgsrm_plugin/audit/pairs/KIND.jsonl, from the hand-written items in scripts/pairs.

`python scripts/make_pairs.py [FOLDER]`. What is drawn is drawn with a fixed seed, so the files are the same each time.
The pairs of each author are drawn from that author's items, so that the two sets can be read apart.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "scripts" / "pairs"
TARGET = ROOT / "pgsrm_plugin" / "audit" / "pairs"
HAND_WRITTEN = ("role_swap", "negation", "number_change", "temporal_inversion", "antonym")
AUTHORS = {"first": ("items.yaml", 40), "second": ("more_items.yaml", 30)}
"""Who wrote the items: the file, and how many pairs are made of them for a kind that is made by rule."""
Item = dict[str, str]


@dataclass(frozen=True)
class Draw:
    """What a rule may draw from.

    Attributes:
        items: all of them.
        junk: the lists of junk.yaml.
        number: how many pairs of the kind were made before.
        rng: the kind's own.
    """

    items: Sequence[Item]
    junk: Mapping[str, Sequence[str]]
    number: int
    rng: random.Random


def main(folder: Path = TARGET) -> None:
    """Writes a file for each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, rows in make_pairs().items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{kind}.jsonl").write_text("".join(lines), encoding="utf-8")


def make_pairs() -> dict[str, list[dict[str, str]]]:
    """The rows of each kind: prompt, reference, good, bad, kind, topic and author."""
    made: dict[str, list[dict[str, str]]] = {}
    for author, (file, count) in AUTHORS.items():
        items = [{**item, "topic": topic, "author": author} for topic, found in _read(file).items() for item in found]
        for kind, rows in _of_one_author(author, items, count).items():
            made.setdefault(kind, []).extend(rows)
    return made


def _of_one_author(author: str, items: Sequence[Item], count: int) -> dict[str, list[dict[str, str]]]:
    junk = _read("junk.yaml")
    made = {kind: [_row(kind, item, item[kind]) for item in items if kind in item] for kind in HAND_WRITTEN}
    made["wrong_language"] = [_row("wrong_language", item, item["other"]) for item in items if "other" in item]
    made["both_ways"] = [
        _row("both_ways", item, f"{item['reference']} {item['negation']}") for item in items if "negation" in item
    ]
    for kind, make in RULES.items():
        rng = random.Random(f"{author} {kind}")
        drawn = sorted(rng.sample(range(len(items)), count))
        made[kind] = [_row(kind, items[i], make(items[i], Draw(items, junk, n, rng))) for n, i in enumerate(drawn)]
    return made


def word_shuffle(item: Item, draw: Draw) -> str:
    """The reference's words in another order."""
    words = _words(item["reference"])
    shuffled = words
    while shuffled == words:
        shuffled = draw.rng.sample(words, len(words))
    return " ".join(shuffled)


def keyword_soup(item: Item, draw: Draw) -> str:
    """The reference's words of content, in any order."""
    content = [word for word in _words(item["reference"]) if word not in draw.junk["function_words"]]
    return " ".join(draw.rng.sample(content, len(content)))


def master_key(item: Item, draw: Draw) -> str:
    """A phrase that opens an answer and is none."""
    return draw.junk["master_keys"][draw.number % len(draw.junk["master_keys"])]


def prompt_echo(item: Item, draw: Draw) -> str:
    """The question for an answer."""
    return item["prompt"]


def prefix_junk(item: Item, draw: Draw) -> str:
    """The reference's first words, and then junk."""
    words = item["reference"].split()
    return " ".join([*words[: max(2, round(0.4 * len(words)))], draw.rng.choice(draw.junk["tails"])])


def other_reference(item: Item, draw: Draw) -> str:
    """The right answer to a question of another topic."""
    return draw.rng.choice([other["reference"] for other in draw.items if other["topic"] != item["topic"]])


def universal_suffix(item: Item, draw: Draw) -> str:
    """The same, with a sentence that praises it."""
    praise = draw.rng.choice(draw.junk["suffixes"])
    return f"{other_reference(item, draw)} {praise}"


def padding(item: Item, draw: Draw) -> str:
    """The reference among four sentences that say nothing."""
    before, *after = draw.rng.sample(draw.junk["fillers"], 4)
    return " ".join([before, item["reference"], *after])


def loop(item: Item, draw: Draw) -> str:
    """The reference three to six times."""
    return " ".join([item["reference"]] * draw.rng.randint(3, 6))


RULES: dict[str, Callable[[Item, Draw], str]] = {
    "word_shuffle": word_shuffle,
    "keyword_soup": keyword_soup,
    "master_key": master_key,
    "prompt_echo": prompt_echo,
    "prefix_junk": prefix_junk,
    "other_reference": other_reference,
    "universal_suffix": universal_suffix,
    "padding": padding,
    "loop": loop,
}


def _read(name: str) -> Any:
    return yaml.safe_load((SOURCE / name).read_text(encoding="utf-8"))


def _row(kind: str, item: Item, bad: str) -> dict[str, str]:
    kept = {name: item[name] for name in ("prompt", "reference", "good")}
    return {**kept, "bad": bad, "kind": kind, "topic": item["topic"], "author": item["author"]}


def _words(text: str) -> list[str]:
    return [word.strip(".,:;").lower() for word in text.split()]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
