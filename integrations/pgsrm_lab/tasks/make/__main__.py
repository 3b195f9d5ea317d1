"""``python -m pgsrm_lab.tasks.make [--wordnet FOLDER] [--out FOLDER]``: writes the task data anew."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from pgsrm_lab.tasks.make import sentences, words
from pgsrm_lab.tasks.make.frames import Pair, choose
from pgsrm_lab.tasks.make.wordnet import DEBIAN, WordNet

HERE = Path(__file__).parents[1] / "data"
SEED = 0


def word_files(wordnet: WordNet) -> dict[str, str]:
    """antonyms.csv and categories.csv, as text by name."""
    return {
        "antonyms.csv": table(("word", "antonym"), words.antonyms(wordnet)),
        "categories.csv": table(("noun", "category"), words.categories(wordnet)),
    }


def sentence_files() -> dict[str, str]:
    """copying.csv and inversion.csv, as text by name."""
    copying = choose(sentences.COPY_FRAMES, sentences.COPY_SLOTS, sentences.COPY_TRAIN, sentences.COPY_HELD_OUT, SEED)
    inversion = choose(
        sentences.INVERT_FRAMES, sentences.INVERT_SLOTS, sentences.INVERT_TRAIN, sentences.INVERT_HELD_OUT, SEED
    )
    return {
        "copying.csv": table(("split", "sentence"), ((split, first) for split, (first, _) in _split(copying))),
        "inversion.csv": table(("split", "positive", "sad"), ((split, *pair) for split, pair in _split(inversion))),
    }


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """CSV with LF line ends."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _split(chosen: tuple[list[Pair], list[Pair]]) -> list[tuple[str, Pair]]:
    return [(name, pair) for name, pairs in zip(("train", "held_out"), chosen, strict=True) for pair in pairs]


def main(argv: Sequence[str] | None = None) -> None:
    """Writes all four files."""
    parser = argparse.ArgumentParser(prog="python -m pgsrm_lab.tasks.make", description=__doc__)
    parser.add_argument("--wordnet", type=Path, default=DEBIAN, help="folder of WordNet 3.0's database files")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to")
    options = parser.parse_args(argv)
    for name, text in {**word_files(WordNet(options.wordnet)), **sentence_files()}.items():
        (options.out / name).write_text(text, encoding="utf-8")
        print(f"{options.out / name}: {text.count(chr(10)) - 1} rows")


if __name__ == "__main__":
    main()
