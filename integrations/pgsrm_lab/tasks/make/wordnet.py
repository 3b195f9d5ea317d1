"""Reads WordNet 3.0's database files (Debian: ``apt-get install wordnet-base``): senses, antonyms, hypernyms.

The format is that of WordNet's manual page wndb(5).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pgsrm_plugin.errors import DataError

PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
DEBIAN = Path("/usr/share/wordnet")


@dataclass(frozen=True)
class Synset:
    """One sense: its words, and its pointers as (symbol, part of speech, offset, source word, target word).

    Word numbers count from 1; 0 is the whole synset.
    """

    words: tuple[str, ...]
    pointers: tuple[tuple[str, str, int, int, int], ...]


class WordNet:
    """The database in a folder.

    Raises:
        DataError: the folder lacks its files.
    """

    def __init__(self, folder: Path = DEBIAN) -> None:
        if not (folder / "index.noun").is_file():
            raise DataError(f"{folder} has no WordNet database; install one: apt-get install wordnet-base")
        self._folder = folder
        self._data = {part: (folder / f"data.{name}").read_bytes() for part, name in PARTS.items()}
        self.index = {part: self._read_index(part) for part in PARTS}

    def synset(self, part: str, offset: int) -> Synset:
        """The synset at a byte offset of a part of speech's data file."""
        data = self._data[part]
        fields = data[offset : data.index(b"\n", offset)].decode().split(" | ")[0].split()
        count = int(fields[3], 16)
        words = tuple(word.split("(")[0] for word in fields[4 : 4 + 2 * count : 2])
        rest = fields[4 + 2 * count :]
        groups = [rest[1 + 4 * i : 5 + 4 * i] for i in range(int(rest[0]))]
        pointers = tuple(
            (symbol, "a" if to == "s" else to, int(where), int(ends[:2], 16), int(ends[2:], 16))
            for symbol, where, to, ends in groups
        )
        return Synset(words, pointers)

    def first_antonym(self, word: str, part: str) -> str | None:
        """The antonym of a word's commonest sense that has one; of several, the first."""
        for offset in self.index[part].get(word, ()):
            synset = self.synset(part, offset)
            for symbol, to, where, source, target in synset.pointers:
                if symbol == "!" and synset.words[source - 1] == word:
                    return self.synset(to, where).words[target - 1]
        return None

    def ancestors(self, noun: str) -> list[int]:
        """The offsets of the synsets above a noun, breadth first; all above its commonest sense go before others."""
        found: dict[int, None] = {}
        for sense in self.index["n"][noun]:
            queue = [sense]
            while queue:
                offset = queue.pop(0)
                if offset not in found:
                    found[offset] = None
                    pointers = self.synset("n", offset).pointers
                    queue += [where for symbol, _, where, _, _ in pointers if symbol in ("@", "@i")]
        return list(found)

    def _read_index(self, part: str) -> dict[str, tuple[int, ...]]:
        found = {}
        for line in (self._folder / f"index.{PARTS[part]}").read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):
                continue
            fields = line.split()
            found[fields[0]] = tuple(int(offset) for offset in fields[-int(fields[2]) :])
        return found
