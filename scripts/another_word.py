"""What an encoder gives a text with one of its words replaced: ``python scripts/another_word.py [--encoder MODEL]``.

By the number of words of a text: the mean cosine to the same text with one content word replaced by a content word of
another text, drawn with a fixed seed. That is the likeness which texts that differ in one unknown word are capped at
(docs/math.md). The texts are the references and good answers of the built-in
pairs.
"""

from __future__ import annotations

import argparse
import random
import re

from pgsrm_plugin.audit.people.builtin import builtin_files
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.functional import cosine
from pgsrm_plugin.guards.english.reading import FUNCTION_WORDS

WORD = re.compile(r"[^\W\d_]+")
LENGTHS = ((5, 7), (8, 12), (13, 17), (18, 24))
TEXTS = 40
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="sentence-transformers/all-MiniLM-L6-v2", help="folder or hub id")
    encoder = HfEncoderSpec(model=parser.parse_args().encoder).build()
    rows = [row for path in builtin_files() for _, row in read_rows(path)]
    texts = sorted({row[name] for row in rows for name in ("reference", "good")})
    rng = random.Random(SEED)
    words = sorted({match[0] for text in texts for match in content(text)})
    print("words    texts  mean cosine")
    for least, most in LENGTHS:
        fitting = [text for text in texts if least <= len(text.split()) <= most and content(text)]
        chosen = rng.sample(fitting, min(TEXTS, len(fitting)))
        changed = [replaced(text, rng.choice(content(text)), words, rng) for text in chosen]
        left_ND, right_ND = (encoder.encode(one).vectors_ND for one in (chosen, changed))
        print(f"{least:2} to {most:2} {len(chosen):6} {float(cosine(left_ND, right_ND).mean()):12.2f}")


def content(text: str) -> list[re.Match[str]]:
    """The content words of a text, where they stand."""
    return [match for match in WORD.finditer(text) if match[0].lower() not in FUNCTION_WORDS]


def replaced(text: str, place: re.Match[str], words: list[str], rng: random.Random) -> str:
    """The text with another word at a place."""
    other = rng.choice([word for word in words if word.lower() != place[0].lower()])
    return f"{text[: place.start()]}{other}{text[place.end() :]}"


if __name__ == "__main__":
    main()
