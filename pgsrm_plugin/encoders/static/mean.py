"""Static word vectors: a text is the mean of its words' vectors."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import torch

from pgsrm_plugin.encoders.hf.offline import sha256_file
from pgsrm_plugin.encoders.static import StaticEncoderSpec
from pgsrm_plugin.encoders.static.vectors import read_word_vectors, words
from pgsrm_plugin.encoders.vocabulary import scripts_of
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.types import Embeddings, Unread


class KnownWords:
    """The words that have a vector; satisfies :class:`~pgsrm_plugin.types.Vocabulary`."""

    def __init__(self, known: Collection[str], lowercase: bool) -> None:
        self._known = known
        self._lowercase = lowercase

    @functools.cached_property
    def reads(self) -> str:
        """See :attr:`pgsrm_plugin.types.Vocabulary.reads`."""
        return scripts_of(self._known)

    def unread(self, texts: Sequence[str]) -> list[Unread]:
        """See :meth:`pgsrm_plugin.types.Vocabulary.unread`."""
        return [self._unread(words(text, self._lowercase)) for text in texts]

    def _unread(self, said: Sequence[str]) -> Unread:
        unknown = tuple(word for word in said if word not in self._known)
        return Unread(unknown, whole=len(unknown) == len(said) > 0)


class StaticEncoder:
    r"""The mean :math:`\frac{1}{n} \sum_i v(w_i)` of a text's known words' vectors, as PGSRM's lexical tasks use it.

    A text without a known word (or with an unknown one, under ``oov: unscorable``) is unknown.

    Args:
        spec: the file and what to do about words that it lacks.

    Raises:
        SpecError: the file is broken; the message names the line.
    """

    def __init__(self, spec: StaticEncoderSpec) -> None:
        self._spec = spec
        self._vectors = read_word_vectors(spec.path, spec.lowercase, spec.limit)
        limit = f";limit={spec.limit}" if spec.limit else ""
        digest = sha256_file(spec.path)[:16]
        self.vocabulary = KnownWords(self._vectors.rows, spec.lowercase)
        self.identity = f"static:file-sha256:{digest};lowercase={spec.lowercase};oov={spec.oov}{limit}"

    def __repr__(self) -> str:
        return f"StaticEncoder({self.identity!r}, words={len(self._vectors.rows)}, dimensions={self.dimensions})"

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._vectors.matrix_VD.shape[1])

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """One vector a text; ``tokens_N`` counts words, known or not.

        Raises:
            DataError: a word has no vector, and the spec says ``oov: raise``.
        """
        vectors_ND = torch.zeros(len(texts), self.dimensions)
        counts = [Counter(words(text, self._spec.lowercase)) for text in texts]
        for row, count in enumerate(counts):
            vectors_ND[row] = torch.from_numpy(self._mean(count, texts[row]))
        tokens_N = torch.tensor([count.total() for count in counts], dtype=torch.int64)
        truncated_N = torch.zeros(len(texts), dtype=torch.bool)
        return Embeddings(vectors_ND, tokens_N, truncated_N, unknown_N=~vectors_ND.any(dim=1))

    def _mean(self, count: Counter[str], text: str) -> npt.NDArray[np.float32]:
        known = {word: times for word, times in count.items() if word in self._vectors.rows}
        if self._spec.oov == "raise" and len(known) < len(count):
            missing = next(word for word in count if word not in known)
            raise DataError(
                f"the word {missing[:40]!r} of {text[:60]!r} has no vector in {self._spec.path}; "
                "set encoder.oov: skip or unscorable to go on"
            )
        if not known or (self._spec.oov == "unscorable" and len(known) < len(count)):
            return np.zeros(self.dimensions, dtype=np.float32)
        rows = [self._vectors.rows[word] for word in known]
        times = np.array(list(known.values()), dtype=np.float64)
        mean_D: npt.NDArray[np.float64] = times @ self._vectors.matrix_VD[rows].astype(np.float64) / times.sum()
        return mean_D.astype(np.float32)
