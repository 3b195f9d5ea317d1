"""What a model said, by question and within a bound of memory, so that nothing is asked twice."""

from __future__ import annotations

import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence

from pgsrm_plugin.errors import PgsrmError, ScorerError, without_texts
from pgsrm_plugin.types import OwnModel, Question, Reply

_OVERHEAD_BYTES = 400
"""Python's cost of one entry, beside the texts."""


class AskedOnce:
    """Asks each question once: within a call always, between calls as far as ``limit_mb`` reaches.

    The questions that are new to a call reach the model once each, sorted, so that no answer depends on the order or
    the multiplicity of the rows.

    Args:
        model: what answers.
        limit_mb: memory for answers kept between calls, in MiB; those not used for longest go.
    """

    def __init__(self, model: OwnModel, limit_mb: float) -> None:
        self.model = model
        self._limit = limit_mb * 2**20
        self._bytes = 0
        self._kept: OrderedDict[Question, Reply] = OrderedDict()
        self._lock = threading.Lock()

    def judge(self, questions: Sequence[Question]) -> tuple[dict[Question, Reply], int]:
        """What is said to every distinct question, and how many were asked of the model.

        Raises:
            ScorerError: the model failed, or returned a number that is not finite.
        """
        distinct = sorted(set(questions), key=lambda question: (sum(map(len, question)), question))
        found = {question: kept for question in distinct if (kept := self._kept.get(question)) is not None}
        missing = [question for question in distinct if question not in found]
        found |= zip(missing, self._ask(missing), strict=True) if missing else {}
        with self._lock:
            for question in distinct:
                self._keep(question, found[question])
        return found, len(missing)

    def _ask(self, questions: Sequence[Question]) -> Sequence[Reply]:
        identity = self.model.identity
        try:
            answers = self.model.judge(questions)
        except PgsrmError:
            raise
        except Exception as error:  # whatever transformers raises
            said = without_texts(f"{type(error).__name__}: {error}", itertools.chain(*questions))
            raise ScorerError(f"{identity} failed: {said}") from error
        finite = all(math.isfinite(value) for one in answers for value in one.values)
        if len(answers) != len(questions) or not finite:
            raise ScorerError(f"{identity} returned wrong or non-finite numbers; nothing was scored")
        return answers

    def _keep(self, question: Question, judged: Reply) -> None:
        if question not in self._kept:
            self._kept[question] = judged
            self._bytes += _size(question, judged)
        self._kept.move_to_end(question)
        while self._bytes > self._limit:
            self._bytes -= _size(*self._kept.popitem(last=False))


def _size(question: Question, judged: Reply) -> int:
    return 4 * (sum(map(len, question)) + len(judged.text)) + _OVERHEAD_BYTES
