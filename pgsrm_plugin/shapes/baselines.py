"""What the starting policy earned, by prompt: a file that ``pgsrm baselines generate`` writes."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pgsrm_plugin.data.files import json_type, stream_rows
from pgsrm_plugin.errors import DataError, SpecError
from pgsrm_plugin.types import Row

_EXCERPT = 60


class RowKey(NamedTuple):
    """Digests of a row's prompt, and of what a response to it is compared with."""

    prompt: str
    compared: str

    @classmethod
    def of(cls, row: Row, *, references: bool, truths: bool) -> RowKey:
        """The key of a row.

        Args:
            references, truths: whether the spec looks at them.
        """
        compared = [
            row.targets if references else (),
            row.ground_truths if truths else (),
            sorted(row.columns.items()),
        ]
        return cls(_digest(row.prompt), _digest(json.dumps(compared)))


class Baseline(NamedTuple):
    """What a reward is held against.

    Attributes:
        scores: of the starting policy's responses to the prompt, one or more.
        mean, std: over the responses to all prompts; ``std`` is that of the population.
    """

    scores: tuple[float, ...]
    mean: float
    std: float


@dataclass(frozen=True)
class Baselines:
    """The scores of a file.

    Attributes:
        fingerprint: of the spec that gave them, without its shape.
        scores: by prompt, and by what responses to it were compared with.
    """

    path: str
    fingerprint: str
    scores: Mapping[str, Mapping[str, tuple[float, ...]]]
    mean: float
    std: float

    @classmethod
    def read(cls, path: str) -> Baselines:
        """The file's scores, which are kept as long as it does not change.

        Raises:
            SpecError: it cannot be read, or is no file of baselines; the message names file and row.
        """
        try:
            stat = Path(path).stat()
        except OSError as error:
            raise SpecError(
                f"shape.baselines: {path} cannot be read ({error.strerror or error}); `pgsrm baselines generate DATA "
                f"--spec "
                f"SPEC --scores {path} ...` writes it"
            ) from None
        return _read(path, stat.st_mtime_ns, stat.st_size)

    def of(self, key: RowKey, prompt: str) -> Baseline:
        """The baseline of a row; ``prompt`` is its text, for messages.

        Raises:
            DataError: there is none; the message names the prompt and the command.
        """
        known = self.scores.get(key.prompt, {})
        scores = known.get(key.compared)
        if scores is None:
            shown = prompt if len(prompt) <= _EXCERPT else f"{prompt[:_EXCERPT]}..."
            why = (
                f"{self.path} has scores of {shown!r} against other references, ground truths or switches"
                if known
                else f"{self.path} has no score of the starting policy for the prompt {shown!r}"
            )
            raise DataError(
                f"{why}; run `pgsrm baselines generate DATA --spec SPEC --scores {self.path} ...` with this row in DATA"
            )
        return Baseline(scores, self.mean, self.std)


def line(
    key: RowKey, prompt: Any, fingerprint: str, scores: Sequence[float], policy: Mapping[str, Any]
) -> dict[str, Any]:
    """A row of the file."""
    return {
        "prompt": prompt,
        "scores": list(scores),
        "prompt_digest": key.prompt,
        "compared_digest": key.compared,
        "spec": fingerprint,
        "policy": dict(policy),
    }


@functools.lru_cache(maxsize=8)
def _read(path: str, changed: int, size: int) -> Baselines:
    scores: dict[str, dict[str, tuple[float, ...]]] = {}
    specs: dict[str, str] = {}
    try:
        for label, row in stream_rows(path):
            key, spec, own = _parsed(row, label)
            specs.setdefault(spec, label)
            scores.setdefault(key.prompt, {})[key.compared] = own
    except DataError as error:
        raise SpecError(f"shape.baselines: {error}") from None
    if len(specs) > 1:
        first, second = list(specs.values())[:2]
        raise SpecError(f"shape.baselines: {first} and {second} are of different specs; write one file for each spec")
    every = [score for by_compared in scores.values() for own in by_compared.values() for score in own]
    mean = math.fsum(every) / len(every)
    std = math.sqrt(math.fsum((score - mean) ** 2 for score in every) / len(every))
    return Baselines(path, next(iter(specs)), scores, mean, std)


def _parsed(row: Mapping[str, Any], label: str) -> tuple[RowKey, str, tuple[float, ...]]:
    texts = [row.get(name) for name in ("prompt_digest", "compared_digest", "spec")]
    if not all(isinstance(text, str) and text for text in texts):
        raise DataError(f"{label}: this is no file of `pgsrm baselines generate` (it has: {', '.join(map(str, row))})")
    scores = row.get("scores")
    if not isinstance(scores, list) or not scores:
        raise DataError(f"{label}: field 'scores' must be a list of numbers, not {json_type(scores)}")
    for score in scores:
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise DataError(f"{label}: field 'scores' must be a list of numbers, and one is {score!r:.40}")
    prompt, compared, spec = map(str, texts)
    return RowKey(prompt, compared), spec, tuple(map(float, scores))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
