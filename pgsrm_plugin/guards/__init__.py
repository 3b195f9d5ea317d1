"""Guards: what likeness does not see. One file each; the spec's ``guards`` section names those that are on."""

from pgsrm_plugin.guards.antonymy import Antonymy
from pgsrm_plugin.guards.base import Compared, Guard, Violation
from pgsrm_plugin.guards.entailment import EntailmentGuard
from pgsrm_plugin.guards.function_words import FunctionWords
from pgsrm_plugin.guards.length import LengthGuard
from pgsrm_plugin.guards.numeric_consistency import NumericConsistency
from pgsrm_plugin.guards.off_topic_window import OffTopicWindow
from pgsrm_plugin.guards.polarity import Polarity
from pgsrm_plugin.guards.prompt_copy import PromptCopyGuard
from pgsrm_plugin.guards.repetition import RepetitionGuard
from pgsrm_plugin.guards.temporal_order import TemporalOrder
from pgsrm_plugin.guards.word_order import WordOrder
from pgsrm_plugin.kinds import Kinds

__all__ = ["GUARDS", "KINDS", "Compared", "Guard", "Violation"]

GUARDS: tuple[type[Guard], ...] = (
    NumericConsistency,
    Polarity,
    Antonymy,
    TemporalOrder,
    WordOrder,
    OffTopicWindow,
    FunctionWords,
    LengthGuard,
    RepetitionGuard,
    PromptCopyGuard,
    EntailmentGuard,
)
"""The kinds that come with the package; other packages add theirs under the entry-point group ``pgsrm.guards``."""

KINDS = Kinds("pgsrm.guards", Guard, GUARDS)  # type: ignore[type-abstract]
"""All kinds there are, by name."""
