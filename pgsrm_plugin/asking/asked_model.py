"""Asks a language model what terms want to know, each question once, within a budget, and keeps what it said."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import weakref
from collections.abc import Sequence

from pgsrm_plugin.asking.engines import build_engine
from pgsrm_plugin.asking.language_model import LanguageModelSpec
from pgsrm_plugin.asking.online import Answers, OnlineModel
from pgsrm_plugin.asking.store.answers import Answer, Request
from pgsrm_plugin.asking.store.shared import SharedAnswers
from pgsrm_plugin.errors import ScorerError, SpecError
from pgsrm_plugin.types import Question, Reply


class AskedModel:
    """A language model; a question is a text, and which of several answers to it is wanted.

    Retries, waits and the slowing down are the engine's.
    A call that comes to nothing is a ScorerError, never an answer; what the model declined, left empty or did not
    finish is an empty reply, and for whoever asks to deal with.

    Args:
        spec: the model and how it is asked.

    Raises:
        SpecError: an engine's setting is wrong, its model cannot be loaded, or the token's variable is missing.
    """

    def __init__(self, spec: LanguageModelSpec) -> None:
        config = spec.config()
        digest = hashlib.sha256(json.dumps(dataclasses.asdict(config), sort_keys=True, default=str).encode())
        self.identity = f"language model:{spec.model};settings={digest.hexdigest()[:12]}"
        self._first_token = spec.first_token
        engine = build_engine(config, **spec.engine_settings())
        answers: Answers = NothingKept() if spec.store is None else SharedAnswers(spec.store)
        self._online = OnlineModel(answers, engine, spec.budget or sys.maxsize, 0.0)
        self._end = weakref.finalize(self, _close, self._online, answers)

    def __repr__(self) -> str:
        return f"AskedModel({self.identity!r})"

    @property
    def counts(self) -> dict[str, int]:
        """What was asked so far; see :class:`~pgsrm_plugin.asking.online.OnlineCounts`."""
        return dataclasses.asdict(self._online.counts)

    def judge(self, questions: Sequence[Question]) -> list[Reply]:
        """What it says to each question, in order: its words, or the log-probabilities of its first token by name.

        Raises:
            ScorerError: a call failed for good, or the budget is spent. What was answered meanwhile is kept.
        """
        futures = self._online.submit([Request(text, int(sample)) for text, sample in questions])
        # All are waited for, so that none is paid for and lost.
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            raise errors[0]
        answers = [future.result() for future in futures]
        failed = [answer for answer in answers if answer.status == "failed"]
        if failed:
            raise ScorerError(
                f"{self.identity} failed on {len(failed)} of {len(answers)} questions: {failed[0].error}; nothing was "
                "scored"
            )
        return [self._reply(answer) for answer in answers]

    def close(self) -> None:
        """Lets the calls under way end, and the store go."""
        self._end()

    def _reply(self, answer: Answer) -> Reply:
        if not self._first_token:
            return Reply(text=answer.text if answer.ok else "")
        if answer.first_token is None:
            if answer.status == "refused":
                return Reply()
            raise SpecError(
                f"{answer.model} gives no log-probabilities of its tokens (or not in OpenAI's form); use another mode, "
                "or an endpoint that does"
            )
        return Reply(tuple(answer.first_token.values()), names=tuple(answer.first_token))


class NothingKept:
    """No store: what was said lives as long as the memory of who asked."""

    def get(self, key: str) -> Answer | None:
        """Nothing."""
        return None

    def by_call(self, call: str) -> Answer | None:
        """Nothing."""
        return None

    def append(self, answer: Answer) -> None:
        """Lets the answer go."""


def _close(online: OnlineModel, answers: Answers) -> None:
    online.close()
    if isinstance(answers, SharedAnswers):
        answers.close()
