"""Writes the antonyms that the guard ``antonymy`` reads: ``python scripts/wordnet_antonyms.py [--wordnet FOLDER]``.

Every pair of single words that WordNet 3.0 links as antonyms, each once, in alphabetical order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pgsrm_lab.tasks.make.wordnet import DEBIAN, PARTS, WordNet

TABLE = Path(__file__).parents[1] / "pgsrm_plugin" / "guards" / "english" / "antonyms.txt"


def pairs(wordnet: WordNet) -> set[tuple[str, str]]:
    """The pairs, each in alphabetical order."""
    found = set()
    for part in PARTS:
        for offsets in wordnet.index[part].values():
            for offset in offsets:
                synset = wordnet.synset(part, offset)
                for symbol, to, where, source, target in synset.pointers:
                    if symbol == "!" and source and target:
                        one, other = (
                            synset.words[source - 1].lower(),
                            wordnet.synset(to, where).words[target - 1].lower(),
                        )
                        if one.isalpha() and other.isalpha() and one != other:
                            found.add((min(one, other), max(one, other)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordnet", type=Path, default=DEBIAN, help="folder of WordNet 3.0's database files")
    lines = sorted(f"{one} {other}\n" for one, other in pairs(WordNet(parser.parse_args().wordnet)))
    TABLE.write_text("".join(lines), encoding="utf-8")
    print(f"{len(lines)} pairs written to {TABLE}")


if __name__ == "__main__":
    main()
