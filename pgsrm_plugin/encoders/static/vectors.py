"""Reads word vector files in text form: word2vec, GloVe and Numberbatch, plain or .gz."""

from __future__ import annotations

import gzip
import unicodedata
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pgsrm_plugin.errors import SpecError

_CONCEPT = "/c/"
_ENGLISH = "/c/en/"
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def words(text: str, lowercase: bool) -> list[str]:
    """Splits a text into its runs of letters and combining marks, of any script; all else separates."""
    text = text.lower() if lowercase else text
    return "".join(char if unicodedata.category(char)[0] in "LM" else " " for char in text).split()


@dataclass(frozen=True)
class WordVectors:
    """The vectors of V words.

    Attributes:
        rows: each word's row of the matrix.
        matrix_VD: float32, finite.
    """

    rows: dict[str, int]
    matrix_VD: npt.NDArray[np.float32]


def read_word_vectors(path: Path, lowercase: bool, limit: int | None = None) -> WordVectors:
    """Reads the vectors of single words.

    A first line of two integers is word2vec's header (words, dimensions). Numberbatch's ``/c/en/`` is stripped, and its
    other languages are left out. Of a word given twice the first vector counts. Entries that no text can ask for after
    :func:`words` (phrases such as ``ice_cream``, numbers, capitals where texts are lower-cased) are checked, not kept.

    Args:
        path: the file; gzip where its name ends with .gz.
        lowercase: whether texts are lower-cased.
        limit: how many entries to read from the start; None for all.

    Raises:
        SpecError: the file is broken; the message names the file, the line and what is wrong.
    """
    rows: dict[str, int] = {}
    buffer = bytearray()
    announced, width, read = None, None, 0
    for number, line in _lines(path):
        fields = line.split(" ", 2)
        if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
            announced, width = int(fields[0]), int(fields[1])
            continue
        if limit is not None and read == limit:
            break
        word, vector_D = _entry(line, width, f"{path}, line {number}")
        width, read = len(vector_D), read + 1
        word = word.removeprefix(_ENGLISH)
        if word not in rows and not word.startswith(_CONCEPT) and words(word, lowercase) == [word]:
            rows[word] = len(rows)
            buffer += vector_D.tobytes()
    if announced is not None and read < min(announced, limit or announced):
        raise SpecError(f"{path}: the header announces {announced} words, but the file has {read}; it may be cut off")
    if not rows or not width:
        raise SpecError(f"{path}: has no vector of a single word; expected lines of a word and its numbers")
    return WordVectors(rows, np.frombuffer(buffer, dtype=np.float32).reshape(-1, width))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines that are not blank, without line ends and trailing spaces, tabs turned into spaces."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                line = raw.decode("utf-8").rstrip("\r\n\t ").replace("\t", " ")
                if line:
                    yield number, line
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{path}, line {number}: not UTF-8 text; convert a binary word2vec file to text first"
        ) from error
    except gzip.BadGzipFile as error:
        raise SpecError(f"{path}, after line {number}: not a sound gzip file ({error})") from error
    except (EOFError, zlib.error) as error:
        raise SpecError(f"{path}, after line {number}: the gzip data is cut off or damaged; fetch it again") from error
    if number == 0:
        raise SpecError(f"{path}: is empty")


def _entry(line: str, width: int | None, where: str) -> tuple[str, npt.NDArray[np.float32]]:
    word, _, rest = line.partition(" ")
    vector_D = _parse(rest)
    if vector_D is not None and len(vector_D) == (width or len(vector_D)) and bool(np.isfinite(vector_D).all()):
        return word, vector_D
    return _entry_slowly(line.split(" "), width, where)


def _parse(rest: str) -> npt.NDArray[np.float32] | None:
    """The numbers of a line at C speed, or None where there are none or something else is among them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        try:
            vector_D = np.fromstring(rest, dtype=np.float32, sep=" ")
        except (ValueError, DeprecationWarning):
            return None
    return vector_D if len(vector_D) else None


def _entry_slowly(fields: Sequence[str], width: int | None, where: str) -> tuple[str, npt.NDArray[np.float32]]:
    """For lines that are broken, or whose word has spaces in it (GloVe 840B has a few)."""
    expected = width or len(fields) - 1
    spaces = len(fields) - 1 - expected
    if expected < 1 or spaces < 0 or any(_is_number(field) for field in fields[1 : 1 + spaces]):
        wanted = f", expected {width}" if width else ""
        raise SpecError(f"{where}: {len(fields) - 1} numbers after the word {fields[0][:40]!r}{wanted}")
    numbers = fields[1 + spaces :]
    for field in numbers:
        if not _is_number(field):
            raise SpecError(f"{where}: {field[:40]!r} is not a number")
        if not abs(float(field)) <= _FLOAT32_MAX:
            raise SpecError(f"{where}: {field[:40]} is not a finite float32 number")
    return " ".join(fields[: 1 + spaces]), np.array(numbers, dtype=np.float32)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
