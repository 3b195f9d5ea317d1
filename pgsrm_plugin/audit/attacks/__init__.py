"""The attacks of an audit, one file each. A new one is its file, and a line here."""

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

__all__ = ["ATTACKS", "Attack", "Surroundings"]

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
"""Those that an audit makes, in the order of its table's ties."""
