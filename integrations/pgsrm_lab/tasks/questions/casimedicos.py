"""CasiMedicos: questions of Spain's medical exam (MIR) with doctors' explanations, in four languages.

The source has a token and its tag on a line, and an empty line after a sentence. An item goes from "QUESTION TYPE" over
the case, the options ("1- ...") and the key ("CORRECT ANSWER: 3", in several wordings) to the doctor's explanation.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator

from pgsrm_lab.tasks.questions.mentions import named_option
from pgsrm_lab.tasks.questions.question import Question
from pgsrm_lab.tasks.questions.source import PublicSet, SourceFile
from pgsrm_plugin.errors import DataError

LEAST_WORDS = 10
"""An explanation of fewer words, once the sentences that name options are gone, is no explanation."""
_START = re.compile(r"QUESTION TYPE\s*:")
_CASE = re.compile(r"CLINICAL CASE\s*:")
_OPTION = re.compile(r"([1-9])\s?-\s*")
_KEY = re.compile(
    r"(?:CORRECT ANSWER|RISPOSTA CORRETTA|RESPUESTA CORRECTA|RÉPONSE CORRECTE|BONNE RÉPONSE)\s*:\s*([1-9])\b\W*"
)


def parse(content: bytes, held_out: bool, language: str, notes: list[str]) -> list[Question]:
    """The questions of a part and language of the source's archive.

    The sentences of an explanation that name options are left out: options keep their order but get letters, so that
    "the answer is 3" would be a wrong reason, and not one to learn. A row is left out if too little is left.

    Raises:
        DataError: the archive lacks the part.
    """
    name = f"{language.upper()}/{'dev' if held_out else 'train'}.tsv"
    questions, shortened = [], 0
    for number, sentences in enumerate(_items(_member(content, name)), 1):
        try:
            question, dropped = _question(sentences, held_out, language, f"{name}:{number}")
        except DataError as error:
            notes.append(f"{name}, item {number} was left out: {error}")
            continue
        shortened += bool(dropped)
        questions.append(question)
    notes.append(f"{name}: {shortened} explanations lost the sentences that name options by number")
    return questions


def _member(content: bytes, name: str) -> str:
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            file = archive.extractfile(f"casimedicos-arg/{name}")
            if file is None:
                raise KeyError(name)
            return file.read().decode("utf-8")
    except (tarfile.TarError, KeyError, UnicodeDecodeError):
        raise DataError(f"the archive has no readable file casimedicos-arg/{name}") from None


def _items(text: str) -> Iterator[list[str]]:
    """The sentences of each item; the source separates the columns by tabs in Italian and by spaces elsewhere."""
    item: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        sentence = " ".join(re.split(r"[\t ]", line.strip(), maxsplit=1)[0] for line in block.splitlines())
        if _START.match(sentence) and item:
            yield item
            item = []
        if sentence.strip():
            item.append(sentence.strip())
    if item:
        yield item


def _question(sentences: list[str], held_out: bool, language: str, name: str) -> tuple[Question, list[str]]:
    last = next((place for place, sentence in enumerate(sentences) if _KEY.match(sentence)), 0)
    # A case may have a numbered list of its own, so the options begin with the last 1 before the key.
    first = max((place for place in range(last) if sentences[place].startswith("1")), default=0)
    if not last or not _OPTION.match(sentences[first]):
        raise DataError("it has no options, or no key after them")
    options: list[str] = []
    for sentence in sentences[first:last]:
        found = _OPTION.match(sentence)
        if found and int(found[1]) == len(options) + 1:
            options.append(sentence[found.end() :])
        else:
            options[-1] += f" {sentence}"
    key = _KEY.match(sentences[last])
    assert key is not None
    told = [part for sentence in (sentences[last][key.end() :], *sentences[last + 1 :]) for part in _split(sentence)]
    dropped = [sentence for sentence in told if named_option(sentence, numbered=True)]
    explanation = " ".join(sentence for sentence in told if sentence not in dropped)
    if len(explanation.split()) < LEAST_WORDS:
        raise DataError(f"without the sentences that name options, fewer than {LEAST_WORDS} words explain it")
    question = Question(
        text=" ".join(sentence for sentence in sentences[1:first] if not _CASE.fullmatch(sentence)),
        options=tuple(options),
        key=int(key[1]) - 1,
        references=(explanation,),
        held_out=held_out,
        labels={"id": name, "topic": _START.sub("", sentences[0]).strip().lower()},
        language=language,
    )
    return question, dropped


def _split(sentence: str) -> list[str]:
    """The source sometimes has several sentences as one."""
    return [part for part in re.split(r"(?<=[.!?])\s+(?=[A-ZÀ-Ý¿¡\"'(])", sentence.strip()) if part]


_ARCHIVE = SourceFile(
    "https://raw.githubusercontent.com/ixa-ehu/antidote-casimedicos/bead23e4bd1235440c4ff5b37ae7f2f81ea7c738",
    "casimedicos-arg.tar.gz",
    "6a397c38d7917ac7744cc2e97d55ff8426ec41063d1fdc367fb5549056604b56",
)
CASIMEDICOS = PublicSet(
    name="casimedicos",
    title="CasiMedicos-Arg, github.com/ixa-ehu/antidote-casimedicos",
    licence="CC BY 4.0 (its README; its LICENSE file says CC0)",
    files={"train": _ARCHIVE, "held_out": _ARCHIVE},
    parse=parse,
    languages=("it", "en", "es", "fr"),
    new_tokens=512,
)
