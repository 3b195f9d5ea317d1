"""The terms: one module each, which says everything about its term."""

from __future__ import annotations

from pgsrm_plugin.kinds import Kinds
from pgsrm_plugin.terms.base import Needs, Term
from pgsrm_plugin.terms.bertscore import BertScore
from pgsrm_plugin.terms.bleu import Bleu
from pgsrm_plugin.terms.claims import Claims
from pgsrm_plugin.terms.consensus import Consensus
from pgsrm_plugin.terms.contrast import Contrast
from pgsrm_plugin.terms.correctness import Correctness
from pgsrm_plugin.terms.entailment import Entailment
from pgsrm_plugin.terms.exact_match import ExactMatch
from pgsrm_plugin.terms.followup import Followup
from pgsrm_plugin.terms.format import Format
from pgsrm_plugin.terms.judge import Judge
from pgsrm_plugin.terms.length import Length
from pgsrm_plugin.terms.likelihood import Likelihood
from pgsrm_plugin.terms.novelty import Novelty
from pgsrm_plugin.terms.phase_entropy import PhaseEntropy
from pgsrm_plugin.terms.prompt_copy import PromptCopy
from pgsrm_plugin.terms.relevance import Relevance
from pgsrm_plugin.terms.repetition import Repetition
from pgsrm_plugin.terms.reward_model import RewardModel
from pgsrm_plugin.terms.rouge import Rouge
from pgsrm_plugin.terms.semantic import Semantic

__all__ = ["KINDS", "TERMS", "Needs", "Term"]

TERMS: tuple[type[Term], ...] = (
    Semantic,
    Contrast,
    ExactMatch,
    Correctness,
    Format,
    Length,
    Repetition,
    PromptCopy,
    Relevance,
    Bleu,
    Rouge,
    BertScore,
    Entailment,
    Claims,
    RewardModel,
    Judge,
    Consensus,
    Novelty,
    Likelihood,
    Followup,
    PhaseEntropy,
)
"""The kinds that come with the package; other packages add theirs under the entry-point group ``pgsrm.terms``."""

KINDS = Kinds("pgsrm.terms", Term, TERMS)  # type: ignore[type-abstract]
"""All kinds there are, by name."""
