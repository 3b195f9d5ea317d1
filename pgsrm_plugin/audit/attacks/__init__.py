"""The attacks of an audit, one file each. A new one is its file, and a line here; or a package of its own."""

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.attacks.changed_number import ChangedNumber
from pgsrm_plugin.audit.attacks.empty_tags import EmptyTags
from pgsrm_plugin.audit.attacks.keyword_soup import KeywordSoup
from pgsrm_plugin.audit.attacks.listed_options import ListedOptions
from pgsrm_plugin.audit.attacks.looped_reference import LoopedReference
from pgsrm_plugin.audit.attacks.master_key import MasterKey
from pgsrm_plugin.audit.attacks.negated_reference import NegatedReference
from pgsrm_plugin.audit.attacks.other_reference import OtherReference
from pgsrm_plugin.audit.attacks.padded_reference import PaddedReference
from pgsrm_plugin.audit.attacks.prefix_junk import PrefixJunk
from pgsrm_plugin.audit.attacks.prompt_echo import PromptEcho
from pgsrm_plugin.audit.attacks.shuffled_words import ShuffledWords
from pgsrm_plugin.audit.attacks.swapped_roles import SwappedRoles
from pgsrm_plugin.audit.attacks.truncated_reference import TruncatedReference
from pgsrm_plugin.audit.attacks.universal_text import UniversalText
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.kinds import Kinds

__all__ = ["ATTACKS", "KINDS", "Attack", "Surroundings", "Target"]

ATTACKS: tuple[type[Attack], ...] = (
    MasterKey,
    PromptEcho,
    UniversalText,
    OtherReference,
    EmptyTags,
    ListedOptions,
    TruncatedReference,
    PrefixJunk,
    ShuffledWords,
    KeywordSoup,
    NegatedReference,
    ChangedNumber,
    SwappedRoles,
    LoopedReference,
    PaddedReference,
)
"""Those that come with the package, in the order of the table's ties; others are entry points of ``pgsrm.attacks``."""

KINDS = Kinds("pgsrm.attacks", Attack, ATTACKS)  # type: ignore[type-abstract]
"""All attacks there are, by name."""
