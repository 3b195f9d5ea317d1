"""Aggregations: how several terms become one reward. One file each; the spec's ``aggregate`` says which."""

from pgsrm_plugin.aggregates.base import Aggregate, Composed, ScoredRows, Weighed
from pgsrm_plugin.aggregates.gated import Gated
from pgsrm_plugin.aggregates.group_normalised import GroupNormalised
from pgsrm_plugin.aggregates.hierarchical import Hierarchical
from pgsrm_plugin.aggregates.positive_only import PositiveOnly
from pgsrm_plugin.aggregates.product import Product
from pgsrm_plugin.aggregates.renorm import Renorm
from pgsrm_plugin.aggregates.sum import Sum
from pgsrm_plugin.aggregates.vote import Vote
from pgsrm_plugin.kinds import Kinds

__all__ = ["AGGREGATES", "KINDS", "Aggregate", "Composed", "ScoredRows", "Sum", "Weighed"]

AGGREGATES: tuple[type[Aggregate], ...] = (
    Sum,
    GroupNormalised,
    Gated,
    Hierarchical,
    Product,
    PositiveOnly,
    Vote,
    Renorm,
)
"""The kinds that come with the package; other packages add theirs under the entry-point group ``pgsrm.aggregates``."""

KINDS = Kinds("pgsrm.aggregates", Aggregate, AGGREGATES)  # type: ignore[type-abstract]
"""All kinds there are, by name."""
