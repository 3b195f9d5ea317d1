"""Credit: which tokens of a response earned its reward. One file a kind; the spec's ``credit`` says which."""

from pgsrm_plugin.credit.base import Credit, ModelCredit, RatioCredit, SoftValueCredit, TextCredit
from pgsrm_plugin.credit.endogenous import Endogenous
from pgsrm_plugin.credit.implicit_prm import ImplicitPrm
from pgsrm_plugin.credit.leave_one_out import LeaveOneOut
from pgsrm_plugin.credit.log_ratio import LogRatio
from pgsrm_plugin.credit.owen import Owen
from pgsrm_plugin.credit.prefix import Prefix
from pgsrm_plugin.kinds import Kinds

__all__ = ["CREDITS", "KINDS", "Credit", "ModelCredit", "RatioCredit", "SoftValueCredit", "TextCredit"]

CREDITS: tuple[type[Credit], ...] = (LeaveOneOut, Prefix, Owen, LogRatio, ImplicitPrm, Endogenous)
"""The kinds that come with the package; other packages add theirs under the entry-point group ``pgsrm.credits``."""

KINDS = Kinds("pgsrm.credits", Credit, CREDITS)
"""All kinds there are, by name."""
