"""Files of answers: what a batch API gave back (OpenAI's, vLLM's ``run_batch``), or rows with prompt and answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pgsrm_plugin.asking.engines.base import Completion
from pgsrm_plugin.asking.engines.openai.completion import is_parts, read_answer
from pgsrm_plugin.asking.engines.openai.refusal import CallError, Refusal, judge
from pgsrm_plugin.data.files import json_type, plain, stream_rows
from pgsrm_plugin.endpoint import BadAnswerError
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.parents.generation.prompts import PromptRow, prompt_row

ANSWER_FIELDS = ("answer", "response")
_OF_THE_ANSWER = (*ANSWER_FIELDS, "sample", "finish_reason", "model", "usage", "reasoning_content", "custom_id")


@dataclass(frozen=True)
class FileAnswer:
    """One answer of a file.

    Attributes:
        label: how messages call its line.
        custom_id: the id under which the batch was asked; None for a row that has its prompt.
        row: the prompt with its own columns; None in a batch's output.
        sample: which sample of the prompt it is.
    """

    label: str
    custom_id: str | None
    row: PromptRow | None
    sample: int
    completion: Completion

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.label if self.custom_id is None else self.custom_id


def read_answers(path: str | Path) -> Iterator[FileAnswer]:
    """The answers of a file, one at a time; several choices of a batch's answer are the samples of its prompt.

    Raises:
        DataError: the file cannot be read, or a line is neither form; the message names the line.
    """
    for label, row in stream_rows(path):
        columns: dict[str, Any] = plain(row)
        if isinstance(columns.get("custom_id"), str) and (
            "error" in columns or isinstance(columns.get("response"), dict)
        ):
            for sample, completion in enumerate(_batch_answers(columns)):
                yield FileAnswer(label, columns["custom_id"], None, sample, completion)
        elif "prompt" in columns:
            yield _row_answer(columns, label)
        else:
            raise DataError(
                f"{label}: neither a line of a batch's output (custom_id, response) nor a row with prompt and answer "
                f"(it has: {', '.join(list(columns)[:8]) or 'nothing'})"
            )


def _batch_answers(line: Mapping[str, Any]) -> list[Completion]:
    response, error = line.get("response"), line.get("error")
    if not isinstance(response, Mapping):
        return [Completion(error=f"the batch has no answer: {_words(error)}")]
    status, body = response.get("status_code", 200), response.get("body")
    if status != 200:
        return [_declined(status, body)]
    choices = body.get("choices") if isinstance(body, Mapping) else None
    try:
        found = [
            read_answer(body, number) for number in range(len(choices) if isinstance(choices, list) and choices else 1)
        ]
    except BadAnswerError as problem:
        return [Completion(error=f"the batch's answer has {problem}")]
    # The account is that of all choices together.
    return found[:1] + [replace(one, prompt_tokens=None, completion_tokens=None) for one in found[1:]]


def _declined(status: Any, body: Any) -> Completion:
    refusal = Refusal(status if isinstance(status, int) else 0, {}, body if isinstance(body, str) else json.dumps(body))
    verdict = judge(refusal, "the batch", None, succeeded=True)
    if isinstance(verdict, CallError):
        return Completion(error=str(verdict), refusal=verdict.refusal, permanent=True)
    return Completion(error=str(refusal))


def _words(error: Any) -> str:
    return Refusal(0, {}, error if isinstance(error, str) else json.dumps(error)).words if error else "it says no more"


def _row_answer(columns: Mapping[str, Any], label: str) -> FileAnswer:
    field = next((name for name in ANSWER_FIELDS if name in columns), None)
    if field is None:
        raise DataError(f"{label}: there is neither {' nor '.join(map(repr, ANSWER_FIELDS))} beside the prompt")
    answer, sample = columns[field], columns.get("sample", 0)
    if not (answer is None or isinstance(answer, str) or is_parts(answer)):
        raise DataError(f"{label}: field {field!r} must be text, not {json_type(answer)}")
    if type(sample) is not int or sample < 0:
        raise DataError(f"{label}: field 'sample' must be a number from 0, not {json_type(sample)}")
    message = {"content": answer, "reasoning_content": columns.get("reasoning_content")}
    choice = {"message": message, "finish_reason": columns.get("finish_reason")}
    completion = read_answer({"choices": [choice], "usage": columns.get("usage"), "model": columns.get("model")})
    row = prompt_row({name: value for name, value in columns.items() if name not in _OF_THE_ANSWER}, label)
    return FileAnswer(label, None, row, sample, completion)
