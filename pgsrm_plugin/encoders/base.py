"""What an encoder kind is: a section of the spec that says what its encoder gives, and builds it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationInfo

from pgsrm_plugin.section import Section, beside_spec

if TYPE_CHECKING:
    from pgsrm_plugin.types import Encoder, Vocabulary


@dataclass(frozen=True)
class Gives:
    """What an encoder has beside vectors; a term's :class:`~pgsrm_plugin.terms.base.Needs` are checked against it.

    Attributes:
        tokens: the number of tokens of a text.
        token_states: the states of single tokens (:class:`~pgsrm_plugin.types.TokenEncoder`).
        sharded: a transformer run by this package, which training workers can hold together, sharded or replicated
            (:mod:`pgsrm_plugin.encoders.hf.sharded`).
    """

    tokens: bool = True
    token_states: bool = False
    sharded: bool = False


class EncoderSection(Section, ABC):
    """The ``encoder`` section of one kind. A subclass has ``kind: Literal["..."] = "..."`` and its settings.

    Its module must be quick to import: what computes is imported by :meth:`build`.
    """

    also_known_as: ClassVar = {
        "trust_remote_code": "remote code never runs: take a model that transformers knows without it, or serve this "
        "one and ask the endpoint",
        "type": "write `kind`",
        "backend": "write `kind`",
        "normalize": "leave it out: texts are compared by cosine, whatever the length of their vectors",
        "normalize_embeddings": "leave it out: texts are compared by cosine, whatever the length of their vectors",
        "cache_folder": "leave it out: models are cached where HF_HOME says, embeddings by `disk_cache` of the spec",
        "token": "leave it out: set the environment variable HF_TOKEN",
    }
    kind: str
    gives: ClassVar[Gives] = Gives()
    called: ClassVar[str] = "this encoder"
    """What messages call an encoder of this kind."""

    @abstractmethod
    def build(self) -> Encoder:
        """The encoder, ready to use.

        Raises:
            SpecError: the model or file cannot be found or is not what it claims to be.
            ScorerError: the model loads but fails its self-test.
        """

    def vocabulary(self) -> Vocabulary | None:
        """The words that the encoder knows, without building it; None where every text has a representation.

        None too where nobody here can tell, as of an encoder behind an endpoint.

        Raises:
            SpecError: as :meth:`build`.
        """
        return None


def model_beside_spec(model: Any, info: ValidationInfo) -> object:
    """A model that is a path starts at the spec file's folder; a hub id stays as it is."""
    return beside_spec(model, info) if isinstance(model, str) and model.startswith(("./", "../", "~")) else model
