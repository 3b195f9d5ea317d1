"""Checks the answer of an OpenAI-compatible embeddings endpoint and puts it in order."""

from __future__ import annotations

import json
from typing import Any

import torch

from pgsrm_plugin.endpoint import BadAnswerError


def parse_answer(body: bytes, texts: int, dimensions: int | None) -> torch.Tensor:
    """The vectors of one request, (texts, D) float32, in the order of the request.

    Args:
        body: the JSON document.
        texts: how many texts were sent.
        dimensions: the length that every vector must have; None takes the first one's.

    Raises:
        BadAnswerError: it is not JSON, or vectors are missing, repeated, of different lengths, not finite or all zeros.
    """
    try:
        data = json.loads(body)["data"]
    except (ValueError, RecursionError):
        raise BadAnswerError("an answer that is not JSON") from None
    except (KeyError, TypeError, IndexError):
        raise BadAnswerError("JSON without a 'data' list") from None
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise BadAnswerError("JSON whose 'data' is not a list of objects")
    if len(data) != texts:
        raise BadAnswerError(f"{len(data)} embeddings for {texts} texts")
    indexes = [item.get("index") for item in data]
    if any(type(index) is not int for index in indexes) or sorted(indexes) != list(range(texts)):
        raise BadAnswerError(f"embeddings whose indexes are not 0 to {texts - 1}, each once")
    ordered = sorted(data, key=lambda item: int(item["index"]))
    return torch.stack(_same_length([_vector(item.get("embedding"), item["index"]) for item in ordered], dimensions))


def _vector(value: Any, index: int) -> torch.Tensor:
    if not isinstance(value, list) or not value or any(type(number) not in (int, float) for number in value):
        raise BadAnswerError(f"embedding {index}, which is not a list of numbers")
    try:
        vector_D = torch.tensor([float(number) for number in value], dtype=torch.float32)
    except OverflowError:
        raise BadAnswerError(f"embedding {index}, which is not finite") from None
    if not bool(torch.isfinite(vector_D).all()):
        raise BadAnswerError(f"embedding {index}, which is not finite")
    if not bool(vector_D.any()):
        raise BadAnswerError(f"embedding {index}, which is all zeros")
    return vector_D


def _same_length(vectors: list[torch.Tensor], dimensions: int | None) -> list[torch.Tensor]:
    expected = dimensions if dimensions is not None else len(vectors[0])
    for index, vector_D in enumerate(vectors):
        if len(vector_D) != expected:
            raise BadAnswerError(f"embedding {index} of {len(vector_D)} dimensions, expected {expected}")
    return vectors
