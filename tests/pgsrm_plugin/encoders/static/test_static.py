"""The static encoder on small files of each format, with means worked out by hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch

from pgsrm_plugin.encoders.static import StaticEncoderSpec
from pgsrm_plugin.encoders.static.mean import StaticEncoder
from pgsrm_plugin.encoders.static.vectors import read_word_vectors, words
from pgsrm_plugin.errors import DataError, SpecError

GLOVE = "red 1 0 0\nblue 0 1 0\nGreen 0 0 1\ngreen 0 0 -2\n"
WORD2VEC = "4 3\n" + GLOVE.replace("\n", " \n")  # the original tool leaves a space at the end
NUMBERBATCH = (
    "7 3\n/c/en/red 1 0 0\n/c/de/rot 9 9 9\n/c/en/blue 0 1 0\n/c/en/ice_cream 5 5 5\n/c/en/Green 0 0 1\n"
    "/c/en/green 0 0 -2\n/c/fr/red 7 7 7\n"
)


def write(folder: Path, content: str | bytes, name: str = "vectors.txt") -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def build(folder: Path, content: str = GLOVE, name: str = "vectors.txt", **settings: object) -> StaticEncoder:
    return StaticEncoder(StaticEncoderSpec(path=write(folder, content, name), **settings))


@pytest.mark.parametrize(
    "content", [GLOVE, WORD2VEC, NUMBERBATCH, GLOVE.replace("\n", "\r\n"), GLOVE.replace(" ", "\t")]
)
@pytest.mark.parametrize("name", ["vectors.txt", "vectors.txt.gz"])
def test_every_format_gives_the_mean_of_known_words(tmp_path, content, name):
    encoder = build(tmp_path, content, name)
    result = encoder.encode(["red", "Red, BLUE!", "red red blue green", "red unknown", "unknown", "", "42"])
    expected_ND = [[1, 0, 0], [0.5, 0.5, 0], [0.5, 0.25, -0.5], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert result.vectors_ND.tolist() == expected_ND
    assert result.vectors_ND.dtype == torch.float32
    assert result.tokens_N.tolist() == [1, 2, 4, 2, 1, 0, 0]
    assert not result.truncated_N.any()
    assert encoder.dimensions == 3
    assert encoder.encode([]).vectors_ND.shape == (0, 3)


def test_case_is_kept_where_asked(tmp_path):
    encoder = build(tmp_path, lowercase=False)
    assert encoder.encode(["Green", "green", "Red"]).vectors_ND.tolist() == [[0, 0, 1], [0, 0, -2], [0, 0, 0]]


def test_words_are_runs_of_letters_and_marks_of_any_script():
    assert words("Don't mix_red 2 blue-ish: ÉTÉ 東京 हिन्दी привет!", lowercase=True) == [
        "don", "t", "mix", "red", "blue", "ish", "été", "東京", "हिन्दी", "привет",
    ]  # fmt: skip
    assert words("Red", lowercase=False) == ["Red"]


@pytest.mark.parametrize(("oov", "expected"), [("skip", [1.0, 0.0, 0.0]), ("unscorable", [0.0, 0.0, 0.0])])
def test_unknown_words(tmp_path, oov, expected):
    encoder = build(tmp_path, oov=oov)
    assert encoder.encode(["red mystery", "red"]).vectors_ND.tolist() == [expected, [1.0, 0.0, 0.0]]


def test_unknown_words_may_stop_the_scoring(tmp_path):
    encoder = build(tmp_path, oov="raise")
    assert encoder.encode(["red blue"]).vectors_ND.tolist() == [[0.5, 0.5, 0.0]]
    with pytest.raises(DataError) as caught:
        encoder.encode(["red", "red mystery novel"])
    path = tmp_path / "vectors.txt"
    assert str(caught.value) == (
        f"the word 'mystery' of 'red mystery novel' has no vector in {path}; "
        "set encoder.oov: skip or unscorable to go on"
    )


def test_the_first_of_two_vectors_counts_and_a_limit_stops_early(tmp_path):
    path = write(tmp_path, "red 1 0\nred 2 0\nblue 0 1\n")
    vectors = read_word_vectors(path, lowercase=True)
    assert vectors.matrix_VD.tolist() == [[1, 0], [0, 1]]
    assert read_word_vectors(path, lowercase=True, limit=2).rows == {"red": 0}
    header = write(tmp_path, "3 2\nred 1 0\nred 2 0\nblue 0 1\n", "header.txt")
    assert read_word_vectors(header, lowercase=True, limit=2).rows == {"red": 0}
    assert len(read_word_vectors(header, lowercase=True, limit=99).rows) == 2


def test_words_with_spaces_inside_as_in_glove_840b_are_left_out(tmp_path):
    path = write(tmp_path, "red 1 0\nat name@domain.com 3 4\n. . . 5 6\nx\u00a0y 7 8\nblue 0 1\n")
    vectors = read_word_vectors(path, lowercase=True)
    assert vectors.rows == {"red": 0, "blue": 1}
    assert vectors.matrix_VD.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": is empty"),
        ("\n\n", ": has no vector of a single word; expected lines of a word and its numbers"),
        ("2 3\n", ": the header announces 2 words, but the file has 0; it may be cut off"),
        ("3 2\nred 1 0\nblue 0 1\n", ": the header announces 3 words, but the file has 2; it may be cut off"),
        ("red\n", ", line 1: 0 numbers after the word 'red'"),
        ("red 1 0\n\nblue 0\n", ", line 3: 1 numbers after the word 'blue', expected 2"),
        ("red 1 0\nblue 0 1 2\n", ", line 2: 3 numbers after the word 'blue', expected 2"),
        ("1 3\nred 1 0\n", ", line 2: 2 numbers after the word 'red', expected 3"),
        ("red 1 0\nblue 0 one\n", ", line 2: 'one' is not a number"),
        ("red 1 0\nblue 0 1,5\n", ", line 2: '1,5' is not a number"),
        ("red 1 0\nblue nan 1\n", ", line 2: nan is not a finite float32 number"),
        ("red 1 0\nblue 1e99 1\n", ", line 2: 1e99 is not a finite float32 number"),
        (b"1 2\nred \x00\x80\xff\xfe", ", line 2: not UTF-8 text; convert a binary word2vec file to text first"),
        (
            "/c/de/rot 1 0\n/c/en/ice_cream 1 2\n",
            ": has no vector of a single word; expected lines of a word and its numbers",
        ),
    ],
)
def test_broken_files_name_the_line(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(SpecError) as caught:
        read_word_vectors(path, lowercase=True)
    assert str(caught.value) == f"{path}{message}"


def test_broken_gzip(tmp_path):
    path = tmp_path / "vectors.gz"
    path.write_text(GLOVE)
    with pytest.raises(SpecError, match=r"vectors.gz, after line 0: not a sound gzip file \(Not a gzipped file"):
        read_word_vectors(path, lowercase=True)
    whole = gzip.compress("".join(f"w{'x' * (i % 50)} {i} {i * 7919 % 1000}\n" for i in range(20_000)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        SpecError, match=r"vectors.gz, after line \d+: the gzip data is cut off or damaged; fetch it again$"
    ):
        read_word_vectors(path, lowercase=True)
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 64] = bytes(64)
    path.write_bytes(damaged)
    with pytest.raises(SpecError, match=r"vectors.gz, "):
        read_word_vectors(path, lowercase=True)


def test_the_identity_follows_content_and_settings(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    identity = build(tmp_path / "a").identity
    assert build(tmp_path / "b").identity == identity
    assert str(tmp_path) not in identity
    others = [build(tmp_path / "b", **change) for change in ({"oov": "raise"}, {"lowercase": False}, {"limit": 2})]
    others.append(build(tmp_path / "b", GLOVE + "pink 1 1 1\n"))
    assert len({identity, *(other.identity for other in others)}) == 5


def test_a_large_text_and_the_builder(tmp_path):
    encoder = StaticEncoderSpec(path=write(tmp_path, GLOVE)).build()
    result = encoder.encode(["red blue " * 100_000])
    assert result.vectors_ND.tolist() == [[0.5, 0.5, 0.0]]
    assert result.tokens_N.tolist() == [200_000]
