"""Public sets of questions: a file of somebody else's repository, known by its digest, downloaded or given."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from pgsrm_lab.tasks.questions.question import Question, question_task
from pgsrm_lab.tasks.task import Task
from pgsrm_plugin.errors import DataError, did_you_mean


@dataclass(frozen=True)
class SourceFile:
    """A file at a commit.

    Attributes:
        folder: the address of the repository's files at that commit.
        path: of the file in it.
        sha256: of its bytes.
    """

    folder: str
    path: str
    sha256: str

    @property
    def url(self) -> str:
        """Where it is downloaded from."""
        return f"{self.folder}/{quote(self.path)}"

    @property
    def name(self) -> str:
        """Without folders."""
        return self.path.rpartition("/")[2]

    def read(self, given: Path | None = None) -> bytes:
        """Its bytes, from the source, or from a file, or a folder that has one of its name; nothing is kept on disk.

        Raises:
            DataError: it cannot be read or downloaded, or is not the file of this digest.
        """
        place = given / self.name if given is not None and given.is_dir() else given
        content = self._download() if place is None else _read(place)
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.sha256:
            advice = (
                "the source or what lies between has changed it" if place is None else f"download it from {self.url}"
            )
            raise DataError(
                f"{place or self.url} is not the file that is expected: its sha256 is {digest[:16]}..., "
                f"that of {self.name} is {self.sha256[:16]}...; {advice}. Nothing was written"
            )
        return content

    def _download(self) -> bytes:
        try:
            answer = httpx.get(self.url, follow_redirects=True, timeout=60)
            answer.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise DataError(
                f"{self.url} cannot be downloaded ({reason}); where there is no network, "
                f"bring the file and give it with --from {self.name}"
            ) from None
        return answer.content


@dataclass(frozen=True)
class PublicSet:
    """A set that is fetched from its source, never shipped.

    Attributes:
        name: lower-case, for the command line and file names.
        title: what it is, with the paper or home.
        licence: of its texts.
        files: that of the part to train on, and that of the part held out; the source's test part is left out.
        parse: the questions in such a file's bytes, given whether the held-out part is wanted, the language, and a list
            to which it adds notes on rows that it leaves out or changes.
        languages: the first one is the default.
        new_tokens: how long an answer may be.
    """

    name: str
    title: str
    licence: str
    files: Mapping[str, SourceFile]
    parse: Callable[[bytes, bool, str, list[str]], Sequence[Question]]
    languages: tuple[str, ...]
    new_tokens: int

    def task(self, given: Path | None = None, language: str | None = None) -> Task:
        """The whole set in a language.

        Args:
            given: a file or folder to read from in place of the network.

        Raises:
            DataError: the set is not there in that language, or a file cannot be had (:meth:`SourceFile.read`).
        """
        given = given.expanduser() if given else None
        language = language or self.languages[0]
        if language not in self.languages:
            nearest = did_you_mean(language, self.languages)
            raise DataError(f"{self.name} has no language {language!r}{nearest} (it has: {', '.join(self.languages)})")
        distinct = set(self.files.values())
        if given is not None and not given.is_dir() and len(distinct) > 1:
            names = " and ".join(sorted(file.name for file in distinct))
            raise DataError(f"{self.name} consists of {names}: give the folder that has them, not {given}")
        contents = {file: file.read(given) for file in distinct}
        notes: list[str] = []
        questions = [
            question
            for split, file in self.files.items()
            for question in self.parse(contents[file], split == "held_out", language, notes)
        ]
        return question_task(
            self.name if len(self.languages) == 1 else f"{self.name}-{language}",
            questions,
            summary="the right option's letter, after an explanation",
            held_out_kind="The source's development part; its test part is left out, for a last measurement.",
            source=f"{self.title}; licence of the texts: {self.licence}",
            new_tokens=self.new_tokens,
            notes=notes,
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
