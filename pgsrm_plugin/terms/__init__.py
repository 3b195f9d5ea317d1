"""The terms: one small module each, and the literal dict that names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pgsrm_plugin.terms.bertscore import BertScore
from pgsrm_plugin.terms.bleu import Bleu
from pgsrm_plugin.terms.contrast import Contrast
from pgsrm_plugin.terms.correctness import Correctness
from pgsrm_plugin.terms.exact_match import ExactMatch
from pgsrm_plugin.terms.format import Format
from pgsrm_plugin.terms.length import Length
from pgsrm_plugin.terms.prompt_copy import PromptCopy
from pgsrm_plugin.terms.repetition import Repetition
from pgsrm_plugin.terms.rouge import Rouge
from pgsrm_plugin.terms.semantic import Semantic
from pgsrm_plugin.types import Term

if TYPE_CHECKING:
    from pgsrm_plugin.spec.terms import TermSpec

TERMS: dict[str, Callable[[Any], Term]] = {
    "semantic": Semantic,
    "contrast": Contrast,
    "exact_match": ExactMatch,
    "correctness": Correctness,
    "format": Format,
    "length": Length,
    "repetition": Repetition,
    "prompt_copy": PromptCopy,
    "bleu": Bleu,
    "rouge": Rouge,
    "bertscore": BertScore,
}


def build_term(spec: TermSpec) -> Term:
    """The term that a section of the spec describes."""
    return TERMS[spec.kind](spec)
