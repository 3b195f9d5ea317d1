"""Static word vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, FilePath, field_validator

from pgsrm_plugin.encoders.base import EncoderSection
from pgsrm_plugin.section import beside_spec

if TYPE_CHECKING:
    from pgsrm_plugin.types import Encoder, Vocabulary


class StaticEncoderSpec(EncoderSection):
    """Static word vectors (word2vec text, GloVe, Numberbatch; plain or .gz): mean of the words' vectors."""

    kind: Literal["static"] = "static"
    others_say: ClassVar = ("word2vec", "glove", "fasttext", "numberbatch", "vectors", "gensim")
    also_known_as: ClassVar = {
        "model": "write `path`, a file of vectors",
        "file": "write `path`",
        "lower": "write `lowercase`",
    }
    path: FilePath = Field(description="the vectors; a relative path starts at the spec's folder")
    lowercase: bool = True
    oov: Literal["skip", "unscorable", "raise"] = Field(
        "skip",
        description="a word without a vector: 'skip' leaves it out (a text with no known word is unscorable), "
        "'unscorable' makes the text unscorable, 'raise' stops",
    )
    limit: int | None = Field(
        None, ge=1, description="read only the first so many words (files are sorted by frequency)"
    )

    _resolve = field_validator("path", mode="before")(beside_spec)

    def build(self) -> Encoder:
        """See :meth:`~pgsrm_plugin.encoders.base.EncoderSection.build`."""
        from pgsrm_plugin.encoders.static.mean import StaticEncoder

        return StaticEncoder(self)

    def vocabulary(self) -> Vocabulary:
        """See :meth:`~pgsrm_plugin.encoders.base.EncoderSection.vocabulary`; reads the whole file."""
        from pgsrm_plugin.encoders.static.mean import StaticEncoder

        return StaticEncoder(self).vocabulary
